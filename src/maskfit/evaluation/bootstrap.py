"""Bootstrap confidence intervals over persons: how much a score would vary with other persons."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from maskfit.errors import DataError
from maskfit.evaluation.metrics import METRICS, ClassCounts, Metric, class_counts, count_by_class
from maskfit.labels.schema import UNKNOWN, FloatArray
from maskfit.text import format_count

NO_WIDTH = 1e-9
"""Width below which an interval has none: more than rounding errors, less than a photo of any set."""


@dataclass(frozen=True)
class Interval:
    """A value with its confidence interval.

    Attributes:
        value: The value on the whole set.
        low: Lower bound.
        high: Upper bound.
        level: Confidence level, in (0, 1).
    """

    value: float
    low: float
    high: float
    level: float = 0.95

    def to_dict(self) -> dict[str, float]:
        """Returns the interval as JSON values."""
        return {"value": self.value, "low": self.low, "high": self.high, "level": self.level}

    @property
    def has_width(self) -> bool:
        """Whether persons differ, so that the interval says something; of one person alone it has no width."""
        return self.high - self.low > NO_WIDTH

    @classmethod
    def from_draws(cls, value: float, drawn: FloatArray, level: float = 0.95) -> Interval:
        """Computes the percentile interval of bootstrap values.

        Args:
            value: The value on the whole set.
            drawn: Values of the bootstrap samples, shape (draws,); NaN, where a value is undefined, is left out.
            level: Confidence level, in (0, 1).

        Returns:
            The interval; without any defined value it is [value, value].
        """
        tail = (1 - level) / 2
        defined = drawn[~np.isnan(drawn)]
        low, high = np.quantile(defined, [tail, 1 - tail]) if len(defined) else (value, value)
        return cls(float(value), float(low), float(high), level)

    def with_width(self, num_persons: int, fraction: float | None = None) -> Interval:
        """Replaces an interval without width by that of a fraction of independent persons.

        Where all persons are alike, all predicted correctly for example, so is every bootstrap sample, and its interval
        has no width however few they are. A fraction of 0 or 1 then gets the exact interval (Clopper & Pearson 1934):
        18 of 18 persons are 0.815 to 1. Any other one gets the score interval (Wilson 1927).

        Args:
            num_persons: Number of persons that the value was measured on, >= 1.
            fraction: The fraction in [0, 1] whose interval is taken, where the value is none itself: macro F1 takes
                that of the accuracy. The value by default.

        Returns:
            The interval; this one where it has a width.
        """
        if self.has_width:
            return self
        low, high = _fraction_bounds(self.value if fraction is None else fraction, num_persons, self.level)
        return Interval(self.value, min(low, self.value), max(high, self.value), self.level)

    def with_change_width(self, num_persons: int) -> Interval:
        """Gives an interval without width of a difference that of what its persons could have missed.

        Where two models never differ, or differ on all persons alike, so do they in every bootstrap sample. On none of
        n persons to have found a change bounds the fraction of persons with one, as the exact interval of 0 of n says.

        Args:
            num_persons: Number of persons that the difference was measured on, >= 1.

        Returns:
            The interval, within [-1, 1]; this one where it has a width.
        """
        if self.has_width:
            return self
        missed = smallest_change_shown(num_persons, self.level)
        return Interval(self.value, max(-1.0, self.value - missed), min(1.0, self.value + missed), self.level)


def smallest_change_shown(num_persons: int, level: float = 0.95) -> float:
    """Computes the fraction of persons with a change from which on some persons would have shown it.

    Args:
        num_persons: Number of persons that were compared, >= 1.
        level: Confidence level, in (0, 1).

    Returns:
        Of persons drawn where this fraction has a change, at least one has it with probability (1 + level) / 2.
    """
    return float(1 - ((1 - level) / 2) ** (1 / num_persons))


def _fraction_bounds(fraction: float, count: int, level: float) -> tuple[float, float]:
    """Returns the bounds of a fraction of `count` persons: exact for 0 and 1, Wilson's in between."""
    tail = (1 - level) / 2
    if fraction >= 1 - NO_WIDTH:
        return tail ** (1 / count), 1.0
    if fraction <= NO_WIDTH:
        return 0.0, smallest_change_shown(count, level)
    quantile = NormalDist().inv_cdf(1 - tail)
    square = quantile**2 / count
    half = quantile * math.sqrt(fraction * (1 - fraction) / count + square / (4 * count))
    middle = fraction + square / 2
    return (middle - half) / (1 + square), (middle + half) / (1 + square)


