"""`maskfit data gan` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from maskfit.data.read_dataset import read_photos
from maskfit.data.splits import make_person_splits
from maskfit.labels.schema import LABEL_SCHEMAS
from maskfit.synthesis.drawn import write_train_set

SCHEMA = LABEL_SCHEMAS["mask-gender-age"]
SMALL = ("--size", 16, "--width", 4, "--batch-size", 8, "--crop", "center:scale=0.9", "--target-count", 6)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_train_set(tmp_path_factory.mktemp("gan") / "drawn", 9, seed=3, size=(36, 48), workers=1)


@pytest.fixture(scope="module")
def folds(root: Path) -> Path:
    return make_person_splits(read_photos(root, SCHEMA), SCHEMA, 2, seed=0).write(root.parent / "folds.csv")


def test_faces_are_generated_evaluated_and_resumed(command, root, folds, model, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    args = ("data", "gan", root, "--folds", folds, "--fold", 1, "--out", "gan", *SMALL)
    result = command(*args, "--steps", 3, "--judge", model)
    assert result.code == 0, result.err
    assert "generated faces" in result.out
    assert "Fréchet distance from" in result.out
    assert "it is not in a run folder" in result.err
    made = read_photos(Path("gan/manifest.csv"), SCHEMA)
    assert len(made) > 10
    assert Image.open("gan/real-and-made.png").size[0] > 500
    assert json.loads(Path("gan/gan.json").read_text())["judgement"]["strangers"] >= 20
    before = {path: path.read_bytes() for path in root.rglob("*.jpg")}
    assert "not empty" in command(*args, "--steps", 3).err
    data = json.loads(command(*args, "--steps", 5, "--resume", "--json").out)
    assert (data["steps"], data["judgement"]) == (5, None)
    assert sum(row["made"] for row in data["classes"]) == len(read_photos(Path(data["manifest"]), SCHEMA))
    again = command(
        "data",
        "gan",
        root,
        "--weights",
        "gan/gan.safetensors",
        "--out",
        "more",
        "--classes",
        "8,5",
        "--target-count",
        20,
    )
    assert again.code == 0, again.err
    assert {photo.name[13:15] for photo in read_photos(Path("more/manifest.csv"), SCHEMA)} == {"05", "08"}
    assert {path: path.read_bytes() for path in root.rglob("*.jpg")} == before


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--size", 65), "must be one of 16, 32"),
        (("--crop", "middle"), "'middle' is unknown"),
        (("--classes", "thick"), "must be thin, all or class indices"),
        (("--schema", "masks"), "did you mean 'mask'"),
        (("--folds", "none.csv"), "no such file"),
        (("--weights", "none.safetensors"), "no such"),
        (("--judge", "none.safetensors"), "no such model"),
    ],
)
def test_errors_are_raised_before_anything_is_written(command, root, args, message):
    result = command("data", "gan", root, "--out", "gan", *SMALL, *args)
    assert result.code == 2
    assert message in result.err
    assert not Path("gan").exists()


def test_help_has_examples(command):
    result = command("data", "gan", "--help")
    assert result.code == 0
    assert "maskfit data gan" in result.out
    assert "data.extra_train" in result.out
