"""Tests of the competition's layout, with the irregularities of the real dataset."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from maskfit.data.competition_layout import find_person
from maskfit.data.read_dataset import read_photos, scan_photos
from maskfit.errors import DataError
from maskfit.labels.schema import LABEL_SCHEMAS

REAL = Path(os.environ.get("MASKFIT_REAL_PHOTOS", "nowhere")) / "masked-faces/train"


def test_seven_photos_become_seven_labels(tmp_path, write_person, schema):
    write_person(tmp_path, "000001_female_Asian_45")
    photos = read_photos(tmp_path, schema)
    assert [photo.name.split("/")[1] for photo in photos][:2] == ["incorrect_mask.jpg", "mask1.jpg"]
    assert photos[0].path.is_file()
    assert photos[0].labels == {"mask": "incorrect", "gender": "female", "age": 45.0}
    assert isinstance(photos[0].labels["age"], float)
    assert sorted(schema.to_class_index(photos.attribute_indices(schema)).tolist()) == [4] * 5 + [10, 16]


@pytest.mark.parametrize(("age", "band"), [(29, 0), (30, 1), (59, 1), (60, 2)])
def test_bands_begin_at_30_and_60(tmp_path, write_photo, schema, age, band):
    write_photo(tmp_path / f"000001_male_Asian_{age}" / "mask1.jpg")
    assert read_photos(tmp_path, schema).attribute_indices(schema)[0, 2] == band


def test_the_whole_folder_name_is_the_person(tmp_path, write_person, schema):
    """001498 and 001498-1 are two people, and so are two folders with one id; splits by id would leak."""
    folders = ["001498_male_Asian_23", "001498-1_male_Asian_23", "003397_female_Asian_20", "003397_female_Asian_56"]
    for folder in folders:
        write_person(tmp_path, folder)
    photos = read_photos(tmp_path, schema)
    assert sorted(photos.persons) == sorted(folders)
    assert len(photos) == 28


def test_images_subfolder_is_used_only_without_person_folders(tmp_path, write_person, schema):
    write_person(tmp_path / "images", "000001_male_Asian_20")
    (tmp_path / "train.csv").write_text("id,gender,race,age,path\n")
    below = read_photos(tmp_path, schema)
    assert below.root == tmp_path / "images"
    assert below.photos == read_photos(tmp_path / "images", schema).photos
    write_person(tmp_path, "000002_male_Asian_20")
    with pytest.raises(DataError, match="images: expected ID_gender_race_age"):
        read_photos(tmp_path, schema)


def test_hidden_and_system_files_are_ignored_and_counted(tmp_path, write_person, schema):
    folder = write_person(tmp_path, "000001_male_Asian_20")
    (folder / "._mask1.jpg").write_bytes(b"\0\5\26\7")
    (folder / "Thumbs.db").write_bytes(b"x")
    (tmp_path / ".DS_Store").write_bytes(b"x")
    (tmp_path / "__MACOSX").mkdir()
    photos, problems = scan_photos(tmp_path, schema)
    assert len(photos) == 7
    assert [(problem.severity, problem.message[:2]) for problem in problems] == [("note", "4 ")]


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".png", ".JPG", ".PNG"])
def test_every_suffix_is_read(tmp_path, write_person, schema, suffix):
    write_person(tmp_path, "000001_male_Asian_20", suffix)
    assert len(read_photos(tmp_path, schema)) == 7


def test_all_bad_names_are_in_one_error_with_the_pattern(tmp_path, write_person, schema):
    folder = write_person(tmp_path, "000001_male_Asian_20")
    for name in ("000002_male_20", "000003_mail_Asian_20", "000004_male_Asian_old", "000005_female_Asian_450"):
        write_person(tmp_path, name)
    (folder / "mask6.jpg").write_bytes(b"x")
    (folder / "notes.txt").write_text("x")
    (folder / "more").mkdir()
    (tmp_path / "stray.jpg").write_bytes(b"x")
    with pytest.raises(DataError) as caught:
        read_photos(tmp_path, schema)
    text = str(caught.value)
    for name in ("000002_male_20", "'mail'", "000004_male_Asian_old", "450", "mask6", "notes.txt", "more", "stray.jpg"):
        assert name in text
    assert "8 problems" in text
    assert "000001_female_Asian_45" in text
    assert "mask1 to mask5, incorrect_mask or normal" in text


def test_a_duplicate_stem_is_rejected(tmp_path, write_person, write_photo, schema):
    write_photo(write_person(tmp_path, "000001_male_Asian_20") / "mask1.png")
    with pytest.raises(DataError, match=r"mask1 is there twice, the other is mask1\.jpg"):
        read_photos(tmp_path, schema)


def test_incomplete_persons_give_a_warning(tmp_path, write_photo, schema):
    write_photo(tmp_path / "000001_male_Asian_20" / "normal.jpg")
    (tmp_path / "000002_male_Asian_20").mkdir()
    photos, problems = scan_photos(tmp_path, schema)
    assert len(photos) == 1
    assert [problem.severity for problem in problems] == ["warning", "warning"]
    assert "missing: mask1, mask2" in problems[0].message


def test_an_empty_or_missing_root_is_an_error(tmp_path, schema):
    with pytest.raises(DataError, match="no photos here"):
        read_photos(tmp_path, schema)
    with pytest.raises(DataError, match="no such folder"):
        read_photos(tmp_path / "nowhere", schema)
    (tmp_path / "photo.txt").write_text("x")
    with pytest.raises(DataError, match=r"neither a folder nor a \.csv"):
        read_photos(tmp_path / "photo.txt", schema)


def test_the_order_does_not_depend_on_the_file_system(tmp_path, write_person, schema, monkeypatch):
    for number in (3, 1, 2):
        write_person(tmp_path, f"00000{number}_male_Asian_20")
    expected = [photo.name for photo in read_photos(tmp_path, schema)]
    assert expected == sorted(expected)


def test_circular_links_are_not_followed(tmp_path, write_person, schema):
    folder = write_person(tmp_path, "000001_male_Asian_20")
    os.symlink(tmp_path, folder / "mask")
    os.symlink(tmp_path / "gone.jpg", folder / "mask9.jpg")
    photos, problems = scan_photos(tmp_path, schema)
    assert len(photos) == 7
    assert [problem.message.split(" in ")[0] for problem in problems] == ["a folder", "a broken link"]


def test_labels_outside_of_the_schema_are_kept(tmp_path, write_person):
    write_person(tmp_path, "000001_male_Asian_20")
    photos = read_photos(tmp_path, LABEL_SCHEMAS["gender"])
    assert photos.attribute_indices(LABEL_SCHEMAS["gender"]).tolist() == [[0]] * 7
    assert photos[0].labels["age"] == 20.0


@pytest.mark.skipif(not REAL.is_dir(), reason="needs real photos; MASKFIT_REAL_PHOTOS names their folder")
def test_the_real_dataset(schema):
    photos = read_photos(REAL, schema)
    assert (len(photos), len(photos.persons)) == (4200, 600)
    assert len({photo.path.suffix for photo in photos}) == 3
    assert schema.to_class_index(photos.attribute_indices(schema)).min() >= 0


@pytest.mark.parametrize(
    ("stem", "person"),
    [
        ("000001_female_Asian_23_mask1", "000001_female_Asian_23"),
        ("8f3a1c01-001498-1_male_Asian_40-normal", "001498-1_male_Asian_40"),
        ("000001_mask1", "000001"),
        ("8f3a1c01-001498-1_incorrect_mask", "001498-1"),
        ("000001_female_Asian_23", ""),
        ("cam_left_front_12_3", ""),
        ("IMG_1234", ""),
        ("000001_photo", ""),
    ],
)
def test_persons_in_file_names(stem, person):
    assert find_person(stem) == person
