"""Suspects: planted wrong labels come first, and what is no reason for suspicion is none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskfit.errors import DataError
from maskfit.evaluation.label_issues import (
    MIN_PROBABILITY,
    find_label_issues,
    fit_and_apply_temperature,
    label_likelihood,
)
from maskfit.labels.schema import LABEL_SCHEMAS, UNKNOWN

SCHEME = LABEL_SCHEMAS["mask-gender-age"]
AGE = SCHEME["age"]
FILES = ("incorrect_mask.jpg", "mask1.jpg", "mask2.jpg", "mask3.jpg", "mask4.jpg", "mask5.jpg", "normal.jpg")
MASKS = np.array([1, 0, 0, 0, 0, 0, 2])


class FakeDataset:
    """Persons with seven photos each, what a fair model says of them, and labels that can be made wrong.

    The model is right about gender in most cases, blurs ages by eight years, and is three times too sure.
    """

    def __init__(self, persons: int = 200, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.people = [f"{number:06d}" for number in range(persons)]
        self.names = [f"{person}/{name}" for person in self.people for name in FILES]
        self.persons = [person for person in self.people for _ in FILES]
        self.gender = rng.integers(0, 2, persons)
        self.years = np.round(rng.uniform(18, 75, persons))
        self.mask = np.tile(MASKS, persons)
        logits = np.where(self.gender == 1, 1, -1) * 2 + rng.normal(0, 1, persons)
        self.female = 1 / (1 + np.exp(-3 * logits))
        seen = self.years + rng.normal(0, 8, persons)
        self.bands = _sure(label_likelihood(AGE, np.zeros(persons, dtype=np.int64), seen, 6.0))
        self.masks = np.full((len(self.mask), 3), 0.01)
        self.masks[np.arange(len(self.mask)), self.mask] = 0.98

    def find(self, **more):
        parts = zip(self.masks, np.repeat(self.female, 7), np.repeat(self.bands, 7, axis=0), strict=True)
        rows = np.array([np.einsum("m,g,a->mga", mask, [1 - f, f], band).ravel() for mask, f, band in parts])
        rows /= rows.sum(axis=1, keepdims=True)
        band = np.digitize(self.years, AGE.bin_edges)
        truth = 6 * self.mask + np.repeat(3 * self.gender + band, 7)
        return find_label_issues(self.names, self.persons, rows, truth, SCHEME, np.repeat(self.years, 7), **more)


def _sure(rows):
    rows = np.clip(rows, 1e-4, None) ** 3
    return rows / rows.sum(axis=1, keepdims=True)


def test_a_wrong_label_beside_a_right_one_is_no_swap():
    """The label that is surely wrong alone would make the odds of a swap large."""
    data = FakeDataset()
    data.mask[7 * 33 + 6] = 0
    data.mask[7 * 33 + 1] = 2
    data.masks[7 * 33 + 1] = [0.18, 0.02, 0.8]
    (issue,) = (item for item in data.find() if item.attribute == "mask" and item.person == data.people[33])
    assert issue.photos == (f"{data.people[33]}/normal.jpg",)
    assert (issue.label, issue.proposed) == (("wear",), ("not_wear",))


def test_what_was_planted_comes_first():
    data = FakeDataset()
    clear = np.argsort(-np.abs(data.female - 0.5))
    genders = clear[:4]
    data.gender[genders] ^= 1
    olds = np.flatnonzero((data.years > 68) & (data.bands[:, 2] > 0.95))[:3]
    data.years[olds] = 22
    swapped = [7, 33]
    for person in swapped:
        data.mask[[7 * person, 7 * person + 6]] = [2, 1]
    data.mask[7 * 60 + 2] = 2
    suspects = data.find()
    expected = {(data.people[one], "gender") for one in genders} | {(data.people[one], "age") for one in olds}
    expected |= {(data.people[one], "mask") for one in (*swapped, 60)}
    first = suspects[: len(expected)]
    assert {(item.person, item.attribute) for item in first} == expected
    assert {item.person for item in first if item.swapped} == {data.people[one] for one in swapped}
    swap = next(item for item in first if item.swapped)
    assert (swap.label, swap.proposed) == (("not_wear", "incorrect"), ("incorrect", "not_wear"))
    assert "has the other's label" in swap.reason
    single = next(item for item in first if item.person == data.people[60])
    assert single.photos == (f"{data.people[60]}/mask2.jpg",)
    assert (single.label, single.proposed) == (("not_wear",), ("wear",))
    age = next(item for item in first if item.attribute == "age")
    assert (age.photos, age.label, age.proposed) == ((), ("<30",), (">=60",))
    assert age.reason.startswith("labeled 22; 7 of 7 photos predicted")
    scores = [item.score for item in suspects]
    assert scores == sorted(scores, reverse=True)
    assert all(0.03 < score <= 1 for score in scores)


def test_an_age_at_the_border_is_suspected_less_than_one_far_from_it():
    data = FakeDataset()
    young = np.flatnonzero((data.years < 27) & (data.bands[:, 0] > 0.9))[:2]
    data.bands[young] = [0.0002, 0.9996, 0.0002]
    data.years[young] = [18, 29]
    found = {item.person: item.score for item in data.find() if item.attribute == "age"}
    assert found[data.people[young[0]]] > 1.5 * found.get(data.people[young[1]], 0)


def test_a_rare_value_is_believed_with_less():
    """60 and over are few, and a model says so: 0.2 for them is much, and no reason to doubt."""
    data = FakeDataset(400)
    data.years = np.where(data.years >= 60, 45, data.years)
    data.bands = _sure(np.eye(3)[np.digitize(data.years, AGE.bin_edges)] + 0.05)
    data.years[:8] = 70
    data.bands[:8] = [0.05, 0.75, 0.2]
    assert not [item for item in data.find() if item.attribute == "age" and item.person in data.people[:8]]


def test_too_sure_a_model_is_tempered():
    rng = np.random.default_rng(1)
    codes = rng.integers(0, 3, 500)
    logits = np.eye(3)[codes] * 1.5 + rng.normal(0, 1, (500, 3))
    fair, sure = (
        np.exp(temperature * logits) / np.exp(temperature * logits).sum(axis=1, keepdims=True)
        for temperature in (1.5, 6.0)
    )
    tempered = fit_and_apply_temperature(sure, codes)
    assert np.allclose(tempered.sum(axis=1), 1)
    assert (tempered.argmax(axis=1) == sure.argmax(axis=1)).all()
    found = np.abs(tempered.max(axis=1).mean() - (tempered.argmax(axis=1) == codes).mean())
    assert found < 0.03 < np.abs(sure.max(axis=1).mean() - (sure.argmax(axis=1) == codes).mean())
    assert np.abs(tempered - fit_and_apply_temperature(fair, codes)).max() < 0.02, (
        "temperature is all that the two differ in"
    )
    assert np.isfinite(fit_and_apply_temperature(np.eye(3)[codes], codes)).all()


@given(st.lists(st.floats(0, 120), min_size=1, max_size=9), st.floats(0.5, 40))
@settings(max_examples=50)
def test_soft_labels_are_probabilities_that_follow_age(years, blur):
    ages = np.array(sorted(years))
    codes = np.digitize(ages, AGE.bin_edges)
    share = label_likelihood(AGE, codes, ages, blur)
    assert np.allclose(share.sum(axis=1), 1)
    assert (share >= 0).all()
    assert (np.diff(share[:, 0]) <= 1e-12).all()
    assert (np.diff(share[:, 2]) >= -1e-12).all()
    assert (label_likelihood(AGE, codes, ages, 0) == np.eye(3)[codes]).all()
    assert (label_likelihood(AGE, codes, np.full(len(ages), np.nan), blur) == np.eye(3)[codes]).all()


@given(st.randoms())
@settings(max_examples=5, deadline=None)
def test_the_order_of_photos_does_not_matter(random):
    data = FakeDataset(30)
    data.gender[3] ^= 1
    band = np.digitize(data.years, AGE.bin_edges)
    truth = 6 * data.mask + np.repeat(3 * data.gender + band, 7)
    rows = np.eye(18)[6 * data.mask + 3 * np.repeat(data.female > 0.5, 7) + np.repeat(band, 7)] + MIN_PROBABILITY
    rows /= rows.sum(axis=1, keepdims=True)
    order = list(range(len(truth)))
    one = find_label_issues(data.names, data.persons, rows, truth, SCHEME)
    random.shuffle(order)
    names, persons = ([items[place] for place in order] for items in (data.names, data.persons))
    two = find_label_issues(names, persons, rows[order], truth[order], SCHEME)
    assert [(item.person, item.attribute, item.label) for item in one] == [
        (item.person, item.attribute, item.label) for item in two
    ]
    assert np.allclose([item.score for item in one], [item.score for item in two])


def test_unknown_labels_are_not_judged_and_nonsense_is_refused():
    rows = np.full((4, 18), 1 / 18)
    names, persons = list("abcd"), list("wxyz")
    truth = np.array([UNKNOWN, 3, 4, 5])
    assert all(item.person != "w" for item in find_label_issues(names, persons, rows, truth, SCHEME))
    with pytest.raises(DataError, match="no photo has a label"):
        find_label_issues(names, persons, rows, np.full(4, UNKNOWN), SCHEME)
    with pytest.raises(DataError, match="noise"):
        find_label_issues(names, persons, rows, truth, SCHEME, noise=0.7)
    with pytest.raises(DataError, match="3 persons"):
        find_label_issues(names, persons[:3], rows, truth, SCHEME)
