"""Metrics and scores against scikit-learn and slow loops."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import metrics as sklearn

from maskfit.errors import DataError, LabelError
from maskfit.evaluation.bootstrap import (
    Interval,
    bootstrap_counts,
    bootstrap_interval,
    fraction_interval,
    proportion_interval,
)
from maskfit.evaluation.metrics import (
    accuracy,
    confusion_matrix,
    count_by_class,
    f1_per_class,
    log_loss,
    macro_f1,
    reliability,
)
from maskfit.evaluation.scores import score
from maskfit.labels.schema import LABEL_SCHEMAS, UNKNOWN

FULL = LABEL_SCHEMAS["mask-gender-age"]

answered = st.integers(2, 18).flatmap(
    lambda classes: st.tuples(
        st.just(classes),
        st.lists(st.tuples(st.integers(-1, classes - 1), st.integers(0, classes - 1)), min_size=1, max_size=60),
    )
)


def split(pairs: list[tuple[int, int]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    truth, answers = np.array(pairs, dtype=np.int64).T
    return truth, answers


@given(answered)
@settings(max_examples=150, deadline=None)
def test_every_metric_is_that_of_scikit_learn_on_the_known_photos(drawn):
    classes, pairs = drawn
    truth, answers = split(pairs)
    known = truth != UNKNOWN
    if not known.any():
        with pytest.raises(DataError, match="no photo has a known class"):
            macro_f1(truth, answers, classes)
        return
    t, a, every = truth[known], answers[known], np.arange(classes)
    assert confusion_matrix(truth, answers, classes).tolist() == sklearn.confusion_matrix(t, a, labels=every).tolist()
    assert accuracy(truth, answers, classes) == pytest.approx(sklearn.accuracy_score(t, a))
    each = sklearn.f1_score(t, a, labels=every, average=None, zero_division=0)
    np.testing.assert_allclose(f1_per_class(truth, answers, classes), each)
    assert macro_f1(truth, answers, classes) == pytest.approx(sklearn.f1_score(t, a, average="macro"))
    zero = sklearn.f1_score(t, a, labels=every, average="macro", zero_division=0)
    assert macro_f1(truth, answers, classes, absent="zero") == pytest.approx(zero)


def test_macro_f1_is_over_the_whole_set_and_not_the_mean_of_batches():
    """The seeds averaged the F1 of batches; on thin classes that is another number."""
    random = np.random.default_rng(3)
    counts = np.array([2745, 2050, 415, 3660, 4085, 545, *(549, 410, 83, 732, 817, 109) * 2])
    truth = random.choice(18, size=640, p=counts / counts.sum())
    # Good everywhere but on the oldest, whom most batches hardly hold.
    answers = np.where((truth % 3 == 2) & (random.random(640) < 0.7), truth - 1, truth)
    batches = [macro_f1(truth[i : i + 32], answers[i : i + 32], 18) for i in range(0, 640, 32)]
    ours = macro_f1(truth, answers, 18)
    assert ours == pytest.approx(sklearn.f1_score(truth, answers, average="macro"))
    assert abs(ours - np.mean(batches)) > 0.05
    # Joining the batches' counts is the right way to go batch by batch.
    joined = sum(confusion_matrix(truth[i : i + 32], answers[i : i + 32], 18) for i in range(0, 640, 32))
    assert (joined == confusion_matrix(truth, answers, 18)).all()


def test_an_absent_class_is_left_out_or_counts_as_zero():
    truth, answers = [0, 0, 1, 1], [0, 0, 1, 1]
    assert macro_f1(truth, answers, 4) == 1.0
    assert macro_f1(truth, answers, 4, absent="zero") == 0.5


@pytest.mark.parametrize(
    ("truth", "answers", "error", "message"),
    [
        ([0, 1], [0], DataError, "truth has shape"),
        ([[0, 1]], [[0, 1]], DataError, "truth has shape"),
        ([0, 18], [0, 1], LabelError, "truth 18 is not in 0 to 17"),
        ([0, -2], [0, 1], LabelError, "truth -2"),
        ([0, 1], [0, -1], LabelError, "prediction -1"),
        ([0, 1], [0.2, 0.8], LabelError, "prediction 0.2 is not a class index"),
    ],
)
def test_what_does_not_fit_is_refused(truth, answers, error, message):
    with pytest.raises(error, match=message):
        confusion_matrix(truth, answers, 18)


def test_log_loss_is_that_of_scikit_learn_and_survives_a_zero():
    random = np.random.default_rng(0)
    probabilities, truth = random.dirichlet(np.ones(6), 50), random.integers(0, 6, 50)
    expected = sklearn.log_loss(truth, probabilities, labels=np.arange(6))
    assert log_loss(truth, probabilities) == pytest.approx(expected)
    assert log_loss(np.r_[truth, -1], np.r_[probabilities, probabilities[:1]]) == pytest.approx(expected)
    assert np.isfinite(log_loss([1], np.array([[1.0, 0.0]])))


def test_calibration_error_is_that_of_a_slow_loop():
    random = np.random.default_rng(1)
    probabilities, truth = random.dirichlet(np.ones(4), 300), random.integers(0, 4, 300)
    expected, bins = 0.0, 15
    for number in range(bins):
        inside = [i for i, row in enumerate(probabilities) if number / bins < row.max() <= (number + 1) / bins]
        if inside:
            right = np.mean([probabilities[i].argmax() == truth[i] for i in inside])
            sure = np.mean([probabilities[i].max() for i in inside])
            expected += len(inside) / 300 * abs(right - sure)
    result = reliability(truth, probabilities)
    assert result.error() == pytest.approx(expected)
    assert result.photos.sum() == 300
    assert reliability([0], np.array([[1.0, 0.0]])).error() == 0.0


def test_the_interval_is_that_of_a_slow_bootstrap_over_persons():
    random = np.random.default_rng(5)
    persons = np.repeat([f"{i:06d}_female_Asian_{i}" for i in range(40)], 7)
    truth = random.integers(0, 3, 280)
    answers = np.where(np.repeat(random.random(40) < 0.7, 7), truth, (truth + 1) % 3)
    drawn = []
    names = np.unique(persons)
    for _ in range(600):
        rows = np.concatenate([np.flatnonzero(persons == name) for name in random.choice(names, 40)])
        drawn.append(sklearn.f1_score(truth[rows], answers[rows], average="macro"))
    low, high = np.quantile(drawn, [0.025, 0.975])
    ours = bootstrap_interval("macro_f1", truth, answers, persons, num_classes=3)
    assert ours.value == pytest.approx(sklearn.f1_score(truth, answers, average="macro"))
    assert ours.low == pytest.approx(low, abs=0.03)
    assert ours.high == pytest.approx(high, abs=0.03)
    # Photos of one person stand or fall together, so drawing photos would promise too much.
    photos = bootstrap_interval("macro_f1", truth, answers, np.arange(280), num_classes=3)
    assert ours.high - ours.low > 1.8 * (photos.high - photos.low)


def test_the_interval_is_repeatable_and_takes_a_metric_of_ones_own():
    truth, answers, persons = np.arange(60) % 3, np.arange(60) % 5 % 3, np.arange(60) // 4
    first = bootstrap_interval("accuracy", truth, answers, persons, num_classes=3, draws=50, seed=1)
    assert first == bootstrap_interval("accuracy", truth, answers, persons, num_classes=3, draws=50, seed=1)
    assert first != bootstrap_interval("accuracy", truth, answers, persons, num_classes=3, draws=50, seed=2)
    own = bootstrap_interval(lambda counts: counts.recall()[..., 0], truth, answers, persons, num_classes=3, draws=50)
    assert own.low <= own.value <= own.high
    assert bootstrap_counts(truth, answers, persons, num_classes=3, draws=7).support.shape == (7, 3)
    with pytest.raises(DataError, match="60 photos, but 3 persons"):
        count_by_class(truth, answers, 3, [1, 2, 3])
    assert Interval.from_draws(0.5, np.array([np.nan])) == Interval(0.5, 0.5, 0.5)


def test_scores_of_a_set_hold_every_number():
    random = np.random.default_rng(2)
    truth, probabilities = random.integers(0, 18, 140), random.dirichlet(np.full(18, 0.3), 140)
    scores = score(
        FULL, FULL.to_attribute_indices(truth), probabilities=probabilities, persons=np.arange(140) // 7, draws=50
    )
    answers = probabilities.argmax(axis=1)
    report = sklearn.classification_report(
        truth,
        answers,
        labels=np.arange(18),
        output_dict=True,
        zero_division=0,
        target_names=[str(i) for i in range(18)],
    )
    assert (scores.photos, scores.known) == (140, 140)
    assert scores.macro_f1 == pytest.approx(sklearn.f1_score(truth, answers, average="macro"))
    for number, item in enumerate(scores.per_class):
        expected = report[str(number)]
        assert (item.precision, item.recall, item.f1, item.support) == pytest.approx(tuple(expected.values()))
        assert item.name == FULL.describe(number)
    assert scores.log_loss == pytest.approx(log_loss(truth, probabilities))
    assert scores.intervals["macro_f1"].low < scores.macro_f1 < scores.intervals["macro_f1"].high
    reported = json.loads(json.dumps(scores.to_dict(), allow_nan=False))
    assert reported["per_attribute"]["age"]["per_value"][0]["name"] == "<30"
    assert reported["intervals"]["macro_f1"]["value"] == scores.macro_f1


def test_an_attribute_is_read_off_the_answered_class_and_not_off_its_marginal():
    """The most probable class says worn, the sum over classes says not worn; the submission holds the class."""
    probabilities = np.zeros((1, 18))
    probabilities[0, 0] = 0.4
    probabilities[0, 12:15] = 0.2
    assert FULL.marginals(probabilities)["mask"].argmax() == 2
    scores = score(FULL, np.array([[0, 0, 0]]), probabilities=probabilities)
    assert scores.per_attribute["mask"].accuracy == 1.0


def test_a_photo_with_some_attributes_known_counts_for_those_alone():
    truth = np.array([[0, 0, 0], [2, UNKNOWN, UNKNOWN], [UNKNOWN, 1, 2]])
    scores = score(FULL, truth, predictions=np.array([0, 0, 5]))
    assert (scores.photos, scores.known, scores.accuracy) == (3, 1, 1.0)
    assert (scores.per_attribute["mask"].photos, scores.per_attribute["mask"].accuracy) == (2, 0.5)
    assert (scores.per_attribute["gender"].photos, scores.per_attribute["gender"].accuracy) == (2, 1.0)
    assert scores.log_loss is None


def test_without_a_full_class_there_are_no_class_scores():
    truth = np.array([[2, UNKNOWN, UNKNOWN], [0, UNKNOWN, UNKNOWN]])
    scores = score(FULL, truth, predictions=np.array([12, 0]), persons=["a", "b"], draws=10)
    assert (scores.macro_f1, scores.accuracy, scores.per_class, scores.known) == (None, None, (), 0)
    assert list(scores.per_attribute) == ["mask"]
    assert scores.to_dict()["macro_f1"] is None


def test_scores_refuse_logits_and_arrays_that_do_not_fit():
    truth = np.array([[0, 0, 0], [1, 1, 1]])
    with pytest.raises(DataError, match="are not probabilities"):
        score(FULL, truth, probabilities=np.random.default_rng(0).normal(size=(2, 18)))
    with pytest.raises(DataError, match="the probabilities have 6 classes"):
        score(FULL, truth, probabilities=np.full((2, 6), 1 / 6))
    with pytest.raises(DataError, match="but 1 predictions"):
        score(FULL, truth, predictions=np.array([0]))
    with pytest.raises(DataError, match="but 3 rows"):
        score(FULL, truth, predictions=np.array([0, 1]), probabilities=np.full((3, 18), 1 / 18))
    with pytest.raises(DataError, match="nothing to score"):
        score(FULL, truth)
    with pytest.raises(LabelError):
        score(FULL, truth, predictions=np.array([0, 18]))


def test_an_interval_of_persons_who_are_all_alike_has_the_width_of_their_number():
    """Clopper and Pearson for n of n: the lower bound is the fraction at which n of n has a probability of 2.5 %."""
    persons = np.arange(18)
    perfect = fraction_interval(np.ones(18), np.ones(18), persons)
    assert (perfect.value, perfect.high) == (1.0, 1.0)
    assert perfect.low**18 == pytest.approx(0.025)
    none = fraction_interval(np.zeros(18), np.ones(18), persons)
    assert (none.low, none.high) == (0.0, pytest.approx(1 - perfect.low))
    # 36 photos of 18 persons are 18 observations, and photos that do not count are none.
    twice = fraction_interval(np.ones(36), np.ones(36), np.repeat(persons, 2))
    assert twice == perfect
    half = fraction_interval([1, 1, 0], [1, 1, 0], ["a", "a", "b"])
    assert half.low == pytest.approx(0.025)
    # Each person correct on one of two photos: Wilson's interval of 9 of 18, (0.29, 0.71) in the tables.
    middle = fraction_interval(np.tile([1, 0], 18), np.ones(36), np.repeat(persons, 2))
    assert (middle.value, middle.low, middle.high) == (
        0.5,
        pytest.approx(0.29, abs=0.005),
        pytest.approx(0.71, abs=0.005),
    )


def test_a_perfect_score_has_an_interval_by_class_and_attribute():
    truth = np.array([[0, 0, 0], [1, 1, 1], [2, 0, 2]] * 6)
    scores = score(FULL, truth, predictions=FULL.to_class_index(truth), persons=np.arange(18))
    low = 0.025 ** (1 / 18)
    for name in ("macro_f1", "accuracy"):
        assert scores.intervals[name] == Interval(1.0, pytest.approx(low), 1.0)
    assert scores.per_attribute["mask"].interval.low == pytest.approx(low)
    # Six persons have each class.
    assert [item.interval.low for item in scores.per_class if item.support] == pytest.approx([0.025 ** (1 / 6)] * 3)
    assert all(item.interval is None for item in scores.per_class if not item.support)
    metric = bootstrap_interval("macro_f1", [0, 1, -1], [0, 1, 1], ["a", "b", "c"], num_classes=3)
    assert metric.low == pytest.approx(0.025**0.5)


def test_an_interval_with_a_width_is_that_of_the_bootstrap():
    correct, persons = np.array([1, 1, 0, 1, 1, 1, 0, 1] * 5), np.arange(40)
    assert fraction_interval(correct, np.ones(40), persons) == proportion_interval(correct, np.ones(40), persons)
