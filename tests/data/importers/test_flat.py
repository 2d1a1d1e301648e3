"""Tests of labels in file names."""

from __future__ import annotations

import pytest

from maskfit.errors import DataError


def test_the_known_pattern_gives_persons_and_all_labels(write_tree, import_, labels_of):
    root = write_tree(
        "imgs/000001_female_Asian_23_mask1.jpg",
        "imgs/000001_female_Asian_23_normal.jpg",
        "000002_male_Asian_61_incorrect_mask.jpg",
    )
    dataset = import_(root)
    assert dataset.format == "flat"
    assert labels_of(dataset) == {
        "000001_female_Asian_23_mask1.jpg": {"mask": "wear", "gender": "female", "age": "23"},
        "000001_female_Asian_23_normal.jpg": {"mask": "not_wear", "gender": "female", "age": "23"},
        "000002_male_Asian_61_incorrect_mask.jpg": {"mask": "incorrect", "gender": "male", "age": "61"},
    }
    assert {row.person for row in dataset.rows} == {"000001_female_Asian_23", "000002_male_Asian_61"}


def test_ids_with_upload_prefixes(write_tree, import_):
    dataset = import_(
        write_tree("8f3a1c01-000001_mask1.jpg", "8f3a1c02-000001_normal.jpg", "8f3a1c03-000002-1_mask2.jpg")
    )
    assert [(row.person, row.labels["mask"]) for row in dataset.rows] == [
        ("000001", "wear"),
        ("000001", "not_wear"),
        ("000002-1", "wear"),
    ]


def test_words_in_other_names_only_where_the_format_is_named(write_tree, import_, labels_of):
    root = write_tree("with_mask_001.jpg", "002-noMask.jpg", "female mask 3.jpg", "b.jpg", "mask_weared_incorrect7.png")
    with pytest.raises(DataError, match="may be flat") as error:
        import_(root)
    assert "--format flat" in error.value.hint
    dataset = import_(root, "flat")
    assert labels_of(dataset) == {
        "with_mask_001.jpg": {"mask": "wear"},
        "002-noMask.jpg": {"mask": "not_wear"},
        "female mask 3.jpg": {"mask": "wear", "gender": "female"},
        "mask_weared_incorrect7.png": {"mask": "incorrect"},
    }
    assert [item.location for item in dataset.left_out] == ["b.jpg"]


def test_words_that_are_ignored_are_said(write_tree, import_, labels_of):
    dataset = import_(write_tree("00001_Mask.jpg", "00002_Mask_Chin.jpg", "00003_Mask_party.jpg"), "flat")
    assert [labels["mask"] for labels in labels_of(dataset).values()] == ["wear", "incorrect", "wear"]
    assert "other words in names, ignored: party (1)" in dataset.notes


def test_a_name_that_contradicts_itself_has_no_label(write_tree, import_, labels_of):
    dataset = import_(write_tree("with_mask_then_without_mask.jpg", "with_mask.jpg"), "flat")
    assert labels_of(dataset)["with_mask_then_without_mask.jpg"] == {}
    assert [(item.attribute, [cell for _, cell in item.readings]) for item in dataset.disagreements] == [
        ("mask", ["wear", "not_wear"])
    ]


def test_letters_for_with_and_without_are_asked_for(write_tree, import_, labels_of):
    """Read without them, all three would be masks that are worn; other letters in names say nothing."""
    root = write_tree("w_mask_1.jpg", "2-wo-mask.jpg", "w_o_Mask3.jpg", "f_mask_4.jpg")
    with pytest.raises(DataError, match="3 words are no value of the label schema"):
        import_(root, "flat")
    maps = ("w_mask=wear", "wo_mask=not_wear", "w_o_mask=not_wear")
    assert {name: labels["mask"] for name, labels in labels_of(import_(root, "flat", *maps)).items()} == {
        "w_mask_1.jpg": "wear",
        "2-wo-mask.jpg": "not_wear",
        "w_o_Mask3.jpg": "not_wear",
        "f_mask_4.jpg": "wear",
    }
