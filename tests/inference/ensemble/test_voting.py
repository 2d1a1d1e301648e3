"""Votes against slow loops that are written from their description alone."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskfit.errors import DataError
from maskfit.inference.ensemble.voting import VOTES, combine, combine_all
from maskfit.labels.schema import LABEL_SCHEMAS

FULL = LABEL_SCHEMAS["mask-gender-age"]


def draw(seed: int, members: int, photos: int = 12) -> list[np.ndarray]:
    # A small alpha makes confident members, and so both agreement and ties.
    return list(np.random.default_rng(seed).dirichlet(np.full(18, 0.1), (members, photos)))


def slow_mean(members, weights):
    photos, classes = members[0].shape
    result = np.zeros((photos, classes))
    for photo in range(photos):
        for number in range(classes):
            total = sum(weight * member[photo, number] for member, weight in zip(members, weights, strict=True))
            result[photo, number] = total / sum(weights)
    return result


def slow_geometric(members):
    result = np.zeros(members[0].shape)
    for photo, row in enumerate(result):
        for number in range(len(row)):
            row[number] = math.prod(max(m[photo, number], 1e-12) ** (1 / len(members)) for m in members)
        result[photo] /= row.sum()
    return result


def slow_winner(tables, photo):
    """The class with most votes; of equal ones that with the greatest sum of probabilities."""
    votes, sums = {}, {}
    for table in tables:
        row = list(table[photo])
        best = row.index(max(row))
        votes[best] = votes.get(best, 0) + 1
    for number in votes:
        sums[number] = sum(table[photo][number] for table in tables)
    return max(votes, key=lambda number: (votes[number], sums[number]))


def slow_attribute_winner(members, photo):
    codes = []
    for name in FULL.names:
        tables = []
        for member in members:
            marginal = [0.0] * FULL.sizes[name]
            for number in range(18):
                digits = {"mask": number // 6, "gender": number // 3 % 2, "age": number % 3}
                marginal[digits[name]] += member[photo, number]
            tables.append({photo: marginal})
        codes.append(slow_winner(tables, photo))
    return 6 * codes[0] + 3 * codes[1] + codes[2]


@given(st.integers(0, 10_000), st.integers(1, 8))
@settings(max_examples=40, deadline=None)
def test_every_vote_is_that_of_the_slow_loop(seed, count):
    members = draw(seed, count)
    weights = np.random.default_rng(seed).uniform(0.1, 2, count).tolist()
    np.testing.assert_allclose(combine("arithmetic", members), slow_mean(members, [1] * count))
    np.testing.assert_allclose(combine("weighted", members, weights=weights), slow_mean(members, weights))
    np.testing.assert_allclose(combine("geometric", members), slow_geometric(members), rtol=1e-9)
    hard, attribute = combine("majority", members), combine("majority_per_attribute", members, schema=FULL)
    for photo in range(12):
        assert hard[photo].argmax() == slow_winner(members, photo)
        assert attribute[photo].argmax() == slow_attribute_winner(members, photo)


@given(st.integers(0, 10_000), st.integers(1, 25))
@settings(max_examples=25, deadline=None)
def test_every_vote_gives_probabilities_and_agrees_when_members_do(seed, count):
    members = draw(seed, count)
    same = [members[0]] * count
    for name, result in combine_all(members, weights=[1.0] * count, schema=FULL).items():
        np.testing.assert_allclose(result.sum(axis=1), 1, atol=1e-9, err_msg=name)
        assert (result >= 0).all()
    for name, result in combine_all(same, schema=FULL).items():
        if name != "majority_per_attribute":
            assert (result.argmax(axis=1) == members[0].argmax(axis=1)).all(), name


def test_ties_of_a_hard_vote_go_to_the_greater_sum():
    members = [np.array([[0.6, 0.4, 0.0]]), np.array([[0.0, 0.9, 0.1]])]
    assert combine("majority", members).argmax() == 1
    # Three cautious votes still beat one that is certain, by far more than the trace that breaks ties.
    cautious = [np.array([[0.4, 0.3, 0.3]])] * 2 + [np.array([[0.0, 1.0, 0.0]])]
    assert combine("majority", cautious).argmax() == 0
    assert combine("arithmetic", cautious).argmax() == 1


def test_weights_count_by_their_ratio():
    """Seed s0 weighs its two models 1 and 0.625."""
    members = draw(1, 2)
    np.testing.assert_allclose(
        combine("weighted", members, weights=[1, 0.625]), (members[0] + 0.625 * members[1]) / 1.625
    )
    np.testing.assert_allclose(combine("geometric", members, weights=[2, 2]), combine("geometric", members), rtol=1e-9)
    assert (combine("majority", members, weights=[1, 0.625]).argmax(axis=1) == members[0].argmax(axis=1)).all()


def test_one_zero_does_not_forbid_a_class_in_the_geometric_mean():
    members = [np.array([[0.0, 1.0]]), np.array([[1.0, 0.0]]), np.array([[1.0, 0.0]])]
    result = combine("geometric", members)
    assert np.isfinite(result).all()
    assert result.argmax() == 0


def test_logits_are_refused_by_every_vote():
    """The seeds averaged logits as if they were probabilities; the loud member won."""
    logits = [np.random.default_rng(number).normal(0, 4, (5, 18)) for number in range(3)]
    for name in VOTES:
        with pytest.raises(DataError, match="not probabilities") as caught:
            combine(name, logits, schema=FULL, weights=[1, 1, 1] if name == "weighted" else None)
        assert "softmax" in str(caught.value)
    mixed = [*draw(0, 2, 5), np.abs(logits[0])]
    with pytest.raises(DataError, match="member 2"):
        combine("arithmetic", mixed)


def test_what_does_not_fit_is_refused():
    members = draw(0, 2)
    for message, name, given_members, options in (
        ("did you mean 'geometric'", "geometrc", members, {}),
        ("no member", "majority", [], {}),
        ("different shapes", "majority", [members[0], members[1][:3]], {}),
        ("every member equally", "arithmetic", members, {"weights": [1, 2]}),
        ("needs a weight", "weighted", members, {}),
        ("2 members, but weights", "weighted", members, {"weights": [1]}),
        ("above 0", "weighted", members, {"weights": [0, 0]}),
        ("above 0", "weighted", members, {"weights": [1, -1]}),
        ("needs the schema", "majority_per_attribute", members, {}),
        ("needs the schema", "majority_per_attribute", members, {"schema": LABEL_SCHEMAS["mask"]}),
    ):
        with pytest.raises(DataError, match=message):
            combine(name, given_members, **options)


def test_all_votes_are_those_that_the_arguments_allow():
    members = draw(0, 3)
    assert list(combine_all(members)) == ["arithmetic", "geometric", "majority"]
    assert list(combine_all(members, weights=[1, 2, 3], schema=FULL)) == list(VOTES)
