"""Learned ensembles: selection against a slow loop, stacking against its own equations, and the honesty of the nest."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from sklearn.metrics import f1_score

from maskfit.errors import DataError, MissingExtraError
from maskfit.inference.ensemble.learned_weights import (
    GreedySelection,
    ScoreWeighted,
    SingleBest,
    Weights,
    assign_nested_folds,
    fit_known,
    member_scores,
    nested_cv_predict,
)
from maskfit.inference.ensemble.stacking import MIN_PROBABILITY, StackingFitter
from maskfit.labels.schema import LABEL_SCHEMAS, UNKNOWN, softmax

FULL = LABEL_SCHEMAS["mask-gender-age"]
GENDER = LABEL_SCHEMAS["gender"]


def draw(seed: int, qualities: list[float], persons: int = 40) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Members (members, photos, 18) that know the truth more or less, the truth, and who is on each photo."""
    random = np.random.default_rng(seed)
    who = np.repeat(np.arange(persons), 7)
    person_class = random.integers(0, 6, persons)
    truth = 6 * np.tile([0, 0, 0, 0, 0, 1, 2], persons) + person_class[who]
    members = []
    for quality in qualities:
        logits = random.normal(0, 1.5, (len(truth), 18))
        logits[np.arange(len(truth)), truth] += quality
        members.append(softmax(logits))
    return np.stack(members), truth, [f"p{number}" for number in who]


def macro(truth, rows):
    return f1_score(truth, np.argmax(rows, axis=1), average="macro", zero_division=0)


def slow_greedy(members, truth, rounds, patience):
    """Caruana's selection from its description: lists of chosen members, every mean made anew."""
    scores = [macro(truth, member) for member in members]
    chosen = [scores.index(max(scores))]
    best, kept = max(scores), list(chosen)
    while len(chosen) <= rounds and len(chosen) - len(kept) < patience:
        tried = [macro(truth, sum(members[place] for place in [*chosen, new])) for new in range(len(members))]
        chosen.append(tried.index(max(tried)))
        if max(tried) > best + 1e-12:
            best, kept = max(tried), list(chosen)
    return [kept.count(place) / len(kept) for place in range(len(members))]


@pytest.mark.parametrize("seed", range(6))
def test_greedy_is_the_slow_loop(seed):
    members, truth, _ = draw(seed, [2, 1.5, 1.5, 1, 0.3])
    fitted = GreedySelection(rounds=12, patience=4).fit(members, truth, FULL)
    assert fitted.weights == pytest.approx(slow_greedy(list(members), truth, 12, 4))
    assert macro(truth, fitted(list(members))) >= max(member_scores(list(members), truth))


def test_greedy_starts_from_the_best_single_and_stays_there_where_nothing_helps():
    members, truth, _ = draw(0, [0, 8, 0])
    assert GreedySelection().fit(members, truth, FULL).weights == (0, 1, 0)
    assert SingleBest().fit(members, truth, FULL).weights == (0, 1, 0)


def test_bags_are_the_mean_of_selections_and_follow_from_the_seed():
    members, truth, _ = draw(3, [2, 1.5, 1.5, 1, 1, 0.5])
    shares = [GreedySelection(num_bags=6, seed=seed).fit(members, truth, FULL).weights for seed in (1, 1, 2)]
    assert shares[0] == shares[1] != shares[2]
    assert sum(shares[0]) == pytest.approx(1)
    # A bag of all members is the selection itself.
    whole = GreedySelection(num_bags=3, bag_fraction=1).fit(members, truth, FULL).weights
    assert whole == pytest.approx(GreedySelection().fit(members, truth, FULL).weights)


def test_weights_by_score_are_in_the_ratio_of_macro_f1():
    members, truth, _ = draw(1, [3, 1])
    scores = [macro(truth, member) for member in members]
    assert member_scores(list(members), truth) == pytest.approx(scores)
    fitted = ScoreWeighted().fit(members, truth, FULL)
    assert fitted.weights == pytest.approx([score / sum(scores) for score in scores])
    expected = (scores[0] * members[0] + scores[1] * members[1]) / sum(scores)
    np.testing.assert_allclose(fitted(list(members)), expected)


