"""Tests of All-Age-Faces."""

from __future__ import annotations

LISTS = {
    "image sets/train.txt": "00000A02.jpg 0\n00001A35.jpg 1\n",
    "image sets/val.txt": "00002A80.jpg 0\n00009A44.jpg 1\n",
}
NAMES = ("00000A02.jpg", "00001A35.jpg", "00002A80.jpg", "00003A61.jpg")


def test_zero_is_female_and_both_lists_are_read(write_tree, import_, labels_of):
    photos = [f"{folder}/{name}" for folder in ("original images", "aglined faces") for name in NAMES]
    dataset = import_(write_tree(*photos, texts=LISTS))
    assert dataset.format == "all-age-faces"
    assert labels_of(dataset) == {
        "00000A02.jpg": {"gender": "female", "age": "2"},
        "00001A35.jpg": {"gender": "male", "age": "35"},
        "00002A80.jpg": {"gender": "female", "age": "80"},
        "00003A61.jpg": {"age": "61"},
    }
    assert {row.photo.parent.name for row in dataset.rows} == {"original images"}
    assert [(item.location, item.reason) for item in dataset.left_out] == [
        ("image sets/val.txt line 2", "the photo does not exist")
    ]
    assert [note for note in dataset.notes if "hold the same faces" in note]
    assert [note for note in dataset.notes if note.startswith("1 photo is in no list file")]


def test_the_folder_may_be_chosen(write_tree, import_):
    photos = [f"{folder}/{name}" for folder in ("original images", "aglined faces") for name in NAMES]
    root = write_tree(*photos, texts=LISTS)
    dataset = import_(root, images=root / "aglined faces")
    assert len(dataset.rows) == 4
    assert {row.photo.parent.name for row in dataset.rows} == {"aglined faces"}


def test_lists_that_overlap_are_compared(write_tree, import_, labels_of):
    texts = LISTS | {"image sets/val_shuffle.txt": "00001A35.jpg 0\n00000A02.jpg 0\n"}
    dataset = import_(write_tree(*NAMES, texts=texts))
    assert labels_of(dataset)["00000A02.jpg"] == {"gender": "female", "age": "2"}
    assert labels_of(dataset)["00001A35.jpg"] == {"age": "35"}
    assert [(item.photo.name, item.attribute) for item in dataset.disagreements] == [("00001A35.jpg", "gender")]
