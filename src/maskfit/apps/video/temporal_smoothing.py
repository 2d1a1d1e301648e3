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
    """State that changes only to a value that was observed for a minimum time, and ends when it was unlikely for it.

    Args:
        seconds: How long a new value must be observed, or the current one be unlikely, without interruption; 0 or more.

    Attributes:
        state: The current state; None until there is one, and after one was withdrawn.
        since: Time in seconds when that state was first observed, or the last one was first unlikely.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.state: str | None = None
        self.since = -inf
        self._candidate: str | None = None
        self._candidate_since = -inf
        self._unlikely_since: float | None = None

    @property
    def is_steady(self) -> bool:
        """Whether there is a state, and nothing that was observed last speaks against it."""
        return self.state is not None and self._candidate is None and self._unlikely_since is None

    def update(self, time: float, state: str | None, is_unlikely: bool = False) -> bool:
        """Adds an observation.

        Args:
            time: Seconds, later than the last observation's.
            state: The observed value; None where it is uncertain.
            is_unlikely: Whether the current state is improbable now; ignored where it is what is observed.

        Returns:
            Whether the state changed.
        """
        if not is_unlikely or state == self.state:
            self._unlikely_since = None
        elif self._unlikely_since is None:
            self._unlikely_since = time
        if state is None or state == self.state:
            self._candidate = None
        elif state != self._candidate:
            self._candidate, self._candidate_since = state, time
        if self._candidate is not None and time - self._candidate_since >= self.seconds:
            return self._set(self._candidate, self._candidate_since)
        if self.state is None or self._unlikely_since is None:
            return False
        # A candidate gets the time to be confirmed, so that a clear change is one event; but not several in turn.
        wait = self.seconds if self._candidate is None else 2 * self.seconds
        if time - self._unlikely_since < wait:
            return False
        return self._set(None, self._unlikely_since)

    def _set(self, state: str | None, since: float) -> bool:
        self.state, self.since = state, since
        # A withdrawn state leaves its candidate as it is: what is being observed goes on.
        self._candidate = None if state is not None else self._candidate
        self._unlikely_since = None
        return True
