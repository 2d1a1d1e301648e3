"""Reliability bins and risk-coverage curves from the confidence and correctness of predictions."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maskfit.evaluation.metrics import ReliabilityCurve
from maskfit.labels.schema import FloatArray

NUM_BINS = 15
"""Default number of bins of the expected calibration error."""

MIN_COVERAGE = 0.05
"""Smallest coverage of a threshold that is fitted to a target accuracy: the accuracy of fewer predictions is mostly
noise."""


def equal_mass_bins(confidence: ArrayLike, correct: ArrayLike, bins: int = NUM_BINS) -> ReliabilityCurve:
    """Bins photos by confidence into bins of equally many photos.

    Bins of equal width are nearly empty except for one or two where a model is confident of almost all predictions.
    Photos of equal confidence share a bin, so that the result does not depend on the order of the photos.

    Args:
        confidence: Probability of each prediction, shape (photos,), not empty.
        correct: Whether each prediction is correct, shape (photos,).
        bins: Number of bins, >= 1; fewer result where many confidences are equal.

    Returns:
        The bins in ascending order of confidence, none of them empty.
    """
    confidence, correct = np.asarray(confidence, dtype=np.float64), np.asarray(correct, dtype=np.float64)
    ascending = np.sort(confidence)
    starts = np.unique(ascending[np.linspace(0, len(ascending), bins, endpoint=False).astype(np.int64)])
    index = np.searchsorted(starts, confidence, side="right") - 1
    photos = np.bincount(index, minlength=len(starts))
    return ReliabilityCurve(photos, *(np.bincount(index, weights=each) / photos for each in (confidence, correct)))


class RiskCoverage(NamedTuple):
    """Risk-coverage curve of selective prediction (Geifman & El-Yaniv 2017, arXiv:1705.08500).

    Attributes:
        threshold: Distinct confidences in descending order.
        coverage: Fraction of photos with at least this confidence, ascending to 1.
        risk: Error rate of their predictions.
    """

    threshold: FloatArray
    coverage: FloatArray
    risk: FloatArray

    def area(self) -> float:
        """Returns the area under the curve (AURC): the lower, the better confidence separates errors."""
        return float((self.risk * np.diff(self.coverage, prepend=0.0)).sum())


def risk_coverage(confidence: ArrayLike, correct: ArrayLike) -> RiskCoverage:
    """Computes the risk-coverage curve; photos of equal confidence are kept or dropped together.

    Args:
        confidence: Probability of each prediction, shape (photos,), not empty.
        correct: Whether each prediction is correct, shape (photos,).

    Returns:
        The curve, with one point per distinct confidence.
    """
    confidence, correct = np.asarray(confidence, dtype=np.float64), np.asarray(correct, dtype=bool)
    order = np.argsort(-confidence, kind="stable")
    descending = confidence[order]
    last = np.append(descending[1:] != descending[:-1], True)
    kept = np.arange(1, len(descending) + 1)[last]
    errors = np.cumsum(~correct[order])[last]
    return RiskCoverage(descending[last], kept / len(descending), errors / kept)


def lowest_threshold(
    confidence: FloatArray, correct: NDArray[np.bool_], *, accuracy: float = 0.95, coverage: float | None = None
) -> float:
    """Returns the lowest confidence threshold that reaches a target accuracy, or a target coverage.

    A threshold for a target accuracy keeps at least `MIN_COVERAGE` of the predictions.

    Args:
        confidence: Probability of each prediction, shape (photos,), not empty.
        correct: Whether each prediction is correct, shape (photos,).
        accuracy: Target accuracy of the predictions that are kept; ignored where `coverage` is given.
        coverage: Target fraction of predictions that are kept.

    Returns:
        One of the confidences; 0 where all predictions may be kept, 1 where no threshold reaches the target.
    """
    curve = risk_coverage(confidence, correct)
    # 1e-9 is less than one photo of any set and more than the rounding error of these fractions.
    covered = curve.coverage >= (MIN_COVERAGE if coverage is None else coverage) - 1e-9
    reached = np.flatnonzero(covered if coverage is not None else covered & (1 - curve.risk >= accuracy - 1e-9))
    if not len(reached):
        return 1.0
    # The highest coverage that is accurate enough; for a target coverage the lowest that reaches it.
    point = reached[0] if coverage is not None else reached[-1]
    return 0.0 if point == len(curve.coverage) - 1 else float(curve.threshold[point])
