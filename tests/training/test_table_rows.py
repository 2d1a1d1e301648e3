"""Rows of a table for photos: names in other spellings, paths, links, and what is ambiguous."""

from __future__ import annotations

import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest

from maskfit.data.photo_dataset import Photo
from maskfit.errors import DataError
from maskfit.training.table_rows import find_rows


def photo(path: Path, name: str) -> Photo:
    return Photo(path, name, person=name, labels={})


def test_names_of_other_systems(tmp_path: Path) -> None:
    hangul = unicodedata.normalize("NFC", "\uac00\ub098.jpg")
    names = ["x\\a.jpg", unicodedata.normalize("NFD", hangul), "b\\c.jpg", "x\\face.jpg[1,2,3,4]"]
    table = tmp_path / "table.csv"
    dataset = [
        photo(tmp_path / hangul, hangul),
        photo(tmp_path / "x" / "a.jpg", "x/a.jpg"),
        photo(tmp_path / "b\\c.jpg", "b\\c.jpg"),
        replace(photo(tmp_path / "x" / "face.jpg", "x/face.jpg[1,2,3,4]"), box=(1, 2, 3, 4)),
        photo(tmp_path / "gone.jpg", "gone.jpg"),
    ]
    assert find_rows(names, dataset, table).tolist() == [1, 0, 2, 3, -1]
    # A name with a backslash and one with a slash are two photos of a folder that has both.
    assert find_rows(["b\\c.jpg", "b/c.jpg"], [photo(tmp_path / "b" / "c.jpg", "b/c.jpg")], table).tolist() == [1]


def test_the_photos_of_another_dataset_do_not_take_the_rows_of_their_namesakes(tmp_path: Path) -> None:
    own, extra = photo(tmp_path / "own" / "a.jpg", "a.jpg"), photo(tmp_path / "extra" / "a.jpg", "a.jpg")
    assert find_rows(["a.jpg"], [own, extra], tmp_path / "table.csv").tolist() == [0, -1]
    assert find_rows(["a.jpg"], [own, extra, own], tmp_path / "table.csv").tolist() == [0, -1, 0]
    assert find_rows(["a.jpg", "extra/a.jpg"], [own, extra], tmp_path / "table.csv").tolist() == [0, 1]


def test_links_to_one_file_are_two_photos(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "1").write_bytes(b"")
    (tmp_path / "photos").mkdir()
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / "photos" / name).symlink_to(tmp_path / "store" / "1")
    (tmp_path / "linked").symlink_to(tmp_path / "photos")
    dataset = [photo(tmp_path / "photos" / name, name) for name in ("a.jpg", "b.jpg")]
    assert find_rows(["linked/b.jpg", "photos/a.jpg"], dataset, tmp_path / "t.csv").tolist() == [1, 0]
    assert find_rows(["store/1"], dataset[:1], tmp_path / "t.csv").tolist() == [0]


def test_two_rows_of_one_photo_are_named(tmp_path: Path) -> None:
    dataset = [photo(tmp_path / "photos" / "a.jpg", "a.jpg")]
    with pytest.raises(DataError, match=r"photos/a\.jpg and \./photos/a\.jpg"):
        find_rows(["photos/a.jpg", "./photos/a.jpg"], dataset, tmp_path / "t.csv")


def test_a_name_that_is_no_path_matches_nothing(tmp_path: Path) -> None:
    assert find_rows(["a\0.jpg", "x" * 300], [photo(tmp_path / "a.jpg", "a.jpg")], tmp_path / "t.csv").tolist() == [-1]
