"""Drawn faces: deterministic, consistent with their labels, and written atomically."""

from __future__ import annotations

import csv
import hashlib
import multiprocessing
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from maskfit.errors import DataError, MaskfitError
from maskfit.synthesis.drawn import (
    PHOTO_NAMES,
    DrawnLandmarks,
    RenderedPhoto,
    contact_sheet,
    render,
    render_photo,
    sample_person,
    write_dataset,
    write_eval_set,
    write_train_set,
)
from maskfit.synthesis.drawn.canvas import Canvas
from maskfit.synthesis.drawn.colors import luminance
from maskfit.synthesis.drawn.curves import ellipse, resampled, ribbon, spline
from maskfit.synthesis.drawn.demographics import sample_demographics
from maskfit.synthesis.drawn.hairstyles import STYLES
from maskfit.synthesis.drawn.scene import sample_scene

SMALL = (96, 128)


def digest(image: Image.Image) -> str:
    return hashlib.sha256(image.tobytes()).hexdigest()


def within(point: tuple[float, float], polygon: tuple[tuple[float, float], ...]) -> bool:
    """Whether a point is in a polygon, by ray casting."""
    x, y = point
    inside = False
    for (x1, y1), (x2, y2) in zip(polygon, (*polygon[1:], polygon[0]), strict=True):
        if (y1 > y) != (y2 > y) and x < (x2 - x1) * (y - y1) / (y2 - y1) + x1:
            inside = not inside
    return inside


def mouth(landmarks: DrawnLandmarks) -> tuple[float, float]:
    return (landmarks.mouth_left[0] + landmarks.mouth_right[0]) / 2, (
        landmarks.mouth_left[1] + landmarks.mouth_right[1]
    ) / 2


def patch(drawing: RenderedPhoto, point: tuple[float, float]) -> np.ndarray:
    x, y = round(point[0]), round(point[1])
    return np.asarray(drawing.image, dtype=float)[y - 1 : y + 2, x - 1 : x + 2].mean(axis=(0, 1))


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def photos(count: int, names: tuple[str, ...] = PHOTO_NAMES, seed: int = 11) -> list[tuple[str, RenderedPhoto]]:
    return [
        (name, render_photo(sample_person(seed, number), name, size=SMALL)) for number in range(count) for name in names
    ]


# Determinism


def test_rendering_is_deterministic_and_independent_of_earlier_calls():
    first = render_photo(sample_person(4, 2), "mask3", size=SMALL)
    for number in range(3):
        render_photo(sample_person(4, number), "normal", size=SMALL)
    again = render_photo(sample_person(4, 2), "mask3", size=SMALL)
    assert digest(first.image) == digest(again.image)
    assert first.landmarks == again.landmarks


def test_another_process_renders_the_same_pixels():
    code = (
        "import hashlib; from maskfit.synthesis.drawn import render_photo, sample_person;"
        "print(*[hashlib.sha256(render_photo(sample_person(9, 5), n, size=(96, 128)).image.tobytes()).hexdigest()"
        " for n in ('mask1', 'incorrect_mask')])"
    )
    source = Path(write_dataset.__file__).parents[3]
    other = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(source), "PYTHONHASHSEED": "77", "SYSTEMROOT": "C:\\Windows"},
    )
    mine = [digest(render_photo(sample_person(9, 5), name, size=SMALL).image) for name in ("mask1", "incorrect_mask")]
    assert other.stdout.split() == mine


def test_seed_number_and_photo_name_change_the_image():
    pictures = [
        render_photo(sample_person(seed, number), name, size=SMALL).image
        for seed, number, name in [(0, 1, "mask1"), (1, 1, "mask1"), (0, 2, "mask1"), (0, 1, "mask2"), (1, 0, "mask1")]
    ]
    assert len({digest(picture) for picture in pictures}) == len(pictures)


def test_setting_the_age_keeps_face_shape_and_skin():
    young, old = sample_person(0, 8, gender="male", age=20), sample_person(0, 8, gender="male", age=70)
    assert (young.skin, young.face.jaw, young.face.nose_width) == (old.skin, old.face.jaw, old.face.nose_width)


# Traits


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    number=st.integers(0, 10**6),
    gender=st.sampled_from(("male", "female")),
    age=st.integers(18, 75),
)
def test_traits_are_in_range(seed, number, gender, age):
    person = sample_person(seed, number, gender=gender, age=age)
    assert (person.gender, person.age) == (gender, age)
    assert person.hair in STYLES
    assert all(0 <= value <= 1 for value in vars(person.aging).values())
    assert all(-1 <= channel <= 256 for channel in (*person.skin, *person.hair_color))
    assert person.accessories.beard == "" or gender == "male"


