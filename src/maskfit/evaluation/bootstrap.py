"""Intervals: how far a score would move with other persons, by drawing persons with replacement (the bootstrap)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from maskfit.errors import DataError
from maskfit.evaluation.metrics import METRICS, ClassCounts, Metric, class_counts, count_by_class
from maskfit.labels.schema import FloatArray


@dataclass(frozen=True)
class Interval:
    """A number and the range it may as well have had with other persons of the same kind."""

    value: float
    low: float
    high: float
    level: float = 0.95

    def to_dict(self) -> dict[str, float]:
        """As JSON takes it."""
        return {"value": self.value, "low": self.low, "high": self.high, "level": self.level}

    @classmethod
    def from_draws(cls, value: float, drawn: FloatArray, level: float = 0.95) -> Interval:
        """The percentile interval of what was drawn, shape (draws,); NaN, where nothing could be said, is left out."""
        tail = (1 - level) / 2
        said = drawn[~np.isnan(drawn)]
        low, high = np.quantile(said, [tail, 1 - tail]) if len(said) else (value, value)
        return cls(float(value), float(low), float(high), level)


def bootstrap_interval(
    metric: str | Metric,
    truth: ArrayLike,
    answers: ArrayLike,
    persons: ArrayLike,
    *,
    classes: int,
    draws: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """The percentile bootstrap interval of a metric over persons; see `resample`.

    Args:
        metric: A name in `METRICS`, or a function of a tally.
        truth: (photos,) class numbers; photos with `UNKNOWN` are left out.
        answers: (photos,) class numbers.
        persons: (photos,) who is on each photo.
        classes: How many classes there are.
        draws: How many sets are drawn.
        seed: The same seed gives the same interval.
        level: The share of draws inside.

    Raises:
        DataError: No photo has a known truth, or the lengths differ.
        LabelError: A number is not a class.
    """
    measure = METRICS[metric] if isinstance(metric, str) else metric
    whole = measure(class_counts(truth, answers, classes))
    drawn = bootstrap_counts(truth, answers, persons, classes=classes, draws=draws, seed=seed)
    return Interval.from_draws(float(whole), measure(drawn), level)


def bootstrap_counts(
    truth: ArrayLike, answers: ArrayLike, persons: ArrayLike, *, classes: int, draws: int = 1000, seed: int = 0
) -> ClassCounts:
    """The counts (draws, classes) of sets of as many persons, drawn with replacement.

    A person's photos look alike and are right or wrong together. Drawing photos would take seven pictures of one
    person for seven witnesses, and intervals would be too narrow; so whole persons are drawn.

    Raises:
        DataError: No photo has a known truth, or the lengths differ.
        LabelError: A number is not a class.
    """
    class_counts(truth, answers, classes)
    groups = count_by_class(truth, answers, classes, persons)
    parts = [[times @ part for part in groups] for times in _drawn(len(groups.hits), draws, seed)]
    return ClassCounts(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def proportion_interval(
    parts: ArrayLike, wholes: ArrayLike, persons: ArrayLike, draws: int = 1000, seed: int = 0, level: float = 0.95
) -> Interval:
    """A share, sum(parts) / sum(wholes), with its interval over persons; a mean where every whole is 1.

    What two models differ by is such a mean too: of the photos' differences. Drawing persons keeps the pairs together.

    Args:
        parts: (photos,) what counts: whether a photo is right, its loss, a difference.
        wholes: (photos,) what it is counted among: whether a photo belongs, or 1; their sum is above 0.
        persons: (photos,) who is on each photo.
        draws: How many sets of as many persons are drawn; the same seed draws the same as `resample` does.
        seed: The same seed gives the same interval.
        level: The share of draws inside.

    Raises:
        DataError: The lengths differ, or there is nothing to count among.
    """
    parts, wholes = np.asarray(parts, dtype=np.float64), np.asarray(wholes, dtype=np.float64)
    unique, place = np.unique(np.asarray(persons), return_inverse=True)
    if not parts.shape == wholes.shape == place.shape:
        raise DataError(f"{len(parts)} parts, {len(wholes)} wholes, {len(place)} persons", hint="one for each photo")
    if not wholes.sum() > 0:
        raise DataError("there is nothing to count a share among", hint="give photos that count")
    sums = np.stack([np.bincount(place, weights=each, minlength=len(unique)) for each in (parts, wholes)], axis=1)
    drawn = np.concatenate([times @ sums for times in _drawn(len(unique), draws, seed)])
    some = drawn[:, 1] > 0
    return Interval.from_draws(float(parts.sum() / wholes.sum()), drawn[some, 0] / drawn[some, 1], level)


def _drawn(count: int, draws: int, seed: int) -> Iterator[FloatArray]:
    """How often each of `count` persons stands in each draw, (some draws, persons) after another.

    What is counted of the draws is then one product of matrices.
    """
    generator = np.random.default_rng(seed)
    even, block = np.full(count, 1 / count), max(1, 10_000_000 // count)
    for start in range(0, draws, block):
        yield generator.multinomial(count, even, size=min(block, draws - start)).astype(np.float64)
