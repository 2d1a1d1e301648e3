"""Smooths predictions over time: single frames are often wrong, and putting on a mask takes longer than a frame.

Everything is measured in seconds, not in frames, so that dropped frames matter little.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import exp, inf

import numpy as np

from maskfit.labels.schema import FloatArray

MIN_PROBABILITY = 1e-3
"""Probabilities are clipped to this minimum. Without it one overconfident frame, as of a hand before the face, would
outweigh a second of others."""


class ExponentialSmoother:
    """Exponentially weighted mean of log-probabilities.

    The weight of a frame falls to 1/e within `seconds`. It is a mean, not a sum: neighboring frames make the same
    errors, so many of them are not more certain than one.

    Args:
        seconds: Time constant, 0 or more; more is smoother and slower, 0 uses each frame alone.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._sums: dict[str, FloatArray] = {}
        self._weight = 0.0
        self._time = -inf

    def update(self, time: float, probabilities: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        """Adds the prediction of one frame.

        Args:
            time: Seconds, later than the last frame's.
            probabilities: Probability of every value by attribute, each of shape (values,).

        Returns:
            The smoothed probabilities by attribute, each of shape (values,), summing to 1.
        """
        decay = exp(-(time - self._time) / self.seconds) if self.seconds else 0.0
        self._time = time
        self._weight = self._weight * decay + 1
        smoothed = {}
        for name, values in probabilities.items():
            logarithms = np.log(np.maximum(values, MIN_PROBABILITY))
            self._sums[name] = self._sums[name] * decay + logarithms if name in self._sums else logarithms
            mean = np.exp(self._sums[name] / self._weight)
            smoothed[name] = mean / mean.sum()
        return smoothed


class Debouncer:
    """State that changes only to a value that was observed for a minimum time.

    Args:
        seconds: How long a new value must be observed without interruption, 0 or more.

    Attributes:
        state: The current state; None until there is one.
        since: Time in seconds when that state was first observed.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.state: str | None = None
        self.since = -inf
        self._candidate: str | None = None
        self._candidate_since = -inf

    def update(self, time: float, state: str | None) -> bool:
        """Adds an observation.

        Args:
            time: Seconds, later than the last observation's.
            state: The observed value; None where it is uncertain.

        Returns:
            Whether the state changed.
        """
        if state is None or state == self.state:
            self._candidate = None
            return False
        if state != self._candidate:
            self._candidate, self._candidate_since = state, time
        if time - self._candidate_since < self.seconds:
            return False
        self.state, self.since, self._candidate = state, self._candidate_since, None
        return True
