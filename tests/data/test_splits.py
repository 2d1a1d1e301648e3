"""Tests of person-level splits."""

from __future__ import annotations

import random
import time
import tracemalloc
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskfit.data.photo_dataset import Photo, PhotoDataset
from maskfit.data.splits import (
    TRAIN_ONLY,
    PersonSplits,
    check_no_overlap,
    describe_leak_risk,
    describe_stratum,
    make_person_splits,
    person_strata,
    read_splits,
)
from maskfit.errors import DataError
from maskfit.labels.schema import LABEL_SCHEMAS

SCHEMA = LABEL_SCHEMAS["mask-gender-age"]
SEVEN = ("wear",) * 5 + ("incorrect", "not_wear")


def make_set(persons: list[tuple[str, str, float, int]]) -> PhotoDataset:
    """A dataset in memory from (person, gender, age, photos)."""
    photos = [
        Photo(Path(), f"{person}/{number}", person, {"mask": SEVEN[number % 7], "gender": gender, "age": age})
        for person, gender, age, count in persons
        for number in range(count)
    ]
    return PhotoDataset(Path(), tuple(photos))


people = st.lists(
    st.tuples(
        st.integers(0, 60), st.sampled_from(["male", "female"]), st.sampled_from([20, 45, 60]), st.integers(1, 9)
    ),
    min_size=2,
    max_size=40,
    unique_by=lambda item: item[0],
).map(lambda rows: make_set([(f"p{number}", gender, float(age), count) for number, gender, age, count in rows]))


@settings(max_examples=60, deadline=None)
@given(photos=people, count=st.integers(1, 6), seed=st.integers(0, 2**32 - 1), val_fraction=st.floats(0.01, 0.99))
def test_no_person_is_on_both_sides(photos, count, seed, val_fraction):
    if count > len(photos.persons):
        return
    folds = make_person_splits(photos, SCHEMA, count, seed=seed, val_fraction=val_fraction)
    validated: Counter[int] = Counter()
    for fold in range(count):
        train, valid = folds.split(photos, fold)
        assert not {photos[i].person for i in train} & {photos[i].person for i in valid}
        assert sorted([*train.tolist(), *valid.tolist()]) == list(range(len(photos)))
        validated.update(valid.tolist())
    # No fold is skipped: with several, each photo is validated once; with a hold-out, at most once.
    assert set(validated.values()) == {1}
    assert count == 1 or len(validated) == len(photos)


@settings(max_examples=40, deadline=None)
@given(photos=people, seed=st.integers(0, 99), count=st.integers(1, 2), data=st.randoms(use_true_random=False))
def test_splits_do_not_depend_on_the_order_of_the_photos(photos, seed, count, data):
    mixed = list(photos)
    data.shuffle(mixed)
    other = PhotoDataset(photos.root, tuple(mixed))
    assert (
        make_person_splits(photos, SCHEMA, count, seed=seed).fold_of_person
        == make_person_splits(other, SCHEMA, count, seed=seed).fold_of_person
    )


@settings(max_examples=40, deadline=None)
@given(photos=people, seed=st.integers(0, 99), count=st.integers(2, 5))
def test_folds_are_balanced(photos, seed, count):
    if count > len(photos.persons):
        return
    folds = make_person_splits(photos, SCHEMA, count, seed=seed)
    strata = person_strata(photos, SCHEMA)
    weights = Counter(photo.person for photo in photos)
    for stratum in set(strata.values()):
        mine = [person for person in strata if strata[person] == stratum]
        sizes = [
            sum(weights[person] for person in mine if folds.fold_of_person[person] == fold) for fold in range(count)
        ]
        assert max(sizes) - min(sizes) <= max(weights[person] for person in mine)


def test_folds_of_a_large_dataset_differ_by_at_most_one_person():
    maker = random.Random(0)
    persons = [(f"{i:06d}", maker.choice(["male", "female"]), float(maker.randint(18, 60)), 7) for i in range(500)]
    photos = make_set(persons)
    folds = make_person_splits(photos, SCHEMA, 5, seed=0)
    strata = person_strata(photos, SCHEMA)
    assert len(set(strata.values())) == 6
    counts = Counter((strata[person], fold) for person, fold in folds.fold_of_person.items())
    for stratum in set(strata.values()):
        per_fold = [counts[stratum, fold] for fold in range(5)]
        assert max(per_fold) - min(per_fold) <= 1
    assert set(Counter(folds.fold_of_person.values()).values()) == {100}


