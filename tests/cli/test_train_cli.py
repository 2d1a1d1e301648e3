"""`maskfit train` as a user types it, up to where training begins."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import maskfit.training.train
from maskfit.cli.console import TRAIN_MODULES
from maskfit.config.recipe import Recipe
from maskfit.environment import MODEL_DIR, TRAIN
from maskfit.evaluation.scores import score
from maskfit.labels.schema import LABEL_SCHEMAS
from maskfit.memory_allocator import DISABLED_VARIABLE
from maskfit.run_dir import RunDir

FULL = LABEL_SCHEMAS["mask-gender-age"]


@pytest.fixture
def trained(monkeypatch) -> list[tuple[Recipe, bool]]:
    """Replaces training, of data that need not exist; returns the (recipe, resume) of each call. Scores: 17 of 18."""
    calls = []
    predictions = np.arange(18)
    predictions[17] = 0

    def train(recipe, *, resume, console):
        calls.append((recipe, resume))
        return RunDir(Path("runs/[x] " + "y" * 100)), score(
            FULL, FULL.to_attribute_indices(np.arange(18)), predictions=predictions
        )

    monkeypatch.setattr(maskfit.training.train, "train", train)
    monkeypatch.setattr("maskfit.training.input_files.check_input_files", lambda recipe: None)
    return calls


def test_overrides_change_the_recipe(command, trained):
    result = command("train", "fast", "data.path=photos", "trainer.epochs=3", "--resume")
    assert result.code == 0
    recipe, resume = trained[0]
    assert (recipe.name, recipe.data.path, recipe.trainer.epochs, resume) == ("fast", "photos", 3, True)
    assert "18 held-out photos" in result.out
    assert "all classes" in result.out
    assert f"report: runs/[x] {'y' * 100}/report.html\n" in result.out


@pytest.mark.parametrize(("uv", "program"), [("", "maskfit"), ("/usr/bin/uv", "uv run --no-sync maskfit")])
def test_it_ends_with_commands_to_copy(command, trained, monkeypatch, uv, program):
    monkeypatch.setenv("UV", uv)
    lines = command("train", "fast").out.splitlines()[-3:]
    run = f"'runs/[x] {'y' * 100}'"
    assert lines == [
        f"next: {program} predict {run} photo.jpg",
        f"next: {program} model-card {run}",
        f"next: {program} label-issues {run} --out issues.csv",
    ]
    assert "next:" not in command("train", "fast", "--json").out


def test_allocator_is_logged_once_where_verbose_and_can_be_disabled(command, trained, monkeypatch):
    monkeypatch.delenv(DISABLED_VARIABLE, raising=False)
    monkeypatch.setattr(
        "maskfit.memory_allocator.configure_malloc", lambda: os.environ.get(DISABLED_VARIABLE) != "system"
    )
    assert DISABLED_VARIABLE not in command("train", "fast").err
    assert command("train", "fast", "-v").err.count(DISABLED_VARIABLE) == 1
    monkeypatch.setenv(DISABLED_VARIABLE, "system")
    assert DISABLED_VARIABLE not in command("train", "fast", "-v").err


def test_json_output_is_only_json(command, trained):
    data = json.loads(command("train", "fast", "--json").out)
    assert data["run"].startswith("runs/[x]")
    assert data["accuracy"] == pytest.approx(17 / 18)
    assert trained[0][1] is False


@pytest.mark.parametrize("folder", ["/data/plain", "/data/my #1: photos", "1234", "~", "yes", "/data/\"q\" 'p' käse"])
def test_environment_folders_are_used_verbatim(command, trained, folder):
    os.environ[TRAIN] = folder
    os.environ[MODEL_DIR] = f"{folder}/out"
    assert command("train", "fast").code == 0
    assert (trained[0][0].data.path, trained[0][0].output_dir) == (folder, f"{folder}/out")
    assert command("train", "fast", "data.path=other").code == 0
    assert (trained[1][0].data.path, trained[1][0].output_dir) == ("other", f"{folder}/out")


def test_env_file_is_read(command, trained):
    Path(".env").write_text("SM_CHANNEL_TRAIN=/from/file\n")
    assert command("train", "fast").code == 0
    assert trained[0][0].data.path == "/from/file"
    assert trained[0][0].output_dir is None


def test_recipe_errors_exit_with_2(command, trained):
    result = command("train", "fast", "trainer.epoch=3", "loss=focl")
    assert result.code == 2
    assert "did you mean 'epochs'" in result.err
    assert "'focl' is unknown" in result.err
    assert command("train").code == 2
    assert command("train", "absent").code == 2
    assert trained == []


@pytest.mark.parametrize("missing", TRAIN_MODULES)
def test_missing_packages_name_the_extra(command, trained, monkeypatch, missing):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == missing else real(name, *rest))
    result = command("train", "fast")
    assert result.code == 2
    assert result.err == (
        "error: 'maskfit train' needs the extra 'train', which is not installed\n  next: pip install 'maskfit[train]'\n"
    )
    assert trained == []


@pytest.mark.parametrize("verb", ["train", "run", "tune", "check"])
def test_class_folders_without_their_schema_fail_before_torch_is_imported(command, tmp_path, monkeypatch, verb):
    for number, kind in enumerate(("with_mask", "without_mask") * 3):
        (tmp_path / "photos" / kind).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / "photos" / kind / f"{number}.jpg")
    # An import of any ends in another error.
    for name in ("maskfit.training.train", "maskfit.pipeline.pipeline", "maskfit.sweep.tune"):
        monkeypatch.setitem(sys.modules, name, None)
    images = ("--images", tmp_path / "photos") if verb == "run" else ()
    result = command(verb, "fast", f"data.path={tmp_path / 'photos'}", *images)
    assert result.code == 2
    assert "no photo has a label for gender or age" in result.err
    assert "next: train what is labeled: data.label_schema=mask" in result.err
    assert command("check", "fast", f"data.path={tmp_path / 'photos'}", "data.label_schema=mask").code == 0


@pytest.mark.parametrize("verb", ["train", "run", "tune", "check"])
def test_a_path_of_no_dataset_is_said_before_torch_is_imported(command, monkeypatch, verb):
    Path("notes.txt").write_text("a")
    for name in ("maskfit.training.train", "maskfit.pipeline.pipeline", "maskfit.sweep.tune"):
        monkeypatch.setitem(sys.modules, name, None)
    Path("photos").mkdir()
    images = ("--images", "photos") if verb == "run" else ()
    result = command(verb, "fast", "data.path=notes.txt", *images)
    assert result.code == 2
    assert "the source is neither a folder nor a .csv file" in result.err