@pytest.mark.parametrize("wrong", [{"age": 17}, {"age": 76}, {"gender": "other"}, {"number": -1}, {"seed": -1}])
def test_invalid_traits_raise(wrong):
    arguments = {"seed": 0, "number": 1, **wrong}
    with pytest.raises(DataError):
        sample_person(**arguments)


def test_wrinkles_increase_with_age_and_overlap_at_the_band_border():
    def lines(age: int) -> np.ndarray:
        people_of_age = [sample_person(3, number, gender="female", age=age).aging for number in range(60)]
        return np.array([person.eyes + person.folds + person.forehead for person in people_of_age])

    at_28, at_32, at_45, at_70 = (lines(age) for age in (28, 32, 45, 70))
    assert at_28.mean() < at_32.mean() < at_45.mean() < at_70.mean()
    assert at_28.max() > at_32.min(), "the age bands must overlap at 30"


def test_hair_turns_gray_with_age():
    def lightness(age: int) -> float:
        return float(np.mean([luminance(sample_person(2, n, gender="male", age=age).hair_color) for n in range(50)]))

    assert lightness(22) + 0.15 < lightness(72)


def test_hairstyles_of_genders_overlap():
    women = {sample_person(0, number, gender="female").hair for number in range(300)}
    men = {sample_person(0, number, gender="male").hair for number in range(300)}
    assert women & men
    assert women - men
    assert men - women


# Photos


@pytest.mark.parametrize("size", [(384, 512), (96, 128), (224, 224), (33, 47), (200, 120)])
def test_image_has_the_requested_size_and_contains_the_landmarks(size):
    drawing = render_photo(sample_person(1, 3), "mask2", size=size)
    landmarks = drawing.landmarks
    assert drawing.image.size == size
    assert drawing.image.mode == "RGB"
    for x, y in (
        landmarks.left_eye,
        landmarks.right_eye,
        landmarks.nose,
        landmarks.mouth_left,
        landmarks.mouth_right,
        landmarks.chin,
    ):
        assert 0 <= x < size[0]
        assert 0 <= y < size[1]


def test_landmarks_scale_with_the_image():
    person = sample_person(1, 4)
    small, large = (render_photo(person, "normal", size=size).landmarks for size in ((96, 128), (384, 512)))
    assert np.allclose(np.array(small.nose) * 4, large.nose, atol=0.05)


def test_too_small_size_and_unknown_photo_name_raise():
    person = sample_person(0, 0)
    with pytest.raises(DataError):
        render_photo(person, "normal", size=(16, 20))
    with pytest.raises(DataError, match="unknown photo name 'mask6'"):
        render_photo(person, "mask6")


def test_landmarks_are_anatomically_ordered():
    for _, drawing in photos(25, ("normal",)):
        landmarks, (left, top, right, bottom) = drawing.landmarks, drawing.landmarks.face
        assert landmarks.left_eye[0] < landmarks.nose[0] < landmarks.right_eye[0]
        assert (
            max(landmarks.left_eye[1], landmarks.right_eye[1])
            < landmarks.nose[1]
            < mouth(landmarks)[1]
            < landmarks.chin[1]
        )
        assert landmarks.mouth_left[0] < landmarks.mouth_right[0]
        assert 0 <= left < right <= SMALL[0]
        assert 0 <= top < bottom <= SMALL[1]
        for x, y in (
            landmarks.left_eye,
            landmarks.right_eye,
            landmarks.nose,
            landmarks.mouth_left,
            landmarks.mouth_right,
        ):
            assert left < x < right
            assert top < y < bottom


def test_correct_masks_cover_nose_and_mouth_and_incorrect_ones_show_the_nose():
    seen = Counter()
    for name, drawing in photos(40, ("mask1", "mask4", "incorrect_mask", "normal")):
        landmarks = drawing.landmarks
        if name == "normal":
            assert (drawing.mask, drawing.style, landmarks.mask, landmarks.mask_box) == ("not_wear", "bare", None, None)
            continue
        assert landmarks.mask is not None
        nose, lips = within(landmarks.nose, landmarks.mask), within(mouth(landmarks), landmarks.mask)
        if name == "incorrect_mask":
            assert drawing.mask == "incorrect"
            assert not nose
            way = drawing.style.split(", ")[1]
            seen[way] += 1
            assert lips == (way == "under nose")
        else:
            assert drawing.mask == "wear"
            assert nose
            assert lips
            assert landmarks.mask_box is not None
            assert landmarks.mask_box[3] > landmarks.chin[1] - 1
    assert set(seen) == {"under nose", "chin", "dangle"}


