"""Tests of evaluation lists and image folders."""

from __future__ import annotations

import os
import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from maskfit.data.image_lists import ImageFolder, default_folder, find_images, read_image_list
from maskfit.data.read_dataset import read_photos
from maskfit.errors import DataError
from maskfit.inference.submission import read_truth
from maskfit.labels.schema import LABEL_SCHEMAS


@pytest.fixture
def listing(tmp_path: Path) -> Callable[[str], tuple[Path, Path]]:
    """Writes info.csv next to images/ with c.jpg, a.jpg, b.png."""
    images = tmp_path / "images"
    images.mkdir()
    for name in ("c.jpg", "a.jpg", "b.png"):
        (images / name).write_bytes(b"x")
    (tmp_path / "secret.jpg").write_bytes(b"x")

    def write(text: str) -> tuple[Path, Path]:
        path = tmp_path / "info.csv"
        path.write_text(text)
        return path, images

    return write


@pytest.mark.parametrize("text", ["ImageID,ans\nc.jpg,0\na.jpg,\nb.png,0\n", "ImageID\nc.jpg\na.jpg\nb.png\n"])
def test_the_order_of_the_rows_is_kept(listing, text):
    photos = read_image_list(*listing(text))
    assert [photo.name for photo in photos] == ["c.jpg", "a.jpg", "b.png"]
    assert all(photo.path.is_file() and not photo.labels for photo in photos)


def test_all_missing_photos_are_listed(listing):
    with pytest.raises(DataError) as caught:
        read_image_list(*listing("ImageID,ans\nx.jpg,0\na.jpg,0\ny.jpg,0\n"))
    assert "row 2: x.jpg" in str(caught.value)
    assert "row 4: y.jpg" in str(caught.value)
    assert "a.jpg" not in str(caught.value)


@pytest.mark.parametrize("named", ["eval", "."])
def test_a_wrong_folder_of_photos_is_answered_with_the_right_one(tmp_path, named):
    images = tmp_path / "eval" / "images"
    images.mkdir(parents=True)
    names = [f"{number}.jpg" for number in range(1, 31)]
    for name in names:
        (images / name).write_bytes(b"x")
    path = tmp_path / "eval" / "info.csv"
    path.write_text("ImageID,ans\n" + "".join(f"{name},0\n" for name in names))
    with pytest.raises(DataError) as caught:
        read_image_list(path, tmp_path / named)
    assert caught.value.hint == f"the photos are in another folder: --images {images}"
    assert caught.value.message.startswith("30 rows cannot be used:\n- row 2: 1.jpg is not in")
    assert caught.value.message.endswith("- and 25 more")
    # One photo that is where the list says makes the others missing ones, and all are named.
    shutil.copy(images / "1.jpg", tmp_path / named / "1.jpg")
    with pytest.raises(DataError) as caught:
        read_image_list(path, tmp_path / named)
    assert "row 31: 30.jpg" in caught.value.message
    assert "or correct the list" in str(caught.value.hint)


def test_duplicate_rows_are_an_error(listing):
    with pytest.raises(DataError, match=r"row 4: a\.jpg is already in row 2") as caught:
        read_image_list(*listing("ImageID,ans\na.jpg,0\nb.png,0\na.jpg,0\n"))
    # No other folder would help.
    assert caught.value.hint == "name each photo in one row"


@pytest.mark.parametrize("name", ["../secret.jpg", "x/../../secret.jpg", "/etc/passwd", "..\\secret.jpg", "C:\\a.jpg"])
def test_paths_out_of_the_folder_are_rejected(listing, name):
    with pytest.raises(DataError, match="leads out of the folder"):
        read_image_list(*listing(f"ImageID\n{name}\n"))


def test_a_manifest_names_its_photos_wherever_they_are(listing, tmp_path):
    """Its paths are relative to it or absolute, as `data check` reads them; a photo is one however it is named."""
    listing("ImageID\n")
    (tmp_path / "lists").mkdir()
    path = tmp_path / "lists" / "manifest.csv"
    absolute = tmp_path / "images" / "c.jpg"
    path.write_text(f"path\n../images/a.jpg\n..\\images\\b.png\n{absolute}\n")
    photos = read_image_list(path, path.parent)
    assert [photo.name for photo in photos] == ["../images/a.jpg", "../images/b.png", str(absolute)]
    assert [photo.name for photo in photos] == [photo.name for photo in read_photos(path, LABEL_SCHEMAS["mask"])]
    assert all(photo.path.is_file() for photo in photos)
    # With another folder of photos only what lies in it.
    assert [photo.name for photo in read_image_list(path, tmp_path / "images")] == ["a.jpg", "b.png", "c.jpg"]
    path.write_text("path\n../images/a.jpg\n../secret.jpg\n../lost.jpg\n")
    with pytest.raises(
        DataError, match=r"row 3: \.\./secret\.jpg leads out(.|\n)*leave it out: paths start at the list"
    ):
        read_image_list(path, tmp_path / "images")
    with pytest.raises(DataError, match=r"row 4: \.\./lost\.jpg does not exist") as caught:
        read_image_list(path, path.parent)
    assert "row 3" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "folder"),
    [
        ("ImageID\na.jpg\n", "images"),
        ("ImageID\nimages/a.jpg\n", "."),
        ("path\nimages/a.jpg\n", "."),
        ("path\na.jpg\n", "images"),
        ("ImageID\nsecret.jpg\n", "."),
        ("ImageID\nlost.jpg\n", "images"),
        ("path\nlost.jpg\n", "."),
    ],
)
def test_the_folder_of_a_list_beside_images(listing, tmp_path, text, folder):
    path, _ = listing(text)
    assert default_folder(path) == tmp_path / folder


