"""`maskfit predict photo.jpg` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskfit.inference.face_predictor import FacePredictor
from maskfit.inference.predictor import Predictor

SMALL, LARGE = (10, 20, 50, 70), (80, 10, 180, 130)


@pytest.fixture
def finds(painted, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which a detector is."""
    monkeypatch.setattr(painted, "package", "numpy", raising=False)


@pytest.fixture
def blind(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without a detector."""
    monkeypatch.setattr("maskfit.inference.face_predictor.find_local_detector", lambda: None)


@pytest.fixture
def photo(paint, command) -> str:
    """A photo with two faces in the current folder."""
    Image.fromarray(paint(160, 220, SMALL, LARGE)).save("two.png")
    return "two.png"


def test_every_face_has_a_line(command, box, finds, photo):
    said = command("predict", photo)
    assert said.code == 0, said.err
    first, second = said.out.splitlines()
    reading = FacePredictor(Predictor.load(box)).predict_one(photo)
    words = [", ".join(one.full_text for one in answer.attributes) for answer in reading.faces]
    assert first == f"two.png: face 1 of 2 (left 80, top 10, 100 x 120): {words[0]}"
    assert second == f"two.png: face 2 of 2 (left 10, top 20, 40 x 50): {words[1]}"
    assert "mask " in words[0]
    assert "no model named" in said.err
    assert "maskfit model-card" in said.err
    assert len(said.err.splitlines()) == 1


def test_a_model_that_is_named_answers_before_that_of_the_environment(command, model, photo, blind, monkeypatch):
    said = command("predict", model, photo)
    assert said.code == 0, said.err
    assert said.out.startswith("two.png: mask ")
    assert "no model named" not in said.err
    monkeypatch.setenv("SM_CHANNEL_MODEL", str(model))
    again = command("predict", photo)
    assert (again.code, again.out, again.err) == (0, said.out, said.err)


def test_without_a_detector_it_is_said_once_how_to_get_one(command, box, photo, blind, evaluation):
    said = command("predict", photo, evaluation / "images")
    assert said.code == 0, said.err
    assert len(said.out.splitlines()) == 7
    assert said.err.count("no face detector on this machine, so each photo is taken as one face") == 1
    assert "pip install 'maskfit[faces]'" in said.err
    assert "--detector yunet" in said.err
    quiet = command("predict", photo, "--faces", "whole")
    assert "no face detector" not in quiet.err
    assert quiet.out == said.out.splitlines()[0] + "\n"


def test_a_photo_without_a_face_is_taken_whole_and_that_is_said(command, box, finds, paint):
    Image.fromarray(paint(60, 50)).save("none.png")
    said = command("predict", "none.png")
    assert said.out.startswith("none.png: no face found, whole photo: mask ")


def test_lines_reach_a_pipe_while_a_bar_stands_on_the_terminal(command, box, blind, photo, monkeypatch):
    from maskfit.cli.console import err

    monkeypatch.setattr(err, "_force_terminal", True)
    assert command("predict", photo).out.startswith("two.png: mask ")


def test_json_has_boxes_and_nothing_else_is_printed(command, box, finds, photo):
    Path("bad.jpg").write_text("no photo")
    said = command("predict", photo, "bad.jpg", "--json", "--draw", "drawn")
    assert said.code == 0, said.err
    told = json.loads(said.out)
    assert told["detector"] == "yunet"
    (one,) = told["photos"]
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
    assert "text file" in told["unreadable"]["bad.jpg"]


def test_a_drawn_photo_shows_the_boxes_and_replaces_nothing(command, box, finds, photo):
    assert command("predict", photo, "--draw", "out.png").code == 0
    before, drawn = (np.asarray(Image.open(name).convert("RGB")).astype(int) for name in (photo, "out.png"))
    changed = np.abs(before - drawn).max(axis=2) > 20
    assert changed[10:130, 79:82].mean() > 0.8  # the left edge of the large face
    assert not changed[40:100, 95:170].any()  # the face itself stays to be seen
    said = command("predict", photo, "--draw", "out.png")
    assert said.code == 2
    assert "the file exists" in said.err
    assert command("predict", photo, "--draw", "out.png", "--force").code == 0
    for words in (("--draw", photo, "--force"), ("--draw", ".", "--force")):
        said = command("predict", photo, *words)
        assert said.code == 2
        assert "the output is the source photo" in said.err
    assert (np.asarray(Image.open(photo)) == before).all()
    assert "the suffix must be one of .jpg" in command("predict", photo, "--draw", "out.gif").err


def test_several_photos_are_drawn_into_a_folder_each_under_its_name(command, box, blind, paint):
    for name in ("a/x.png", "a/deep/y.jpg", "b/x.png", "b/z.bmp"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(paint(60, 50)).save(name)
    said = command("predict", "a", "b", "--draw", "out")
    assert said.code == 0, said.err
    assert "wrote out: 4 photos" in said.err
    written = sorted(path.relative_to("out").as_posix() for path in Path("out").rglob("*") if path.is_file())
    assert written == ["deep/y.jpg", "x (2).png", "x.png", "z.jpg"]
    assert "not empty" in command("predict", "a", "--draw", "out").err
    assert command("predict", "a", "--draw", "out", "--force").code == 0
    Path("file").write_text("mine")
    assert "several photos need a folder" in command("predict", "a", "--draw", "file").err


def test_one_bad_photo_is_an_error_and_of_many_it_is_set_aside(command, box, blind, photo, evaluation):
    for name, content in {
        "empty.jpg": b"",
        "text.jpg": b"hello there",
        "half.png": Path(photo).read_bytes()[:100],
    }.items():
        Path(name).write_bytes(content)
        said = command("predict", name)
        assert (said.code, said.out) == (2, "")
        assert name in said.err
    Image.new("RGB", (1, 1)).save("dot.png")
    assert "1 x 1 pixels are too few for a face" in command("predict", "dot.png").err
    said = command("predict", "empty.jpg", photo, "dot.png")
    assert said.code == 0
    assert len(said.out.splitlines()) == 1
    assert "set aside 2 unreadable photos" in said.err
    assert "  dot.png: 1 x 1 pixels are too few for a face" in said.err
    said = command("predict", "empty.jpg", "text.jpg")
    assert said.code == 2
    assert "none of the 2 photos can be read" in said.err
    assert "- text.jpg: " in said.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("absent.jpg", "there is no such photo or model"),
        ("no*.jpg", "nothing matches this"),
        (".", "this folder has no photos"),
        ("PHOTO --faces some", "--faces some is unknown"),
        ("PHOTO --faces find", "no face detector on this machine"),
        ("PHOTO --detector yolo", "yolo"),
        ("PHOTO --faces whole --detector yunet", "where faces are not detected"),
        ("PHOTO --images IMAGES", "photos are named and given with --images"),
        ("PHOTO --out s.csv", "--out needs --images"),
        ("PHOTO --probabilities s.csv", "--probabilities needs --images"),
        ("MODEL --images IMAGES --draw o.jpg", "--draw needs named photos"),
        ("MODEL --images IMAGES --faces find", "--faces needs named photos"),
        ("MODEL --images IMAGES --detector yunet", "--detector needs named photos"),
        ("MODEL", "no photos given"),
        ("", "no photos given"),
    ],
)
def test_mistakes_end_with_2_and_say_what(command, box, blind, model, paint, evaluation, tmp_path, words, message):
    Image.fromarray(paint(60, 50)).save(tmp_path / "p.png")
    stand_ins = {"PHOTO": tmp_path / "p.png", "MODEL": model, "IMAGES": evaluation / "images"}
    for name, value in stand_ins.items():
        words = words.replace(name, str(value))
    said = command("predict", *words.split())
    assert said.code == 2
    assert message in said.err
    assert said.out == ""
    assert list(Path().iterdir()) == []


def test_a_list_is_answered_by_the_box_where_no_model_is_named(command, box, model, evaluation):
    words = ("--images", evaluation / "images", "--image-list", evaluation / "info.csv", "--out")
    said = command("predict", *words, "box.csv")
    assert said.code == 0, said.err
    assert "no model named" in said.err
    assert command("predict", model, *words, "named.csv").code == 0
    assert Path("box.csv").read_text() == Path("named.csv").read_text()


def test_its_card_is_that_of_the_box_where_no_model_is_named(command, box, model):
    said = command("model-card")
    assert said.code == 0, said.err
    assert said.out == command("model-card", model).out
