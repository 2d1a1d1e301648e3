"""Tests of finding the photos of a manifest: listing a folder gives what looking up each photo gives."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest

from maskfit.data import manifest_files
from maskfit.data.manifest_files import ROWS_BEFORE_LISTING, PhotoFiles, find_file, name_photo

KOREAN = "사진.jpg"
NAMES = ("a.jpg", "sub/a.jpg", "sub/deep/c d.jpg", f"sub/{unicodedata.normalize('NFD', KOREAN)}", "sub/.hidden.jpg")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A dataset with links, a folder with a photo's name, and a file beside it."""
    root = tmp_path / "data"
    for name in NAMES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    (root / "sub" / "folder.jpg").mkdir()
    (tmp_path / "beside.jpg").write_bytes(b"x")
    (root / "sub" / "link.jpg").symlink_to(root / "a.jpg")
    (root / "sub" / "broken.jpg").symlink_to(root / "nothing.jpg")
    (root / "sub" / "circle.jpg").symlink_to("circle.jpg")
    (root / "linked").symlink_to(root / "sub")
    return root


def cells(root: Path) -> list[str]:
    plain = [*NAMES, f"sub/{KOREAN}", "sub/link.jpg", "linked/a.jpg", "sub/none.jpg", "sub/folder.jpg", "none/a.jpg"]
    odd = ["", "/", "sub/", ".", "..", "sub/..", "./a.jpg", "sub//a.jpg", "sub/./a.jpg", "sub/../a.jpg", "sub\\a.jpg"]
    odd += ["sub/broken.jpg", "sub/circle.jpg", "../beside.jpg", "a.jpg\0", "\0/a.jpg", "a" * 5000]
    return [*plain, *odd, str(root / "a.jpg"), str(root.parent / "beside.jpg"), "/none.jpg"]


@pytest.mark.parametrize("rows_before_listing", [0, 1, ROWS_BEFORE_LISTING])
def test_a_list_finds_what_a_lookup_finds(root, monkeypatch, rows_before_listing):
    monkeypatch.setattr(manifest_files, "ROWS_BEFORE_LISTING", rows_before_listing)
    for base in (root, Path(os.path.relpath(root))):
        files = PhotoFiles(base)
        for cell in cells(root) * 2:
            found, expected = files.find(cell), find_file(cell, base)
            assert (found and found.path) == expected, cell
            if found and expected:
                assert str(found.path) == str(expected)
                assert found.name == name_photo(expected, cell, base)
                assert os.path.abspath(found.absolute) == os.path.abspath(expected)


def test_a_folder_is_listed_once(root, monkeypatch):
    listed = []
    monkeypatch.setattr(os, "scandir", lambda path, scandir=os.scandir: listed.append(path) or scandir(path))
    files = PhotoFiles(root)
    for _ in range(ROWS_BEFORE_LISTING):
        assert files.find("sub/a.jpg")
    assert not listed
    for _ in range(5):
        assert files.find("sub/a.jpg")
        assert files.find("sub/none.jpg") is None
    assert listed == [os.path.join(root, "sub/")]


def test_a_folder_that_cannot_be_listed(root, monkeypatch):
    def refuse(path: str) -> None:
        raise PermissionError(path)

    monkeypatch.setattr(os, "scandir", refuse)
    files = PhotoFiles(root)
    assert all(files.find("sub/a.jpg") for _ in range(ROWS_BEFORE_LISTING + 2))


def test_both_forms_of_a_name_are_one_photo(root):
    files = PhotoFiles(root)
    found = [files.find(f"sub/{unicodedata.normalize(form, KOREAN)}") for form in ("NFC", "NFD")]
    assert found[0] == found[1]
