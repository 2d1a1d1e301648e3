"""The error of low precision: its tails, and what is kept of it in a file."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskfit.inference.precision_error import PrecisionErrorEstimate, estimate_precision_error
from maskfit.labels.schema import LABEL_SCHEMAS

MASK, FULL = LABEL_SCHEMAS["mask"], LABEL_SCHEMAS["mask-gender-age"]


def table(logits: np.ndarray) -> np.ndarray:
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


def test_the_deviation_covers_the_largest_errors_where_there_are_enough():
    chance = np.random.default_rng(0)
    logits = chance.normal(0, 2, (1000, 3))
    # One photo in five moves ten times as far as the others.
    scale = np.where(np.arange(1000) % 5 == 0, 0.2, 0.02)[:, None]
    exact, fast = table(logits), table(logits + chance.normal(0, 1, logits.shape) * scale)
    plain, wide = (estimate_precision_error(MASK, fast, exact, covers_tails=tails) for tails in (False, True))
    assert plain is not None
    assert wide is not None
    assert plain.log_ratio_std["mask"] < 0.05 < wide.log_ratio_std["mask"] < 0.2 * math.sqrt(2)
    changed = fast.argmax(1) != exact.argmax(1)
    assert changed.sum() > 2
    assert not (changed & ~wide.needs_f32(wide.debias(fast))).any()


@given(st.lists(st.floats(-3, 3), min_size=8, max_size=8), st.lists(st.floats(0.01, 2), min_size=4, max_size=4))
def test_what_is_written_is_read_again(biases, numbers):
    log_bias = {"mask": np.array(biases[:3]), "gender": np.array(biases[3:5]), "age": np.array(biases[5:])}
    error = PrecisionErrorEstimate(
        FULL, log_bias, dict(zip(FULL.names, numbers[:3], strict=True)), {}, numbers[3], True
    )
    again = PrecisionErrorEstimate.from_json(error.to_json(), FULL)
    for name in FULL.names:
        assert np.abs(again.log_bias[name] - log_bias[name]).max() < 1e-6
        assert abs(again.log_ratio_std[name] - error.log_ratio_std[name]) < 1e-6
    assert (again.margin_stds, again.covers_approximate_pixels) == (error.margin_stds, True)


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.pop("log_bias"),
        lambda data: data.update(log_bias=[1, 2]),
        lambda data: data["log_bias"].update(mask=[0.0, 0.0]),
        lambda data: data["log_bias"].update(mask=[0.0, 0.0, float("nan")]),
        lambda data: data["log_ratio_std"].update(mask=-0.1),
        lambda data: data["log_ratio_std"].update(age=0.1),
        lambda data: data.update(margin_stds="three"),
        lambda data: data.update(margin_stds=float("inf")),
    ],
)
def test_damaged_errors_are_refused(change):
    data = json.loads(PrecisionErrorEstimate(MASK, {"mask": np.zeros(3)}, {"mask": 0.1}).to_json())
    PrecisionErrorEstimate.from_json(json.dumps(data), MASK)
    change(data)
    with pytest.raises(ValueError):  # noqa: PT011 - several reasons
        PrecisionErrorEstimate.from_json(json.dumps(data), MASK)
    with pytest.raises(ValueError, match="Expecting"):
        PrecisionErrorEstimate.from_json("{", MASK)
