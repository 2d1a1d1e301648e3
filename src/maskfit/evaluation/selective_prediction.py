"""What the probabilities of answers are worth: arithmetic on how sure each answer was and whether it was right."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maskfit.evaluation.metrics import ReliabilityCurve
from maskfit.labels.schema import FloatArray

BINS = 15
"""How many bins a calibration error is measured in."""

MIN_COVERAGE = 0.05
"""The least share of answers that a threshold for accuracy may leave: what the surest few are like is mostly chance."""


def equal_mass_bins(confidence: ArrayLike, right: ArrayLike, bins: int = BINS) -> ReliabilityCurve:
    """Photos sorted into bins of equally many by the probability of their answer.

    Bins of equal width leave most of them nearly empty where a model is sure of almost all, and the error is then
    measured in one or two. Equal probabilities stay together, so that the photos' order does not matter.

    Args:
        confidence: (photos,) the answers' probabilities; at least one.
        right: (photos,) which are right.
        bins: How many; fewer come out where many probabilities are equal.
    """
    confidence, right = np.asarray(confidence, dtype=np.float64), np.asarray(right, dtype=np.float64)
    rising = np.sort(confidence)
    starts = np.unique(rising[np.linspace(0, len(rising), bins, endpoint=False).astype(np.int64)])
    place = np.searchsorted(starts, confidence, side="right") - 1
    photos = np.bincount(place, minlength=len(starts))
    return ReliabilityCurve(photos, *(np.bincount(place, weights=each) / photos for each in (confidence, right)))


class RiskCoverage(NamedTuple):
    """Selective answering: who answers fewer photos errs less (Geifman & El-Yaniv 2017, arXiv:1705.08500).

    Attributes:
        threshold: The distinct probabilities of answers, falling.
        coverage: The share of photos whose answer is at least as sure, rising to 1.
        risk: The share of wrong answers among them.
    """

    threshold: FloatArray
    coverage: FloatArray
    risk: FloatArray

    def area(self) -> float:
        """The mean risk over all coverages (AURC): the smaller, the better doubt finds the wrong answers."""
        return float((self.risk * np.diff(self.coverage, prepend=0.0)).sum())


def risk_coverage(confidence: ArrayLike, right: ArrayLike) -> RiskCoverage:
    """The curve of a set; photos of equal confidence are kept or given up together.

    Args:
        confidence: (photos,) the answers' probabilities; at least one.
        right: (photos,) which are right.
    """
    confidence, right = np.asarray(confidence, dtype=np.float64), np.asarray(right, dtype=bool)
    order = np.argsort(-confidence, kind="stable")
    falling = confidence[order]
    last = np.append(falling[1:] != falling[:-1], True)
    kept = np.arange(1, len(falling) + 1)[last]
    wrong = np.cumsum(~right[order])[last]
    return RiskCoverage(falling[last], kept / len(falling), wrong / kept)


def lowest_threshold(
    confidence: FloatArray, right: NDArray[np.bool_], *, accuracy: float = 0.95, keep: float | None = None
) -> float:
    """The lowest probability from which on answers are as accurate as wanted, or as many as wanted stay.

    A threshold for accuracy leaves `LEAST_KEPT` of the answers or more.

    Args:
        confidence: (photos,) the answers' probabilities; at least one.
        right: (photos,) which are right.
        accuracy: The wanted share of right ones; not looked at where `keep` is given.
        keep: The wanted share of photos.

    Returns:
        A probability that occurs; 0 where every answer may stay, 1 where no threshold reaches what is wanted.
    """
    curve = risk_coverage(confidence, right)
    # Shares of counts; a billionth is less than one photo of any set and more than their rounding.
    enough = curve.coverage >= (MIN_COVERAGE if keep is None else keep) - 1e-9
    fits = np.flatnonzero(enough if keep is not None else enough & (1 - curve.risk >= accuracy - 1e-9))
    if not len(fits):
        return 1.0
    # The most coverage that is as accurate; with `keep` the least that is enough.
    place = fits[0] if keep is not None else fits[-1]
    return 0.0 if place == len(curve.coverage) - 1 else float(curve.threshold[place])
