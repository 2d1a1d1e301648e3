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


def draw(sampler: Sampler, epoch: int = 0, seed: int = 0) -> np.ndarray:
    return sampler.sample_indices(derive_generator(seed, "order", epoch))


def by_class(indices: np.ndarray) -> dict[int, int]:
    return {int(number): int((CLASSES[indices] == number).sum()) for number in np.unique(CLASSES)}


@pytest.mark.parametrize("name", NAMES)
def test_every_epoch_has_the_length_that_is_said(name):
    sampler = make(name)
    for epoch in range(5):
        indices = draw(sampler, epoch)
        assert indices.dtype == np.int64
        assert indices.shape == (len(sampler),)
        assert indices.min() >= 0
        assert indices.max() < len(CLASSES)


@pytest.mark.parametrize("name", NAMES)
def test_an_epoch_follows_from_its_generator_and_no_two_are_alike(name):
    sampler = make(name)
    first = draw(sampler)
    assert np.array_equal(draw(sampler), first)
    assert np.array_equal(draw(make(name)), first)
    assert not np.array_equal(draw(sampler, 1), first)
    assert not np.array_equal(draw(sampler, 0, 1), first)
    assert not np.array_equal(first, np.sort(first))


@pytest.mark.parametrize("name", NAMES)
def test_photos_of_unknown_class_come_once_an_epoch(name):
    sampler = make(name)
    for epoch in range(3):
        indices = draw(sampler, epoch)
        unknown = indices[CLASSES[indices] == UNKNOWN]
        assert sorted(unknown.tolist()) == np.flatnonzero(CLASSES == UNKNOWN).tolist()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("classes", [[], [UNKNOWN] * 4, [5] * 4, [5]])
def test_where_there_is_one_class_or_none_everyone_comes(name, classes):
    sampler = make(name, np.array(classes, dtype=np.int64))
    indices = draw(sampler)
    assert len(indices) == len(sampler) == len(classes)
    if name != "weighted":
        assert sorted(indices.tolist()) == list(range(len(classes)))


def test_weighted_evens_out_by_chance():
    sampler = make("weighted")
    assert len(sampler) == len(CLASSES)
    indices = np.concatenate([draw(sampler, epoch) for epoch in range(300)])
    counts = by_class(indices)
    for number in KNOWN:
        assert counts[number] / (300 * 86) == pytest.approx(0.25, abs=0.015)
    # Within a class every photo is as likely.
    each = np.bincount(indices, minlength=len(CLASSES))[CLASSES == 7]
    assert each.min() > 0.6 * each.mean()
    assert each.max() < 1.5 * each.mean()


@pytest.mark.parametrize(("power", "share"), [(0.0, 60 / 86), (0.5, 60**0.5 / (60**0.5 + 20**0.5 + 5**0.5 + 1))])
def test_the_power_says_how_far_classes_are_evened_out(power, share):
    sampler = make("weighted", power=power)
    counts = by_class(np.concatenate([draw(sampler, epoch) for epoch in range(200)]))
    assert counts[7] / (200 * 86) == pytest.approx(share, abs=0.02)


def test_balanced_has_as_many_of_each_class_and_of_each_photo_in_it():
    sampler = make("class_balanced")
    assert len(sampler) == len(CLASSES)
    for epoch in range(3):
        indices = draw(sampler, epoch)
        counts = by_class(indices)
        assert sorted(counts[number] for number in KNOWN) == [21, 21, 22, 22]
        assert counts[7] == counts[0] == 22
        each = np.bincount(indices, minlength=len(CLASSES))
        for number in KNOWN:
            own = each[number == CLASSES]
            assert own.max() - own.min() <= 1


def test_under_cuts_down_to_the_smallest_and_takes_others_each_time():
    sampler = make("undersample")
    assert len(sampler) == 4 * 1 + 9
    assert all(by_class(draw(sampler, epoch))[number] == 1 for number in KNOWN for epoch in range(5))
    wide = make("undersample", ratio=5)
    indices = draw(wide)
    assert {number: by_class(indices)[number] for number in KNOWN} == {7: 5, 0: 5, 17: 5, 3: 1}
    assert len(np.unique(indices)) == len(indices)
    seen = np.unique(np.concatenate([draw(wide, epoch) for epoch in range(100)]))
    assert len(seen) == len(CLASSES)


def test_over_brings_up_to_the_largest_and_leaves_nobody_out():
    sampler = make("oversample")
    assert len(sampler) == 4 * 60 + 9
    indices = draw(sampler)
    assert all(by_class(indices)[number] == 60 for number in KNOWN)
    assert len(np.unique(indices)) == len(CLASSES)
    each = np.bincount(indices, minlength=len(CLASSES))
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
    photos = [replace(photo, repeat=3) if index in often else photo for index, photo in enumerate(plan.photos)]
    again, scored = replace(plan, photos=replace(plan.photos, photos=tuple(photos))).split(0)
    assert again.tolist() == [int(train[0])] * 2 + train.tolist()
    assert scored.tolist() == valid.tolist()
