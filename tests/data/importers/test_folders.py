"""Tests of class folders."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from maskfit.data.importers import write_manifest
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
    assert "--map covered=VALUE (values: wear, incorrect, not_wear" in error.value.hint
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


def persons_of(dataset) -> dict[str, str]:
    return {row.photo.name: row.person for row in dataset.rows}


def test_faces_of_masked_face_net_are_the_same_in_both_folders_and_in_ffhq(write_tree, import_, labels_of):
    root = write_tree(
        "CMFD/00000/00012_Mask.jpg", "IMFD/00000/00012_Mask_Mouth_Chin.jpg", "IMFD/00000/00013_Mask_Chin.jpg",
        "without_mask/00012.png",
    )  # fmt: skip
    dataset = import_(root)
    assert persons_of(dataset) == {
        "00012_Mask.jpg": "00012", "00012_Mask_Mouth_Chin.jpg": "00012", "00013_Mask_Chin.jpg": "00013",
        "00012.png": "00012",
    }  # fmt: skip
    assert labels_of(dataset)["00012_Mask_Mouth_Chin.jpg"] == {"mask": "incorrect"}
    assert any("MaskedFace-Net" in note for note in dataset.notes)
    # Numbers alone are no faces of FFHQ.
    root = write_tree("with_mask/00012.jpg", "without_mask/00012.png", folder="numbers")
    assert set(persons_of(import_(root)).values()) == {""}


def test_folders_of_the_real_world_masked_face_dataset_are_persons(write_tree, import_, labels_of):
    root = write_tree(
        "AFDB_masked_face_dataset/anna/0.jpg", "AFDB_face_dataset/anna/1.jpg", "AFDB_face_dataset/ben/2.jpg"
    )
    dataset = import_(root)
    assert persons_of(dataset) == {"0.jpg": "anna", "1.jpg": "anna", "2.jpg": "ben"}
    assert labels_of(dataset) == {
        "0.jpg": {"mask": "wear"},
        "1.jpg": {"mask": "not_wear"},
        "2.jpg": {"mask": "not_wear"},
    }
    assert not any("ignored" in note for note in dataset.notes)


def test_folders_in_several_classes_may_be_persons(write_tree, import_):
    root = write_tree("with_mask/anna/0.jpg", "without_mask/anna/1.jpg", "without_mask/hall/2.jpg")
    notes = [note for note in import_(root).notes if "--person '([^/]+)/[^/]*$'" in note]
    assert notes
    assert notes[0].startswith("1 of these folders is in several class folders")
    assert {*persons_of(import_(root, person="([^/]+)/[^/]*$")).values()} == {"anna", "hall"}
    root = write_tree("with_mask/anna/0.jpg", "without_mask/ben/1.jpg", folder="others")
    assert not any("several class folders" in note for note in import_(root).notes)


def test_names_that_a_manifest_cannot_hold_are_left_out(write_tree, import_):
    root = write_tree("with_mask/a.jpg", "without_mask/b.jpg")
    for name in (b"with_mask/\xff.jpg", b"with_mask/\xffnna/c.jpg"):
        copy = Path(os.fsdecode(os.fsencode(root) + b"/" + name))
        try:
            copy.parent.mkdir(exist_ok=True)
            copy.write_bytes((root / "with_mask/a.jpg").read_bytes())
        except OSError:
            pytest.skip("this file system takes only UTF-8")
    dataset = import_(root)
    assert {row.photo.name for row in dataset.rows} == {"a.jpg", "b.jpg"}
    assert [item.reason for item in dataset.left_out] == ["the file name is not UTF-8; rename it"] * 2
    assert write_manifest(dataset, root.parent / "m.csv").is_file()