def test_all_mask_kinds_and_patterns_occur():
    looks = [sample_scene(sample_person(0, number), "mask1").mask for number in range(150)]
    assert {look.kind for look in looks if look} == {"surgical", "kn95", "cup", "cloth"}
    assert {look.pattern for look in looks if look} == {"", "dots", "stripes", "checks", "flowers"}


def test_mask_changes_only_the_pixels_it_covers(monkeypatch):
    """The photo with and without its mask differs at nose and mouth exactly where the wearing style covers them."""
    change = {"wear": [], "under nose": [], "chin": []}
    for number in range(40):
        person = sample_person(21, number)
        for name in ("mask1", "incorrect_mask"):
            scene = replace(sample_scene(person, name), mouth_open=0.0)
            pixels = []
            for look in (scene.mask, None):
                setting = replace(scene, mask=look)
                monkeypatch.setattr(render, "sample_scene", lambda *_, setting=setting: setting)
                drawing = render_photo(person, name, size=SMALL)
                pixels.append([patch(drawing, drawing.landmarks.nose), patch(drawing, mouth(drawing.landmarks))])
            if scene.mask.wearing_style in change:
                change[scene.mask.wearing_style].append(np.abs(np.subtract(*pixels)).mean(axis=1))
    typical = {worn: np.median(values, axis=0) for worn, values in change.items()}
    assert typical["wear"].min() > 20
    assert typical["under nose"][0] < 8 < 20 < typical["under nose"][1]
    assert typical["chin"].max() < 8


# Datasets


@settings(max_examples=40, deadline=None)
@given(persons=st.integers(6, 500), seed=st.integers(0, 10**6))
def test_demographics_have_exact_proportions_and_all_groups(persons, seed):
    demographics = sample_demographics(seed, persons)
    cells = Counter((gender, (age >= 30) + (age >= 60)) for gender, age in demographics)
    assert len(demographics) == persons
    assert len(cells) == 6
    assert all(18 <= age <= 75 for _, age in demographics)
    slack = 1.0 if persons >= 25 else 2.0  # few persons: each cell needs at least one
    assert abs(sum(count for (gender, _), count in cells.items() if gender == "male") - 0.4 * persons) <= slack
    for band, share in enumerate((0.47, 0.45, 0.08)):
        assert abs(sum(count for (_, own), count in cells.items() if own == band) - share * persons) <= slack


@pytest.mark.parametrize("persons", [1, 2, 3, 5])
def test_small_datasets_have_the_requested_number_of_persons(persons):
    assert len(sample_demographics(0, persons)) == persons


