"""Operating points of an alarm: the probability from which on it is raised, what it catches, how often it is false.

An alarm is raised for a photo where the probability of its values together (worn wrongly or not worn) reaches a
threshold. Each threshold is a point of the ROC curve (Fawcett 2006, doi:10.1016/j.patrec.2005.10.010).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maskfit.errors import DataError
from maskfit.evaluation.bootstrap import Interval, fraction_interval
from maskfit.labels.schema import FloatArray, IntArray

ROUNDING = (2, 3, 4, 6, 9)
"""Decimals that a threshold is rounded to: the first with which it raises the same alarms."""


class OperatingCurve(NamedTuple):
    """Alarms by threshold, one point for each distinct probability, from the highest on.

    Attributes:
        threshold: Probabilities, descending.
        caught: Number of photos that deserve an alarm and get one.
        false_alarms: Number of photos that get one and do not deserve it.
    """

    threshold: FloatArray
    caught: IntArray
    false_alarms: IntArray


@dataclass(frozen=True)
class OperatingPoint:
    """What alarms from a threshold on are worth.

    Attributes:
        threshold: Probability from which on there is an alarm; None for the most probable value.
        caught: Fraction of the photos that deserve an alarm and get one: recall, the true positive rate.
        false_alarms: Fraction of the other photos that get one: the false positive rate.
        right: Fraction of the alarms that are deserved: precision; None without an alarm.
        num_caught: Number of deserved alarms.
        num_false: Number of false alarms.
    """

    threshold: float | None
    caught: Interval
    false_alarms: Interval
    right: Interval | None
    num_caught: int
    num_false: int

    def to_dict(self) -> dict[str, object]:
        """Returns the point as JSON values."""
        return {
            "threshold": self.threshold,
            "caught": self.caught.to_dict(),
            "false_alarms": self.false_alarms.to_dict(),
            "right": None if self.right is None else self.right.to_dict(),
            "num_caught": self.num_caught,
            "num_false": self.num_false,
        }


def operating_curve(probability: ArrayLike, deserved: ArrayLike) -> OperatingCurve:
    """Counts alarms by threshold; photos of equal probability get one together.

    Args:
        probability: Probability of the alarm's values, in [0, 1], shape (photos,), not empty.
        deserved: Whether each photo deserves an alarm, shape (photos,).

    Returns:
        The curve; its last point raises an alarm for every photo.
    """
    values, positive = np.asarray(probability, dtype=np.float64), np.asarray(deserved, dtype=bool)
    order = np.argsort(-values, kind="stable")
    descending, positive = values[order], positive[order]
    last = np.append(descending[1:] != descending[:-1], True)
    return OperatingCurve(descending[last], np.cumsum(positive)[last], np.cumsum(~positive)[last])


def choose_threshold(
    curve: OperatingCurve, *, max_false_alarms: float | None = None, min_caught: float | None = None
) -> float | None:
    """Chooses the threshold that catches most with at most so many false alarms, or has fewest and catches so much.

    Args:
        curve: The curve of photos of both kinds.
        max_false_alarms: Largest false positive rate, in [0, 1].
        min_caught: Smallest recall, in (0, 1]; where it is given, the false alarms are not limited.

    Returns:
        A threshold between two neighboring probabilities, with as few decimals as tell them apart; None where even the
        highest probability has more false alarms.
    """
    caught = curve.caught / curve.caught[-1]
    # 1e-9 is less than one photo of any set and more than the rounding error of these fractions.
    if min_caught is not None:
        point = int(np.argmax(caught >= min_caught - 1e-9))
    else:
        allowed = np.flatnonzero(curve.false_alarms / curve.false_alarms[-1] <= (max_false_alarms or 0.0) + 1e-9)
        if not len(allowed) or not curve.caught[allowed[-1]]:
            return None
        # As much is caught by the highest threshold with the same count, with fewer false alarms.
        point = int(np.searchsorted(curve.caught, curve.caught[allowed[-1]]))
    upper = float(curve.threshold[point])
    lower = float(curve.threshold[point + 1]) if point + 1 < len(curve.threshold) else 0.0
    middle = (upper + lower) / 2
    return next((rounded for digits in ROUNDING if lower < (rounded := round(middle, digits)) <= upper), upper)


def measure_alarms(
    alarms: ArrayLike, deserved: ArrayLike, persons: ArrayLike, threshold: float | None = None
) -> OperatingPoint:
    """Measures alarms, with intervals over persons.

    Args:
        alarms: Whether each photo gets an alarm, shape (photos,).
        deserved: Whether each photo deserves one, shape (photos,); some do, and some do not.
        persons: Person on each photo, shape (photos,).
        threshold: The threshold, to be recorded.

    Returns:
        The point.

    Raises:
        DataError: All photos deserve an alarm, or none does.
    """
    raised: NDArray[np.bool_] = np.asarray(alarms, dtype=bool)
    positive: NDArray[np.bool_] = np.asarray(deserved, dtype=bool)
    if positive.all() or not positive.any():
        raise DataError(
            "thresholds need photos that deserve an alarm and photos that do not; "
            f"{'all' if positive.all() else 'none'} of {len(positive):,} do",
            hint="give photos of both kinds, or another alarm",
        )
    both = raised & positive
    return OperatingPoint(
        threshold,
        fraction_interval(both, positive, persons),
        fraction_interval(raised & ~positive, ~positive, persons),
        fraction_interval(both, raised, persons) if raised.any() else None,
        int(both.sum()),
        int((raised & ~positive).sum()),
    )
