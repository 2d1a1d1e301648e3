"""`maskfit predict photo.jpg` as a user types it."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskfit.inference.face_predictor import FacePredictor
from maskfit.inference.predictor import Predictor

SMALL, LARGE = (10, 20, 50, 70), (80, 10, 180, 130)


@pytest.fixture
def with_detector(painted, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with a detector."""
    monkeypatch.setattr(painted, "package", "numpy", raising=False)


@pytest.fixture
def no_detector(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without a detector."""
    monkeypatch.setattr("maskfit.data.crops.face.find_local_detector", lambda: None)


@pytest.fixture
def photo(paint, command) -> str:
    """A photo with two faces in the current folder."""
    Image.fromarray(paint(160, 220, SMALL, LARGE)).save("two.png")
    return "two.png"


def test_every_face_has_a_line(command, bundled_model, with_detector, photo):
    result = command("predict", photo)
    assert result.code == 0, result.err
    first, second = result.out.splitlines()
    reading = FacePredictor(Predictor.load(bundled_model)).predict_one(photo)
    texts = [", ".join(item.full_text for item in face.attributes) for face in reading.faces]
    assert first == f"two.png: face 1 of 2 (left 80, top 10, 100 x 120): {texts[0]}"
    assert second == f"two.png: face 2 of 2 (left 10, top 20, 40 x 50): {texts[1]}"
    assert "mask " in texts[0]
    assert "no model named" in result.err
    assert "maskfit model-card" in result.err
    assert len(result.err.splitlines()) == 2


def test_faces_that_are_too_small_are_counted_and_not_predicted(command, bundled_model, with_detector, photo):
    result = command("predict", photo, "--min-face", 41)
    (line,) = result.out.splitlines()
    assert line.startswith("two.png: face 1 of 1 (left 80, top 10, 100 x 120)")
    assert "1 smaller face not predicted" in result.err
    result = command("predict", photo, "--min-face", 101)
    assert result.code == 0
    assert result.out == "two.png: no face that is large enough; 2 smaller faces not predicted\n"
    (record,) = json.loads(command("predict", photo, "--min-face", 101, "--json").out)["photos"]
    assert (record["found"], record["left_out"], record["note"], record["faces"]) == (0, 2, None, [])


def test_a_named_photo_that_the_run_was_trained_on_is_said(command, with_detector, photo, run_dir):
    from maskfit.config.loader import read_recipe, recipe_to_yaml

    Path("faces.csv").write_text(f"path,person,mask\n{photo},a,wear\nother.png,b,wear\n")
    (run_dir / "recipe.yaml").write_text(recipe_to_yaml(read_recipe("fast", ("data.path=faces.csv",))))
    (run_dir / "environment.json").write_text(json.dumps({"working_dir": str(Path.cwd())}))
    for held_out, said in (("b", True), ("a", False)):
        (run_dir / "splits.csv").write_text("person,fold\n" + f"{held_out},0\n{'ab'.replace(held_out, '')},-1\n")
        result = command("predict", run_dir, photo)
        assert result.code == 0, result.err
        assert ("1 of 1 photo was trained on in" in result.err) == said


def test_the_last_line_counts_faces_and_answers(command, bundled_model, with_detector, photo, paint, model):
    Image.fromarray(paint(60, 50)).save("none.png")
    result = command("predict", photo, "none.png")
    answers = Counter(re.findall(r"two.png.* mask (not sure|worn wrongly|worn|not worn)", result.out))
    assert answers.total() == 2
    names = ("worn", "worn wrongly", "not worn", "not sure")
    counts = ", ".join(f"{name} {answers[name]}" for name in names)
    assert result.err.splitlines()[-1] == f"2 faces on 1 photo: mask {counts}; 1 photo without a face found"
    Image.fromarray(paint(70, 50)).save("neither.png")
    result = command("predict", "none.png", "neither.png")
    assert result.err.splitlines()[-1] == "2 photos without a face found"
    result = command("predict", photo, "none.png", "--faces", "whole")
    assert result.err.splitlines()[-1].startswith("2 photos taken as one face: mask ")
    rows = command("predict", model, "--images", ".")
    answers = Counter(re.findall(r": (not sure|worn wrongly|worn|not worn)", rows.out))
    counts = ", ".join(f"{name} {answers[name]}" for name in names)
    assert f"3 photos: mask {counts}" in rows.err.splitlines()
    for quiet in (("none.png",), (photo, "--json"), (model, "--images", ".", "--json")):
        assert "mask worn" not in command("predict", *quiet).err


def test_named_model_wins_over_the_environment(command, model, photo, no_detector, monkeypatch):
    result = command("predict", model, photo)
    assert result.code == 0, result.err
    assert result.out.startswith("two.png: no face detector: whole photo taken as one face: mask ")
    assert "no model named" not in result.err
    monkeypatch.setenv("SM_CHANNEL_MODEL", str(model))
    again = command("predict", photo)
    assert (again.code, again.out, again.err) == (0, result.out, result.err)


def test_missing_detector_is_noted_once(command, bundled_model, photo, no_detector, evaluation):
    result = command("predict", photo, evaluation / "images")
    assert result.code == 0, result.err
    assert len(result.out.splitlines()) == 7
    assert result.err.count("no face detector on this machine, so each photo is taken as one face") == 1
    assert "pip install --force-reinstall maskfit" in result.err
    assert "--faces whole" in result.err
    assert "--detector yunet" in result.err
    quiet = command("predict", photo, "--faces", "whole")
    assert "no face detector" not in quiet.err
    note = "no face detector: whole photo taken as one face: "
    assert quiet.out == result.out.splitlines()[0].replace(note, "") + "\n"
    assert result.out.count(note) == 7
    assert json.loads(command("predict", photo, "--json").out)["photos"][0]["note"] == note.removesuffix(": ")
    assert json.loads(command("predict", photo, "--json", "--faces", "whole").out)["photos"][0]["note"] is None


def test_photo_without_a_face_is_predicted_whole(command, bundled_model, with_detector, paint):
    Image.fromarray(paint(60, 50)).save("none.png")
    result = command("predict", "none.png")
    assert result.out.startswith("none.png: no face found: whole photo taken as one face: mask not sure (")
    assert "without a face" not in result.err
    (face,) = json.loads(command("predict", "none.png", "--json").out)["photos"][0]["faces"]
    assert [face[name]["sure"] for name in ("mask", "gender", "age")] == [False] * 3


def test_lines_reach_a_pipe_beside_a_progress_bar(command, bundled_model, no_detector, photo, monkeypatch):
    from maskfit.cli.console import err

    monkeypatch.setattr(err, "_force_terminal", True)
    assert command("predict", photo, "--faces", "whole").out.startswith("two.png: mask ")


def test_json_has_boxes_and_nothing_else_is_printed(command, bundled_model, with_detector, photo):
    Path("bad.jpg").write_text("no photo")
    result = command("predict", photo, "bad.jpg", "--json", "--draw", "drawn")
    assert result.code == 0, result.err
    data = json.loads(result.out)
    assert data["detector"] == "bundled"
    (one,) = data["photos"]
    assert (one["photo"], one["width"], one["height"], one["found"], one["drawn"]) == (
        "two.png",
        220,
        160,
        2,
        "drawn/two.png",
    )
    assert [face["box"] for face in one["faces"]] == [list(map(float, LARGE)), list(map(float, SMALL))]
    for name in ("mask", "gender", "age"):
        own = one["faces"][0][name]
        assert own["value"] in own["probabilities"]
        assert sum(own["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert "text file" in data["unreadable"]["bad.jpg"]


def test_annotated_photo_has_boxes_and_overwrites_nothing(command, bundled_model, with_detector, photo):
    assert command("predict", photo, "--draw", "out.png").code == 0
    before, drawn = (np.asarray(Image.open(name).convert("RGB")).astype(int) for name in (photo, "out.png"))
    changed = np.abs(before - drawn).max(axis=2) > 20
    assert changed[10:130, 79:82].mean() > 0.8  # the left edge of the large face
    assert not changed[40:100, 95:170].any()  # the face itself stays visible
    result = command("predict", photo, "--draw", "out.png")
    assert result.code == 2
    assert "the file exists" in result.err
    assert command("predict", photo, "--draw", "out.png", "--force").code == 0
    for args in (("--draw", photo, "--force"), ("--draw", ".", "--force")):
        result = command("predict", photo, *args)
        assert result.code == 2
        assert "the output is a source photo" in result.err
    assert (np.asarray(Image.open(photo)) == before).all()
    assert "the suffix must be one of .jpg" in command("predict", photo, "--draw", "out.gif").err


def test_several_annotated_photos_go_into_a_folder(command, bundled_model, no_detector, paint):
    for name in ("a/x.png", "a/deep/y.jpg", "b/x.png", "b/z.bmp"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(paint(60, 50)).save(name)
    result = command("predict", "a", "b", "--draw", "out")
    assert result.code == 0, result.err
    assert "written: out: 4 photos" in result.err
    written = sorted(path.relative_to("out").as_posix() for path in Path("out").rglob("*") if path.is_file())
    assert written == ["deep/y.jpg", "x (2).png", "x.png", "z.jpg"]
    assert "not empty" in command("predict", "a", "--draw", "out").err
    assert command("predict", "a", "--draw", "out", "--force").code == 0
    Path("file").write_text("mine")
    assert "several photos need a folder" in command("predict", "a", "--draw", "file").err


@pytest.mark.parametrize("way", ["absolute", "above"])
def test_photos_named_from_elsewhere_are_drawn_inside_the_folder(command, bundled_model, no_detector, paint, way):
    """Neither an absolute path nor one with ".." leads out of it, and no other source photo is replaced."""
    Path("work").mkdir()
    for name in ("x.bmp", "x.jpg", "y.bmp"):
        Image.fromarray(paint(60, 50)).save(name)
    before = {name: Path(name).read_bytes() for name in ("x.bmp", "x.jpg", "y.bmp")}
    names = [str(Path(name).resolve()) if way == "absolute" else f"work/../{name}" for name in ("x.bmp", "y.bmp")]
    result = command("predict", *names, "--draw", "out", "--force")
    assert result.code == 0, result.err
    assert sorted(path.name for path in Path("out").iterdir()) == ["x.jpg", "y.jpg"]
    assert {name: Path(name).read_bytes() for name in before} == before
    assert sorted(path.name for path in Path().glob("*.jpg")) == ["x.jpg"]


def test_an_annotated_photo_replaces_no_other_source_photo(command, bundled_model, no_detector, paint):
    for name in ("out/x.jpg", "other/x.jpg"):
        Path(name).parent.mkdir()
        Image.fromarray(paint(60, 50)).save(name)
    before = Path("out/x.jpg").read_bytes()
    elsewhere = str(Path("other/x.jpg").resolve())  # Drawn as out/x.jpg.
    result = command("predict", elsewhere, "out/x.jpg", "--draw", "out", "--force")
    assert result.code == 2
    assert "the output is a source photo" in result.err
    assert Path("out/x.jpg").read_bytes() == before


def test_single_unreadable_photo_is_an_error_several_are_listed(command, bundled_model, no_detector, photo, evaluation):
    for name, content in {
        "empty.jpg": b"",
        "text.jpg": b"hello there",
        "half.png": Path(photo).read_bytes()[:100],
    }.items():
        Path(name).write_bytes(content)
        result = command("predict", name)
        assert (result.code, result.out) == (2, "")
        assert name in result.err
    Image.new("RGB", (1, 1)).save("dot.png")
    assert "1 x 1 pixels are too few for a face" in command("predict", "dot.png").err
    result = command("predict", "empty.jpg", photo, "dot.png")
    assert result.code == 0
    assert len(result.out.splitlines()) == 1
    assert "set aside 2 unreadable photos" in result.err
    assert "  dot.png: 1 x 1 pixels are too few for a face" in result.err
    result = command("predict", "empty.jpg", "text.jpg")
    assert result.code == 2
    assert "none of the 2 photos can be read" in result.err
    assert "- text.jpg: " in result.err


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ("absent.jpg", "there is no such photo or model"),
        ("no*.jpg", "nothing matches this"),
        (".", "this folder has no photos"),
        ("PHOTO --faces some", "--faces some is unknown"),
        ("PHOTO --faces find", "no face detector on this machine"),
        ("PHOTO --detector yolo", "yolo"),
        ("PHOTO --faces whole --detector yunet", "where faces are not detected"),
        ("PHOTO --faces whole --min-face 20", "where faces are not detected"),
        ("MODEL --images IMAGES --min-face 20", "--min-face needs named photos"),
        ("PHOTO --images IMAGES", "photos are named and given with --images"),
        ("PHOTO --out s.csv", "--out needs --images"),
        ("PHOTO --probabilities s.csv", "--probabilities needs --images"),
        ("MODEL --images IMAGES --draw o.jpg", "--draw needs named photos"),
        ("PHOTO --rotate 45", "--rotate 90, 180 or 270"),
        ("MODEL --images IMAGES --rotate 90", "--rotate needs named photos"),
        ("MODEL --images IMAGES --faces-csv o.csv", "--faces-csv needs named photos"),
        ("MODEL --images IMAGES --faces find", "--faces needs named photos"),
        ("MODEL --images IMAGES --detector yunet", "--detector needs named photos"),
        ("MODEL", "no photos given"),
        ("", "no photos given"),
    ],
)
def test_user_errors_exit_with_2_and_name_the_problem(
    command, bundled_model, no_detector, model, paint, evaluation, tmp_path, args, message
):
    Image.fromarray(paint(60, 50)).save(tmp_path / "p.png")
    placeholders = {"PHOTO": tmp_path / "p.png", "MODEL": model, "IMAGES": evaluation / "images"}
    for name, value in placeholders.items():
        args = args.replace(name, str(value))
    result = command("predict", *args.split())
    assert result.code == 2
    assert message in result.err
    assert result.out == ""
    assert list(Path().iterdir()) == []


def test_bundled_model_is_the_default_for_a_list(command, bundled_model, model, evaluation):
    args = ("--images", evaluation / "images", "--image-list", evaluation / "info.csv", "--out")
    result = command("predict", *args, "box.csv")
    assert result.code == 0, result.err
    assert "no model named" in result.err
    assert command("predict", model, *args, "named.csv").code == 0
    assert Path("box.csv").read_text() == Path("named.csv").read_text()


def test_model_card_defaults_to_the_bundled_model(command, bundled_model, model):
    result = command("model-card")
    assert result.code == 0, result.err
    assert result.err == "no model named: using the bundled model\n"
    assert result.out == command("model-card", model).out


def test_a_table_has_a_row_for_every_face_and_the_reason_for_every_photo_without(
    command, bundled_model, with_detector, photo, paint
):
    from maskfit.file_io import read_csv

    Image.fromarray(paint(60, 50)).save("none.png")
    Path("bad.jpg").write_text("no photo")
    result = command("predict", photo, "none.png", "bad.jpg", "--faces-csv", "faces.csv")
    assert result.code == 0, result.err
    assert "written: faces.csv: 2 photos" in result.err
    first, second, none, bad = read_csv(
        Path("faces.csv"), ["photo", "face", "left", "upper", "right", "lower", "score"]
    )
    assert [(row["photo"], row["face"]) for row in (first, second)] == [("two.png", "1"), ("two.png", "2")]
    assert [float(first[edge]) for edge in ("left", "upper", "right", "lower")] == list(map(float, LARGE))
    for row, face in zip(
        (first, second), FacePredictor(Predictor.load(bundled_model)).predict_one(photo).faces, strict=True
    ):
        assert row["problem"] == ""
        assert float(row["score"]) == pytest.approx(face.face.score, abs=1e-4)
        for item in face.attributes:
            answer = item.value if item.is_confident else "not sure"
            assert (row[item.attribute], row[f"{item.attribute}_guess"]) == (answer, item.value)
            assert float(row[f"{item.attribute}_probability"]) == pytest.approx(item.probability, abs=1e-4)
    # Taken as one face, and so not sure: the reason says it.
    assert (none["face"], none["left"], none["mask"], none["problem"]) == ("1", "", "not sure", "no face found")
    assert (bad["photo"], bad["face"], bad["mask_guess"]) == ("bad.jpg", "", "")
    assert "text file" in bad["problem"]
    command("predict", photo, "--min-face", 101, "--faces-csv", "small.csv")
    (row,) = read_csv(Path("small.csv"), ["problem"])
    assert (row["face"], row["problem"]) == ("", "no face that is large enough")


@pytest.mark.parametrize("size", [(160, 220), (700, 900)])
@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_photos_of_a_camera_mounted_sideways_are_turned(command, bundled_model, with_detector, paint, degrees, size):
    """Also a large one, which is read again where its pixels must be exact."""
    upright = Image.fromarray(paint(*size, SMALL, LARGE))
    for folder, turn in (("upright", 0), ("sideways", degrees)):
        Path(folder).mkdir()
        upright.rotate(turn, expand=True).save(f"{folder}/a.png")
    plain = command("predict", "upright", "--json", "--draw", "plain")
    turned = command("predict", "sideways", "--json", "--draw", "turned", "--rotate", degrees)
    assert (plain.code, turned.code) == (0, 0), turned.err
    expected, found = (json.loads(result.out)["photos"][0] for result in (plain, turned))
    assert found["faces"] == expected["faces"]
    assert (found["width"], found["height"], found["found"]) == (*size[::-1], 2)
    drawn = [np.asarray(Image.open(f"{folder}/a.png")) for folder in ("plain", "turned")]
    assert (drawn[0] == drawn[1]).all()


def test_a_table_is_not_replaced_without_force_nor_left_in_part(command, bundled_model, with_detector, photo):
    Path("faces.csv").write_text("mine")
    assert "add --force" in command("predict", photo, "--faces-csv", "faces.csv").err
    Path("bad.jpg").write_text("no photo")
    assert command("predict", "bad.jpg", "--faces-csv", "faces.csv", "--force").code == 2
    assert Path("faces.csv").read_text() == "mine"
    assert command("predict", photo, "--faces-csv", "faces.csv", "--force").code == 0
    assert Path("faces.csv").read_text().startswith("photo,face,left")
    before = Path(photo).read_bytes()
    result = command("predict", photo, "--faces-csv", photo, "--force")
    assert (result.code, Path(photo).read_bytes() == before) == (2, True)
    assert "the name of a photo" in result.err
    assert "--faces-csv FILE" in command("predict", photo, "--out", "s.csv").err
    assert "--faces-csv FILE" in command("predict", photo, "--csv", "s.csv").err


def test_a_table_has_years_where_the_model_gives_them(command, with_detector, photo):
    """The bundled model itself, in a table with its columns of years."""
    from maskfit.file_io import read_csv

    result = command("predict", photo, "--faces-csv", "faces.csv")
    assert result.code == 0, result.err
    for row in read_csv(Path("faces.csv"), ["age_mean", "age_q10", "age_q50", "age_q90"]):
        assert int(row["age_q10"]) <= int(row["age_q50"]) <= int(row["age_q90"])
        assert 0 < float(row["age_mean"]) < 100
        assert row["problem"] == ""