@pytest.mark.parametrize(
    ("text", "match"),
    [("ImageID,ans\n", "no rows"), ("name\na.jpg\n", "ImageID is missing"), ("ImageID,ans\n,0\n", "empty")],
)
def test_other_files_are_rejected(listing, text, match):
    with pytest.raises(DataError, match=match):
        read_image_list(*listing(text))


@pytest.mark.parametrize("header", ["id,mask", "Image_URL,label", "photo_id,x"])
def test_ids_and_urls_are_answered_with_the_import(listing, header):
    path, images = listing(f"{header}\na,wear\n")
    with pytest.raises(DataError, match=f"'{header.partition(',')[0]}' may be their ids or URLs") as caught:
        read_image_list(path, images)
    assert f"maskfit data import {path} --images DIR" in caught.value.hint
    with pytest.raises(DataError, match="may be their ids or URLs"):
        read_truth(path, LABEL_SCHEMAS["mask"])


@pytest.mark.parametrize("header", ["path", "ImageID"])
def test_urls_in_a_column_of_paths_are_answered_with_the_import(listing, header):
    path, images = listing(f"{header},mask\nhttps://a.example/a.jpg,wear\n")
    with pytest.raises(DataError) as caught:
        read_image_list(path, images)
    assert caught.value.hint.startswith("photos at URLs are not downloaded")
    assert f"maskfit data import {path} --images DIR" in caught.value.hint


def test_photos_of_other_formats_are_set_aside_and_listed(tmp_path):
    for name in ("a.jpg", "b.TIF", "c.gif", "d/e.avif", "f.jfif", "g.heif", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    folder = ImageFolder(tmp_path)
    assert [photo.name for photo in folder] == ["a.jpg", "f.jfif", "g.heif"]
    assert list(folder.set_aside) == ["b.TIF", "c.gif", "d/e.avif"]
    assert folder.set_aside["b.TIF"] == "TIFF is not supported; save it as JPEG or PNG"


def test_subfolders_are_searched(tmp_path):
    for name in ("b/z.JPG", "b/a.png", "a.jpg", ".hidden/x.jpg", "b/._a.png", "notes.txt", "__MACOSX/y.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "b" / "loop").symlink_to(tmp_path)
    assert [photo.name for photo in find_images(tmp_path)] == ["a.jpg", "b/a.png", "b/z.JPG"]


def test_a_folder_is_sorted_by_name(tmp_path):
    """Folder by folder, in the order of sorting all names: `a-b.jpg` before `a/c.jpg` before `a0.jpg`."""
    names = ["a/c.jpg", "a-b.jpg", "a0.jpg", "a/b/z.jpg", "a/b.jpg", "b.jpg", "a/b-/y.jpg", "B/x.jpg", "a.jpg/q.jpg"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    folder = ImageFolder(tmp_path)
    assert [photo.name for photo in folder] == sorted(names)
    assert len(folder) == len(names)
    assert next(iter(folder)).path == tmp_path / sorted(names)[0]


@pytest.mark.parametrize("forms", [("NFD", "NFC"), ("NFC", "NFD")])
def test_names_in_the_other_unicode_form_are_found(tmp_path, forms):
    on_disk, listed = (unicodedata.normalize(form, "가나é.jpg") for form in forms)
    (tmp_path / on_disk).write_bytes(b"x")
    (tmp_path / "list.csv").write_text(f"ImageID,ans\n{listed},0\n", encoding="utf-8")
    (photo,) = read_image_list(tmp_path / "list.csv", tmp_path)
    assert (photo.name, photo.path) == (listed, tmp_path / on_disk)
    (tmp_path / "list.csv").write_text("ImageID,ans\n가나다.jpg,0\n", encoding="utf-8")
    with pytest.raises(DataError, match="is not in"):
        read_image_list(tmp_path / "list.csv", tmp_path)


def test_a_list_is_lazy(listing):
    photos = read_image_list(*listing("ImageID\nc.jpg\na.jpg\nb.png\n"))
    assert (len(photos), photos[-1].name, [photo.name for photo in photos[:2]]) == (3, "b.png", ["c.jpg", "a.jpg"])


def test_a_folder_without_photos_is_an_error(tmp_path):
    with pytest.raises(DataError, match="no photo"):
        find_images(tmp_path)
    with pytest.raises(DataError, match="no such folder"):
        find_images(tmp_path / "nowhere")
    (tmp_path / "a.jpg").write_bytes(b"x")
    with pytest.raises(DataError, match="a file, not a folder"):
        find_images(tmp_path / "a.jpg")


REAL = Path(os.environ.get("MASKFIT_REAL_PHOTOS", "nowhere")) / "masked-faces/eval"


@pytest.mark.skipif(not REAL.is_dir(), reason="needs real photos; MASKFIT_REAL_PHOTOS names their folder")
def test_the_real_list():
    photos = read_image_list(REAL / "info.csv", REAL / "images")
    rows = (REAL / "info.csv").read_text().split()[1:]
    assert [photo.name for photo in photos] == [row.split(",")[0] for row in rows]
