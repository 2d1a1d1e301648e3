"""One calibration of a run: where it is bounded, what it counts, what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from maskfit.errors import DataError, LabelError
from maskfit.evaluation.fit_calibration import COLDEST, DEFAULT_ABSTAIN_BELOW, fit_calibration
from maskfit.evaluation.probability_table import ProbabilityTable
from maskfit.labels.schema import JOINT_HEAD, SCHEMES, UNKNOWN

FULL = SCHEMES["mask-gender-age"]


def make(sure: float, count: int = 400, seed: int = 0) -> tuple[ProbabilityTable, np.ndarray]:
    """Answers that are right as often as they say, then sharpened by `sure`; two photos of each person."""
    chance = np.random.default_rng(seed)
    heads, columns = {}, []
    for name, size in FULL.sizes.items():
        rows = chance.dirichlet(np.ones(size), count)
        columns.append([chance.choice(size, p=row) for row in rows])
        sharp = rows**sure
        heads[name] = sharp / sharp.sum(1, keepdims=True)
    truth = FULL.to_class_index(np.array(columns).T)
    names = tuple(f"p{place // 2}/{place % 2}.jpg" for place in range(count))
    return ProbabilityTable(names, FULL.joint_probabilities(heads), truth), np.array(
        [name.split("/")[0] for name in names]
    )


def test_temperatures_undo_what_sharpened_the_answers() -> None:
    table, persons = make(2.5, 3000)
    calibration, thresholds = fit_calibration(table, FULL, persons)
    assert set(calibration.temperatures) == set(FULL.names)
    assert all(2.0 < heat < 3.1 for heat in calibration.temperatures.values())
    assert calibration.abstain_below == dict.fromkeys(FULL.names, DEFAULT_ABSTAIN_BELOW)
    assert (calibration.photos, calibration.persons, thresholds) == (3000, 1500, {})


def test_a_joint_head_has_one() -> None:
    table, persons = make(1.0)
    calibration, _ = fit_calibration(table, FULL, persons, joint=True)
    assert list(calibration.temperatures) == [JOINT_HEAD]


def test_a_set_without_mistakes_does_not_make_the_model_infinitely_sure() -> None:
    rows = np.full((900, 18), 0.02)
    rows[np.arange(900), np.arange(900) % 18] = 0.66
    table = ProbabilityTable(tuple(map(str, range(900))), rows, np.arange(900) % 18)
    calibration, _ = fit_calibration(table, FULL, list(table.names), joint=True)
    assert calibration.temperatures == {JOINT_HEAD: COLDEST}


def test_a_wanted_accuracy_is_met_and_said_of_other_persons() -> None:
    table, persons = make(1.0, 4000)
    calibration, thresholds = fit_calibration(
        table, FULL, persons, accuracy={"mask": 0.9}, keep={"age": 0.5}, below={"gender": 0.7}
    )
    tempered = FULL.marginals(calibration.apply_temperature(FULL, table.probabilities))
    codes = FULL.to_attribute_indices(table.truth)
    sure = tempered["mask"].max(1) >= calibration.abstain_below["mask"]
    assert (tempered["mask"].argmax(1) == codes[:, 0])[sure].mean() >= 0.9
    assert 0.85 < thresholds["mask"].accuracy.value < 0.95
    assert 0.45 < thresholds["age"].coverage.value < 0.55
    assert calibration.abstain_below["gender"] == 0.7
    assert set(thresholds) == {"mask", "age"}


def test_labels_that_are_known_in_part_count_for_what_they_say() -> None:
    table, persons = make(2.0)
    codes = FULL.to_attribute_indices(table.truth)
    codes[:, 2] = UNKNOWN
    calibration, _ = fit_calibration(table, FULL, persons, codes)
    assert calibration.temperatures["age"] == 1.0
    assert calibration.temperatures["mask"] > 1.5
    with pytest.raises(DataError, match="'age' is known of fewer than two"):
        fit_calibration(table, FULL, persons, codes, accuracy={"age": 0.9})


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"accuracy": {"mask": 0.9}, "keep": {"mask": 0.9}}, "named twice"),
        ({"below": {"mask": 1.2}}, "not in 0 to 1"),
        ({"keep": {"masks": 0.9}}, "no attribute 'masks'"),
    ],
)
def test_what_cannot_be_is_refused(words, said) -> None:
    table, persons = make(1.0)
    with pytest.raises((DataError, LabelError), match=said):
        fit_calibration(table, FULL, persons, **words)
