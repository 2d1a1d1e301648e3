"""`maskfit data crop` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image


@pytest.fixture
def photos(tmp_path: Path, paint, painted) -> Path:
    folder = tmp_path / "photos" / "someone"
    folder.mkdir(parents=True)
    Image.fromarray(paint(60, 40, (5, 6, 25, 36), (30, 0, 36, 6), eyes=((10, 20), (20, 24)))).save(folder / "a.png")
    Image.fromarray(paint(60, 40, seed=1)).save(folder / "none.png")
    (folder / "bad.jpg").write_text("no photo")
    return tmp_path / "photos"


def test_what_was_done_is_said(command, photos, tmp_path):
    said = command("data", "crop", photos, "--out", tmp_path / "out")
    assert said.code == 0
    assert "2 photos cropped; 2 faces; 1 photos with several faces" in said.out
    assert f"list: {tmp_path / 'out' / 'faces.csv'}" in said.out
    whole = command("data", "crop", photos, "--out", tmp_path / "whole", "--crop", "resize")
    assert whole.out.startswith("2 photos cropped\n")  # of faces that nobody looked for nothing is said
    assert "nothing found in 1 of 2 photos, using the fallback crop: someone/none.png" in said.err
    assert "someone/bad.jpg: this is a text file, not a photo" in said.err
    assert "2 were done earlier" in command("data", "crop", photos, "--out", tmp_path / "out").out


def test_json(command, photos, tmp_path):
    said = command("data", "crop", photos, "--out", tmp_path / "out", "--json")
    told = json.loads(said.out)
    assert (told["photos"], told["faces"], told["guessed"]) == (2, 2, ["someone/none.png"])
    assert told["several"] == ["someone/a.png"]
    assert list(told["unreadable"]) == ["someone/bad.jpg"]
    assert told["manifest"] is None
    assert Path(told["sheet"]).is_file()


def test_short_options_are_laid_over_the_crop(command, photos, tmp_path):
    words = [
        "--crop",
        "face:face_selection=surest,top=1",
        "--margin",
        "0,0.1,0.2,0.3",
        "--align",
        "--size",
        "28x21",
        "--detector",
        "mtcnn:score=0.6",
        "--choose",
        "central",
    ]
    assert command("data", "crop", photos, "--out", tmp_path / "out", *words).code == 0
    facts = json.loads((tmp_path / "out" / "crop.jsonl").read_text().splitlines()[0])
    assert facts["size"] == [28, 21]
    assert facts["crop"] == {
        "name": "face",
        "face_selection": "central",
        "top": 0.1,
        "left": 0.0,
        "right": 0.2,
        "bottom": 0.3,
        "align": True,
        "detector": {"name": "mtcnn", "score": 0.6},
    }
    assert Image.open(tmp_path / "out" / "someone" / "a.png").size == (21, 28)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--margin", "wide"], "write it like --margin 0.3"),
        (["--margin", "1,2"], "invalid margin '1,2'"),
        (["--size", "7"], "invalid size '7'"),
        (["--size", "2x3x4"], "invalid size '2x3x4'"),
        (["--detector", "yolo"], "'yolo' is unknown"),
        (["--crop", "variance", "--align"], "'variance' has no option 'align'"),
        (["--crop", "nose"], "'nose' is unknown"),
        (["--choose", "best"], "must be one of largest, central, surest"),
        (["--schema", "hats"], "label schema 'hats' is unknown"),
        (["--weights", "none.onnx"], "includes its weights"),
    ],
)
def test_wrong_words_are_told_and_nothing_is_written(command, photos, tmp_path, words, said):
    told = command("data", "crop", photos, "--out", tmp_path / "out", *words)
    assert told.code == 2
    assert said in told.err
    assert not (tmp_path / "out").exists()


def test_a_missing_folder(command, tmp_path):
    told = command("data", "crop", tmp_path / "none", "--out", tmp_path / "out")
    assert told.code == 2
    assert "there is no such folder" in told.err


def test_backgrounds_are_erased_in_the_copies(command, photos, tmp_path):
    words = ("data", "crop", photos, "--out", tmp_path / "out", "--crop", "resize")
    assert command(*words, "--background", "grabcut:color=[0,0,255]").code == 0
    with Image.open(tmp_path / "out" / "someone" / "a.png") as copy:
        assert copy.size == (40, 60)
        assert copy.getpixel((0, 0)) == (0, 0, 255)
        assert copy.getpixel((20, 33)) != (0, 0, 255)
    # Copies with their backgrounds are other copies.
    assert command(*words).code == 2


def test_a_background_that_cannot_be_had_is_told(command, photos, tmp_path):
    said = command("data", "crop", photos, "--out", tmp_path / "out", "--background", "saliency:net=tracer")
    assert said.code == 2
    assert "published for PyTorch only" in said.err
    assert (
        "did you mean 'grabcut'"
        in command("data", "crop", photos, "--out", tmp_path / "out", "--background", "grabbcut").err
    )
