"""APPA-REAL's averages per photo."""

from __future__ import annotations

import pytest

from maskfit.data.importers.photo_finder import NOT_FOUND, SEVERAL_NAMES
from maskfit.errors import DataError

HEADER = "file_name,num_ratings,apparent_age_avg,apparent_age_std,real_age\n"


def test_the_real_age_of_the_face_is_read(write_tree, import_):
    """Names are counted anew in each part; the cropped face comes before the whole photo."""
    texts = {
        "gt_avg_train.csv": f"{HEADER}000000.jpg,36,5.05,0.71,4\n000001.jpg,36,18.1,2.0,21\n",
        "gt_avg_valid.csv": f"{HEADER}000000.jpg,40,60.0,3.1,63\n000002.jpg,40,60.0,3.1,63\n",
        "gt_train.csv": "file_name,age\n000000.jpg,5\n",
    }
    photos = ("train/000000.jpg", "train/000000.jpg_face.jpg", "train/000001.jpg", "valid/000000.jpg_face.jpg")
    root = write_tree(*photos, texts=texts)
    dataset = import_(root)
    assert dataset.format == "appa-real"
    assert [(row.photo.relative_to(root).as_posix(), dict(row.labels)) for row in dataset.rows] == [
        ("train/000000.jpg_face.jpg", {"age": "4"}),
        ("train/000001.jpg", {"age": "21"}),
        ("valid/000000.jpg_face.jpg", {"age": "63"}),
    ]
    assert [item.location for item in dataset.left_out] == ["gt_avg_valid.csv row 3: 000002.jpg"]
    assert any(note.startswith("2 rows take the cropped face") for note in dataset.notes)


def test_other_tables_are_none(write_tree, import_):
    root = write_tree("a.jpg", texts={"t.csv": "file_name,real_age\na.jpg,4\n"})
    with pytest.raises(DataError, match="no CSV of APPA-REAL"):
        import_(root, "appa-real")


@pytest.mark.parametrize("prefix", ["", "appa-real-release/"])
def test_no_photo_of_another_part_is_taken(write_tree, import_, prefix):
    """Where a part's photos are missing, those of another one have their names."""
    texts = {
        f"{prefix}gt_avg_train.csv": f"{HEADER}000000.jpg,36,5.05,0.71,4\n000001.jpg,36,18.1,2.0,21\n",
        f"{prefix}gt_avg_valid.csv": f"{HEADER}000000.jpg,40,60.0,3.1,63\n000001.jpg,40,60.0,3.1,64\n",
    }
    photos = (f"{prefix}train/000000.jpg", f"{prefix}train/000000.jpg_face.jpg", f"{prefix}valid/000001.jpg")
    root = write_tree(*photos, texts=texts)
    dataset = import_(root)
    assert [(row.photo.relative_to(root).as_posix(), dict(row.labels)) for row in dataset.rows] == [
        (f"{prefix}train/000000.jpg_face.jpg", {"age": "4"}),
        (f"{prefix}valid/000001.jpg", {"age": "64"}),
    ]
    assert [item.reason for item in dataset.left_out] == [NOT_FOUND, NOT_FOUND]


def test_photos_of_all_parts_in_one_folder_are_ambiguous(write_tree, import_):
    texts = {
        "gt_avg_train.csv": f"{HEADER}000000.jpg,36,5.05,0.71,4\n000001.jpg,36,18.1,2.0,21\n",
        "gt_avg_valid.csv": f"{HEADER}000000.jpg,40,60.0,3.1,63\n",
    }
    dataset = import_(write_tree("000000.jpg", "000001.jpg", texts=texts))
    assert [(row.photo.name, dict(row.labels)) for row in dataset.rows] == [("000001.jpg", {"age": "21"})]
    assert [item.reason for item in dataset.left_out] == [SEVERAL_NAMES, SEVERAL_NAMES]
