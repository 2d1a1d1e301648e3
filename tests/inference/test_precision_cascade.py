"""Which answers of fewer bits are trusted, against loops and against errors whose size is known."""

from __future__ import annotations

import math

import numpy as np

from maskfit.inference.precision_cascade import MARGIN_STDS, LowPrecisionError, estimate_low_precision_error
from maskfit.labels.schema import LABEL_SCHEMAS

FULL = LABEL_SCHEMAS["mask-gender-age"]


def rows(count: int, seed: int = 0) -> np.ndarray:
    """What joint heads may say."""
    return np.random.default_rng(seed).dirichlet(np.full(18, 0.2), count)


def products(count: int, seed: int = 0, noise: tuple[float, ...] = (0, 0, 0), shift: float = 0.0) -> np.ndarray:
    """What a head for each attribute says, with errors of so much in the logarithms of each one's values."""
    chance, errors = np.random.default_rng(seed), np.random.default_rng(seed + 99)
    table = np.ones((count, 1))
    for size, own in zip(FULL.shape, noise, strict=True):
        logits = chance.normal(0, 1.5, (count, size)) + errors.normal(0, 1, (count, size)) * own
        logits[:, 0] += shift
        values = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        table = (table[:, :, None] * values[:, None, :]).reshape(count, -1)
    return table


def far_apart(row: np.ndarray, trust: LowPrecisionError) -> bool:
    """Whether the best of each attribute and of all classes are far enough from the next, value by value."""
    cube = row.reshape(3, 2, 3)
    for name, values in zip(FULL.names, (cube.sum((1, 2)), cube.sum((0, 2)), cube.sum((0, 1))), strict=True):
        second, first = sorted(map(float, values))[-2:]
        if math.log(first) - math.log(second) < MARGIN_STDS * trust.log_ratio_std[name]:
            return False
    order = sorted(range(18), key=lambda number: -row[number])
    one, other = (np.unravel_index(number, (3, 2, 3)) for number in order[:2])
    spread = math.sqrt(
        sum(trust.log_ratio_std[name] ** 2 for name, a, b in zip(FULL.names, one, other, strict=True) if a != b)
    )
    return math.log(row[order[0]]) - math.log(row[order[1]]) >= MARGIN_STDS * spread


def test_answers_are_close_by_any_attribute_or_by_the_class():
    trust = LowPrecisionError(
        FULL, {name: np.zeros(size) for name, size in FULL.sizes.items()}, {"mask": 0.02, "gender": 0.05, "age": 0.2}
    )
    table = rows(300)
    expected = [not far_apart(row, trust) for row in table]
    assert trust.needs_f32(table).tolist() == expected
    assert 0 < sum(expected) < 300
    assert trust.needs_f32(np.full((1, 18), 1 / 18)).tolist() == [True]


def test_each_attribute_has_its_own_deviation():
    noise = (0.002, 0.01, 0.05)
    exact, fast = products(2000), products(2000, noise=noise)
    trust = estimate_low_precision_error(FULL, fast[:32], exact[:32])
    assert trust is not None
    for name, own in zip(FULL.names, noise, strict=True):
        # The difference of two errors, measured on 32 photos.
        assert 0.5 < trust.log_ratio_std[name] / (own * math.sqrt(2)) < 2
    close = trust.needs_f32(trust.debias(fast))
    turned = fast.argmax(1) != exact.argmax(1)
    assert turned.any()
    assert not (turned & ~close).any()
    assert close.mean() < 0.2


def test_what_fewer_bits_add_on_the_average_is_taken_away():
    exact, fast = products(500), products(500, noise=(0.002, 0.002, 0.002), shift=0.2)
    trust = estimate_low_precision_error(FULL, fast[:32], exact[:32])
    assert trust is not None
    corrected = trust.debias(fast)
    assert np.abs(corrected.sum(1) - 1).max() < 1e-12
    assert np.abs(np.log(fast) - np.log(exact)).mean() > 0.1
    assert np.abs(np.log(corrected) - np.log(exact)).mean() < 0.01
    assert max(trust.log_ratio_std.values()) < 0.01


def test_joint_answers_that_fewer_bits_turned_are_close():
    exact = rows(2000)
    logs = np.log(np.maximum(exact, 1e-12)) + np.random.default_rng(1).normal(0, 0.01, exact.shape)
    fast = np.exp(logs) / np.exp(logs).sum(1, keepdims=True)
    trust = estimate_low_precision_error(FULL, fast[:32], exact[:32])
    assert trust is not None
    turned = fast.argmax(1) != exact.argmax(1)
    assert turned.any()
    assert (turned & ~trust.needs_f32(trust.debias(fast))).mean() < 0.002


def test_where_nearly_all_are_close_none_is_trusted():
    exact = rows(32)
    assert estimate_low_precision_error(FULL, rows(32, seed=1), exact) is None
    assert estimate_low_precision_error(FULL, exact[:0], exact[:0]) is None


def test_the_same_answers_are_trusted_all():
    exact = rows(32)
    trust = estimate_low_precision_error(FULL, exact, exact)
    assert trust is not None
    assert not trust.needs_f32(trust.debias(exact)).any()


def test_one_attribute_alone_and_probabilities_of_nothing():
    scheme = LABEL_SCHEMAS["mask"]
    sure = np.array([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.2, 0.1, 0.7]])
    trust = estimate_low_precision_error(scheme, sure, sure)
    assert trust is not None
    assert np.abs(trust.debias(sure) - sure).max() < 1e-12
    wide = LowPrecisionError(scheme, {"mask": np.zeros(3)}, {"mask": 0.01})
    assert wide.needs_f32(sure).tolist() == [False, True, False]
