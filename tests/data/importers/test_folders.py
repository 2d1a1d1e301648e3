"""Tests of class folders."""

from __future__ import annotations

import pytest

from maskfit.errors import DataError


def test_folders_are_read_by_synonyms_below_train_and_val(write_tree, import_, labels_of):
    root = write_tree(
        "train/with_mask/a.jpg", "train/Without Mask/b.jpg", "val/mask_weared_incorrect/c.jpg", "val/with_mask/d.jpg"
    )
    dataset = import_(root)
    assert dataset.format == "folders"
    assert labels_of(dataset) == {
        "a.jpg": {"mask": "wear"},
        "b.jpg": {"mask": "not_wear"},
        "c.jpg": {"mask": "incorrect"},
        "d.jpg": {"mask": "wear"},
    }
    assert [note for note in dataset.notes if "train, val are imported together" in note]


def test_nested_and_combined_names_give_several_labels(write_tree, import_, labels_of):
    root = write_tree("mask/female/a.jpg", "without_mask/male/b.jpg")
    expected = {"a.jpg": {"mask": "wear", "gender": "female"}, "b.jpg": {"mask": "not_wear", "gender": "male"}}
    assert labels_of(import_(root)) == expected
    root = write_tree("mask_female/a.jpg", "male-without-mask/b.jpg", folder="combined")
    assert labels_of(import_(root)) == expected


def test_unknown_words_are_asked_for_all_at_once_and_mapped(write_tree, import_, labels_of):
    root = write_tree("covered/a.jpg", "covered/b.jpg", "lady/c.jpg", "rest/d.jpg")
    with pytest.raises(DataError, match="--format folders"):
        import_(root)
    with pytest.raises(DataError) as error:
        import_(root, "folders")
    assert error.value.message.splitlines() == [
        "3 words are no value of the label schema:",
        "- 'covered' (2 rows)",
        "- 'lady' (1 row)",
        "- 'rest' (1 row)",
    ]
    assert "--map covered=wear" in error.value.hint
    dataset = import_(root, None, "covered=wear", "lady=not_wear,female", "rest=skip")
    assert labels_of(dataset) == {
        "a.jpg": {"mask": "wear"},
        "b.jpg": {"mask": "wear"},
        "c.jpg": {"mask": "not_wear", "gender": "female"},
    }
    assert [(item.location, item.reason) for item in dataset.left_out] == [("rest/d.jpg", "left out by --map")]


def test_numbers_as_folders_need_a_map(write_tree, import_, labels_of):
    root = write_tree("0/a.jpg", "1/b.jpg")
    with pytest.raises(DataError, match="2 words are no value"):
        import_(root, "folders")
    assert labels_of(import_(root, None, "0=not_wear", "1=wear")) == {
        "a.jpg": {"mask": "not_wear"},
        "b.jpg": {"mask": "wear"},
    }


def test_photos_outside_class_folders_are_listed(write_tree, import_):
    dataset = import_(write_tree("mask/a.jpg", "train/b.jpg", "c.jpg"), "folders")
    assert [item.location for item in dataset.left_out] == ["c.jpg", "train/b.jpg"]
    assert len(dataset.rows) == 1
