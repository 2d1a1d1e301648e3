"""Predicting photos that a model was trained on is said, where its run folder tells."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from maskfit.config.loader import read_recipe, recipe_to_yaml
from maskfit.inference.training_photos import describe_training_photos


@pytest.fixture
def photos(tmp_path) -> list[Path]:
    (tmp_path / "photos").mkdir()
    paths = [tmp_path / "photos" / f"{name}.png" for name in "abcdef"]
    for path in paths:
        Image.new("RGB", (8, 8)).save(path)
    rows = [f"photos/{path.name},{path.stem},wear" for path in paths]
    (tmp_path / "photos.csv").write_text("path,person,mask\n" + "\n".join(rows) + "\n")
    return paths


@pytest.fixture
def run(tmp_path, photos) -> Path:
    """A run of which persons a and b are held out in fold 0, c and d in fold 1, and e and f in none."""
    folder = tmp_path / "run"
    for number in range(2):
        (folder / f"fold{number}").mkdir(parents=True)
    settings = (f"data.path={tmp_path / 'photos.csv'}", "data.label_schema=mask")
    (folder / "recipe.yaml").write_text(recipe_to_yaml(read_recipe("fast", settings)))
    (folder / "splits.csv").write_text("person,fold\na,0\nb,0\nc,1\nd,1\ne,-1\nf,-1\n")
    return folder


@pytest.mark.parametrize(
    ("models", "count"),
    [
        (["fold0/best.safetensors"], "4 of"),
        (["fold1/best.safetensors"], "4 of"),
        (["fold0/best.safetensors", "fold1/best.safetensors"], "6 of"),
        (["fold0/full_data.safetensors"], "6 of"),
    ],
)
def test_photos_that_a_model_was_trained_on_are_counted(run, photos, models, count):
    line = describe_training_photos([str(run / model) for model in models], photos)
    assert line.startswith(f"{count} 6 photos were trained on in {run}: scores on them say nothing")
    assert line.endswith(f"are in {run / 'report.html'}")


def test_held_out_and_other_photos_are_not_mentioned(run, photos, tmp_path):
    model = run / "fold0" / "best.safetensors"
    assert describe_training_photos([model], photos[:2]) == ""
    assert describe_training_photos([model], [tmp_path / "other" / "a.png"]) == ""
    assert describe_training_photos([tmp_path / "a" / "b" / "model.onnx"], photos) == ""


def test_photos_are_known_through_a_link_to_their_folder(run, photos, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "photos")
    line = describe_training_photos([run / "fold0" / "best.safetensors"], [tmp_path / "link" / "f.png"])
    assert line.startswith("1 of 1 photo was trained on")


def test_a_run_whose_photos_are_gone_says_nothing(run, photos, tmp_path):
    (tmp_path / "photos.csv").unlink()
    assert describe_training_photos([run / "fold0" / "best.safetensors"], photos) == ""


def test_a_folder_of_other_photos_is_not_read(run, photos, tmp_path, monkeypatch):
    settings = (f"data.path={tmp_path / 'photos'}", "data.label_schema=mask")
    (run / "recipe.yaml").write_text(recipe_to_yaml(read_recipe("fast", settings)))
    monkeypatch.setattr("maskfit.inference.training_photos.read_photos", lambda *_, **__: pytest.fail("read"))
    assert describe_training_photos([run / "fold0" / "best.safetensors"], [tmp_path / "x" / "a.png"]) == ""


def test_a_relative_path_is_followed_only_from_where_the_training_was_started(run, photos, tmp_path, monkeypatch):
    """Elsewhere, other photos of the same names may lie under it."""
    settings = ("data.path=photos.csv", "data.label_schema=mask", "output_dir=run")
    (run / "recipe.yaml").write_text(recipe_to_yaml(read_recipe("fast", settings)))
    model = run / "fold0" / "best.safetensors"
    monkeypatch.chdir(tmp_path)
    assert describe_training_photos([model], photos).startswith("4 of 6 photos")
    other = tmp_path / "other"
    shutil.copytree(tmp_path / "photos", other / "photos")
    shutil.copy("photos.csv", other)
    monkeypatch.chdir(other)
    assert describe_training_photos([model], sorted((other / "photos").iterdir())) == ""


@pytest.mark.parametrize("recorded", ["right", "gone", "damaged"])
def test_a_relative_path_starts_where_the_run_says_that_it_was_started(run, photos, tmp_path, monkeypatch, recorded):
    settings = ("data.path=photos.csv", "data.label_schema=mask", "output_dir=run")
    (run / "recipe.yaml").write_text(recipe_to_yaml(read_recipe("fast", settings)))
    folder = {"right": tmp_path, "gone": tmp_path / "gone"}.get(recorded)
    (run / "environment.json").write_text(json.dumps({"working_dir": str(folder)}) if folder else "[1]")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    line = describe_training_photos([run / "fold0" / "best.safetensors"], photos)
    assert line.startswith("4 of 6 photos") if recorded == "right" else line == ""