def test_a_person_with_many_photos_is_balanced():
    photos = make_set([("p0", "male", 20.0, 9), *((f"p{i}", "male", 20.0, 1) for i in range(1, 10))])
    for seed in range(5):
        folds = make_person_splits(photos, LABEL_SCHEMAS["gender-age"], 2, seed=seed)
        assert Counter(folds.fold_of_person[photo.person] for photo in photos) == {0: 9, 1: 9}


def test_splits_depend_only_on_the_seed():
    photos = make_set([(f"p{i}", "male", 20.0, 7) for i in range(20)])
    first, again, other = (make_person_splits(photos, SCHEMA, 4, seed=seed).fold_of_person for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_a_hold_out_is_stratified():
    photos = make_set(
        [(f"m{i}", "male", 20.0, 7) for i in range(60)] + [(f"f{i}", "female", 60.0, 7) for i in range(40)]
    )
    folds = make_person_splits(photos, SCHEMA, 1, seed=0, val_fraction=0.1)
    assert Counter((person[0], fold) for person, fold in folds.fold_of_person.items() if fold == 0) == {
        ("m", 0): 6,
        ("f", 0): 4,
    }
    train, valid = folds.split(photos, 0)
    assert (len(train), len(valid)) == (630, 70)
    # Persons are drawn without replacement: a hundred different people, each with all seven photos on one side.
    assert len(folds.fold_of_person) == 100
    assert set(Counter(photos[i].person for i in valid).values()) == {7}


def test_a_hold_out_has_at_least_one_person_on_each_side():
    photos = make_set([("a", "male", 20.0, 1), ("b", "female", 20.0, 1)])
    for fraction in (0.01, 0.99):
        assert sorted(make_person_splits(photos, SCHEMA, 1, seed=0, val_fraction=fraction).fold_of_person.values()) == [
            TRAIN_ONLY,
            0,
        ]


def test_suffixed_and_repeated_ids_are_different_persons(remember):
    folders = ("001498_male_Asian_23", "001498-1_male_Asian_23", "003397_male_Asian_20", "003397_male_Asian_56")
    folds = make_person_splits(remember(*folders), SCHEMA, 4, seed=0)
    assert sorted(folds.fold_of_person) == sorted(folders)
    assert sorted(folds.fold_of_person.values()) == [0, 1, 2, 3]


def test_person_strata(remember):
    strata = person_strata(remember("000001_female_Asian_45"), SCHEMA)
    assert describe_stratum(strata["000001_female_Asian_45"], SCHEMA) == "female, 30-59"
    alone = PhotoDataset(Path(), (Photo(Path(), "a.jpg", "a.jpg", {"mask": "wear"}),))
    assert describe_stratum(person_strata(alone, SCHEMA)["a.jpg"], SCHEMA) == "worn, unknown, unknown"


@pytest.mark.parametrize(
    ("persons", "num_folds", "val_fraction", "match"),
    [
        (3, 4, 0.1, "3 persons are too few for 4 folds"),
        (1, 1, 0.1, "1 person is too few"),
        (0, 2, 0.1, "0 persons are too few"),
        (5, 0, 0.1, "must be >= 1, got 0"),
        (5, 1, 0.0, "between 0 and 1, got 0"),
        (5, 1, 1.0, "between 0 and 1, got 1"),
        (5, 1, float("nan"), "between 0 and 1, got nan"),
    ],
)
def test_invalid_arguments_are_rejected(persons, num_folds, val_fraction, match):
    photos = make_set([(f"p{i}", "male", 20.0, 7) for i in range(persons)])
    with pytest.raises(DataError, match=match):
        make_person_splits(photos, SCHEMA, num_folds, seed=0, val_fraction=val_fraction)


def test_splits_round_trip(tmp_path):
    photos = make_set([(f"p{i}", "male", 20.0, 7) for i in range(9)])
    for count in (1, 3):
        folds = make_person_splits(photos, SCHEMA, count, seed=0)
        back = read_splits(folds.write(tmp_path / "folds.csv"))
        assert back == folds
        assert back.split(photos, 0)[1].tolist() == folds.split(photos, 0)[1].tolist()


@pytest.mark.parametrize(
    ("rows", "match"),
    [
        ("a,0\nb,1\na,1\n", "row 4: a is already in fold 0 and would leak into 1"),
        ("a,0\nb,x\n", "row 3: 'x' is not a fold number"),
        ("a,0\nb,1.5\n", "'1.5' is not a fold number"),
        ("a,0\nb,2\n", "without a gap"),
        ("a,1\nb,2\n", "without a gap"),
        ("a,0\nb,-2\n", "-2 is not a fold"),
        ("a,-1\n", "found: none"),
        ("", "found: none"),
        (",0\n", "the person is empty"),
    ],
)
def test_invalid_split_files_are_rejected(tmp_path, rows, match):
    (tmp_path / "folds.csv").write_text("person,fold\n" + rows)
    with pytest.raises(DataError, match=match):
        read_splits(tmp_path / "folds.csv")


def test_split_errors():
    photos = make_set([("a", "male", 20.0, 2), ("b", "male", 20.0, 2)])
    with pytest.raises(DataError, match="b has no fold"):
        PersonSplits({"a": 0, "c": 1}, 2).split(photos, 0)
    with pytest.raises(DataError, match="no photo to validate on"):
        PersonSplits({"a": 0, "b": 0, "c": 1}, 2).split(photos, 1)
    with pytest.raises(DataError, match="no photo to train on"):
        PersonSplits({"a": 0, "b": 0, "c": 1}, 2).split(photos, 0)
    with pytest.raises(DataError, match="there is no fold 2"):
        PersonSplits({"a": 0, "b": 1}, 2).split(photos, 2)
    train, valid = PersonSplits({"a": 0, "b": 1, "stranger": 1}, 2).split(photos, 1)
    assert (train.tolist(), valid.tolist()) == ([0, 1], [2, 3])
    assert train.dtype == valid.dtype == np.int64


def test_check_no_overlap():
    with pytest.raises(DataError, match="anna is on both sides"):
        check_no_overlap(["anna", "anna", "bea"], [0], [1, 2])
    check_no_overlap(["anna", "anna", "bea"], [0, 1], [2])


def test_folds_as_pandas_writes_them_in_a_column_with_gaps(tmp_path):
    (tmp_path / "folds.csv").write_text("person,fold\na,0.0\nb,1.0\nc,-1.0\n")
    assert read_splits(tmp_path / "folds.csv").fold_of_person == {"a": 0, "b": 1, "c": -1}


def test_a_dataset_without_persons_may_leak():
    alone = make_set([("a", "male", 20.0, 1), ("b", "male", 20.0, 1)])
    assert describe_leak_risk(alone) == ""
    unknown = replace(alone, photos=tuple(replace(photo, person=photo.name) for photo in alone))
    assert "each of the 2 counts as a person of its own, and folds may leak" in describe_leak_risk(unknown)
    assert describe_leak_risk(unknown.select([0])) == ""
    assert describe_leak_risk(replace(unknown, photos=(unknown[0], alone[1]))) == ""


@pytest.mark.parametrize("fold", [30_000_000, 3_000_000_000, 2**63, 10**17, "9" * 5000, "0" * 900 + "7"])
def test_a_fold_number_from_a_file_costs_nothing(tmp_path, fold):
    """Neither memory nor time grows with the number."""
    path = tmp_path / "folds.csv"
    path.write_text(f"person,fold\na,0\nb,1\nc,{fold}\n")
    begin = time.perf_counter()
    tracemalloc.start()
    try:
        with pytest.raises(DataError) as caught:
            read_splits(path)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
    assert time.perf_counter() - begin < 2
    assert str(path) in str(caught.value)
