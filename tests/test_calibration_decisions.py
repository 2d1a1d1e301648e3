"""Decision weights: what they change, and what they must never change."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from maskfit.calibration import (
    Calibration,
    DecisionWeights,
    class_weights,
    combine_weights,
    describe_decision_weights,
    parse_decide_mode,
    weighted_classes,
)
from maskfit.errors import DataError
from maskfit.labels.schema import LABEL_SCHEMAS

FULL = LABEL_SCHEMAS["mask-gender-age"]
SCORES = {"before": 0.5, "after": 0.6, "gain_low": -0.1, "gain_high": 0.3}


def rows_of(seed: int, count: int = 30) -> np.ndarray:
    rng = np.random.default_rng(seed)
    heads = {name: rng.dirichlet(np.ones(size), count) for name, size in FULL.sizes.items()}
    return FULL.joint_probabilities(heads)


def test_a_class_has_the_product_of_the_weights_of_its_values():
    weights = {"mask": (2.0, 0.5, 1.0), "age": (1.0, 3.0, 7.0)}
    found = class_weights(FULL, weights)
    for number, (mask, _gender, age) in enumerate(itertools.product(range(3), range(2), range(3))):
        assert found[number] == pytest.approx(weights["mask"][mask] * weights["age"][age])


def test_the_weighted_class_is_chosen():
    rows = FULL.joint_probabilities(
        {"mask": np.array([[0.6, 0.3, 0.1]]), "gender": np.array([[0.5, 0.5]]), "age": np.array([[0.2, 0.5, 0.3]])}
    )
    assert weighted_classes(FULL, rows, {}).tolist() == [1]
    assert weighted_classes(FULL, rows, {"age": (1.0, 1.0, 2.0)}).tolist() == [2]
    assert weighted_classes(FULL, rows, {"age": (1.0, 1.0, 2.0), "gender": (1.0, 1.1)}).tolist() == [5]


@settings(deadline=None)
@given(st.integers(0, 10_000), st.floats(0.02, 50))
def test_weights_of_one_are_argmax_and_scaling_changes_nothing(seed: int, scale: float):
    rows = rows_of(seed)
    assert weighted_classes(FULL, rows, {"mask": (1, 1, 1)}).tolist() == rows.argmax(axis=1).tolist()
    weights = {"age": (1.3, 0.7, 1.6), "gender": (0.9, 1.2)}
    scaled = {name: tuple(scale * value for value in values) for name, values in weights.items()}
    # Rounding may exchange two classes only where their scores are equal to the last bits.
    same = weighted_classes(FULL, rows, weights) == weighted_classes(FULL, rows, scaled)
    assert same.all()


@settings(deadline=None)
@given(st.integers(0, 10_000))
def test_with_separate_heads_the_class_and_the_attributes_agree(seed: int):
    rows, weights = rows_of(seed), {"mask": (0.8, 1.9, 1.0), "age": (1.3, 0.7, 1.6)}
    codes = FULL.to_attribute_indices(weighted_classes(FULL, rows, weights))
    for column, (name, values) in enumerate(FULL.marginals(rows).items()):
        expected = (values * np.array(weights.get(name, 1.0))).argmax(axis=1)
        assert codes[:, column].tolist() == expected.tolist()


def test_an_ensemble_has_the_geometric_mean_and_a_member_without_weights_counts_as_one():
    members = [(FULL, {"age": (4.0, 1.0, 0.25)}), (FULL, {})]
    combined = combine_weights(FULL, members)
    assert list(combined) == ["age"]
    np.testing.assert_allclose(combined["age"], [2.0, 1.0, 0.5])
    # A member for other attributes has no say.
    mask = LABEL_SCHEMAS["mask"]
    combined = combine_weights(FULL, [(LABEL_SCHEMAS["gender-age"], {"age": (4.0, 1.0, 1.0)}), (mask, {})])
    np.testing.assert_allclose(combined["age"], [4.0, 1.0, 1.0])
    assert combine_weights(FULL, [(FULL, {}), (FULL, {"mask": (1.0, 1.0, 1.0)})]) == {}


def test_weights_in_words():
    assert describe_decision_weights(FULL, {}) == ""
    weights = {"gender": (1.0, 1.5), "age": (1.25, 0.8, 1.0)}
    assert (
        describe_decision_weights(FULL, weights)
        == "gender male x1.00, female x1.50; age <30 x1.25, 30-59 x0.80, >=60 x1.00"
    )


def test_modes():
    assert [parse_decide_mode(name) for name in ("argmax", "macro-f1", "accuracy")] == [
        "argmax",
        "macro-f1",
        "accuracy",
    ]
    with pytest.raises(DataError, match="macro-f1"):
        parse_decide_mode("macro-f")


def test_a_calibration_gives_the_weights_of_an_objective_only():
    calibration = Calibration(decisions={"macro-f1": DecisionWeights(weights={"gender": (1.0, 2.0)}, **SCORES)})
    assert calibration.decision_weights("macro-f1") == {"gender": (1.0, 2.0)}
    assert calibration.decision_weights("accuracy") == {}
    assert calibration.decision_weights("argmax") == {}
    assert Calibration().decision_weights("macro-f1") == {}
    assert Calibration.model_validate_json(calibration.model_dump_json()) == calibration


@pytest.mark.parametrize("weights", [{"gender": (1.0, 2.0, 3.0)}, {"hat": (1.0, 2.0)}])
def test_weights_of_another_schema_are_refused(weights: dict[str, tuple[float, ...]]):
    calibration = Calibration(decisions={"accuracy": DecisionWeights(weights=weights, **SCORES)})
    with pytest.raises(ValueError, match="do not match"):
        calibration.check_schema(FULL)


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan"), float("inf"), 1000.0])
def test_weights_out_of_range_are_refused(weight: float):
    with pytest.raises(ValidationError):
        DecisionWeights(weights={"gender": (1.0, weight)}, **SCORES)
