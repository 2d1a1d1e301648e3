"""Temperatures, thresholds, reliability and risk against slow references; persons stay on one side."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from maskfit.calibration import Calibration, apply_temperatures
from maskfit.errors import DataError, LabelError
from maskfit.evaluation.bootstrap import interval, proportion_interval
from maskfit.evaluation.metrics import reliability
from maskfit.evaluation.probability_table import ProbabilityTable
from maskfit.evaluation.selective_prediction import equal_mass_bins, lowest_threshold, risk_coverage
from maskfit.evaluation.temperature_scaling import (
    MAX_TEMPERATURE,
    MIN_TEMPERATURE,
    calibrate,
    fit_temperature,
    fit_temperatures,
    fit_thresholds,
    grouped_splits,
)
from maskfit.labels.schema import JOINT_HEAD, SCHEMES, UNKNOWN

FULL = SCHEMES["mask-gender-age"]
MASK = SCHEMES["mask"]


def made(photos: int, heat: float, seed: int = 0, values: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that are `heat` times surer than they should be, and labels drawn by the right ones."""
    random = np.random.default_rng(seed)
    logits = 2 * random.normal(size=(photos, values))
    right = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    codes = (random.random((photos, 1)) > right.cumsum(axis=1)).sum(axis=1)
    sharp = np.exp(heat * logits - (heat * logits).max(axis=1, keepdims=True))
    return sharp / sharp.sum(axis=1, keepdims=True), np.minimum(codes, values - 1)


def full_table(photos: int, heats: tuple[float, float, float], seed: int = 0) -> tuple[ProbabilityTable, np.ndarray]:
    """A table over 18 classes whose attributes are too sure by `heats`, and everybody's codes."""
    columns = [made(photos, heat, seed + k, size) for k, (heat, size) in enumerate(zip(heats, FULL.shape, strict=True))]
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


@pytest.mark.parametrize("heat", [0.4, 1.0, 2.5])
def test_a_temperature_is_where_a_slow_search_finds_the_least_loss(heat):
    rows, codes = made(150, heat)
    grid = np.geomspace(0.1, 10, 200)
    best = grid[int(np.argmin([slow_doubting_loss(rows, codes, t) for t in grid]))]
    assert fit_temperature(rows, codes) == pytest.approx(best, rel=0.025)


@pytest.mark.parametrize("heat", [0.5, 1.0, 3.0])
def test_a_temperature_undoes_what_made_the_probabilities_too_sure(heat):
    assert fit_temperature(*made(20_000, heat)) == pytest.approx(heat, rel=0.05)


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
    with pytest.raises(DataError, match="no photo has a known truth"):
        fit_temperatures(table, FULL)
    with pytest.raises(DataError, match=r"truth of shape \(9, 3\)"):
        fit_temperatures(table, FULL, codes[:9])
    with pytest.raises(DataError, match="18 classes does not fit a scheme of 3"):
        fit_temperatures(table, MASK, codes[:, :1])
    with pytest.raises(LabelError, match="no attribute 'ag'"):
        fit_temperatures(table, FULL, codes, heads=["ag"])
    with pytest.raises(DataError, match="10 photos, but 9 persons"):
        calibrate(table, FULL, np.arange(9), codes)
    for wanted in ({"accuracy": 0.0}, {"accuracy": 1.2}, {"keep": 0.0}, {"keep": 1.5}):
        with pytest.raises(DataError, match="is not above 0 and at most 1"):
            fit_thresholds(table, FULL, np.arange(10), codes, **wanted)


