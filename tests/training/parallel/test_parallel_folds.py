"""Folds side by side: the same answers, everything seen, everything stopped together."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from maskfit.config.recipe import Recipe
from maskfit.errors import RunError
from maskfit.run_dir import RunDir
from maskfit.training.parallel import parallel_folds
from maskfit.training.parallel.parallel_folds import PipeReporter, train_folds_in_parallel
from maskfit.training.progress_reporting import FoldProgress
from maskfit.training.run_session import load_run, prepare_run
from maskfit.training.train import train

Make = Callable[..., Recipe]


class Remembered:
    """A screen that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.standings: list[FoldProgress] = []
        self.ended: list[str] = []

    def line(self, text: str) -> None:
        self.lines.append(text)

    def show(self, standing: FoldProgress) -> None:
        self.standings.append(standing)

    def end(self, title: str) -> None:
        self.ended.append(title)


@pytest.fixture
def forked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Saves a process the seconds in which it imports torch: they fork from one that has, and has done nothing else."""
    multiprocessing.set_forkserver_preload(["maskfit.training.run_session"])
    monkeypatch.setattr(parallel_folds, "get_context", lambda name: multiprocessing.get_context("forkserver"))


@pytest.mark.usefixtures("forked")
def test_folds_side_by_side_give_what_they_give_one_after_another(
    tiny: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = Remembered()
    monkeypatch.setattr("maskfit.training.train.ConsoleScreen", lambda console: screen)
    one, _ = train(tiny(f"output_dir={tmp_path / 'one'}", "cv.num_folds=2"))
    told = sorted(screen.lines)
    screen.lines.clear(), screen.standings.clear(), screen.ended.clear()
    two, _ = train(tiny(f"output_dir={tmp_path / 'two'}", "cv.num_folds=2", "trainer.parallel_folds=2"))
    for fold in (0, 1):
        assert two.fold(fold).step_losses_csv.read_text() == one.fold(fold).step_losses_csv.read_text()
    assert two.probabilities.read_text() == one.probabilities.read_text()
    # What is told of each fold arrives: its lines, how far it is, its end, and that it was done in its own process.
    lines = [line for line in screen.lines if "done already" not in line]
    assert sorted(lines) == told
    assert {item.title for item in screen.standings} == {"fold 1 of 2", "fold 2 of 2"}
    assert all(0 <= item.done <= item.total for item in screen.standings)
    assert sorted(screen.ended) == ["fold 1 of 2", "fold 2 of 2"]


def test_a_fold_trained_alone_closes_with_the_others(tiny: Make) -> None:
    begun = prepare_run(tiny("cv.num_folds=2", "trainer.epochs=1"))
    load_run(begun.folder.path).train_fold(1, Remembered())
    assert begun.unfinished_folds() == (0,)
    with pytest.raises(RunError, match="fold 0 of this run is not done"):
        begun.finalize()
    begun.train_fold(0, Remembered())
    assert begun.finalize().photos == 84


def test_what_is_no_run_is_not_reopened(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no run here"):
        load_run(tmp_path)


@pytest.mark.usefixtures("forked")
def test_the_first_fold_that_fails_stops_all_and_says_why(tiny: Make) -> None:
    wild = ["optimizer.lr=1e30", "trainer.gradient_clip_val=null", "weight_averaging=none", "lr_scheduler=constant"]
    begun = prepare_run(tiny("cv.num_folds=2", *wild))
    with pytest.raises(RunError, match="no numbers") as raised:
        train_folds_in_parallel(begun.folder.path, (0, 1), 2, Remembered())
    assert "optimizer.lr" in str(raised.value)
    assert multiprocessing.active_children() == []


def test_a_process_that_dies_is_an_error_and_no_fold_is_taken_for_done(
    tiny: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = prepare_run(tiny("cv.num_folds=2", "trainer.epochs=1"))
    begin = parallel_folds._begin

    def and_kill(*words: object) -> object:
        pipe, fold = begin(*words)  # type: ignore[arg-type]
        fold.process.kill()
        return pipe, fold

    monkeypatch.setattr(parallel_folds, "_begin", and_kill)
    with pytest.raises(RunError, match="process of fold 0 ended with -9"):
        train_folds_in_parallel(begun.folder.path, (0, 1), 1, Remembered())
    assert begun.unfinished_folds() == (0, 1)


def test_nobody_trains_on_for_a_process_that_is_gone() -> None:
    ours, theirs = multiprocessing.get_context("spawn").Pipe(duplex=False)
    screen = PipeReporter(theirs, pause=0)
    screen.line("one")
    assert ours.recv() == "one"
    ours.close()
    with pytest.raises(OSError, match="pipe"):
        screen.show(FoldProgress("fold 1 of 2", "epoch 1/2", 1, 9, 1.0, 1.0))


@pytest.mark.slow
def test_ctrl_c_stops_all_folds_and_leaves_them_to_be_resumed(faces: Path, tmp_path: Path) -> None:
    words = [
        f"output_dir={tmp_path / 'run'}",
        f"data.path={faces}",
        f"data.cache_dir={tmp_path}",
        "cv.num_folds=2",
        "data.image_size=32",
        "model.backbone.width=8",
        "trainer.epochs=500",
        "trainer.device=cpu",
        "trainer.parallel_folds=2",
    ]
    command = [sys.executable, "-m", "maskfit", "train", "fast", *words]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)
    folder = RunDir(tmp_path / "run")
    while not all(folder.fold(fold).checkpoint.exists() for fold in (0, 1)) and process.poll() is None:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode not in (0, 2)
    assert b"Traceback" not in said
    # The whole group is gone.
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
    assert not list(folder.path.rglob("*.part"))
    assert all(folder.fold(fold).checkpoint.exists() and not folder.fold(fold).done for fold in (0, 1))
