"""How close two answers are, against loops; and from where on fewer bits are trusted."""

from __future__ import annotations

import math

import numpy as np

from maskfit.inference.doubt import gap, least_gap
from maskfit.labels import SCHEMES

FULL = SCHEMES["mask-gender-age"]


def rows(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.full(18, 0.2), count)


def test_the_gap_is_the_least_of_all_that_words_are_read_off():
    table = rows(50)
    expected = []
    for row in table:
        cube = row.reshape(3, 2, 3)
        marginals = [row, cube.sum((1, 2)), cube.sum((0, 2)), cube.sum((0, 1))]
        best = [sorted(map(float, shares))[-2:] for shares in marginals]
        expected.append(min(math.log(first) - math.log(second) for second, first in best))
    assert np.abs(gap(FULL, table) - expected).max() < 1e-9
    even = np.full((1, 18), 1 / 18)
    assert gap(FULL, even).tolist() == [0.0]


def test_gaps_are_trusted_from_a_few_deviations_on():
    exact = rows(2000)
    logs = np.log(exact) + np.random.default_rng(1).normal(0, 0.01, exact.shape)
    fast = np.exp(logs) / np.exp(logs).sum(1, keepdims=True)
    least = least_gap(FULL, fast[:32], exact[:32])
    # The difference of two errors of 0.01, times 5.
    assert 0.04 < least < 0.11
    turned = fast.argmax(1) != exact.argmax(1)
    assert turned.any()
    assert (turned & (gap(FULL, fast) >= least)).mean() < 0.001
    assert (gap(FULL, fast) < least).mean() < 0.25


def test_where_nearly_all_are_close_none_is_trusted():
    exact = rows(32)
    assert least_gap(FULL, rows(32, seed=1), exact) == math.inf
    assert least_gap(FULL, exact[:0], exact[:0]) == math.inf
    assert least_gap(FULL, exact, exact) == 0.0