def test_what_is_too_sure_is_better_afterwards_and_what_was_right_stays():
    table, codes = full_table(4000, (1.0, 3.0, 1.0))
    found = calibrate(table, FULL, np.arange(4000) // 4, codes, draws=100)
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
    """Labels by coin toss but told apart by person: a fit on the same persons would gain, a fit on others cannot."""
    rows, codes = made(40, 1.0)
    persons = np.repeat(np.arange(4), 10)
    table = ProbabilityTable(tuple(map(str, range(40))), rows)
    found = calibrate(table, MASK, persons, codes[:, None], parts=4, draws=20)["mask"]
    expected = np.empty(40)
    for person in range(4):
        own = persons == person
        heat = fit_temperature(rows[~own], codes[~own])
        for place in np.flatnonzero(own):
            expected[place] = slow_loss(rows[[place]], codes[[place]], heat)
    assert found.after.log_loss.value == pytest.approx(expected.mean())
    for train, test in grouped_splits(persons, 4, 0):
        assert not set(persons[train]) & set(persons[test])
        assert (train ^ test).all()


def test_one_person_alone_or_a_label_nobody_has_is_left_out():
    table, codes = full_table(6, (1.0, 1.0, 1.0))
    codes[:, 2] = UNKNOWN
    codes[1:, 1] = UNKNOWN
    assert list(calibrate(table, FULL, list("aabbcc"), codes, draws=10)) == ["mask"]
    assert list(fit_thresholds(table, FULL, list("aabbcc"), codes, draws=10)) == ["mask"]
    assert calibrate(table, FULL, ["a"] * 6, codes, draws=10) == {}
    assert fit_thresholds(table, FULL, ["a"] * 6, codes, draws=10) == {}


def test_thresholds_keep_what_is_wanted_on_other_persons():
    table, codes = full_table(6000, (2.0, 1.0, 3.0))
    persons = np.arange(6000) // 3
    heats = fit_temperatures(table, FULL, codes)
    found = fit_thresholds(table, FULL, persons, codes, accuracy=0.95, draws=100)
    marginals = FULL.marginals(apply_temperatures(FULL, table.probabilities, heats))
    for column, (name, threshold) in enumerate(found.items()):
        sure = marginals[name].max(axis=1) >= threshold.probability
        right = marginals[name].argmax(axis=1) == codes[:, column]
        assert 0.95 <= right[sure].mean() < 0.9505
        assert threshold.accuracy.low <= 0.95 <= threshold.accuracy.high
        assert threshold.coverage.value == pytest.approx(sure.mean(), abs=0.02)
        assert threshold.whole.value == pytest.approx(right.mean())
        assert threshold.whole.value < threshold.accuracy.value
    for threshold in fit_thresholds(table, FULL, persons, codes, keep=0.6, draws=100).values():
        assert threshold.coverage.value == pytest.approx(0.6, abs=0.02)
    joint = fit_thresholds(table, FULL, persons, codes, temperatures={JOINT_HEAD: 2.0}, draws=20)
    assert joint["age"].probability != found["age"].probability
    Calibration(temperatures=heats, abstain_below={name: item.probability for name, item in found.items()})


def test_a_threshold_that_nothing_reaches_is_one_and_a_needless_one_is_zero():
    sure = np.array([0.9, 0.8, 0.7, 0.6])
    assert lowest_threshold(sure, np.zeros(4, bool), accuracy=0.5) == 1.0
    assert lowest_threshold(sure, np.ones(4, bool), accuracy=1.0) == 0.0
    assert lowest_threshold(sure, np.array([True, True, False, True]), accuracy=0.75) == 0.0
    assert lowest_threshold(sure, np.array([True, True, False, False]), accuracy=0.9) == 0.8
    assert lowest_threshold(sure, np.array([True, True, False, False]), keep=0.75) == 0.7
    # Equal answers are kept or given up together.
    assert lowest_threshold(np.array([0.9, 0.9, 0.5]), np.array([True, False, True]), accuracy=0.9) == 1.0


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([0.2, 0.4, 0.5, 0.7, 0.9]), st.booleans()), min_size=1, max_size=30))
def test_risk_and_coverage_by_counting(answers):
    confidence, right = np.array([a for a, _ in answers]), np.array([b for _, b in answers])
    curve = risk_coverage(confidence, right)
    assert curve.threshold.tolist() == sorted(set(confidence.tolist()), reverse=True)
    for threshold, coverage, risk in zip(*curve, strict=True):
        kept = confidence >= threshold
        assert coverage == pytest.approx(kept.mean())
        assert risk == pytest.approx(1 - right[kept].mean())
    assert curve.coverage[-1] == 1
    assert curve.area() == pytest.approx(
        sum(r * (c - b) for c, b, r in zip(curve.coverage, [0, *curve.coverage[:-1]], curve.risk, strict=True))
    )


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.floats(0.1, 1), st.booleans()), min_size=1, max_size=60), st.integers(1, 20), st.randoms())
def test_bins_of_equal_mass_hold_every_photo_once_in_any_order(answers, bins, random):
    confidence, right = np.array([a for a, _ in answers]), np.array([b for _, b in answers])
    found = equal_mass_bins(confidence, right, bins)
    assert found.photos.sum() == len(answers)
    assert (found.photos > 0).all()
    assert (np.diff(found.confidence) > 0).all()
    assert (found.photos * found.accuracy).sum() == pytest.approx(right.sum())
    if len(set(confidence.tolist())) == len(answers):
        assert np.ptp(found.photos) <= 1
    order = list(range(len(answers)))
    random.shuffle(order)
    assert equal_mass_bins(confidence[order], right[order], bins).error() == pytest.approx(found.error())


def test_the_error_of_equal_mass_by_hand():
    found = equal_mass_bins([0.5, 0.6, 0.9, 1.0], [True, False, True, True], bins=2)
    assert found.photos.tolist() == [2, 2]
    assert found.error() == pytest.approx(0.5 * abs(0.55 - 0.5) + 0.5 * abs(0.95 - 1.0))


def test_a_share_has_the_interval_that_accuracy_has():
    random = np.random.default_rng(0)
    truth, answers, persons = random.integers(0, 3, 200), random.integers(0, 3, 200), np.arange(200) // 7
    found = proportion_interval(truth == answers, np.ones(200), persons, draws=300, seed=3)
    expected = interval("accuracy", truth, answers, persons, classes=3, draws=300, seed=3)
    assert (found.value, found.low, found.high) == pytest.approx((expected.value, expected.low, expected.high))
    with pytest.raises(DataError, match="nothing to count"):
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
