"""Tests of finding photos by the names in label files."""

from __future__ import annotations

import json
import os
import unicodedata
from pathlib import Path

import pytest

from maskfit.data.importers.photo_finder import AMBIGUOUS, NOT_FOUND, SEVERAL_NAMES, PhotoFinder, list_files

NAMES = ("train/1.jpg", "val/1.jpg", "a/Anna.JPG", "8f3a1c01-bob.png", "with space.jpg", "100%.jpg", "x/y/once.jpg")


@pytest.fixture
def finder(tmp_path: Path) -> PhotoFinder:
    for name in NAMES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    return PhotoFinder(tmp_path)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("train/1.jpg", "train/1.jpg"),
        ("./val/1.jpg", "val/1.jpg"),
        ("train\\1.jpg", "train/1.jpg"),
        ("/home/somebody/data/val/1.jpg", "val/1.jpg"),
        ("C:\\photos\\x\\y\\once.jpg", "x/y/once.jpg"),
        ("a/anna.jpg", "a/Anna.JPG"),
        ("bob.png", "8f3a1c01-bob.png"),
        ("/data/upload/7/8f3a1c01-bob.png", "8f3a1c01-bob.png"),
        ("/data/upload/7/0123abcd-once.jpg", "x/y/once.jpg"),
        ("https://labels.example.org/data/with%20space.jpg?size=2", "with space.jpg"),
        ("/data/local-files/?d=x%2Fy%2Fonce.jpg", "x/y/once.jpg"),
        ("100%.jpg", "100%.jpg"),
    ],
)
def test_found(finder, tmp_path, name, expected):
    assert finder.find(name) == (tmp_path / expected, "")


@pytest.mark.parametrize(
    ("name", "reason"), [("1.jpg", AMBIGUOUS), ("test/1.jpg", AMBIGUOUS), ("2.jpg", NOT_FOUND), ("", NOT_FOUND)]
)
def test_not_found(finder, name, reason):
    assert finder.find(name) == (None, reason)


def test_an_absolute_path_elsewhere(finder, tmp_path_factory):
    other = tmp_path_factory.mktemp("other") / "elsewhere.jpg"
    other.write_bytes(b"x")
    assert finder.find(str(other)) == (other, "")


def test_an_absolute_path_into_the_folder_is_the_photo_of_that_name(finder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path / "train", target_is_directory=True)
    for folder in (tmp_path / "train", Path("train"), Path("link")):
        found, _ = PhotoFinder(folder).find(str(tmp_path / "train" / "1.jpg"))
        assert found == folder / "1.jpg"


def test_an_absolute_path_to_a_link_in_the_folder_is_the_link(tmp_path):
    """As data version control and annex keep photos: the file lies in a store, under a name of no meaning."""
    (tmp_path / "store").mkdir()
    (tmp_path / "train").mkdir()
    (tmp_path / "store" / "ab12.jpg").write_bytes(b"x")
    (tmp_path / "train" / "1.jpg").symlink_to(tmp_path / "store" / "ab12.jpg")
    (tmp_path / "train" / "2.jpg").symlink_to(tmp_path / "train" / "1.jpg")
    (tmp_path / "link").symlink_to(tmp_path / "train", target_is_directory=True)
    for name in ("1.jpg", "2.jpg"):
        for place, folder in (("train", "link"), ("link", "train"), ("train", "train")):
            found = PhotoFinder(tmp_path / folder).find(str(tmp_path / place / name))
            assert found == (tmp_path / folder / name, "")


