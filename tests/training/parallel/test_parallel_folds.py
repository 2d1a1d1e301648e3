"""Parallel folds: the same predictions as one after another, all progress reported, all stopped together."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from maskfit import process_supervisor
from maskfit.config.recipe import Recipe
from maskfit.errors import RunError
from maskfit.process_supervisor import ProcessSupervisor, Worker
from maskfit.run_dir import RunDir
from maskfit.training.parallel.parallel_folds import PipeReporter, train_folds_in_parallel
from maskfit.training.progress_reporting import FoldProgress
from maskfit.training.run_session import load_run, prepare_run
from maskfit.training.train import train

Make = Callable[..., Recipe]


class RecordingReporter:
    """`ProgressReporter` that keeps everything."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.progress: list[FoldProgress] = []
        self.ended: list[str] = []

    def line(self, text: str) -> None:
        self.lines.append(text)

    def show(self, standing: FoldProgress) -> None:
        self.progress.append(standing)

    def end(self, title: str) -> None:
        self.ended.append(title)


@pytest.fixture
def forked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Saves workers the seconds of importing torch: they fork from a server process that has only imported it."""
    multiprocessing.set_forkserver_preload(["maskfit.training.run_session"])
    monkeypatch.setattr(process_supervisor, "get_context", lambda name: multiprocessing.get_context("forkserver"))


@pytest.mark.usefixtures("forked")
def test_parallel_folds_give_the_same_results_as_sequential_ones(
    tiny: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reporter = RecordingReporter()
    monkeypatch.setattr("maskfit.training.train.ConsoleReporter", lambda console: reporter)
    one, _ = train(tiny(f"output_dir={tmp_path / 'one'}", "cv.num_folds=2"))
    lines_one_by_one = sorted(reporter.lines)
    reporter.lines.clear(), reporter.progress.clear(), reporter.ended.clear()
    two, _ = train(tiny(f"output_dir={tmp_path / 'two'}", "cv.num_folds=2", "trainer.parallel_folds=2"))
    for fold in (0, 1):
        assert two.fold(fold).train_loss.read_text() == one.fold(fold).train_loss.read_text()
    assert two.oof_probabilities.read_text() == one.oof_probabilities.read_text()
    # Everything arrives from each fold's process: its lines, its progress, its end, and that it was done there.
    lines = reporter.lines
    assert not any("done already" in line for line in lines)
    assert sorted(lines) == lines_one_by_one
    assert {item.title for item in reporter.progress} == {"fold 1 of 2", "fold 2 of 2"}
    assert all(0 <= item.done <= item.total for item in reporter.progress)
    assert sorted(reporter.ended) == ["fold 1 of 2", "fold 2 of 2"]


def test_a_run_is_finalized_once_all_folds_are_done(tiny: Make) -> None:
    run = prepare_run(tiny("cv.num_folds=2", "trainer.epochs=1"))
    load_run(run.folder.path).train_fold(1, RecordingReporter())
    assert run.unfinished_folds() == (0,)
    with pytest.raises(RunError, match="fold 0 of this run is not done"):
        run.finalize()
    run.train_fold(0, RecordingReporter())
    assert run.finalize().photos == 84


def test_load_run_refuses_a_folder_without_a_run(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="holds no run"):
        load_run(tmp_path)


@pytest.mark.usefixtures("forked")
def test_the_first_failed_fold_stops_all_and_its_error_is_raised(tiny: Make) -> None:
    wild = ["optimizer.lr=1e30", "trainer.gradient_clip_val=null", "weight_averaging=none", "lr_scheduler=constant"]
    run = prepare_run(tiny("cv.num_folds=2", *wild))
    with pytest.raises(RunError, match="non-finite logits") as raised:
        train_folds_in_parallel(run.folder.path, (0, 1), 2, RecordingReporter())
    assert "optimizer.lr" in str(raised.value)
    assert multiprocessing.active_children() == []


def test_a_killed_process_raises_and_leaves_its_fold_unfinished(tiny: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    run = prepare_run(tiny("cv.num_folds=2", "trainer.epochs=1"))
    start = ProcessSupervisor.start

    def start_and_kill(*args: Any, **kwargs: Any) -> Worker:
        worker = start(*args, **kwargs)
        worker.process.kill()
        return worker

    monkeypatch.setattr(ProcessSupervisor, "start", start_and_kill)
    with pytest.raises(RunError, match="the process of fold 0 was killed by SIGKILL"):
        train_folds_in_parallel(run.folder.path, (0, 1), 1, RecordingReporter())
    assert run.unfinished_folds() == (0, 1)


def test_pipe_reporter_raises_once_the_other_process_is_gone() -> None:
    ours, theirs = multiprocessing.get_context("spawn").Pipe(duplex=False)
    reporter = PipeReporter(theirs, interval=0)
    reporter.line("one")
    assert ours.recv() == "one"
    ours.close()
    with pytest.raises(OSError, match="pipe"):
        reporter.show(FoldProgress("fold 1 of 2", "epoch 1/2", 1, 9, 1.0, 1.0))


def running_in_group(group: int) -> list[str]:
    """Names of the processes of a group that still run; a zombie, whose parent has not reaped it, does not."""
    names = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = path.read_text().partition("(")[2].rpartition(")")
        except (ProcessLookupError, FileNotFoundError):
            continue
        state, _, process_group = rest.split()[:3]
        if int(process_group) == group and state not in "ZX":
            names.append(name)
    return names


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_a_zombie_of_a_group_does_not_run() -> None:
    """A process that nobody has waited for yet is in its group as a zombie; before that it runs."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True)
    try:
        assert len(running_in_group(process.pid)) == 1
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        os.killpg(process.pid, 0)  # the group still exists
        assert running_in_group(process.pid) == []
    finally:
        process.kill()
        process.communicate()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_ctrl_c_stops_all_folds_and_they_can_be_resumed(faces: Path, tmp_path: Path) -> None:
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
    _, stderr = process.communicate(timeout=30)
    assert process.returncode not in (0, 2)
    assert b"Traceback" not in stderr
    assert running_in_group(process.pid) == []
    assert not list(folder.path.rglob("*.part"))
    assert all(folder.fold(fold).checkpoint.exists() and not folder.fold(fold).done for fold in (0, 1))
