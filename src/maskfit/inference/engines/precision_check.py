"""Doubt: answers that fewer bits may have turned, told by how close their two best classes are.

In bf16 a network is up to twice as fast as in f32 and says nearly the same. Where its two best classes are far apart,
that cannot turn the answer; where they are close, the photo is asked again in f32. How close is close, the first photos
tell, which are asked both ways: for each attribute by itself, since a network's ages may move ten times as far as its
genders. What fewer bits add to a value on the average they tell too, and it is taken away.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskfit.labels.schema import FloatArray, LabelSchema

NUM_PROBE_IMAGES = 16
"""Photos that are asked both ways."""

MARGIN_STDS = 3.0
"""How many deviations of what fewer bits change a gap must have, to be trusted. A normal error would turn next to
nothing at so many, but real ones have longer tails: see docs/performance.md."""

MAX_RECOMPUTED = 0.4
"""The share of close answers from which on it costs less to ask for all in f32 at once: where bf16 takes half of f32's
time, as measured (docs/performance.md), that is nearly half of them."""

MIN_PROBABILITY = 1e-300
"""A probability counts at least this much, so that its logarithm is a number; a larger one would hide changes."""


@dataclass(frozen=True)
class LowPrecisionError:
    """What fewer bits do to probabilities, and so which answers are trusted.

    Attributes:
        scheme: What the probabilities are about.
        shifts: By attribute, what is to be added to the logarithm of each of its values, (values,).
        deviations: By attribute, how far the logarithm of the ratio of its two best values is off then.
    """

    schema: LabelSchema
    log_bias: Mapping[str, FloatArray]
    log_ratio_std: Mapping[str, float]

    def debias(self, fast: FloatArray) -> FloatArray:
        """Probabilities of fewer bits, (photos, classes), without what these add on the average."""
        logs = _logs(fast).reshape(-1, *self.schema.shape)
        for axis, name in enumerate(self.schema.names, start=1):
            logs = logs + np.expand_dims(self.log_bias[name], [own for own in range(logs.ndim) if own != axis])
        table = np.exp(logs - logs.max(axis=tuple(range(1, logs.ndim)), keepdims=True)).reshape(fast.shape)
        return np.asarray(table / table.sum(axis=1, keepdims=True))

    def needs_f32(self, corrected: FloatArray) -> NDArray[np.bool_]:
        """Whose answers f32 may turn, (photos,): of the class, or of an attribute, since words may be read off either.

        Args:
            corrected: (photos, classes), as `corrected` gives them.
        """
        found = np.zeros(len(corrected), dtype=bool)
        for name, values in self.schema.marginals(corrected).items():
            if values.shape[1] > 1:
                found |= _gap(values, *_best_two(values)) < MARGIN_STDS * self.log_ratio_std[name]
        if self.schema.num_classes > 1:
            # Attributes of which the two best classes have different values: their errors add up as squares do.
            best, second = _best_two(corrected)
            differ = self.schema.to_attribute_indices(best) != self.schema.to_attribute_indices(second)
            own = np.array([self.log_ratio_std[name] for name in self.schema.names])
            found |= _gap(corrected, best, second) < MARGIN_STDS * np.sqrt(differ @ own**2)
        return found


def estimate_low_precision_error(scheme: LabelSchema, fast: FloatArray, exact: FloatArray) -> LowPrecisionError | None:
    """What photos that were asked both ways tell; None where it is better to trust no answer of fewer bits.

    Args:
        scheme: What the probabilities are about.
        fast: (photos, classes) in fewer bits.
        exact: The same photos' in f32.
    """
    if not len(exact):
        return None
    shifts: dict[str, FloatArray] = {}
    deviations: dict[str, float] = {}
    said = scheme.marginals(fast)
    for name, values in scheme.marginals(exact).items():
        before, after = (logs - logs.mean(axis=1, keepdims=True) for logs in (_logs(said[name]), _logs(values)))
        shifts[name] = np.median(after - before, axis=0)
        moved = before + shifts[name] - after
        # The middle one, times what makes it the deviation of a normal error: of a few photos, nothing they are sure
        # of, the logarithms move ten times as far, and no answer hangs on those.
        rows = np.arange(len(values))
        first, second = _best_two(values) if values.shape[1] > 1 else (0, 0)
        deviations[name] = 1.4826 * float(np.median(np.abs(moved[rows, first] - moved[rows, second])))
    trust = LowPrecisionError(scheme, shifts, deviations)
    return trust if trust.needs_f32(trust.debias(fast)).mean() <= MAX_RECOMPUTED else None


def _logs(table: FloatArray) -> FloatArray:
    return np.asarray(np.log(np.maximum(table, MIN_PROBABILITY)))


def _best_two(table: FloatArray) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    order = np.argpartition(-table, 1, axis=1)
    return order[:, 0], order[:, 1]


def _gap(table: FloatArray, first: NDArray[np.int64], second: NDArray[np.int64]) -> FloatArray:
    """The logarithm of the ratio of two places of each row, (rows,); 0 where they are the same."""
    rows = np.arange(len(table))
    logs = _logs(table)
    return np.asarray(logs[rows, first] - logs[rows, second])
