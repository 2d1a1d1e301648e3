"""From drawn photos to a submission: a small real training, killed on the way, resumed, and with other inputs."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from maskfit.config.recipe import Recipe
from maskfit.data.photo_dataset import Photo
from maskfit.errors import RunError
from maskfit.pipeline.state import (
    PipelineState,
    StageRecord,
    describe_changes,
    hash_photos,
    read_state,
    recipe_inputs,
)
from maskfit.synthesis.drawn import write_eval_set, write_train_set

RECIPE = (
    "fast",
    "data.path=photos",
    "data.image_size=24",
    "model.backbone.width=4",
    "cv.num_folds=2",
    "trainer.epochs=1",
)
OPTIONS = ("--images", "eval/images", "--image-list", "eval/info.csv", "--combine", "arithmetic", "--out", "out")
COMMAND = [sys.executable, "-m", "maskfit", "run", *RECIPE, *OPTIONS]
NAMES = ["train", "views", "ensemble", "decide", "submit", "report"]


def run_until(folder: Path, line: str | None, *more: str) -> tuple[int, str]:
    """Runs the command in a process; kills it, so that it cannot clean up, once a line begins as given."""
    with subprocess.Popen([*COMMAND, *more], cwd=folder, stderr=subprocess.PIPE, text=True) as process:
        lines = []
        assert process.stderr is not None
        for found in process.stderr:
            lines.append(found)
            if line and found.startswith(line):
                os.kill(process.pid, signal.SIGKILL)
        process.wait()
    return process.returncode, "".join(lines)


def stage_lines(text: str) -> list[str]:
    return re.findall(r"^\[\d/6\] (.*)$", text, re.MULTILINE)


def read_ids(path: Path) -> list[str]:
    with path.open() as stream:
        return [row["ImageID"] for row in csv.DictReader(stream)]


@pytest.mark.filterwarnings("ignore")
def test_a_killed_run_goes_on_and_other_inputs_are_noticed(tmp_path: Path) -> None:
    write_train_set(tmp_path / "photos", 8, seed=3, size=(48, 64), workers=1)
    write_eval_set(tmp_path / "eval", 2, seed=7, size=(48, 64), workers=1)
    out = tmp_path / "out"

    # Killed when the training is done.
    code, text = run_until(tmp_path, "[1/6] train: done")
    assert code == -signal.SIGKILL, text
    assert not (out / "submission.csv").exists()
    models = {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")}
    assert len(models) == 2

    code, text = run_until(tmp_path, None)
    assert code == 0, text
    lines = stage_lines(text)
    assert lines[0].startswith("train: kept, 2 folds: macro F1 ")
    assert [line.split(":")[0] for line in lines if ": done in " in line] == NAMES[1:]
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")} == models
    assert read_ids(out / "submission.csv") == read_ids(tmp_path / "eval" / "info.csv")
    page = (out / "progress.html").read_text()
    assert "6 of 6 stages done" in page
    assert "submission.csv" in page
    report = (out / "report.html").read_text()
    assert f"macro F1 {json.loads((out / 'decisions.json').read_text())['held_out_macro_f1']:.4f}" in report

    # Nothing to do.
    written = {path: path.stat().st_mtime_ns for path in out.rglob("*.csv")}
    code, text = run_until(tmp_path, None)
    assert code == 0, text
    assert [line.split(",")[0].split(": ")[1] for line in stage_lines(text)] == ["kept"] * 6
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.csv")} == written

    # The list has its rows in another order, and one less.
    rows = (tmp_path / "eval" / "info.csv").read_text().splitlines()
    (tmp_path / "eval" / "info.csv").write_text("\n".join([rows[0], *rows[:1:-1]]) + "\n")
    code, text = run_until(tmp_path, None)
    assert code == 0, text
    lines = stage_lines(text)
    assert lines[0].startswith("train: kept")
    assert "views: repeated, since photos to predict changed" in lines
    assert read_ids(out / "submission.csv") == [row.split(",")[0] for row in rows[:1:-1]]

    # A file that was edited is not replaced, and a recipe that differs is not trained over the run.
    (out / "submission.csv").write_text("mine\n")
    code, text = run_until(tmp_path, None)
    assert code == 2
    assert "files of stage 'submit' were changed" in text
    assert (out / "submission.csv").read_text() == "mine\n"
    code, text = run_until(tmp_path, None, "trainer.epochs=2")
    assert code == 2
    assert "the run was trained from other inputs: trainer.epochs was 1, is 2" in text
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")} == models


def test_changes_are_said_with_their_values_or_as_content() -> None:
    before = {"tta": "flip", "photos": "a" * 64, "same": "1", "gone": "x"}
    after = {"tta": "original", "photos": "b" * 64, "same": "1"}
    expected = ["tta was flip, is original", "photos changed", "gone was x, is None"]
    assert describe_changes(before, after) == expected
    assert describe_changes(after, after) == []


def test_only_keys_that_change_results_count() -> None:
    recipe = Recipe(name="a")
    other = recipe.model_copy(update={"output_dir": "elsewhere"})
    assert recipe_inputs(recipe) == recipe_inputs(other)
    changed = recipe.model_copy(update={"trainer": recipe.trainer.model_copy(update={"epochs": 77})})
    assert [line.split(" was ")[0] for line in describe_changes(recipe_inputs(recipe), recipe_inputs(changed))] == [
        "trainer.epochs"
    ]


def test_the_hash_of_photos_has_order_labels_and_content(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    first, second = (Photo(tmp_path / name, name, name) for name in ("a", "b"))
    hashes = [hash_photos([first, second]), hash_photos([second, first]), hash_photos([first])]
    hashes.append(hash_photos([first.with_labels({"mask": "wear"}), second]))
    assert hash_photos([first, second]) == hashes[0]
    (tmp_path / "b").write_text("c")
    hashes.append(hash_photos([first, second]))
    assert len(set(hashes)) == 5


def test_state_is_read_back_and_other_folders_are_refused(tmp_path: Path) -> None:
    assert read_state(tmp_path / "new").stages == {}
    state = PipelineState(stages={"train": StageRecord(status="done", inputs={"a": "1"}, summary="x")})
    state.write(tmp_path / "new")
    assert read_state(tmp_path / "new") == state
    (tmp_path / "new" / "pipeline.json").write_text('{"version": 1, "stages": {"train": {"status": "odd"}}}')
    with pytest.raises(RunError, match=r"stages\.train\.status"):
        read_state(tmp_path / "new")
    with pytest.raises(RunError, match="holds no pipeline"):
        read_state(tmp_path)
