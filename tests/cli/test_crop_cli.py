"""`maskfit data crop` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from maskfit.cli.data.crop import _crop_spec


@pytest.fixture
def photos(tmp_path: Path, paint, painted) -> Path:
    folder = tmp_path / "photos" / "someone"
    folder.mkdir(parents=True)
    Image.fromarray(paint(60, 40, (5, 6, 25, 36), (30, 0, 36, 6), eyes=((10, 20), (20, 24)))).save(folder / "a.png")
    Image.fromarray(paint(60, 40, seed=1)).save(folder / "none.png")
    (folder / "bad.jpg").write_text("no photo")
    return tmp_path / "photos"


def test_summary_is_printed(command, photos, tmp_path):
    result = command("data", "crop", photos, "--out", tmp_path / "out")
    assert result.code == 0
    assert "2 photos cropped; 2 faces; 1 photo with several faces" in result.out
    assert f"list: {tmp_path / 'out' / 'faces.csv'}" in result.out
    whole = command("data", "crop", photos, "--out", tmp_path / "whole", "--crop", "resize")
    assert whole.out.startswith("2 photos cropped\n")  # without a detector faces are not mentioned
    assert "nothing found in 1 of 2 photos, using the fallback crop: someone/none.png" in result.err
    assert "someone/bad.jpg: this is a text file, not a photo" in result.err
    assert "2 were done earlier" in command("data", "crop", photos, "--out", tmp_path / "out").out


def test_json(command, photos, tmp_path):
    result = command("data", "crop", photos, "--out", tmp_path / "out", "--json")
    data = json.loads(result.out)
    assert (data["photos"], data["faces"], data["guessed"]) == (2, 2, ["someone/none.png"])
    assert data["several"] == ["someone/a.png"]
    assert list(data["unreadable"]) == ["someone/bad.jpg"]
    assert data["manifest"] is None
    assert Path(data["sheet"]).is_file()


def test_options_override_the_crop_component(command, photos, tmp_path):
    args = [
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
    assert command("data", "crop", photos, "--out", tmp_path / "out", *args).code == 0
    metadata = json.loads((tmp_path / "out" / "crop.jsonl").read_text().splitlines()[0])
    assert metadata["size"] == [28, 21]
    assert metadata["crop"] == {
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


def test_the_kind_of_weights_alone_is_recognized(detector_file):
    for kind in ("yunet", "bundled"):
        weights = detector_file(kind)
        spec = _crop_spec("face", None, weights, None, None, align=True)
        assert spec.options == {"detector": kind, "weights": str(weights), "align": True}


@pytest.mark.parametrize(
    ("args", "message"),
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
        (["--weights", "none.onnx"], "the detector file does not exist"),
        (["--detector", "yunet", "--weights", "none.onnx"], "includes its weights"),
    ],
)
def test_user_errors_write_nothing(command, photos, tmp_path, args, message):
    result = command("data", "crop", photos, "--out", tmp_path / "out", *args)
    assert result.code == 2
    assert message in result.err
    assert not (tmp_path / "out").exists()


def test_a_missing_folder(command, tmp_path):
    result = command("data", "crop", tmp_path / "none", "--out", tmp_path / "out")
    assert result.code == 2
    assert "there is no such folder" in result.err


def test_backgrounds_are_erased_in_the_copies(command, photos, tmp_path):
    args = ("data", "crop", photos, "--out", tmp_path / "out", "--crop", "resize")
    assert command(*args, "--background", "grabcut:color=[0,0,255]").code == 0
    with Image.open(tmp_path / "out" / "someone" / "a.png") as copy:
        assert copy.size == (40, 60)
        assert copy.getpixel((0, 0)) == (0, 0, 255)
        assert copy.getpixel((20, 33)) != (0, 0, 255)
    # A folder holds copies of one configuration only.
    assert command(*args).code == 2


def test_unavailable_background_removal_is_an_error(command, photos, tmp_path):
    result = command("data", "crop", photos, "--out", tmp_path / "out", "--background", "saliency:net=tracer")
    assert result.code == 2
    assert "published for PyTorch only" in result.err
    assert (
        "did you mean 'grabcut'"
        in command("data", "crop", photos, "--out", tmp_path / "out", "--background", "grabbcut").err
    )
