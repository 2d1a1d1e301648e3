"""Decision weights against a grid search; the gain is measured on other persons, and without one argmax stays."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskfit.calibration import weighted_classes
from maskfit.errors import DataError
from maskfit.evaluation import fit_decisions as module
from maskfit.evaluation.bootstrap import smallest_change_shown
from maskfit.evaluation.fit_decisions import (
    LOG_GRID,
    MIN_PERSONS,
    describe_fit,
    fit_decisions,
    fit_run_decisions,
    fit_weights,
    kept_decisions,
)
from maskfit.evaluation.metrics import macro_f1
from maskfit.evaluation.probability_table import ProbabilityTable
from maskfit.labels.schema import LABEL_SCHEMAS, UNKNOWN, LabelSchema

FULL = LABEL_SCHEMAS["mask-gender-age"]
AGE = LABEL_SCHEMAS["age"]


def drawn(seed: int, photos: int, schema: LabelSchema = AGE, prior: tuple[float, ...] = (0.1, 0.8, 0.1), noise=1.0):
    """Calibrated probabilities of a model with a strong prior, and labels drawn from them."""
    rng = np.random.default_rng(seed)
    heads = {}
    for name, size in schema.sizes.items():
        logits = noise * rng.normal(size=(photos, size)) + (np.log(prior) if size == len(prior) else 0)
        heads[name] = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    rows = schema.joint_probabilities(heads)
    truth = (rng.random((photos, 1)) > rows.cumsum(axis=1)).sum(axis=1).clip(max=schema.num_classes - 1)
    return rows, truth


def slow_macro_f1(truth: list[int], predicted: list[int], size: int) -> float:
    values = []
    for number in range(size):
        hits = sum(t == p == number for t, p in zip(truth, predicted, strict=True))
        total = truth.count(number) + predicted.count(number)
        if total:
            values.append(2 * hits / total)
    return sum(values) / len(values)


@pytest.mark.parametrize("seed", range(4))
def test_a_slow_grid_search_over_two_weights_finds_nothing_better(seed: int):
    rows, truth = drawn(seed, 150)
    best = -1.0
    for first in LOG_GRID[::2]:
        for last in LOG_GRID[::2]:
            predicted = (rows * np.exp([first, 0.0, last])).argmax(axis=1)
            best = max(best, slow_macro_f1(truth.tolist(), predicted.tolist(), 3))
    weights = fit_weights(AGE, rows, truth, label_share=1.0)
    found = macro_f1(truth, weighted_classes(AGE, rows, weights), 3)
    # Coordinate ascent may end in another local maximum of a step function; never far below, and never below argmax.
    assert found >= best - 0.02
    assert found >= macro_f1(truth, rows.argmax(axis=1), 3)


def test_expected_counts_are_those_of_the_probabilities():
    rows, truth = drawn(5, 40, FULL, noise=2.0)
    logs = {name: np.zeros(size) for name, size in FULL.sizes.items()}
    logs["age"] = np.array([0.3, 0.0, -0.2])
    counts = module._GridCounts(FULL, rows, truth, 0.4)(logs, "age", 0)
    for point, value in enumerate(LOG_GRID):
        moved = {**logs, "age": np.array([value, 0.0, -0.2])}
        classes = weighted_classes(FULL, rows, {name: np.exp(own) for name, own in moved.items()})
        for number in range(18):
            chosen = classes == number
            hits = 0.4 * (chosen & (truth == number)).sum() + 0.6 * rows[chosen, number].sum()
            assert counts.hits[point, number] == pytest.approx(hits)
            assert counts.predicted[point, number] == chosen.sum()
            assert counts.support[point, number] == pytest.approx(
                0.4 * (truth == number).sum() + 0.6 * rows[:, number].sum()
            )


def test_rare_values_get_larger_weights_for_macro_f1_and_not_for_accuracy():
    rows, truth = drawn(1, 4000)
    weights = fit_weights(AGE, rows, truth)["age"]
    assert weights[1] < min(weights[0], weights[2])
    assert np.prod(weights) == pytest.approx(1.0)
    gain = macro_f1(truth, weighted_classes(AGE, rows, {"age": weights}), 3) - macro_f1(truth, rows.argmax(1), 3)
    assert gain > 0.03
    for_accuracy = fit_weights(AGE, rows, truth, "accuracy").get("age", np.ones(3))
    assert np.abs(np.log(for_accuracy)).max() < 0.35


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 1000))
def test_weights_do_not_depend_on_the_order_of_photos(seed: int):
    rows, truth = drawn(seed, 80, FULL, noise=2.0)
    order = np.random.default_rng(seed).permutation(80)
    first, second = fit_weights(FULL, rows, truth), fit_weights(FULL, rows[order], truth[order])
    assert list(first) == list(second)
    for name, values in first.items():
        np.testing.assert_allclose(values, second[name])


def test_the_gain_is_kept_where_it_holds_on_other_persons():
    rows, truth = drawn(2, 3000)
    persons = [f"p{number // 5}" for number in range(3000)]
    fit = fit_decisions(AGE, rows, truth, persons, draws=100)
    assert fit.kept is not None
    assert fit.kept.gain > 0.03
    assert fit.kept.gain_low > 0
    assert fit.kept.persons == 600
    assert fit.kept.before == pytest.approx(macro_f1(truth, rows.argmax(axis=1), 3))
    assert "decisions for macro F1: age <30 x" in describe_fit(fit, AGE)


def test_the_reported_gain_is_not_that_of_the_fitted_photos(monkeypatch: pytest.MonkeyPatch):
    """Labels that say nothing about the probabilities: whatever is fitted to them gains in sample only."""
    monkeypatch.setattr(module, "LABEL_SHARE", 1.0)
    rng = np.random.default_rng(0)
    rows, truth = rng.dirichlet(np.ones(18), 60), rng.integers(0, 18, 60)
    fit = fit_decisions(FULL, rows, truth, np.arange(60), draws=50)
    weights = fit_weights(FULL, rows, truth, label_share=1.0)
    in_sample = macro_f1(truth, weighted_classes(FULL, rows, weights), 18) - macro_f1(truth, rows.argmax(axis=1), 18)
    assert fit.fitted is not None
    assert fit.fitted.gain < in_sample / 2


def test_every_photo_is_predicted_by_weights_that_did_not_see_its_person(monkeypatch: pytest.MonkeyPatch):
    rows, truth = drawn(3, 300)
    persons = np.array([number // 5 for number in range(300)])
    seen: list[set[int]] = []

    def spy(schema, probabilities, truth, objective="macro-f1", **options):
        seen.append({int(key) for key in (probabilities[:, 0] * 1e6).round()})
        return {}

    monkeypatch.setattr(module, "fit_weights", spy)
    fit_decisions(AGE, rows, truth, persons, draws=10)
    keys = (rows[:, 0] * 1e6).round().astype(int)
    *nested, whole = seen
    assert len(nested) == 15
    assert whole == set(keys.tolist())
    for start in range(0, 15, 5):
        left_out = [set(keys.tolist()) - part for part in nested[start : start + 5]]
        assert set.union(*left_out) == set(keys.tolist())
        for part in left_out:
            inside = [key in part for key in keys.tolist()]
            for person in np.unique(persons):
                assert len({inside[index] for index in np.flatnonzero(persons == person)}) == 1


def test_few_persons_keep_argmax_with_a_reason():
    rows, truth = drawn(4, 400)
    persons = [number % (MIN_PERSONS - 1) for number in range(400)]
    fit = fit_decisions(AGE, rows, truth, persons)
    assert (fit.kept, fit.fitted) == (None, None)
    assert describe_fit(fit, AGE) == (
        "decisions for macro F1: the most probable class; "
        f"{MIN_PERSONS - 1} persons with a label of every attribute, fewer than {MIN_PERSONS}"
    )


def test_unlabeled_photos_are_left_out_and_do_not_count_as_persons():
    rows, truth = drawn(6, 600)
    persons = np.arange(600)
    truth[100:] = UNKNOWN
    fit = fit_decisions(AGE, rows, truth, persons, draws=20)
    assert fit.fitted is not None
    assert (fit.fitted.photos, fit.fitted.persons) == (100, 100)
    truth[10:] = UNKNOWN
    assert "10 persons" in fit_decisions(AGE, rows, truth, persons).reason


def test_weights_that_gain_nothing_are_not_kept():
    """A perfect model has nothing to gain."""
    truth = np.arange(600) % 3
    rows = np.full((600, 3), 0.01) + 0.97 * np.eye(3)[truth]
    fit = fit_decisions(AGE, rows, truth, np.arange(600), draws=20)
    assert fit.kept is None
    assert fit.reason
    # No draw changes a prediction; what 600 persons could have missed is left.
    missed = smallest_change_shown(600)
    assert fit.fitted is not None
    assert (fit.fitted.gain_low, fit.fitted.gain_high) == pytest.approx((-missed, missed))


def test_a_run_fits_its_temperatures_again_on_every_part(monkeypatch: pytest.MonkeyPatch):
    rows, truth = drawn(7, 1500)
    sharp = rows**2 / (rows**2).sum(axis=1, keepdims=True)
    table = ProbabilityTable(tuple(map(str, range(1500))), sharp)
    counts: list[int] = []
    original = module.fit_temperatures

    def spy(part, *args, **options):
        counts.append(len(part))
        return original(part, *args, **options)

    monkeypatch.setattr(module, "fit_temperatures", spy)
    fits = fit_run_decisions(table, AGE, np.arange(1500), truth[:, None])
    assert set(fits) == {"macro-f1", "accuracy"}
    assert counts.count(1500) == 1
    # The temperature of the one head over all classes is here that of the one attribute.
    joint = fit_run_decisions(table, AGE, np.arange(1500), truth[:, None], joint=True)
    assert {name: fit.to_dict() for name, fit in joint.items()} == {name: fit.to_dict() for name, fit in fits.items()}
    del counts[len(counts) // 2 :]
    assert set(counts) == {1200, 1500}
    assert set(kept_decisions(fits)) == {name for name, fit in fits.items() if not fit.reason}
    # The too sure model, once calibrated, gains as the calibrated one does.
    kept = fits["macro-f1"].kept
    assert kept is not None
    assert kept.gain == pytest.approx(fit_decisions(AGE, rows, truth, np.arange(1500)).fitted.gain, abs=0.02)


def test_lengths_must_match():
    rows, truth = drawn(8, 60)
    with pytest.raises(DataError, match="60 photos, but 60 labels and 59 persons"):
        fit_decisions(AGE, rows, truth, np.arange(59))
