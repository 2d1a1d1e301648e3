"""Datasets of masked faces: the competition's layout, the manifest, rejected photos, no overwriting."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import get_args

import numpy as np
import pytest
from PIL import Image

from maskfit.cli.data import add_masks
from maskfit.data import detectors
from maskfit.data.detectors import DETECTORS, Face
from maskfit.data.read_dataset import read_photos
from maskfit.errors import DataError, RecipeError
from maskfit.labels.schema import LABEL_SCHEMAS
from maskfit.synthesis.drawn import render_photo, sample_person, write_train_set
from maskfit.synthesis.masks import (
    BareFace,
    FaceSelection,
    Landmarks,
    MaskedPhoto,
    read_landmarks,
    sample_mask,
    sample_masks,
    select_faces,
    write_dataset,
    write_masked_dataset,
)
from maskfit.synthesis.masks.landmark_sources import LANDMARK_DETECTORS, landmark_detector
from maskfit.synthesis.masks.mask_types import CORRECT_STYLES, INCORRECT_STYLES
from maskfit.synthesis.masks.write_dataset import estimate_jpeg_quality, find_placement_error, render_all_masks

SCHEMA = LABEL_SCHEMAS["mask-gender-age"]
SIZE = (96, 128)
PEOPLE = (("female", 24), ("male", 41), ("female", 63), ("male", 33))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[bytes, Landmarks]]:
    """Four bare faces as JPEGs of quality 85, by name, with their landmarks."""
    made = {}
    for number, (gender, age) in enumerate(PEOPLE, start=1):
        drawing = render_photo(sample_person(2, number, gender=gender, age=age), "normal", size=SIZE)
        stream = io.BytesIO()
        drawing.image.save(stream, "JPEG", quality=85)
        made[f"images/{number}.jpg"] = stream.getvalue(), drawing.landmarks
    return made


@pytest.fixture
def faces(drawn, tmp_path: Path) -> Path:
    """A manifest of the four faces."""
    (tmp_path / "images").mkdir()
    rows = []
    for (name, (content, _)), (gender, age) in zip(drawn.items(), PEOPLE, strict=True):
        (tmp_path / name).write_bytes(content)
        rows.append(f"{name},{gender},{age}\n")
    (tmp_path / "faces.csv").write_text("path,gender,age\n" + "".join(rows))
    return tmp_path / "faces.csv"


@pytest.fixture
def landmarks_by_path(drawn, faces: Path) -> dict[str, Landmarks]:
    return {str(faces.parent / name): landmarks for name, (_, landmarks) in drawn.items()}


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.open(encoding="utf-8")))


def test_bare_faces_are_written_in_the_competition_layout(faces, landmarks_by_path, tmp_path):
    before = content(tmp_path / "images")
    calls: list[tuple[int, int]] = []
    chosen = select_faces(faces, landmarks_by_path)
    made = write_masked_dataset(chosen, tmp_path / "out", workers=1, progress=lambda *pair: calls.append(pair))
    assert content(tmp_path / "images") == before
    assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)]
    photos = read_photos(tmp_path / "out", SCHEMA)
    assert len(photos) == 28
    assert photos.persons == tuple(f"{n:06d}_{gender}_Unknown_{age}" for n, (gender, age) in enumerate(PEOPLE, 1))
    assert [photo.labels["mask"] for photo in photos][:7] == ["incorrect", *["wear"] * 5, "not_wear"]
    assert {Image.open(photo.path).size for photo in photos} == {SIZE}
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "images",
        "masks.csv",
        "masks.json",
        "set-aside.csv",
    }
    assert (made.persons, made.set_aside) == (4, {})
    assert sum(made.kinds.values()) == sum(made.ways.values()) == 24


def test_manifest_lists_mask_and_box(faces, landmarks_by_path, tmp_path):
    write_masked_dataset(select_faces(faces, landmarks_by_path), tmp_path / "out", workers=1)
    rows = rows_of(tmp_path / "out" / "masks.csv")
    assert list(rows[0]) == [
        *("path", "person", "mask", "gender", "age", "kind", "way"),
        *("mask_left", "mask_top", "mask_right", "mask_bottom"),
    ]
    assert len(rows) == 28
    for row in rows:
        if row["mask"] == "not_wear":
            assert (row["path"][-10:], row["kind"], row["way"], row["mask_bottom"]) == ("normal.jpg", "", "", "0")
            continue
        bare = np.asarray(Image.open((tmp_path / "out" / row["path"]).parent / "normal.jpg")).astype(int)
        worn = np.asarray(Image.open(tmp_path / "out" / row["path"])).astype(int)
        left, top, right, bottom = (int(row[f"mask_{edge}"]) for edge in ("left", "top", "right", "bottom"))
        changed = np.abs(worn - bare).max(-1)
        inside = changed[top:bottom, left:right].copy()
        changed[top:bottom, left:right] = 0
        assert inside.mean() > 4 * changed.mean()


def test_manifest_and_layout_list_the_same_photos(faces, landmarks_by_path, tmp_path):
    write_masked_dataset(select_faces(faces, landmarks_by_path), tmp_path / "out", workers=1)
    listed, laid = read_photos(tmp_path / "out" / "masks.csv", SCHEMA), read_photos(tmp_path / "out", SCHEMA)
    assert {(photo.path, photo.person): photo.labels for photo in listed} == {
        (photo.path, photo.person): photo.labels for photo in laid
    }


def test_other_mask_counts_are_read_by_the_manifest(faces, landmarks_by_path, tmp_path):
    chosen = select_faces(faces, landmarks_by_path, persons=2)
    made = write_masked_dataset(chosen, tmp_path / "out", num_correct=2, num_incorrect=3, workers=1)
    assert (sum(made.kinds.values()), sum(made.ways.values())) == (10, 10)
    photos = read_photos(tmp_path / "out" / "masks.csv", SCHEMA)
    assert [photo.labels["mask"] for photo in photos] == [*["wear"] * 2, *["incorrect"] * 3, "not_wear"] * 2
    assert all(photo.path.is_file() for photo in photos)
    again = write_masked_dataset(chosen, tmp_path / "out", num_correct=2, num_incorrect=3, workers=1, resume=True)
    assert again == made
    with pytest.raises(DataError, match="number of persons or number of masks"):
        write_masked_dataset(chosen, tmp_path / "out", num_correct=2, num_incorrect=2, workers=1, resume=True)
    with pytest.raises(DataError, match="num_incorrect must be 1 to 7, got 99"):
        write_masked_dataset(chosen, tmp_path / "none", num_incorrect=99)
    assert not (tmp_path / "none").exists()


def test_scarf_photos_are_bare_and_need_a_visible_neck(faces, landmarks_by_path, tmp_path):
    cut = Image.open(tmp_path / "images/2.jpg")
    cut.crop((0, 0, SIZE[0], int(landmarks_by_path[str(tmp_path / "images/2.jpg")].chin[1]))).save(
        tmp_path / "images/2.jpg"
    )
    chosen = select_faces(faces, landmarks_by_path, persons=None)
    write_masked_dataset(chosen, tmp_path / "out", num_correct=1, scarf=True, workers=1)
    rows = rows_of(tmp_path / "out" / "masks.csv")
    scarves = [row for row in rows if row["path"].endswith("normal2.jpg")]
    assert {(row["mask"], row["kind"], row["way"]) for row in scarves} == {("not_wear", "gaiter", "round the neck")}
    assert [row["person"][:6] for row in scarves] == ["000001", "000003", "000004"]
    again = write_masked_dataset(chosen, tmp_path / "out", num_correct=1, scarf=True, workers=1, resume=True)
    assert again.persons == 4
    assert rows_of(tmp_path / "out" / "masks.csv") == rows


def test_bare_photo_is_the_source_photo(faces, landmarks_by_path, tmp_path):
    write_masked_dataset(select_faces(faces, landmarks_by_path), tmp_path / "out", workers=1)
    kept = np.asarray(Image.open(tmp_path / "out/images/000002_male_Unknown_41/normal.jpg")).astype(int)
    source = np.asarray(Image.open(tmp_path / "images/2.jpg")).astype(int)
    assert np.abs(kept - source).mean() < 2


def test_masks_do_not_depend_on_order_count_or_processes(faces, landmarks_by_path, tmp_path):
    chosen = select_faces(faces, landmarks_by_path)
    write_masked_dataset(chosen, tmp_path / "one", workers=1)
    write_masked_dataset(chosen, tmp_path / "two", workers=2)
    assert content(tmp_path / "one") == content(tmp_path / "two")
    fewer = select_faces(faces, landmarks_by_path, persons=2, seed=5)
    assert len(fewer.faces) == 2
    write_masked_dataset(fewer, tmp_path / "fewer", workers=1)
    part = {name: item for name, item in content(tmp_path / "fewer").items() if name.startswith("images")}
    assert part.items() <= content(tmp_path / "one").items()
    write_masked_dataset(chosen, tmp_path / "other", seed=1, workers=1)
    other = content(tmp_path / "other")
    same = [name for name, item in content(tmp_path / "one").items() if other[name] == item]
    assert {Path(name).name for name in same} == {"normal.jpg", "set-aside.csv"}


def test_unusable_photos_are_set_aside_and_listed(faces, landmarks_by_path, tmp_path):
    (tmp_path / "images/1.jpg").write_bytes((tmp_path / "images/1.jpg").read_bytes()[:300])
    del landmarks_by_path[str(tmp_path / "images/2.jpg")]
    faces.write_text(faces.read_text().replace("images/3.jpg,female,63", "images/3.jpg,female,"))
    chosen = select_faces(faces, landmarks_by_path)
    made = write_masked_dataset(chosen, tmp_path / "out", workers=1)
    assert made.persons == 1
    assert [row["path"] for row in rows_of(tmp_path / "out" / "set-aside.csv")] == [
        "images/1.jpg",
        "images/2.jpg",
        "images/3.jpg",
    ]
    assert "damaged" in made.set_aside["images/1.jpg"]
    assert made.set_aside["images/2.jpg"] == "no face found"
    assert made.set_aside["images/3.jpg"] == "gender or age in years is unknown"


def test_face_with_misplaced_mask_is_set_aside(faces, landmarks_by_path, tmp_path):
    path = str(tmp_path / "images/1.jpg")
    left, right, nose, *mouth = (tuple(point) for point in landmarks_by_path[path].points[:5].tolist())
    aside = Landmarks(left, right, (-2.0, nose[1]), *mouth)
    made = write_masked_dataset(select_faces(faces, {**landmarks_by_path, path: aside}), tmp_path / "out", workers=1)
    assert made.persons == 3
    assert made.set_aside == {"images/1.jpg": "mask1: the nose is outside the photo"}
    assert not list((tmp_path / "out" / "images").glob("000001*"))


def test_misplaced_masks_are_detected(landmarks_by_path):
    landmarks = next(iter(landmarks_by_path.values()))
    over, off = np.ones((128, 96)), np.zeros((128, 96))
    pixels = np.zeros((128, 96, 3), np.uint8)

    def fault(mask, way, box=(0, 0, 9, 9)):
        return find_placement_error(MaskedPhoto(pixels, mask, mask > 0, box, 1.0), instance(way), landmarks)

    def instance(way):
        return sample_mask("cloth", way, np.random.default_rng(0))

    assert fault(over, "close") == fault(off, "on the chin") == ""
    assert fault(off, "close") == "the mask does not cover the nose"
    assert fault(over, "dangling") == "the mask covers the nose"
    assert fault(off, "dangling", (0, 0, 0, 0)) == "the mask is outside the photo"
    tip = int(landmarks.nose[1])
    half = np.where(np.arange(128)[:, None] >= tip, over, off)
    assert fault(half, "half the nose") == fault(half, "close") == ""
    assert fault(half, "under the nose") == "the mask covers the nose"
    assert fault(over, "half the nose") == "the mask covers the whole nose"
    assert fault(off, "half the nose") == "the mask does not cover the mouth"


def test_dangling_mask_over_the_nose_moves_to_the_other_ear_or_the_chin(landmarks_by_path):
    landmarks = next(iter(landmarks_by_path.values()))
    name = next(name for name in map(str, range(200)) if sample_masks(0, name)["incorrect_mask"].style == "dangling")
    side = sample_masks(0, name)["incorrect_mask"].side

    def hung(free):
        """Style, side and number of attempts where a mask can dangle only on the sides `free`."""
        tried = []

        def put(instance):
            tried.append(instance)
            covers = instance.style == "dangling" and instance.side not in free
            mask = np.full((128, 96), float(covers))
            return MaskedPhoto(np.zeros((128, 96, 3), np.uint8), mask, mask > 0, (0, 0, 9, 9), 1.0)

        instance, _ = render_all_masks(SimpleNamespace(apply_mask=put, landmarks=landmarks), 0, name)["incorrect_mask"]
        return instance.style, instance.side, len(tried) - 5

    assert hung((-1, 1)) == ("dangling", side, 1)
    assert hung((-side,)) == ("dangling", -side, 2)
    assert hung(())[0] == "on the chin"


def test_selection_continues_until_enough_faces_are_usable(faces, landmarks_by_path):
    seen = []

    def find(pixels):
        seen.append(pixels.shape)
        return None if len(seen) == 1 else next(iter(landmarks_by_path.values()))

    chosen = select_faces(faces, find, persons=3)
    assert len(chosen.faces) == 3
    assert len(chosen.set_aside) == 1
    assert seen[0] == (128, 96, 3)


def test_no_usable_face_raises(faces):
    with pytest.raises(DataError, match=r"none of 4 photos can be used.*no face found"):
        select_faces(faces, {})


def test_each_person_gets_one_folder_with_the_race(drawn, faces, landmarks_by_path, tmp_path):
    faces.write_text(
        "path,person,gender,age,Race\nimages/1.jpg,a,female,24,East_Asian\nimages/2.jpg,a,female,24,\n"
        "images/3.jpg,b,male,41,\n"
    )
    chosen = select_faces(faces, landmarks_by_path)
    assert [face.folder for face in chosen.faces] == ["000001_female_East-Asian_24", "000003_male_Unknown_41"]
    assert chosen.others == 1


def test_bare_photos_of_the_layout_use_its_landmarks(tmp_path):
    write_train_set(tmp_path / "drawn", 2, size=SIZE, workers=1)
    chosen = select_faces(tmp_path / "drawn", read_landmarks(tmp_path / "drawn" / "landmarks.csv"))
    assert [face.path.stem for face in chosen.faces] == ["normal", "normal"]
    assert all("_Drawn_" in face.folder for face in chosen.faces)
    made = write_masked_dataset(chosen, tmp_path / "out", workers=1)
    assert made.persons == 2
    with pytest.raises(DataError, match="lies among the photos"):
        write_masked_dataset(chosen, tmp_path / "drawn" / "images" / "out", workers=1)


def test_the_list_of_an_earlier_version_is_read_with_whole_photos_and_resumed(faces, landmarks_by_path, tmp_path):
    """Its columns `left` to `bottom` are the box of the mask, which is no face to crop to."""
    chosen = select_faces(faces, landmarks_by_path)
    write_masked_dataset(chosen, tmp_path / "out", workers=1)
    path = tmp_path / "out" / "masks.csv"
    before = read_photos(path, SCHEMA)
    header, rest = path.read_text().split("\n", 1)
    path.write_text(header.replace("mask_", "") + "\n" + rest)
    after = read_photos(path, SCHEMA)
    assert [photo.path for photo in after] == [photo.path for photo in before]
    assert all(photo.box is None for photo in after)
    write_masked_dataset(chosen, tmp_path / "out", workers=1, resume=True)
    assert path.read_text() == f"{header}\n{rest}"


def test_resumed_run_equals_an_uninterrupted_one(faces, landmarks_by_path, tmp_path, monkeypatch):
    chosen = select_faces(faces, landmarks_by_path)
    write_masked_dataset(chosen, tmp_path / "whole", workers=1)
    worked = []
    write = write_dataset._write_person

    def cut(job):
        if len(worked) == 2:
            raise KeyboardInterrupt
        worked.append(job.face.folder)
        return write(job)

    monkeypatch.setattr(write_dataset, "_write_person", cut)
    with pytest.raises(KeyboardInterrupt):
        write_masked_dataset(chosen, tmp_path / "cut", workers=1)
    assert worked == ["000001_female_Unknown_24", "000002_male_Unknown_41"]
    # As after a power failure in the middle of a line.
    with (tmp_path / "cut" / "masks.csv").open("a") as stream:
        stream.write("images/000003_female_Unknown_63/mask1.jpg,clo")
    with pytest.raises(DataError, match="not empty"):
        write_masked_dataset(chosen, tmp_path / "cut", workers=1)
    monkeypatch.setattr(write_dataset, "_write_person", lambda job: worked.append(job.face.folder) or write(job))
    write_masked_dataset(chosen, tmp_path / "cut", workers=1, resume=True)
    assert worked[2:] == ["000003_female_Unknown_63", "000004_male_Unknown_33"]
    assert content(tmp_path / "cut") == content(tmp_path / "whole")


def test_resuming_with_other_settings_raises(faces, landmarks_by_path, tmp_path):
    chosen = select_faces(faces, landmarks_by_path)
    write_masked_dataset(chosen, tmp_path / "out", workers=1)
    before = content(tmp_path / "out")
    with pytest.raises(DataError, match="differs in seed, photos, number of persons or number of masks"):
        write_masked_dataset(chosen, tmp_path / "out", seed=1, resume=True, workers=1)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "precious.txt").write_text("x")
    with pytest.raises(DataError, match="nothing to resume"):
        write_masked_dataset(chosen, tmp_path / "mine", resume=True, workers=1)
    assert content(tmp_path / "out") == before


@pytest.mark.parametrize("quality", [72, 85, 93])
def test_jpeg_quality_is_estimated(quality):
    stream = io.BytesIO()
    Image.new("RGB", (16, 16)).save(stream, "JPEG", quality=quality)
    assert estimate_jpeg_quality(Image.open(stream)) == pytest.approx(quality, abs=1)
    assert estimate_jpeg_quality(Image.new("RGB", (4, 4))) == 97


def test_missing_photo_is_set_aside(faces, landmarks_by_path, tmp_path):
    chosen = select_faces(faces, landmarks_by_path)
    lost = BareFace(tmp_path / "gone.jpg", "gone.jpg", "000009_male_Unknown_20", next(iter(landmarks_by_path.values())))
    made = write_masked_dataset(FaceSelection(faces, (*chosen.faces[:1], lost)), tmp_path / "out", workers=1)
    assert made.persons == 1
    assert made.set_aside == {"gone.jpg": "there is no such photo"}


def test_largest_face_is_used(monkeypatch):
    five = ((30.0, 40.0), (60.0, 40.0), (45.0, 58.0), (34.0, 74.0), (56.0, 74.0))

    class Two:
        published = None

        def detect(self, photos):
            small = tuple((x / 4, y / 4) for x, y in five)
            return [[Face((0, 0, 20, 20), 0.99, small), Face((0, 0, 90, 90), 0.8, five), Face((0, 0, 95, 95), 0.7)]]

    monkeypatch.setitem(DETECTORS, "mtcnn", Two)
    assert landmark_detector("mtcnn")(np.zeros((100, 90, 3), np.uint8)).points.tolist() == [
        list(point) for point in five
    ]


@pytest.fixture
def no_loaded_detectors():
    """Detectors are kept by the content of their weights, which the files of other tests may share."""
    detectors._load.cache_clear()
    yield
    detectors._load.cache_clear()


def test_landmarks_are_those_of_the_bundled_detector_or_of_the_named_file(
    detector_file, monkeypatch, no_loaded_detectors
):
    seen = []
    for name in ("bundled", "yunet"):
        kind = DETECTORS[name]
        monkeypatch.setitem(
            DETECTORS, name, type(name, (kind,), {"detect": lambda self, photos: seen.append(self) or [[]]})
        )
    for weights, name in ((None, "bundled"), (detector_file("yunet"), "yunet"), (detector_file("bundled"), "bundled")):
        assert landmark_detector(weights=weights)(np.zeros((64, 64, 3), np.uint8)) is None
        assert type(seen[-1]).__name__ == name


def test_detector_without_landmarks_raises():
    assert set(LANDMARK_DETECTORS) < set(DETECTORS)
    with pytest.raises(DataError, match="returns no landmarks"):
        landmark_detector("ultra_light")
    with pytest.raises(RecipeError, match="yunet"):
        landmark_detector("yunett")


def test_non_numeric_landmarks_raise_with_their_rows(tmp_path):
    names = [
        f"{name}_{axis}" for name in ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right") for axis in "xy"
    ]
    path = tmp_path / "marks.csv"
    path.write_text("path," + ",".join(names) + "\na.jpg" + ",1" * 9 + ",x\nb.jpg" + ",2" * 10 + "\n")
    with pytest.raises(DataError, match="row 2"):
        read_landmarks(path)
    path.write_text(path.read_text().replace("x\n", "7\n") + "a.jpg" + ",3" * 10 + "\n")
    with pytest.raises(DataError, match=r"row 4: duplicate of row 2, .*a\.jpg"):
        read_landmarks(path)
    path.write_text(path.read_text().rpartition("a.jpg")[0])
    assert read_landmarks(path)[str(tmp_path / "b.jpg")].chin is None


def test_command_limits_match_the_number_of_styles():
    most = [get_args(option)[1].max for option in (add_masks.NumCorrectOption, add_masks.NumIncorrectOption)]
    assert most == [len(CORRECT_STYLES), len(INCORRECT_STYLES)]


def test_command_writes_a_dataset_and_refuses_to_overwrite_it(tmp_path):
    def run(*words):
        line = [sys.executable, "-m", "maskfit", "data", *map(str, words)]
        return subprocess.run(line, capture_output=True, text=True, check=False, cwd=tmp_path)

    write_train_set(tmp_path / "drawn", 1, size=SIZE, workers=1)
    words = (
        "add-masks",
        "drawn",
        "--out",
        "masked",
        "--landmarks",
        "drawn/landmarks.csv",
        "--workers",
        1,
        "--n-incorrect",
        2,
    )
    made = run(*words, "--json")
    assert made.returncode == 0, made.stderr
    output = json.loads(made.stdout)
    assert (output["persons"], output["set_aside"], sum(output["ways"].values())) == (1, {}, 7)
    assert len(list((tmp_path / "masked").rglob("*.jpg"))) == 8
    again = run(*words)
    assert again.returncode == 2
    assert "not empty" in again.stderr
    assert "--resume" in again.stderr
    resumed = run(*words, "--resume").stdout
    assert "1 person, listed in" in resumed
    # Not the competition's numbers of masks, so the list is read, not the folder.
    assert resumed.splitlines()[-1].endswith(f"data check {Path('masked') / 'masks.csv'}")
    assert len(read_photos(tmp_path / "masked" / "masks.csv", SCHEMA)) == 8
