"""Tempering against a slow reference, and what it must never change."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from maskfit.calibration import Calibration, apply_temperatures
from maskfit.labels.schema import JOINT_HEAD, LABEL_SCHEMAS

FULL = LABEL_SCHEMAS["mask-gender-age"]


def product_rows(seed: int, count: int = 7) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Probabilities as separate heads give them, and their logits."""
    rng = np.random.default_rng(seed)
    logits = {name: rng.normal(size=(count, size)) * 3 for name, size in FULL.sizes.items()}
    heads = {name: np.exp(rows) / np.exp(rows).sum(1, keepdims=True) for name, rows in logits.items()}
    return FULL.joint_probabilities(heads), logits


def test_each_head_is_divided_by_its_own_temperature():
    rows, logits = product_rows(0)
    temperatures = {"mask": 2.0, "gender": 0.5}
    found = FULL.marginals(apply_temperatures(FULL, rows, temperatures))
    for name, own in logits.items():
        for photo, values in enumerate(own):
            weights = [math.exp(value / temperatures.get(name, 1.0)) for value in values]
            np.testing.assert_allclose(found[name][photo], np.array(weights) / sum(weights), rtol=1e-9)


def test_a_joint_head_has_one_temperature():
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(5, 18)) * 2
    rows = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    cooled = np.exp(logits / 3) / np.exp(logits / 3).sum(1, keepdims=True)
    np.testing.assert_allclose(apply_temperatures(FULL, rows, {JOINT_HEAD: 3.0}), cooled, rtol=1e-9)


@given(seed=st.integers(0, 1000), temperature=st.floats(0.05, 20), joint=st.booleans())
def test_no_answer_changes_and_rows_sum_to_one(seed, temperature, joint):
    rows, _ = product_rows(seed)
    temperatures = {JOINT_HEAD: temperature} if joint else dict.fromkeys(FULL.names, temperature)
    tempered = apply_temperatures(FULL, rows, temperatures)
    np.testing.assert_array_equal(tempered.argmax(1), rows.argmax(1))
    np.testing.assert_allclose(tempered.sum(1), 1)


def test_certainty_stays_a_number():
    sure = np.eye(18)[[3, 17]]
    for temperatures in ({JOINT_HEAD: 20.0}, {"age": 0.05, "mask": 20.0}):
        assert np.isfinite(apply_temperatures(FULL, sure, temperatures)).all()


def test_without_temperatures_nothing_is_touched():
    rows = np.random.default_rng(2).dirichlet(np.ones(18), 4)
    np.testing.assert_array_equal(Calibration().apply_temperature(FULL, rows), rows)


@pytest.mark.parametrize(
    "given",
    [
        {"temperatures": {"mask": 0.0}},
        {"temperatures": {"mask": float("nan")}},
        {"temperatures": {JOINT_HEAD: 1.0, "mask": 1.0}},
        {"abstain_below": {"mask": 1.5}},
        {"else": 1},
    ],
)
def test_senseless_numbers_in_a_file_are_refused(given):
    with pytest.raises(ValidationError):
        Calibration.model_validate(given)


@pytest.mark.parametrize(
    ("persons", "temperatures", "expected"),
    [
        (1, {"mask": 0.5}, "hold out more persons"),
        (20, {"mask": 1.2, "age": 5.0}, "probabilities of age are far too high: train with more photos"),
        (
            20,
            {"mask": 0.5},
            "probabilities of mask are far too low: train longer where the validation loss",
        ),
        (20, {"mask": 0.5, "age": 5.0}, "hardly better than chance; probabilities of mask are far too low"),
        (20, {"mask": 1.2}, ""),
    ],
)
def test_a_warning_has_a_next_step(persons, temperatures, expected):
    calibration = Calibration(temperatures=temperatures, photos=7, persons=persons)
    assert expected in calibration.next_step
    assert bool(calibration.next_step) == bool(calibration.warning)


@pytest.mark.parametrize(
    ("persons", "temperatures", "expected"),
    [
        (1, {"mask": 0.5, "age": 5.0}, r"fitted on 7 photos of 1 person, too few \(below 20 persons\): do not rely"),
        (19, {"mask": 1.2}, "of 19 persons, too few"),
        (20, {"mask": 1.2, "age": 5.0}, r"at the limit of the fit \(age 5.00\)"),
        (20, {"mask": 1.2, "age": 4.99}, None),
        (0, {}, None),
    ],
)
def test_a_calibration_on_few_persons_or_at_a_limit_warns(persons, temperatures, expected):
    warning = Calibration(temperatures=temperatures, photos=7, persons=persons).warning
    if expected is None:
        assert warning is None
    else:
        assert re.search(expected, warning)
        assert "\n" not in warning