def test_stacking_is_where_its_penalised_loss_has_no_slope():
    members, truth, _ = draw(2, [2, 1.5], persons=30)
    strength = 0.05
    fitted = StackingFitter(l2=strength).fit(members, truth, FULL)
    features = np.array(
        [[np.log(max(p, MIN_PROBABILITY)) for member in members for p in member[row]] for row in range(210)]
    )
    rows = fitted(list(members))
    seen = np.unique(truth)
    np.testing.assert_allclose(rows, softmax(features @ fitted.coefficients.T + fitted.intercepts))
    wrong = rows - np.eye(18)[truth]
    slope = wrong.T @ features / len(truth) + strength * fitted.coefficients
    assert np.abs(slope[seen]).max() < 5e-3
    assert np.abs(wrong.mean(axis=0)).max() < 5e-3


def test_stacking_mends_what_a_mean_cannot():
    """A member that takes classes for each other says as much as one that does not."""
    members, truth, persons = draw(5, [4, 1], persons=60)
    swapped = members.copy()
    swapped[0][:, :6] = members[0][:, [3, 4, 5, 0, 1, 2]]
    folds = assign_nested_folds(persons, truth, FULL)
    stacked = macro(truth, nested_cv_predict(StackingFitter(), swapped, truth, FULL, folds))
    assert stacked > macro(truth, nested_cv_predict(GreedySelection(), swapped, truth, FULL, folds)) + 0.1


