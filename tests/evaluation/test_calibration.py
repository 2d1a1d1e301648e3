"""Temperatures, thresholds, reliability and risk against slow references; persons stay on one side."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from maskfit.calibration import MAX_SAVED_TEMPERATURE, MIN_SAVED_TEMPERATURE, Calibration, apply_temperatures
from maskfit.errors import DataError, LabelError
from maskfit.evaluation.bootstrap import bootstrap_interval, proportion_interval
from maskfit.evaluation.calibration import (
    DEFAULT_ABSTAIN_BELOW,
    MAX_TEMPERATURE,
    MIN_TEMPERATURE,
    evaluate_calibration,
    fit_calibration,
    fit_temperature,
    fit_temperatures,
    fit_thresholds,
    grouped_splits,
)
from maskfit.evaluation.metrics import reliability
from maskfit.evaluation.probability_table import ProbabilityTable
from maskfit.evaluation.selective_prediction import equal_mass_bins
from maskfit.labels.schema import JOINT_HEAD, LABEL_SCHEMAS, UNKNOWN

FULL = LABEL_SCHEMAS["mask-gender-age"]
MASK = LABEL_SCHEMAS["mask"]


def made(photos: int, temperature: float, seed: int = 0, values: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that are `temperature` times surer than they should be, and labels drawn by the right ones."""
    random = np.random.default_rng(seed)
    logits = 2 * random.normal(size=(photos, values))
    right = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    codes = (random.random((photos, 1)) > right.cumsum(axis=1)).sum(axis=1)
    sharp = np.exp(temperature * logits - (temperature * logits).max(axis=1, keepdims=True))
    return sharp / sharp.sum(axis=1, keepdims=True), np.minimum(codes, values - 1)


def full_table(
    photos: int, temperatures: tuple[float, float, float], seed: int = 0
) -> tuple[ProbabilityTable, np.ndarray]:
    """A table over 18 classes whose attributes are too sure by `temperatures`, and everybody's codes."""
    columns = [
        made(photos, temperature, seed + k, size)
        for k, (temperature, size) in enumerate(zip(temperatures, FULL.shape, strict=True))
    ]
    joint = FULL.joint_probabilities({name: rows for name, (rows, _) in zip(FULL.names, columns, strict=True)})
    return ProbabilityTable(tuple(map(str, range(photos))), joint), np.stack([codes for _, codes in columns], axis=1)


def slow_loss(rows: np.ndarray, codes: np.ndarray, temperature: float) -> float:
    total = 0.0
    for row, code in zip(rows.tolist(), codes.tolist(), strict=True):
        powers = [max(p, 1e-12) ** (1 / temperature) for p in row]
        total -= math.log(powers[code] / sum(powers))
    return total / len(rows)


def slow_doubting_loss(rows: np.ndarray, codes: np.ndarray, temperature: float) -> float:
    """With each label counted as wrong once in n + 2 times, all other values alike."""
    values, doubt = rows.shape[1], 1 / (len(rows) + 2)
    loss = (1 - doubt) * slow_loss(rows, codes, temperature)
    for step in range(1, values):
        loss += doubt / (values - 1) * slow_loss(rows, (codes + step) % values, temperature)
    return loss


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_a_temperature_is_where_a_slow_search_finds_the_least_loss(temperature):
    rows, codes = made(150, temperature)
    grid = np.geomspace(0.1, 10, 200)
    best = grid[int(np.argmin([slow_doubting_loss(rows, codes, t) for t in grid]))]
    assert fit_temperature(rows, codes) == pytest.approx(best, rel=0.025)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_a_temperature_undoes_what_made_the_probabilities_too_sure(temperature):
    assert fit_temperature(*made(20_000, temperature)) == pytest.approx(temperature, rel=0.05)


@settings(max_examples=60, deadline=None)
@given(
    arrays(np.float64, (12, 3), elements=st.floats(0.001, 1)),
    arrays(np.int64, 12, elements=st.integers(-1, 2)),
)
def test_no_temperature_nearby_is_better_and_none_is_out_of_range(raw, codes):
    rows = raw / raw.sum(axis=1, keepdims=True)
    found = fit_temperature(rows, codes)
    assert MIN_TEMPERATURE <= found <= MAX_TEMPERATURE
    known = codes != UNKNOWN
    if known.any():
        here = slow_doubting_loss(rows[known], codes[known], found)
        for other in (found * 0.97, found * 1.03, 1.0):
            if MIN_TEMPERATURE <= other <= MAX_TEMPERATURE:
                assert here <= slow_doubting_loss(rows[known], codes[known], other) + 1e-9