def test_train_set_has_the_competition_layout(tmp_path):
    calls = []
    images = write_train_set(
        tmp_path / "faces", 6, seed=5, size=SMALL, workers=1, progress=lambda *counts: calls.append(counts)
    )
    folders = sorted(images.iterdir())
    assert images == tmp_path / "faces" / "images"
    assert [folder.name.split("_")[0] for folder in folders] == [f"{number:06d}" for number in range(1, 7)]
    for folder in folders:
        _, gender, race, age = folder.name.split("_")
        assert gender in ("male", "female")
        assert race == "Drawn"
        assert 18 <= int(age) <= 75
        assert sorted(path.stem for path in folder.iterdir()) == sorted(PHOTO_NAMES)
        assert {path.suffix for path in folder.iterdir()} <= {".jpg", ".jpeg", ".png"}
    assert calls == [(done, 6) for done in range(1, 7)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["faces"]
    assert sorted(path.name for path in (tmp_path / "faces").iterdir()) == ["images", "landmarks.csv"]
    landmarks = rows_of(tmp_path / "faces" / "landmarks.csv")
    assert len(landmarks) == 42
    for row in landmarks:
        assert (tmp_path / "faces" / row["path"]).is_file()
        assert (row["mask_left"] == "") == ("normal" in row["path"])


def test_several_processes_write_the_same_files_as_one(tmp_path):
    one = write_train_set(tmp_path / "one", 3, size=SMALL, workers=1).parent
    two = write_train_set(tmp_path / "two", 3, size=SMALL, workers=2).parent
    files = sorted(path.relative_to(one) for path in one.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(two) for path in two.rglob("*") if path.is_file())
    assert all((one / file).read_bytes() == (two / file).read_bytes() for file in files)


def test_eval_set_hides_labels_and_writes_the_truth(tmp_path):
    info = write_eval_set(tmp_path / "eval", 6, seed=3, size=SMALL, workers=1)
    listed, truth = rows_of(info), rows_of(info.with_name("truth.csv"))
    names = [row["ImageID"] for row in listed]
    assert [row["ImageID"] for row in truth] == names
    assert {row["ans"] for row in listed} == {"0"}
    assert sorted(names) == sorted(path.name for path in (tmp_path / "eval" / "images").iterdir())
    assert all(len(name) == 44 and set(name[:40]) <= set("0123456789abcdef") for name in names)
    answers = Counter(int(row["ans"]) for row in truth)
    expected = Counter()
    for gender, age in sample_demographics(3, 6):
        person = 3 * ("male", "female").index(gender) + (age >= 30) + (age >= 60)
        expected.update({person: 5, 6 + person: 1, 12 + person: 1})
    assert answers == expected
    assert len(answers) == 18
    persons_in_order = [int(row["ans"]) % 6 for row in truth]
    assert persons_in_order != sorted(persons_in_order)


def test_non_empty_folder_raises_and_is_left_unchanged(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    for write in (write_train_set, write_eval_set):
        with pytest.raises(MaskfitError, match="empty folder"):
            write(tmp_path, 1, size=SMALL, workers=1)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_empty_folder_is_accepted(tmp_path):
    (tmp_path / "new").mkdir()
    assert (write_train_set(tmp_path / "new", 1, size=SMALL, workers=1)).is_dir()


@pytest.mark.parametrize("wrong", [{"persons": 0}, {"seed": -1}, {"size": (8, 8)}])
def test_invalid_arguments_raise_before_anything_is_written(tmp_path, wrong):
    with pytest.raises(DataError):
        write_train_set(**{"out": tmp_path / "x", "persons": 1, "size": SMALL, **wrong})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_failure_leaves_no_files(tmp_path, monkeypatch, workers):
    """A process still writing while the folder is removed would leave files, so all must have ended."""

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    def remove(folder: Path, **kwargs: bool) -> None:
        drawing.extend(multiprocessing.active_children())
        rmtree(folder, **kwargs)

    drawing, rmtree = [], shutil.rmtree
    monkeypatch.setattr("maskfit.file_io.shutil.rmtree", remove)
    with pytest.raises(KeyboardInterrupt):
        write_train_set(tmp_path / "faces", 3, size=SMALL, workers=workers, progress=stop)
    assert (list(tmp_path.iterdir()), drawing) == ([], [])


def test_contact_sheet_has_the_expected_size():
    sheet = contact_sheet(0, 2, names=("mask1", "normal"), columns=2, width=48, gap=4)
    assert sheet.size == (4 + 4 * 52, 4 + 2 * 68)
    with pytest.raises(DataError):
        contact_sheet(0, 0)


# Curves and canvas


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.floats(-50, 50), st.floats(-50, 50)), min_size=2, max_size=9))
def test_spline_passes_through_its_control_points(points):
    curve = spline(points, 6)
    assert np.allclose(curve[::6], points)


def test_ribbon_has_the_requested_width():
    outline = ribbon([(0, 0), (5, 0), (10, 0)], 2.0)
    assert np.allclose(np.abs(outline[:, 1]), 1.0)
    assert resampled([(0, 0), (10, 0)], 5)[:, 0].tolist() == [0, 2.5, 5, 7.5, 10]


def test_strokes_are_clipped_to_the_outline():
    canvas = Canvas((40, 40))
    with canvas.inside(ellipse(40, 40, 20, 20)) as part:
        part.fill(np.array([(0.0, 30.0), (80.0, 30.0), (80.0, 50.0), (0.0, 50.0)]), (255, 255, 255))
    picture = np.asarray(canvas.finished())
    assert picture[20, 20].tolist() == [255, 255, 255]
    assert picture[20, 5].tolist() == [0, 0, 0]


def test_script_without_main_guard_gets_a_helpful_error(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from pathlib import Path\n"
        "from maskfit.synthesis.drawn import write_train_set\n"
        f"write_train_set(Path({str(tmp_path / 'faces')!r}), 2, size=(96, 128), workers=2)\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(Path(write_dataset.__file__).parents[3]), "SYSTEMROOT": "C:\\Windows"},
    )
    assert done.returncode != 0
    assert "__main__" in done.stderr.splitlines()[-1]
    assert [path.name for path in tmp_path.iterdir()] == ["script.py"]
