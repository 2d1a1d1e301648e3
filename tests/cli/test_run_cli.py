"""`maskfit run` on drawn photos: a small real training, killed on the way, resumed, and with other inputs."""

from __future__ import annotations

import csv
import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

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
WORDS = ("run", *RECIPE, *OPTIONS)
NAMES = ["train", "views", "ensemble", "decide", "submit", "report"]


def run_and_kill(folder: Path, line: str) -> tuple[int, str]:
    """Runs the command in a process, and kills it, so that it cannot clean up, once a line begins as given."""
    words = [sys.executable, "-m", "maskfit", *WORDS]
    with subprocess.Popen(words, cwd=folder, stderr=subprocess.PIPE, text=True) as process:
        lines = []
        assert process.stderr is not None
        for found in process.stderr:
            lines.append(found)
            if found.startswith(line):
                process.kill()
    return process.returncode, "".join(lines)


def stage_lines(text: str) -> list[str]:
    return re.findall(r"^\[\d/6\] (.*)$", text, re.MULTILINE)


def read_ids(path: Path) -> list[str]:
    with path.open() as stream:
        return [row["ImageID"] for row in csv.DictReader(stream)]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_killed_run_goes_on_and_other_inputs_are_noticed(
    command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_train_set(tmp_path / "photos", 8, seed=3, size=(48, 64), workers=1)
    write_eval_set(tmp_path / "eval", 2, seed=7, size=(48, 64), workers=1)
    out = tmp_path / "out"
    monkeypatch.chdir(tmp_path)

    # Killed when the training is done.
    code, text = run_and_kill(tmp_path, "[1/6] train: done")
    assert code == -signal.SIGKILL, text
    assert not (out / "submission.csv").exists()
    models = {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")}
    assert len(models) == 2

    code, _, text = command(*WORDS)
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
    code, _, text = command(*WORDS)
    assert code == 0, text
    assert [line.split(",")[0].split(": ")[1] for line in stage_lines(text)] == ["kept"] * 6
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.csv")} == written

    # The list has its rows in another order, and one less.
    rows = (tmp_path / "eval" / "info.csv").read_text().splitlines()
    (tmp_path / "eval" / "info.csv").write_text("\n".join([rows[0], *rows[:1:-1]]) + "\n")
    code, _, text = command(*WORDS)
    assert code == 0, text
    lines = stage_lines(text)
    assert lines[0].startswith("train: kept")
    assert "views: repeated, since photos to predict changed" in lines
    assert read_ids(out / "submission.csv") == [row.split(",")[0] for row in rows[:1:-1]]

    # A file that was edited is not replaced, and a recipe that differs is not trained over the run.
    (out / "submission.csv").write_text("mine\n")
    code, _, text = command(*WORDS)
    assert code == 2
    assert "files of stage 'submit' were changed" in text
    assert (out / "submission.csv").read_text() == "mine\n"
    code, _, text = command(*WORDS, "trainer.epochs=2")
    assert code == 2
    assert "the run was trained from other inputs: trainer.epochs was 1, is 2" in text
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")} == models


def test_what_cannot_work_is_refused_before_anything_is_written(command, evaluation: Path) -> None:
    photos = ("--images", evaluation / "images", "--out", "out")
    Path("photos.csv").write_text("path,mask,gender,age\na.png,wear,male,20\n")
    for words, message in {
        ("output_dir=x",): "use --out DIR",
        ("--vote", "nobody"): "vote 'nobody' is not compared",
        ("--top-k", "3"): "add trainer.save_top_k=3",
        ("trainer.devices=2",): "several devices",
    }.items():
        result = command("run", "fast", "data.path=photos.csv", *words, *photos)
        assert (result.code, message in result.err) == (2, True), result.err
    assert not Path("out").exists()
