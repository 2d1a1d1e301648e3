"""Tests of `write_crops`: copies, list of faces, untouched originals, and resuming."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskfit.data import crop_dataset
from maskfit.data.crop_dataset import COLUMNS, write_crops
from maskfit.data.image_decoding import decode
from maskfit.data.preprocessing import CropResize
from maskfit.data.read_dataset import read_photos
from maskfit.errors import DataError, PhotoError
from maskfit.labels.schema import LABEL_SCHEMAS
from maskfit.registry import ComponentSpec

SCHEMA = LABEL_SCHEMAS["mask-gender-age"]
FACE = ComponentSpec.create("face", left=0.0, right=0.0, top=0.0, bottom=0.0)


@pytest.fixture(autouse=True)
def detector(painted):
    return painted


@pytest.fixture
def root(tmp_path, paint) -> Path:
    """Photos with one face, none and three, and a file that is not a photo."""
    photos = {
        "000001_male_Asian_30/mask1.png": paint(60, 40, (5, 6, 25, 36), eyes=((10, 20), (20, 24))),
        "000001_male_Asian_30/normal.png": paint(60, 40, seed=1),
        "000002_female_Asian_60/mask1.png": paint(90, 90, (0, 0, 20, 20), (30, 30, 80, 80), (60, 0, 70, 10)),
    }
    for name, photo in photos.items():
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photo).save(path)
    (tmp_path / "photos" / "000002_female_Asian_60" / "mask2.jpg").write_text("no photo")
    return tmp_path / "photos"


def crop(source: Path, out: Path, part: ComponentSpec = FACE, size: tuple[int, int] | None = None):
    return write_crops(source, out, part, size=size, schema=SCHEMA)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_copies_keep_folders_and_pixels(root, tmp_path):
    before = contents(root)
    made = crop(root, tmp_path / "out")
    assert contents(root) == before
    assert set(contents(tmp_path / "out")) == {
        "000001_male_Asian_30/mask1.png",
        "000001_male_Asian_30/normal.png",
        "000002_female_Asian_60/mask1.png",
        "faces.csv",
        "faces.jpg",
        "unreadable.csv",
        "crop.jsonl",
    }
    name = "000001_male_Asian_30/mask1.png"
    np.testing.assert_array_equal(decode(tmp_path / "out" / name), decode(root / name)[6:36, 5:25])
    assert decode(tmp_path / "out" / "000001_male_Asian_30" / "normal.png").shape == (60, 40, 3)
    assert made.fallback_crops == ("000001_male_Asian_30/normal.png",)
    assert made.unreadable == {"000002_female_Asian_60/mask2.jpg": "this is a text file, not a photo"}
    assert rows_of(tmp_path / "out" / "unreadable.csv")[0]["path"] == "000002_female_Asian_60/mask2.jpg"


def test_every_face_of_a_group_is_listed(root, tmp_path):
    rows = rows_of(crop(root, tmp_path / "out").faces)
    assert list(rows[0]) == list(COLUMNS)
    group = [row for row in rows if row["path"] == "000002_female_Asian_60/mask1.png"]
    assert [row["face"] for row in group] == ["1", "2", "3"]
    assert [row["chosen"] for row in group] == ["1", "0", "0"]
    assert [row["left"] for row in group] == ["30.0", "0.0", "60.0"]
    assert {(row["faces"], row["fallback"]) for row in group} == {("3", "0")}
    (none,) = [row for row in rows if row["path"].endswith("normal.png")]
    assert (none["faces"], none["face"], none["chosen"], none["fallback"], none["score"]) == ("0", "0", "0", "1", "")
    one = rows[0]
    assert (one["left_eye_x"], one["left_eye_y"], one["right_eye_x"], one["score"]) == (
        "10.0",
        "20.0",
        "20.0",
        "0.9000",
    )
    assert (one["crop_left"], one["crop_lower"], one["crop_angle"]) == ("5", "36", "0")


def test_copies_with_a_size_equal_the_network_input(root, tmp_path):
    part = ComponentSpec.create("face", align=True)
    crop(root, tmp_path / "out", part, (28, 21))
    for name in ("000001_male_Asian_30/mask1.png", "000002_female_Asian_60/mask1.png"):
        expected = CropResize(crop=part, size=(28, 21))(decode(root / name))
        np.testing.assert_array_equal(decode(tmp_path / "out" / name), expected)


def test_an_aligned_copy_without_a_size_has_the_size_of_its_box(root, tmp_path):
    made = crop(root, tmp_path / "out", ComponentSpec.create("face", align=True, left=0, right=0, top=0, bottom=0))
    assert made.records[0].crop_box.angle != 0
    assert decode(tmp_path / "out" / made.records[0].file).shape == (30, 20, 3)


def test_an_interrupted_command_resumes(root, tmp_path, monkeypatch):
    whole = contents(crop(root, tmp_path / "whole").faces.parent)
    decoded: list[Path] = []

    def stop(path):
        if decoded:
            raise KeyboardInterrupt
        decoded.append(path)
        return decode(path)

    with monkeypatch.context() as patch:
        patch.setattr(crop_dataset, "BATCH_SIZE", 1)
        patch.setattr(crop_dataset, "decode", stop)
        with pytest.raises(KeyboardInterrupt):
            crop(root, tmp_path / "out")
    log = tmp_path / "out" / "crop.jsonl"
    assert len(log.read_text().splitlines()) == 2
    # The line that was being written is incomplete.
    with log.open("a") as stream:
        stream.write('{"photo": "000001_male_Asian_30/nor')
    assert crop(root, tmp_path / "out").num_resumed == 1
    assert contents(tmp_path / "out") == whole


def test_finished_photos_are_kept_and_changed_ones_processed_again(root, tmp_path, paint, painted):
    first = crop(root, tmp_path / "out")
    assert first.num_resumed == 0
    before = contents(tmp_path / "out")
    num_detections = len(painted.looks)
    again = crop(root, tmp_path / "out")
    assert again.num_resumed == 3
    assert again.records == first.records
    assert contents(tmp_path / "out") == before
    assert len(painted.looks) == num_detections
    Image.fromarray(paint(60, 40, (1, 2, 11, 12))).save(root / "000001_male_Asian_30" / "normal.png")
    (tmp_path / "out" / "000002_female_Asian_60" / "mask1.png").unlink()
    assert crop(root, tmp_path / "out").num_resumed == 1
    assert decode(tmp_path / "out" / "000001_male_Asian_30" / "normal.png").shape == (10, 10, 3)
    assert (tmp_path / "out" / "000002_female_Asian_60" / "mask1.png").is_file()


def test_a_manifest_is_written_for_the_copies_of_one(root, tmp_path):
    (root / "photos.csv").write_text(
        "path,person,mask,age\n000001_male_Asian_30/mask1.png,ann,wear,34\n000001_male_Asian_30/normal.png,,not_wear,\n"
    )
    made = crop(root / "photos.csv", tmp_path / "out")
    assert made.manifest == tmp_path / "out" / "manifest.csv"
    photos = read_photos(made.manifest, SCHEMA)
    assert [(photo.name, photo.labels.get("mask"), photo.labels.get("age")) for photo in photos] == [
        ("000001_male_Asian_30/mask1.png", "wear", 34.0),
        ("000001_male_Asian_30/normal.png", "not_wear", None),
    ]
    assert photos[0].person == "ann"


@pytest.mark.parametrize(
    "edit", [lambda text: text.replace("wear,,", "incorrect,,33"), lambda text: text + "x.png,,,,\n"]
)
def test_an_edited_manifest_of_copies_is_replaced_by_force_only(root, tmp_path, edit):
    """Labels that were filled in are nowhere else; a manifest as it was written is no obstacle to resuming."""
    (root / "photos.csv").write_text("path,mask\n000001_male_Asian_30/mask1.png,wear\n")
    made = crop(root / "photos.csv", tmp_path / "out")
    written = made.manifest.read_text()
    assert crop(root / "photos.csv", tmp_path / "out").num_resumed == 1
    made.manifest.write_text(edit(written))
    with pytest.raises(DataError, match="manifest of the copies differs") as error:
        crop(root / "photos.csv", tmp_path / "out")
    assert "--force" in error.value.hint
    assert made.manifest.read_text() == edit(written)
    write_crops(root / "photos.csv", tmp_path / "out", FACE, size=None, schema=SCHEMA, force=True)
    assert made.manifest.read_text() == written


def test_the_manifest_of_copies_keeps_repetitions(root, tmp_path):
    (root / "photos.csv").write_text(
        "path,mask,times\n000001_male_Asian_30/mask1.png,wear,3\n000001_male_Asian_30/normal.png,not_wear,\n"
    )
    photos = read_photos(crop(root / "photos.csv", tmp_path / "out").manifest, SCHEMA)
    assert [photo.repeat for photo in photos] == [3, 1]


def test_crops_without_a_detector(root, tmp_path):
    made = crop(root, tmp_path / "out", ComponentSpec.create("center", scale=0.5))
    assert decode(tmp_path / "out" / "000001_male_Asian_30" / "mask1.png").shape == (30, 20, 3)
    assert rows_of(made.faces)[0]["fallback"] == "0"
    assert not made.fallback_crops


@pytest.mark.parametrize("what", ["other", "options", "within", "itself"])
def test_other_files_are_not_overwritten(root, tmp_path, what):
    out = {"within": root / "out", "itself": root}.get(what, tmp_path / "out")
    if what == "other":
        out.mkdir()
        (out / "letter.txt").write_text("dear")
    if what == "options":
        crop(root, out, ComponentSpec.create("resize"))
    before = contents(root), contents(out) if out.exists() else {}
    with pytest.raises(DataError) as caught:
        crop(root, out)
    message = {"other": "not empty", "options": "made with other options"}.get(what, "among the photos")
    assert message in caught.value.message
    assert (contents(root), contents(out) if out.exists() else {}) == before


def test_a_dataset_without_a_readable_photo_is_an_error(tmp_path):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.jpg").write_text("no photo")
    with pytest.raises(DataError, match="no photo can be read"):
        crop(tmp_path / "bad", tmp_path / "out")


def test_names_outside_of_the_folder_or_clashing(tmp_path, paint):
    (tmp_path / "set").mkdir()
    Image.fromarray(paint(40, 40, (1, 2, 11, 12))).save(tmp_path / "above.png")
    (tmp_path / "set" / "list.csv").write_text("path\n../above.png\n")
    crop(tmp_path / "set" / "list.csv", tmp_path / "out")
    assert (tmp_path / "out" / "above.png").is_file()
    Image.fromarray(paint(40, 40)).save(tmp_path / "set" / "faces.png")
    (tmp_path / "set" / "faces.png").rename(tmp_path / "set" / "faces.jpg")
    with pytest.raises(DataError, match=r"both be named faces\.jpg"):
        crop(tmp_path / "set", tmp_path / "out2")


def test_the_log_holds_settings_and_photos(root, tmp_path):
    crop(root, tmp_path / "out")
    first, *lines = [json.loads(line) for line in (tmp_path / "out" / "crop.jsonl").read_text().splitlines()]
    assert first["crop"]["name"] == "face"
    assert {line["photo"] for line in lines} == {row["path"] for row in rows_of(tmp_path / "out" / "faces.csv")}


def test_a_photo_that_vanishes_is_reported(root, tmp_path, monkeypatch):
    def gone(path, **options):
        raise PhotoError("there is no such photo", location=path)

    crop(root, tmp_path / "out")
    monkeypatch.setattr(crop_dataset, "decode", gone)
    with pytest.raises(DataError, match="vanished"):
        crop(root, tmp_path / "out")
