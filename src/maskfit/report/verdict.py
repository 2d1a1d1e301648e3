"""Whether the difference of two runs is more than chance, and how many persons would settle it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

from maskfit.evaluation.bootstrap import Interval

POWER = 0.8
"""Probability that a test set of the size named by `persons_needed` shows a difference of the measured size."""


@dataclass(frozen=True)
class Verdict:
    """A difference and what it is worth.

    Attributes:
        difference: The difference with its interval over persons.
        num_persons: Number of persons that it was measured on.
        persons_needed: Number of persons on which a true difference of this size would be shown with probability
            `POWER`; None for a difference of zero.
    """

    difference: Interval
    num_persons: int
    persons_needed: int | None

    @property
    def settled(self) -> bool:
        """Whether the interval excludes zero."""
        return self.difference.low > 0 or self.difference.high < 0

    @property
    def word(self) -> str:
        """`better`, `worse`, or `not settled` where the interval includes zero."""
        if self.settled:
            return "better" if self.difference.value > 0 else "worse"
        return "not settled"

    def to_dict(self) -> dict[str, Any]:
        """Returns the values for JSON."""
        return {
            "difference": self.difference.to_dict(),
            "verdict": self.word,
            "persons": self.num_persons,
            "persons_needed": self.persons_needed,
        }


def judge_difference(difference: Interval, num_persons: int) -> Verdict:
    """Computes whether a paired difference is settled, and how many persons would settle it.

    The interval's width gives the standard error of the difference, which falls with the square root of the number of
    persons. The number needed follows as for any two-sided test of a mean (Cohen, Statistical Power Analysis, 1988).

    Args:
        difference: Paired difference with its interval over persons.
        num_persons: Number of persons that it was measured on, >= 1.

    Returns:
        The verdict.
    """
    if difference.value == 0:
        return Verdict(difference, num_persons, None)
    normal = NormalDist()
    quantile = normal.inv_cdf((1 + difference.level) / 2)
    standard_error = (difference.high - difference.low) / (2 * quantile)
    ratio = (quantile + normal.inv_cdf(POWER)) * standard_error / abs(difference.value)
    return Verdict(difference, num_persons, max(2, math.ceil(num_persons * ratio**2)))
