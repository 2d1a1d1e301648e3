"""Answers over time: single frames err, and what somebody does to his mask takes longer than a frame.

Everything is counted in seconds, not in frames, so that it matters little which frames were dropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import exp, inf

import numpy as np

from maskfit.labels.schema import FloatArray

MIN_PROBABILITY = 1e-3
"""A probability counts at least this much. Without it one frame that is sure of itself, with a hand before the face,
would outweigh a second of others."""


class ExponentialSmoother:
    """The mean of log-probabilities, in which a frame counts by how long ago it was.

    Its weight falls to 1/e within `seconds`. A mean and not a sum: neighbouring frames err alike, so that many of them
    make an answer no surer than one.

    Args:
        seconds: More is calmer and later; 0 takes each frame as it is.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._sums: dict[str, FloatArray] = {}
        self._weight = 0.0
        self._time = -inf

    def update(self, time: float, shares: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        """Takes in what one frame says, and gives what all of them say.

        Args:
            time: In seconds, later than the last.
            shares: The probability of every value, by attribute, (values,).
        """
        kept = exp(-(time - self._time) / self.seconds) if self.seconds else 0.0
        self._time = time
        self._weight = self._weight * kept + 1
        smooth = {}
        for name, own in shares.items():
            logarithms = np.log(np.maximum(own, MIN_PROBABILITY))
            self._sums[name] = self._sums[name] * kept + logarithms if name in self._sums else logarithms
            mean = np.exp(self._sums[name] / self._weight)
            smooth[name] = mean / mean.sum()
        return smooth


class Debouncer:
    """A state that changes only to what holds.

    Args:
        seconds: For how long a new state must be seen, without a break, before it is believed.

    Attributes:
        state: What is believed; None until anything is.
        since: When that was first seen.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.state: str | None = None
        self.since = -inf
        self._next: str | None = None
        self._from = -inf

    def update(self, time: float, state: str | None) -> bool:
        """Takes in what is seen now, None where that is not sure; gives whether another state is believed from now."""
        if state is None or state == self.state:
            self._next = None
            return False
        if state != self._next:
            self._next, self._from = state, time
        if time - self._from < self.seconds:
            return False
        self.state, self.since, self._next = state, self._from, None
        return True