@pytest.mark.parametrize("has_images", [False, True])
def test_a_path_as_written_comes_before_a_photo_of_that_name(tmp_path, has_images):
    for name in ("photos/1.jpg", "labels/1.jpg", "labels/images/1.jpg", "other/1.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    labels = tmp_path / "labels"
    finder = PhotoFinder(tmp_path / "other", label_root=labels) if has_images else PhotoFinder(labels)
    for written in ("../photos/1.jpg", "..\\photos\\1.jpg", str(tmp_path / "photos" / "1.jpg")):
        assert finder.find(written) == (tmp_path / "photos" / "1.jpg", "")
    # The folder of photos that was asked for wins over the label file's.
    assert finder.find("1.jpg")[0] == (tmp_path / "other" if has_images else labels) / "1.jpg"
    # A path that does not exist is found by its end.
    assert finder.find("../lost/1.jpg")[1] == ("" if has_images else AMBIGUOUS)


def test_a_path_in_a_circle_of_links_is_the_photo_that_is_listed(tmp_path, monkeypatch):
    (tmp_path / "photos" / "train").mkdir(parents=True)
    (tmp_path / "photos" / "train" / "1.jpg").write_bytes(b"x")
    (tmp_path / "photos" / "circle").symlink_to(tmp_path / "photos", target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    for folder in ("train", "circle/train"):
        found, _ = PhotoFinder(Path("photos")).find(str(tmp_path / "photos" / folder / "1.jpg"))
        assert found == Path("photos/train/1.jpg")


def test_a_path_relative_to_a_label_file_in_a_subfolder(finder, tmp_path):
    (tmp_path / "1.jpg").write_bytes(b"x")
    assert finder.find("1.jpg", "train/labels.csv")[0] == tmp_path / "train" / "1.jpg"
    assert finder.find("../val/1.jpg", "train/labels.csv")[0] == tmp_path / "val" / "1.jpg"
    assert finder.find("1.jpg", "labels.csv")[0] == tmp_path / "1.jpg"
    assert finder.find("val/1.jpg", "train/labels.csv")[0] == tmp_path / "val" / "1.jpg"


def test_a_photo_of_another_folder_is_one_however_it_is_named(finder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("other")
    (folder / "photos").mkdir()
    (folder / "photos" / "elsewhere.jpg").write_bytes(b"x")
    found = {finder.find(f"../{folder.name}/{name}/elsewhere.jpg")[0] for name in ("photos", "photos/../photos")}
    assert found == {finder.find(str(folder / "photos" / "elsewhere.jpg"))[0]} == {folder / "photos" / "elsewhere.jpg"}


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_unicode_forms(tmp_path, form):
    name = unicodedata.normalize(form, "가나다.jpg")
    (tmp_path / name).write_bytes(b"x")
    other = unicodedata.normalize("NFD" if form == "NFC" else "NFC", name)
    assert PhotoFinder(tmp_path).find(other) == (tmp_path / name, "")


def test_names_that_differ_in_case_only_are_not_mixed_up():
    finder = PhotoFinder(Path("photos"), ("A.jpg", "a.jpg"))
    assert finder.find("A.jpg") == (Path("photos/A.jpg"), "")
    assert finder.find("a.jpg") == (Path("photos/a.jpg"), "")
    assert finder.find("A.JPG") == (None, AMBIGUOUS)


def test_listing_follows_links_without_circles_and_omits_hidden_files(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.jpg").write_bytes(b"x")
    (tmp_path / "real" / "._a.jpg").write_bytes(b"x")
    (tmp_path / "photos").mkdir()
    os.symlink(tmp_path / "real", tmp_path / "photos" / "linked")
    os.symlink(tmp_path / "photos", tmp_path / "real" / "circle")
    assert list_files(tmp_path / "photos") == ("linked/a.jpg",)


def test_names_that_end_in_one_photo_are_known(finder, tmp_path):
    """Of different folders, they may be those of other photos; the end of one name is the same photo's."""
    photo, other = tmp_path / "x" / "y" / "once.jpg", tmp_path / "train" / "1.jpg"
    for name in ("once.jpg", "y/once.jpg", "/home/x/y/once.jpg", "train/1.jpg", "./train/1.jpg"):
        assert finder.find(name)[0] in (photo, other)
    assert finder.look_up("b/once.jpg") == photo
    assert finder.several_names(photo) == finder.several_names(other) == ()
    assert finder.find("b/once.jpg")[0] == photo
    assert finder.several_names(photo) == ("/home/x/y/once.jpg", "b/once.jpg")
    assert finder.is_taken(photo, "b/once.jpg")
    assert not finder.is_taken(photo, "y/once.jpg")
    assert finder.find("c/8f3a1c01-once.jpg")[0] == photo
    assert finder.is_taken(photo, "c/8f3a1c01-once.jpg")


def test_formats_note_photos_that_several_names_end_in(write_tree, import_):
    images = [{"id": number, "file_name": f"{part}/a.jpg"} for number, part in enumerate("xy")]
    boxes = [{"image_id": number, "category_id": 1, "bbox": [1, 2, 11, 9 + number]} for number in range(2)]
    content = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "with_mask"}]}
    dataset = import_(write_tree("a.jpg", texts={"t.json": json.dumps(content)}))
    note = (
        "1 photo was found by the end of several names, which may be those of other photos: a.jpg by x/a.jpg, y/a.jpg"
    )
    assert note in dataset.notes


@pytest.mark.parametrize(
    ("photos", "name", "label_file", "found"),
    [
        (("train/1.jpg", "val/2.jpg"), "train/2.jpg", "", ""),
        (("images/val/1.jpg",), "train/1.jpg", "labels/coco.json", ""),
        (("images/val/1.jpg",), "https://x.example/train2017/1.jpg", "", ""),
        (("images/val/1.jpg",), "https://x.example/valid/1.jpg", "", "images/val/1.jpg"),
        (("anna/1.jpg", "bert/2.jpg"), "bert/1.jpg", "", ""),
        (("anna/1.jpg", "bert/2.jpg"), "C:\\set\\bert\\1.jpg", "", ""),
        (("anna/s1/1.jpg", "bert/s1/2.jpg"), "bert/s1/1.jpg", "", ""),
        (("anna/s1/1.jpg", "bert/s1/2.jpg"), "/home/bert/anna/s1/1.jpg", "", "anna/s1/1.jpg"),
        # Folders that are not here may be those of another machine.
        (("anna/1.jpg", "bert/2.jpg"), "C:\\data\\images\\1.jpg", "", "anna/1.jpg"),
        (("anna/1.jpg",), "/home/x/img/1.jpg", "", "anna/1.jpg"),
        (("train/1.jpg",), "/home/test/img/1.jpg", "", "train/1.jpg"),
        (("train/1.jpg",), "D:\\dev\\img\\1.jpg", "", "train/1.jpg"),
        (("1/1.jpg", "7/2.jpg"), "/data/upload/7/8f3a1c01-1.jpg", "", "1/1.jpg"),
        (("photos/1.jpg", "labels/plot.png"), "labels/1.jpg", "", "photos/1.jpg"),
        # The folder of the photos itself may be a part's.
        (("../train/1.jpg",), "train/1.jpg", "", ""),
    ],
)
def test_a_photo_of_another_folder_is_not_the_one_that_is_named(tmp_path, photos, name, label_file, found):
    root = tmp_path / "val" if photos[0].startswith("..") else tmp_path
    photos = ("1.jpg",) if photos[0].startswith("..") else photos
    finder = PhotoFinder(root, photos)
    assert finder.find(name, label_file) == ((root / found, "") if found else (None, NOT_FOUND))


def test_the_nearest_of_several_names_is_the_photo_in_every_order(write_tree, import_):
    """Of two persons, one is in the folder; a table says both, in whatever order."""
    rows = ["bert/1.jpg,not_wear,3,3,20,30", "anna/1.jpg,wear,3,3,20,30"]
    for order in (rows, rows[::-1]):
        root = write_tree("anna/1.jpg", texts={"l.csv": "\n".join(["path,label,xmin,ymin,xmax,ymax", *order])})
        dataset = import_(root)
        assert [dict(row.labels) for row in dataset.rows] == [{"mask": "wear"}]
        assert [item.reason for item in dataset.left_out] == [SEVERAL_NAMES]
        assert not any("in another folder" in note for note in dataset.notes)


def test_a_name_alone_is_of_its_label_file_where_that_has_photos_beside_it(write_tree, import_):
    header = "path,label,xmin,ymin,xmax,ymax\n"
    texts = {"bert/l.csv": f"{header}1.jpg,not_wear,3,3,20,30\n2.jpg,not_wear,3,3,20,30\n"}
    dataset = import_(write_tree("anna/1.jpg", "bert/2.jpg", texts=texts))
    assert [row.photo.name for row in dataset.rows] == ["2.jpg"]
    assert [item.reason for item in dataset.left_out] == [NOT_FOUND]
    # A folder of labels alone has none.
    texts = {"labels/l.csv": f"{header}1.jpg,not_wear,3,3,20,30\n"}
    dataset = import_(write_tree("images/1.jpg", texts=texts, folder="other"))
    assert [row.photo.name for row in dataset.rows] == ["1.jpg"]


def test_photos_found_in_another_folder_than_is_written_are_noted(write_tree, import_):
    table = "path,label,xmin,ymin,xmax,ymax\nbert/1.jpg,wear,3,3,20,30\n/x/anna/2.jpg,wear,3,3,20,30\n"
    dataset = import_(write_tree("anna/1.jpg", "anna/2.jpg", texts={"l.csv": table}))
    (note,) = (note for note in dataset.notes if "in another folder" in note)
    assert note.startswith("1 photo was found by the name alone")
    assert note.endswith(": bert/1.jpg as anna/1.jpg")


def test_labels_of_one_part_are_none_of_the_other_in_fairface_and_tables_of_urls(write_tree, import_):
    header = "file,age,gender,race,service_test\n"
    texts = {
        "fairface_label_train.csv": f"{header}train/1.jpg,60-69,Male,x,True\ntrain/2.jpg,0-2,Male,x,True\n",
        "fairface_label_val.csv": f"{header}val/2.jpg,20-29,Female,x,True\n",
    }
    dataset = import_(write_tree("train/1.jpg", "val/2.jpg", texts=texts))
    assert [dict(row.labels) for row in dataset.rows] == [
        {"gender": "male", "age": "60 to 69"},
        {"gender": "female", "age": "20 to 29"},
    ]
    assert [item.location for item in dataset.left_out] == ["fairface_label_train.csv row 3"]
    table = "image_url,label\nhttps://x/train/1.jpg,wear\nhttps://x/train/2.jpg,wear\nhttps://x/bert/3.jpg,wear\n"
    photos = ("train/1.jpg", "val/2.jpg", "anna/3.jpg", "bert/4.jpg")
    dataset = import_(write_tree(*photos, texts={"l.csv": table}, folder="urls"))
    assert [row.photo.name for row in dataset.rows] == ["1.jpg"]
    assert len(dataset.left_out) == 2


def test_label_files_in_a_tree_are_of_the_photos_in_the_folder_of_that_name(write_tree, import_):
    texts = {"labels/bert/1.txt": "0 .5 .5 .5 .5", "labels/bert/2.txt": "0 .5 .5 .5 .5"}
    root = write_tree("images/anna/1.jpg", "images/bert/2.jpg", texts=texts)
    dataset = import_(root, "yolo", "0=wear")
    assert [row.photo.name for row in dataset.rows] == ["2.jpg"]