def test_answers_that_are_all_right_or_all_wrong_give_no_infinite_sureness():
    rows = np.array([[0.6, 0.4], [0.3, 0.7]] * 50)
    right, wrong = np.array([0, 1] * 50), np.array([1, 0] * 50)
    assert fit_temperature(rows, wrong) == pytest.approx(MAX_TEMPERATURE)
    found = fit_temperature(rows, right)
    assert MIN_TEMPERATURE < found < 0.3
    # A hundred right answers in a row let the hundred-and-first be about one in a hundred wrong, not never.
    sure = 1 / (1 + (0.4 / 0.6) ** (1 / found))
    assert 0.97 < sure < 0.995
    assert MIN_TEMPERATURE <= fit_temperature(np.eye(2), np.array([0, 1])) <= MAX_TEMPERATURE
    assert fit_temperature(rows, np.full(100, UNKNOWN)) == 1.0


def test_each_attribute_has_its_own_temperature_and_partial_labels_count():
    table, codes = full_table(4000, (1.0, 2.0, 3.0))
    codes[:1000, 1] = UNKNOWN
    found = fit_temperatures(table, FULL, codes)
    assert list(found) == list(FULL.names)
    assert list(found.values()) == pytest.approx([1.0, 2.0, 3.0], rel=0.12)
    # The model file takes them as they are, and the order of a row stays.
    tempered = Calibration(temperatures=found).apply_temperature(FULL, table.probabilities)
    for name in FULL.names:
        before, after = FULL.marginals(table.probabilities)[name], FULL.marginals(tempered)[name]
        assert (before.argsort(axis=1) == after.argsort(axis=1)).all()
    assert set(fit_temperatures(table, FULL, codes, heads=[JOINT_HEAD])) == {JOINT_HEAD}


def test_a_table_without_truth_or_of_another_shape_is_refused():
    table, codes = full_table(10, (1.0, 1.0, 1.0))
    with pytest.raises(DataError, match="no photo has a known label"):
        fit_temperatures(table, FULL)
    with pytest.raises(DataError, match=r"truth has shape \(9, 3\), expected"):
        fit_temperatures(table, FULL, codes[:9])
    with pytest.raises(DataError, match="the table has 18 classes, the label schema 3"):
        fit_temperatures(table, MASK, codes[:, :1])
    with pytest.raises(LabelError, match="no attribute 'ag'"):
        fit_temperatures(table, FULL, codes, heads=["ag"])
    with pytest.raises(DataError, match="10 photos, but 9 persons"):
        evaluate_calibration(table, FULL, np.arange(9), codes)
    for expected in ({"accuracy": 0.0}, {"accuracy": 1.2}, {"coverage": 0.0}, {"coverage": 1.5}):
        with pytest.raises(DataError, match=r"must be in \(0, 1\]"):
            fit_thresholds(table, FULL, np.arange(10), codes, **expected)


