"""Predictions by person: gender and age are pooled over a person's photos, the mask stays with its photo."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskfit.errors import DataError
from maskfit.inference.person_pooling import (
    persons_of_folders,
    pool_predictions,
    pool_probabilities,
    pooled_attributes,
)
from maskfit.inference.prediction import BatchPredictions
from maskfit.labels.schema import LABEL_SCHEMAS

FULL = LABEL_SCHEMAS["mask-gender-age"]


def rows_of(seed: int, count: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return FULL.joint_probabilities({name: rng.dirichlet(np.ones(size), count) for name, size in FULL.sizes.items()})


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000), st.integers(1, 5))
def test_each_attribute_is_the_mean_over_the_persons_photos_but_the_mask(seed: int, num_persons: int):
    rows = rows_of(seed, 12)
    persons = np.random.default_rng(seed).integers(0, num_persons, 12)
    found = FULL.marginals(pool_probabilities(FULL, rows, persons))
    before = FULL.marginals(rows)
    for photo in range(12):
        own = persons == persons[photo]
        np.testing.assert_allclose(found["mask"][photo], before["mask"][photo])
        for name in ("gender", "age"):
            np.testing.assert_allclose(found[name][photo], before[name][own].mean(axis=0))


def test_a_person_with_one_photo_is_unchanged_and_the_order_does_not_matter():
    rows = rows_of(1, 6)
    persons = np.array(["a", "b", "a", "c", "a", "d"])
    found = pool_probabilities(FULL, rows, persons)
    np.testing.assert_array_equal(found[[1, 3, 5]], rows[[1, 3, 5]])
    order = np.array([4, 1, 5, 0, 3, 2])
    np.testing.assert_allclose(pool_probabilities(FULL, rows[order], persons[order]), found[order])
    np.testing.assert_allclose(pool_probabilities(FULL, found, persons), found, atol=1e-12)


def test_batches_become_one_with_counts_in_words():
    rows = rows_of(2, 5)
    batches = [
        BatchPredictions(FULL, ("a/1.jpg", "a/2.jpg"), rows[:2], {"m": rows[:2]}, {"bad.jpg": "empty"}),
        BatchPredictions(FULL, ("a/3.jpg", "b/1.jpg", "c/1.jpg"), rows[2:], {"m": rows[2:]}, {}, ("c/1.jpg",)),
    ]
    pooled = pool_predictions(batches, ["a", "a", "a", "b", "c"])
    found = pooled.predictions
    assert found.names == ("a/1.jpg", "a/2.jpg", "a/3.jpg", "b/1.jpg", "c/1.jpg")
    np.testing.assert_allclose(found.probabilities, pool_probabilities(FULL, rows, list("aaabc")))
    assert (found.unreadable, found.fallback_crops) == ({"bad.jpg": "empty"}, ("c/1.jpg",))
    changed = int((found.classes != rows.argmax(axis=1)).sum())
    assert str(pooled) == (
        "by person: gender, age pooled over 3 photos of 1 person with several photos; "
        f"the class of {changed} photo{'s' * (changed != 1)} changed"
    )
    assert "no person has several photos" in str(pool_predictions(batches, list("abcde")))


def test_a_model_of_masks_has_nothing_to_pool():
    assert pooled_attributes(LABEL_SCHEMAS["gender-age"]) == ("gender", "age")
    with pytest.raises(DataError, match="the models predict mask only"):
        pooled_attributes(LABEL_SCHEMAS["mask"])


def test_the_person_is_the_folder():
    assert persons_of_folders(["a/1.jpg", "x/a/2.jpg", "3.jpg", "a/4.jpg"]) == ["a", "x/a", "3.jpg", "a"]
    with pytest.raises(DataError, match="no photo is in a folder that names its person"):
        persons_of_folders(["1.jpg", "2.jpg"])
    with pytest.raises(DataError, match=r"1 row with a face of a photo, such as a/2\.jpg\[1,2,30,40\]"):
        persons_of_folders(["a/1.jpg", "a/2.jpg[1,2,30,40]"])
