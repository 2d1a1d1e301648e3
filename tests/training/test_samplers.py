"""Sampling: how often each class and each photo comes, epoch for epoch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from maskfit.errors import RecipeError
from maskfit.labels.schema import UNKNOWN
from maskfit.registry import ComponentSpec, instantiate
from maskfit.training.plan import make_plan
from maskfit.training.samplers import SAMPLERS, Sampler
from maskfit.training.seeding import derive_generator

NAMES = list(SAMPLERS)
CLASSES = np.array([7] * 60 + [UNKNOWN] * 9 + [0] * 20 + [17] * 5 + [3] * 1)
CLASSES = CLASSES[np.random.default_rng(0).permutation(len(CLASSES))]
KNOWN = {7: 60, 0: 20, 17: 5, 3: 1}


def make(name: str, classes: np.ndarray = CLASSES, **options: object) -> Sampler:
    return instantiate(SAMPLERS, ComponentSpec.create(name, **options), classes=classes)


def draw(sampling: Sampler, epoch: int = 0, seed: int = 0) -> np.ndarray:
    return sampling.draw(derive_generator(seed, "order", epoch))


def by_class(places: np.ndarray) -> dict[int, int]:
    return {int(number): int((CLASSES[places] == number).sum()) for number in np.unique(CLASSES)}


@pytest.mark.parametrize("name", NAMES)
def test_every_epoch_has_the_length_that_is_said(name):
    sampling = make(name)
    for epoch in range(5):
        places = draw(sampling, epoch)
        assert places.dtype == np.int64
        assert places.shape == (len(sampling),)
        assert places.min() >= 0
        assert places.max() < len(CLASSES)


@pytest.mark.parametrize("name", NAMES)
def test_an_epoch_follows_from_its_generator_and_no_two_are_alike(name):
    sampling = make(name)
    first = draw(sampling)
    assert np.array_equal(draw(sampling), first)
    assert np.array_equal(draw(make(name)), first)
    assert not np.array_equal(draw(sampling, 1), first)
    assert not np.array_equal(draw(sampling, 0, 1), first)
    assert not np.array_equal(first, np.sort(first))


@pytest.mark.parametrize("name", NAMES)
def test_photos_of_unknown_class_come_once_an_epoch(name):
    sampling = make(name)
    for epoch in range(3):
        places = draw(sampling, epoch)
        unknown = places[CLASSES[places] == UNKNOWN]
        assert sorted(unknown.tolist()) == np.flatnonzero(CLASSES == UNKNOWN).tolist()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("classes", [[], [UNKNOWN] * 4, [5] * 4, [5]])
def test_where_there_is_one_class_or_none_everyone_comes(name, classes):
    sampling = make(name, np.array(classes, dtype=np.int64))
    places = draw(sampling)
    assert len(places) == len(sampling) == len(classes)
    if name != "weighted":
        assert sorted(places.tolist()) == list(range(len(classes)))


def test_weighted_evens_out_by_chance():
    sampling = make("weighted")
    assert len(sampling) == len(CLASSES)
    places = np.concatenate([draw(sampling, epoch) for epoch in range(300)])
    counts = by_class(places)
    for number in KNOWN:
        assert counts[number] / (300 * 86) == pytest.approx(0.25, abs=0.015)
    # Within a class every photo is as likely.
    each = np.bincount(places, minlength=len(CLASSES))[CLASSES == 7]
    assert each.min() > 0.6 * each.mean()
    assert each.max() < 1.5 * each.mean()


@pytest.mark.parametrize(("power", "share"), [(0.0, 60 / 86), (0.5, 60**0.5 / (60**0.5 + 20**0.5 + 5**0.5 + 1))])
def test_the_power_says_how_far_classes_are_evened_out(power, share):
    sampling = make("weighted", power=power)
    counts = by_class(np.concatenate([draw(sampling, epoch) for epoch in range(200)]))
    assert counts[7] / (200 * 86) == pytest.approx(share, abs=0.02)


def test_balanced_has_as_many_of_each_class_and_of_each_photo_in_it():
    sampling = make("class_balanced")
    assert len(sampling) == len(CLASSES)
    for epoch in range(3):
        places = draw(sampling, epoch)
        counts = by_class(places)
        assert sorted(counts[number] for number in KNOWN) == [21, 21, 22, 22]
        assert counts[7] == counts[0] == 22
        each = np.bincount(places, minlength=len(CLASSES))
        for number in KNOWN:
            own = each[number == CLASSES]
            assert own.max() - own.min() <= 1


def test_under_cuts_down_to_the_smallest_and_takes_others_each_time():
    sampling = make("undersample")
    assert len(sampling) == 4 * 1 + 9
    assert all(by_class(draw(sampling, epoch))[number] == 1 for number in KNOWN for epoch in range(5))
    wide = make("undersample", ratio=5)
    places = draw(wide)
    assert {number: by_class(places)[number] for number in KNOWN} == {7: 5, 0: 5, 17: 5, 3: 1}
    assert len(np.unique(places)) == len(places)
    seen = np.unique(np.concatenate([draw(wide, epoch) for epoch in range(100)]))
    assert len(seen) == len(CLASSES)


def test_over_brings_up_to_the_largest_and_leaves_nobody_out():
    sampling = make("oversample")
    assert len(sampling) == 4 * 60 + 9
    places = draw(sampling)
    assert all(by_class(places)[number] == 60 for number in KNOWN)
    assert len(np.unique(places)) == len(CLASSES)
    each = np.bincount(places, minlength=len(CLASSES))
    assert set(each[CLASSES == 17]) == {12}
    half = by_class(draw(make("oversample", ratio=0.5)))
    assert {number: half[number] for number in KNOWN} == {7: 60, 0: 30, 17: 30, 3: 30}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("weighted", {"power": -1}),
        ("weighted", {"power": 3}),
        ("weighted", {"power": float("nan")}),
        ("undersample", {"ratio": 0.5}),
        ("undersample", {"ratio": float("inf")}),
        ("oversample", {"ratio": 0}),
        ("oversample", {"ratio": 1.5}),
        ("class_balanced", {"power": 1}),
    ],
)
def test_options_out_of_range_are_the_recipes_mistake(name, options):
    with pytest.raises(RecipeError, match=name):
        make(name, **options)


def test_a_photo_that_counts_several_times_stands_several_times_in_an_epoch_and_once_in_judging(tiny):
    plan = make_plan(tiny())
    train, valid = plan.split(0)
    often = {int(train[0]), int(valid[0])}
    photos = [replace(photo, repeat=3) if place in often else photo for place, photo in enumerate(plan.photos)]
    again, judged = replace(plan, photos=replace(plan.photos, photos=tuple(photos))).split(0)
    assert again.tolist() == [int(train[0])] * 2 + train.tolist()
    assert judged.tolist() == valid.tolist()
