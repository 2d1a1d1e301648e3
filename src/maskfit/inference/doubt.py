"""Doubt: answers that fewer bits may have turned, told by how close their two best classes are.

In bf16 a network is up to twice as fast as in f32 and says nearly the same. Where its two best classes are far apart,
that cannot turn the answer; where they are close, the photo is asked again in f32. How close is close, the first photos
tell, which are asked both ways.
"""

from __future__ import annotations

import math

import numpy as np

from maskfit.labels import Floats, Scheme

PROBE = 32
"""Photos that are asked both ways."""

DEVIATIONS = 5.0
"""How many deviations of what fewer bits change a gap must have, to be trusted. A normal error would turn nothing at so
many, but real ones have longer tails. Chosen on photos that are in no other figure: see docs/performance.md."""

MOST = 0.4
"""The share of close answers from which on it costs less to ask for all in f32 at once: where bf16 takes half of f32's
time, as measured (docs/performance.md), that is nearly half of them."""

LEAST = 1e-300
"""A probability counts at least this much, so that its logarithm is a number; a larger one would hide changes."""


def gap(scheme: Scheme, probabilities: Floats) -> Floats:
    """How far the best answer is from the next, (photos,): the logarithm of their ratio, 0 where they are the same.

    Of the classes, and of each attribute's own values, the least: words may be read off either.

    Args:
        scheme: What the probabilities are about.
        probabilities: (photos, classes).
    """
    tables = [probabilities, *scheme.marginals(probabilities).values()]
    return np.asarray(np.min([_ratio(table, *_best_two(table)) for table in tables if table.shape[1] > 1], axis=0))


def least_gap(scheme: Scheme, fast: Floats, exact: Floats) -> float:
    """The gap from which on an answer of fewer bits is trusted; infinity where it is better to trust none.

    Args:
        scheme: What the probabilities are about.
        fast: (photos, classes) in fewer bits.
        exact: The same photos' in f32.
    """
    if not len(exact):
        return math.inf
    best, second = _best_two(exact)
    change = np.abs(_ratio(fast, best, second) - _ratio(exact, best, second))
    # The middle one, times what makes it the deviation of a normal error: of a few photos, nothing they are sure of,
    # the logarithms move ten times as far, and no answer hangs on those.
    least = DEVIATIONS * 1.4826 * float(np.median(change))
    return least if (gap(scheme, fast) < least).mean() <= MOST else math.inf


def _best_two(table: Floats) -> tuple[np.ndarray, np.ndarray]:
    order = np.argpartition(-table, 1, axis=1)
    return order[:, 0], order[:, 1]


def _ratio(table: Floats, first: np.ndarray, second: np.ndarray) -> Floats:
    """The logarithm of the ratio of two places of each row, (rows,)."""
    rows = np.arange(len(table))
    logs = np.log(np.maximum(table, LEAST))
    return np.asarray(logs[rows, first] - logs[rows, second])
