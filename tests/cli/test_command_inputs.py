"""No output replaces what the command reads, also with --force."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskfit.cli.command_inputs import check_no_input, command_arguments
from maskfit.errors import DataError


def write(path: Path, text: str = "a") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_an_output_that_another_argument_names_is_refused(tmp_path):
    film, other = write(tmp_path / "film.mp4"), write(tmp_path / "other.mp4")
    link = tmp_path / "link.mp4"
    link.symlink_to(film)
    for arguments in (
        {"source": str(film), "video": film},
        {"source": str(link), "video": film},
        {"sources": [other, film], "video": film},
        {"overrides": [f"data.path={film}"], "video": film},
    ):
        with command_arguments(arguments), pytest.raises(DataError, match="a file that the command reads"):
            check_no_input(film)
    with command_arguments({"source": str(other), "video": film, "force": True, "age": 3, "nothing": None}):
        check_no_input(film)
    check_no_input(film)


def test_no_photo_is_replaced_whatever_names_it(tmp_path):
    photo, table = write(tmp_path / "photos" / "a" / "1.JPG"), write(tmp_path / "photos" / "answers.csv")
    for arguments in ({"images": tmp_path / "photos", "out": photo}, {"table": table, "out": photo}):
        with command_arguments(arguments):
            with pytest.raises(DataError, match="a photo, which is not replaced"):
                check_no_input(photo)
            check_no_input(tmp_path / "photos" / "new.jpg")
    with command_arguments({"images": tmp_path / "photos", "out": table}):
        check_no_input(table)


@pytest.mark.parametrize(
    ("name", "refused"),
    [
        ("recipe.yaml", True),
        ("oof_probabilities.csv", True),
        ("scores.json", True),
        ("fold0/best.safetensors", True),
        ("fold12/scores.json", True),
        ("fold0/metrics.csv", True),
        ("report.html", False),
        ("fold0/model.onnx", False),
        ("issues.csv", False),
    ],
)
def test_files_of_a_run_are_not_replaced(tmp_path, name, refused):
    write(tmp_path / "run" / "recipe.yaml")
    path = write(tmp_path / "run" / name)
    with command_arguments({"out": path}):
        if refused:
            with pytest.raises(DataError, match="a file of a run"):
                check_no_input(path)
        else:
            check_no_input(path)


@pytest.mark.parametrize(
    "words",
    [
        "data split photos.csv --folds 2 --out photos.csv",
        "data explore photos.csv --out photos.csv",
        "data import photos.csv --out photos.csv",
        "predict --images photos --image-list photos.csv --out photos.csv",
        "predict --images photos --out photos/1.png",
        "predict --image-list photos.csv --out photos/1.png",
        "data explore photos.csv --out photos/1.png",
        "label-issues photos.csv --out photos.csv",
        "pseudo-label photos.csv --images photos --out photos.csv",
        "video photos/1.png --out photos/1.png",
    ],
)
def test_commands_leave_their_inputs_as_they_are(command, bundled_model, words):
    os.mkdir("photos")
    for number in range(3):
        pixels = np.full((40, 30, 3), 40 * number, np.uint8)
        Image.fromarray(pixels).save(f"photos/{number}.png")
    rows = "".join(f"photos/{number}.png,p{number},wear\n" for number in range(3))
    Path("photos.csv").write_text("path,person,mask\n" + rows)
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    result = command(*words.split(), "--force")
    assert result.code == 2
    assert "the command reads" in result.err or "a photo, which is not replaced" in result.err, result.err
    assert {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()} == before