def test_what_is_too_sure_is_better_afterwards_and_what_was_right_stays():
    table, codes = full_table(4000, (1.0, 3.0, 1.0))
    found = evaluate_calibration(table, FULL, np.arange(4000) // 4, codes, draws=100)
    assert list(found) == [JOINT_HEAD, *FULL.names]
    gender = found["gender"]
    assert gender.after.error < 0.3 * gender.before.error
    assert gender.gain.low > 0
    assert gender.gain.value == pytest.approx(gender.before.log_loss.value - gender.after.log_loss.value)
    assert found["mask"].temperature == pytest.approx(1.0, rel=0.08)
    assert abs(found["mask"].gain.value) < 0.002
    assert gender.before.log_loss.value == pytest.approx(
        slow_loss(FULL.marginals(table.probabilities)["gender"], codes[:, 1], 1.0)
    )
    json.dumps({name: item.to_dict() for name, item in found.items()}, allow_nan=False)


def test_after_is_judged_on_persons_that_the_temperature_never_saw():
    """Labels by coin toss that differ by person: a fit on the same persons would gain, a fit on others cannot."""
    rows, codes = made(40, 1.0)
    persons = np.repeat(np.arange(4), 10)
    table = ProbabilityTable(tuple(map(str, range(40))), rows)
    found = evaluate_calibration(table, MASK, persons, codes[:, None], parts=4, draws=20)["mask"]
    expected = np.empty(40)
    for person in range(4):
        own = persons == person
        temperature = fit_temperature(rows[~own], codes[~own])
        for place in np.flatnonzero(own):
            expected[place] = slow_loss(rows[[place]], codes[[place]], temperature)
    assert found.after.log_loss.value == pytest.approx(expected.mean())
    for train, test in grouped_splits(persons, 4, 0):
        assert not set(persons[train]) & set(persons[test])
        assert (train ^ test).all()


@pytest.mark.parametrize(("scale", "limit"), [(0.2, MIN_SAVED_TEMPERATURE), (12.0, MAX_SAVED_TEMPERATURE)])
def test_reported_temperatures_are_those_of_model_files(scale, limit):
    """Beyond the range of model files the report showed another temperature, and figures of that one."""
    table, codes = full_table(2000, (1.0, scale, 1.0))
    assert (
        not MIN_SAVED_TEMPERATURE
        <= fit_temperature(FULL.marginals(table.probabilities)["gender"], codes[:, 1])
        <= (MAX_SAVED_TEMPERATURE)
    )
    persons = np.arange(2000)
    saved = fit_calibration(table, FULL, persons, codes)[0].temperatures
    found = evaluate_calibration(table, FULL, persons, codes, draws=10)
    assert {name: found[name].temperature for name in FULL.names} == saved
    assert saved["gender"] == limit
    rows = FULL.marginals(table.probabilities)["gender"]
    assert found["gender"].after.log_loss.value == pytest.approx(slow_loss(rows, codes[:, 1], limit))


def test_one_person_alone_or_a_label_nobody_has_is_left_out():
    table, codes = full_table(6, (1.0, 1.0, 1.0))
    codes[:, 2] = UNKNOWN
    codes[1:, 1] = UNKNOWN
    assert list(evaluate_calibration(table, FULL, list("aabbcc"), codes, draws=10)) == ["mask"]
    assert list(fit_thresholds(table, FULL, list("aabbcc"), codes, draws=10)) == ["mask"]
    assert evaluate_calibration(table, FULL, ["a"] * 6, codes, draws=10) == {}
    assert fit_thresholds(table, FULL, ["a"] * 6, codes, draws=10) == {}


def test_thresholds_keep_what_is_wanted_on_other_persons():
    table, codes = full_table(6000, (2.0, 1.0, 3.0))
    persons = np.arange(6000) // 3
    temperatures = fit_temperatures(table, FULL, codes)
    found = fit_thresholds(table, FULL, persons, codes, accuracy=0.95, draws=100)
    marginals = FULL.marginals(apply_temperatures(FULL, table.probabilities, temperatures))
    for column, (name, threshold) in enumerate(found.items()):
        sure = marginals[name].max(axis=1) >= threshold.probability
        right = marginals[name].argmax(axis=1) == codes[:, column]
        assert 0.95 <= right[sure].mean() < 0.9505
        assert threshold.accuracy.low <= 0.95 <= threshold.accuracy.high
        assert threshold.coverage.value == pytest.approx(sure.mean(), abs=0.02)
        assert threshold.overall_accuracy.value == pytest.approx(right.mean())
        assert threshold.overall_accuracy.value < threshold.accuracy.value
    for threshold in fit_thresholds(table, FULL, persons, codes, coverage=0.6, draws=100).values():
        assert threshold.coverage.value == pytest.approx(0.6, abs=0.02)
    joint = fit_thresholds(table, FULL, persons, codes, temperatures={JOINT_HEAD: 2.0}, draws=20)
    assert joint["age"].probability != found["age"].probability
    Calibration(temperatures=temperatures, abstain_below={name: item.probability for name, item in found.items()})


def test_a_share_has_the_interval_that_accuracy_has():
    random = np.random.default_rng(0)
    truth, answers, persons = random.integers(0, 3, 200), random.integers(0, 3, 200), np.arange(200) // 7
    found = proportion_interval(truth == answers, np.ones(200), persons, draws=300, seed=3)
    expected = bootstrap_interval("accuracy", truth, answers, persons, num_classes=3, draws=300, seed=3)
    assert (found.value, found.low, found.high) == pytest.approx((expected.value, expected.low, expected.high))
    with pytest.raises(DataError, match="no photo is counted"):
        proportion_interval([0.0], [0.0], ["a"])
    with pytest.raises(DataError, match="one for each photo"):
        proportion_interval([0.0, 1.0], [1.0, 1.0], ["a"])


def test_a_difference_of_pairs_is_surer_than_two_scores():
    """Two models that err on nearly the same persons: their difference is known better than either."""
    random = np.random.default_rng(1)
    persons = np.arange(700) // 7
    first = np.repeat(random.random(100) < 0.7, 7)
    second = first | (np.arange(700) % 70 == 0)
    one = proportion_interval(second, np.ones(700), persons, draws=300)
    both = proportion_interval(second.astype(float) - first, np.ones(700), persons, draws=300)
    assert both.high - both.low < 0.25 * (one.high - one.low)


def test_bins_of_equal_mass_and_of_equal_width_agree_where_nothing_is_crowded():
    rows, codes = made(20_000, 2.0)
    wide, even = reliability(codes, rows, bins=15), equal_mass_bins(rows.max(axis=1), rows.argmax(axis=1) == codes)
    assert wide.error() == pytest.approx(even.error(), rel=0.1)


def make_calibrated(sure: float, count: int = 400, seed: int = 0) -> tuple[ProbabilityTable, np.ndarray]:
    """Answers that are right as often as they say, then sharpened by `sure`; two photos of each person."""
    rng = np.random.default_rng(seed)
    heads, columns = {}, []
    for name, size in FULL.sizes.items():
        rows = rng.dirichlet(np.ones(size), count)
        columns.append([rng.choice(size, p=row) for row in rows])
        sharp = rows**sure
        heads[name] = sharp / sharp.sum(1, keepdims=True)
    truth = FULL.to_class_index(np.array(columns).T)
    names = tuple(f"p{place // 2}/{place % 2}.jpg" for place in range(count))
    return ProbabilityTable(names, FULL.joint_probabilities(heads), truth), np.array(
        [name.split("/")[0] for name in names]
    )


def test_temperatures_undo_what_sharpened_the_answers() -> None:
    table, persons = make_calibrated(2.5, 3000)
    calibration, thresholds = fit_calibration(table, FULL, persons)
    assert set(calibration.temperatures) == set(FULL.names)
    assert all(2.0 < temperature < 3.1 for temperature in calibration.temperatures.values())
    assert calibration.abstain_below == dict.fromkeys(FULL.names, DEFAULT_ABSTAIN_BELOW)
    assert (calibration.photos, calibration.persons, thresholds) == (3000, 1500, {})


def test_a_joint_head_has_one() -> None:
    table, persons = make_calibrated(1.0)
    calibration, _ = fit_calibration(table, FULL, persons, joint=True)
    assert list(calibration.temperatures) == [JOINT_HEAD]


def test_a_set_without_mistakes_does_not_make_the_model_infinitely_sure() -> None:
    rows = np.full((900, 18), 0.02)
    rows[np.arange(900), np.arange(900) % 18] = 0.66
    table = ProbabilityTable(tuple(map(str, range(900))), rows, np.arange(900) % 18)
    calibration, _ = fit_calibration(table, FULL, list(table.names), joint=True)
    assert calibration.temperatures == {JOINT_HEAD: MIN_SAVED_TEMPERATURE}


def test_a_wanted_accuracy_is_met_and_said_of_other_persons() -> None:
    table, persons = make_calibrated(1.0, 4000)
    calibration, thresholds = fit_calibration(
        table, FULL, persons, accuracy={"mask": 0.9}, coverage={"age": 0.5}, below={"gender": 0.7}
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
    table, persons = make_calibrated(2.0)
    codes = FULL.to_attribute_indices(table.truth)
    codes[:, 2] = UNKNOWN
    calibration, _ = fit_calibration(table, FULL, persons, codes)
    assert calibration.temperatures["age"] == 1.0
    assert calibration.temperatures["mask"] > 1.5
    with pytest.raises(DataError, match="'age' is labeled for fewer than two"):
        fit_calibration(table, FULL, persons, codes, accuracy={"age": 0.9})


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"accuracy": {"mask": 0.9}, "coverage": {"mask": 0.9}}, "named twice"),
        ({"below": {"mask": 1.2}}, r"must be in \[0, 1\]"),
        ({"coverage": {"masks": 0.9}}, "no attribute 'masks'"),
    ],
)
def test_what_cannot_be_is_refused(words, message) -> None:
    table, persons = make_calibrated(1.0)
    with pytest.raises((DataError, LabelError), match=message):
        fit_calibration(table, FULL, persons, **words)
