"""Tests of FairFace, also of a copy that a spreadsheet changed."""

from __future__ import annotations

HEADER = "file,age,gender,race,service_test\n"


def test_bands_and_names_that_occur_in_train_and_val(write_tree, import_, labels_of):
    texts = {
        "fairface_label_train.csv": HEADER
        + "train/1.jpg,50-59,Male,East Asian,True\ntrain/2.jpg,0-2,Female,Indian,False\n",
        "fairface_label_val.csv": HEADER + "val/1.jpg,more than 70,Female,White,True\nval/9.jpg,3-9,Male,Black,False\n",
    }
    dataset = import_(write_tree("train/1.jpg", "train/2.jpg", "val/1.jpg", "val/new.jpg", texts=texts))
    assert dataset.format == "fairface"
    assert "1 photo has no row: val/new.jpg" in dataset.notes
    assert [(f"{row.photo.parent.name}/{row.photo.name}", dict(row.labels)) for row in dataset.rows] == [
        ("train/1.jpg", {"gender": "male", "age": "50 to 59"}),
        ("train/2.jpg", {"gender": "female", "age": "0 to 2"}),
        ("val/1.jpg", {"gender": "female", "age": "71+"}),
    ]
    assert [(item.location, item.reason) for item in dataset.left_out] == [
        ("fairface_label_val.csv row 3", "the photo does not exist")
    ]


def test_dates_of_a_spreadsheet_are_the_bands_that_they_were(write_tree, import_, labels_of):
    rows = "val/1.jpg,03-Sep,Male,East Asian,FALSE\nval/2.jpg,Oct-19,Female,White,TRUE\n"
    rows += "val/3.jpg,9-Mar,Female,White,TRUE\n"
    dataset = import_(write_tree("val/1.jpg", "val/2.jpg", "val/3.jpg", texts={"labels.csv": HEADER + rows}))
    assert [row.labels["age"] for row in dataset.rows] == ["3 to 9", "10 to 19", "3 to 9"]
    assert [note for note in dataset.notes if note.startswith("3 ages are dates")]


def test_paths_of_another_machine(write_tree, import_):
    texts = {
        "labels.csv": HEADER + "fairface/val/1.jpg,20-29,Male,White,True\n/data/ff/train/1.jpg,30-39,Male,White,True\n"
    }
    dataset = import_(write_tree("val/1.jpg", "train/1.jpg", texts=texts))
    assert [row.photo.parent.name for row in dataset.rows] == ["val", "train"]