def test_stacking_of_classes_that_were_never_seen_and_of_two_classes():
    members, truth, _ = draw(4, [2, 2])
    few = np.isin(truth, (0, 3))
    fitted = StackingFitter().fit(members[:, few], truth[few], FULL)
    rows = fitted(list(members))
    assert (rows[:, [number for number in range(18) if number not in (0, 3)]] == 0).all()
    np.testing.assert_allclose(rows.sum(axis=1), 1)
    assert macro(truth[few], rows[few]) > 0.8
    gender = members[:, few][:, :, [0, 3]]
    gender = gender / gender.sum(axis=2, keepdims=True)
    rows = StackingFitter().fit(gender, truth[few] // 3, GENDER)(list(gender))
    assert rows.shape == (few.sum(), 2)
    assert (rows.argmax(axis=1) == truth[few] // 3).mean() > 0.8


def test_stacking_refuses_what_it_cannot_do(monkeypatch):
    members, truth, _ = draw(0, [1, 1])
    with pytest.raises(DataError, match="all photos are of one class"):
        StackingFitter().fit(members, np.zeros_like(truth), FULL)
    fitted = StackingFitter().fit(members, truth, FULL)
    with pytest.raises(DataError, match="the fit is on 36"):
        fitted([members[0]])
    with pytest.raises(DataError, match="not probabilities"):
        fitted([np.log(members[0]), members[1]])
    monkeypatch.setitem(sys.modules, "sklearn.linear_model", None)
    with pytest.raises(MissingExtraError, match="'stack' needs the extra 'train'"):
        StackingFitter().fit(members, truth, FULL)


@pytest.mark.parametrize(
    "make",
    [
        lambda: GreedySelection(rounds=0),
        lambda: GreedySelection(bag_fraction=0),
        lambda: GreedySelection(num_bags=0),
        lambda: StackingFitter(l2=0),
    ],
)
def test_options_out_of_range_are_refused(make):
    with pytest.raises(ValueError, match="must"):
        make()


def test_persons_are_dealt_whole_and_every_kind_to_every_fold():
    _, truth, persons = draw(0, [1], persons=60)
    folds = assign_nested_folds(persons, truth, FULL, count=4)
    by_person = {person: set(folds[np.array(persons) == person].tolist()) for person in persons}
    assert all(len(found) == 1 for found in by_person.values())
    assert set(folds.tolist()) == {0, 1, 2, 3}
    for number in np.unique(truth % 6):
        assert len(set(folds[truth % 6 == number].tolist())) == 4
    assert np.array_equal(folds, assign_nested_folds(persons, truth, FULL, count=4))
    assert not np.array_equal(folds, assign_nested_folds(persons, truth, FULL, count=4, seed=1))
    assert len(set(assign_nested_folds(["a", "b", "b"], np.array([0, 1, UNKNOWN]), FULL).tolist())) == 2
    with pytest.raises(DataError, match="1 person in 5 folds"):
        assign_nested_folds(["a", "a"], np.array([0, 1]), FULL)


def test_no_row_of_the_nest_comes_from_a_fit_that_saw_its_person():
    members, truth, persons = draw(1, [1, 1], persons=20)
    owner = {float(row[0]): person for row, person in zip(members[0], persons, strict=True)}
    seen_by_row: dict[str, set[str]] = {}

    class Spy:
        learns = True

        def fit(self, members, truth, scheme):
            fitted_on = {owner[float(row[0])] for row in members[0]}

            def combine(tables):
                for row in tables[0]:
                    seen_by_row.setdefault(owner[float(row[0])], set()).update(fitted_on)
                return tables[0]

            return combine

    folds = assign_nested_folds(persons, truth, FULL)
    assert np.array_equal(nested_cv_predict(Spy(), members, truth, FULL, folds), members[0])
    assert set(seen_by_row) == set(persons)
    assert all(person not in seen and len(seen) >= 14 for person, seen in seen_by_row.items())


def test_photos_without_truth_are_answered_and_not_fitted_on():
    members, truth, persons = draw(2, [3, 1], persons=20)
    hidden = truth.copy()
    hidden[::3] = UNKNOWN
    rows = nested_cv_predict(SingleBest(), members, hidden, FULL, assign_nested_folds(persons, hidden, FULL))
    assert np.array_equal(rows, members[0])
    known = hidden != UNKNOWN
    assert fit_known(ScoreWeighted(), members, hidden, FULL) == ScoreWeighted().fit(
        members[:, known], truth[known], FULL
    )
    with pytest.raises(DataError, match="no photo has a label"):
        fit_known(SingleBest(), members, np.full_like(truth, UNKNOWN), FULL)


@pytest.mark.parametrize(
    ("learner", "flatters"),
    [
        (GreedySelection(), True),
        (StackingFitter(), True),
        (GreedySelection(num_bags=4), False),
        (ScoreWeighted(), False),
    ],
    ids=["greedy", "stack", "bags", "score"],
)
def test_noise_gains_nothing_where_it_is_judged_honestly(learner, flatters):
    """Members that know nothing: a fit flatters itself on its own rows, the nest does not believe it."""
    flattery, gains = [], []
    for seed in range(6):
        members, truth, persons = draw(seed, [0] * 8, persons=40)
        folds = assign_nested_folds(persons, truth, FULL)
        own = macro(truth, learner.fit(members, truth, FULL)(list(members)))
        honest = macro(truth, nested_cv_predict(learner, members, truth, FULL, folds))
        single = macro(truth, nested_cv_predict(SingleBest(), members, truth, FULL, folds))
        flattery.append(own - single)
        gains.append(honest - single)
    # Chance alone scores 0.05 and moves by 0.01.
    assert abs(np.mean(gains)) < 0.02
    if flatters:
        assert np.mean(flattery) > max(0.02, np.mean(gains) + 0.02)


def test_weights_are_of_any_photos():
    members, _, _ = draw(0, [1, 1])
    np.testing.assert_allclose(Weights((0.75, 0.25))(list(members)), 0.75 * members[0] + 0.25 * members[1])
    with pytest.raises(DataError, match="3 members, but weights"):
        Weights((0.75, 0.25))([*members, members[0]])