def bootstrap_interval(
    metric: str | Metric,
    truth: ArrayLike,
    predictions: ArrayLike,
    persons: ArrayLike,
    *,
    num_classes: int,
    draws: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Computes the percentile bootstrap interval of a metric over persons; see `bootstrap_counts`.

    Args:
        metric: Name in `METRICS`, or a function of class counts.
        truth: True classes, shape (photos,); photos with `UNKNOWN` are left out.
        predictions: Predicted classes, shape (photos,).
        persons: Person on each photo, shape (photos,).
        num_classes: Number of classes.
        draws: Number of bootstrap samples.
        seed: Seed of the samples.
        level: Confidence level, in (0, 1).

    Returns:
        The interval; of a metric by name it has a width even where all persons are alike, see `Interval.with_width`.

    Raises:
        DataError: No photo has a known class, or the lengths differ.
        LabelError: A class is out of range.
    """
    function = METRICS[metric] if isinstance(metric, str) else metric
    value = function(class_counts(truth, predictions, num_classes))
    drawn = bootstrap_counts(truth, predictions, persons, num_classes=num_classes, draws=draws, seed=seed)
    interval = Interval.from_draws(float(value), function(drawn), level)
    if not isinstance(metric, str):
        return interval
    known = np.asarray(truth) != UNKNOWN
    accuracy = float(class_counts(truth, predictions, num_classes).accuracy())
    return interval.with_width(len(np.unique(np.asarray(persons)[known])), accuracy)


def bootstrap_counts(
    truth: ArrayLike, predictions: ArrayLike, persons: ArrayLike, *, num_classes: int, draws: int = 1000, seed: int = 0
) -> ClassCounts:
    """Computes class counts of bootstrap samples of persons.

    Photos of one person are similar and tend to be right or wrong together. Resampling photos would treat seven photos
    of one person as seven independent observations, and the intervals would be too narrow.

    Args:
        truth: True classes, shape (photos,); photos with `UNKNOWN` are left out.
        predictions: Predicted classes, shape (photos,).
        persons: Person on each photo, shape (photos,).
        num_classes: Number of classes.
        draws: Number of bootstrap samples.
        seed: Seed of the samples.

    Returns:
        Counts of shape (draws, classes); each sample has as many persons as the set, drawn with replacement.

    Raises:
        DataError: No photo has a known class, or the lengths differ.
        LabelError: A class is out of range.
    """
    class_counts(truth, predictions, num_classes)
    groups = count_by_class(truth, predictions, num_classes, persons)
    blocks = [[times @ counts for counts in groups] for times in _iter_multiplicities(len(groups.hits), draws, seed)]
    return ClassCounts(*(np.concatenate(column) for column in zip(*blocks, strict=True)))


def proportion_interval(
    parts: ArrayLike, wholes: ArrayLike, persons: ArrayLike, draws: int = 1000, seed: int = 0, level: float = 0.95
) -> Interval:
    """Computes sum(parts) / sum(wholes) with its bootstrap interval over persons; a mean where every whole is 1.

    The difference of two models is the mean of the photos' differences; resampling persons keeps these paired.

    Args:
        parts: Numerator by photo, shape (photos,): whether it is correct, its loss, a difference.
        wholes: Denominator by photo, shape (photos,): whether it is counted, or 1; the sum is above 0.
        persons: Person on each photo, shape (photos,).
        draws: Number of bootstrap samples.
        seed: Seed of the samples, which are those of `bootstrap_counts` with the same seed.
        level: Confidence level, in (0, 1).

    Returns:
        The interval.

    Raises:
        DataError: The lengths differ, or the wholes sum to 0.
    """
    parts, wholes = np.asarray(parts, dtype=np.float64), np.asarray(wholes, dtype=np.float64)
    unique, inverse = np.unique(np.asarray(persons), return_inverse=True)
    if not parts.shape == wholes.shape == inverse.shape:
        raise DataError(
            f"{format_count(len(parts), 'part')}, {len(wholes)} wholes, {format_count(len(inverse), 'person')}",
            hint="give one for each photo",
        )
    if not wholes.sum() > 0:
        raise DataError("no photo is counted in the denominator", hint="give photos that count")
    sums = np.stack([np.bincount(inverse, weights=each, minlength=len(unique)) for each in (parts, wholes)], axis=1)
    drawn = np.concatenate([times @ sums for times in _iter_multiplicities(len(unique), draws, seed)])
    some = drawn[:, 1] > 0
    return Interval.from_draws(float(parts.sum() / wholes.sum()), drawn[some, 0] / drawn[some, 1], level)


def fraction_interval(
    hits: ArrayLike, counted: ArrayLike, persons: ArrayLike, draws: int = 1000, seed: int = 0, level: float = 0.95
) -> Interval:
    """Computes the fraction of the counted photos that are hits, with an interval that always has a width.

    Args:
        hits: Whether each photo is a hit, shape (photos,); no photo that is not counted is one.
        counted: Whether each photo is counted, shape (photos,); at least one is.
        persons: Person on each photo, shape (photos,).
        draws: As for `proportion_interval`.
        seed: As for `proportion_interval`.
        level: As for `proportion_interval`.

    Returns:
        The interval of `proportion_interval`; where all persons are alike, that of `Interval.with_width`.

    Raises:
        DataError: The lengths differ, or no photo is counted.
    """
    interval = proportion_interval(hits, counted, persons, draws, seed, level)
    return interval.with_width(len(np.unique(np.asarray(persons)[np.asarray(counted, dtype=bool)])))


def _iter_multiplicities(count: int, draws: int, seed: int) -> Iterator[FloatArray]:
    """Yields blocks (draws, persons) of how often each of `count` persons is in each bootstrap sample.

    Counts of the samples are then one matrix product; the blocks bound its memory.
    """
    generator = np.random.default_rng(seed)
    uniform, block = np.full(count, 1 / count), max(1, 10_000_000 // count)
    for start in range(0, draws, block):
        yield generator.multinomial(count, uniform, size=min(block, draws - start)).astype(np.float64)
