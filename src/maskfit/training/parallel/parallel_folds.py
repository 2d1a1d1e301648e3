"""Trains several folds of a run at a time, each in its own process, with one progress display."""

from __future__ import annotations

import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from maskfit.errors import RunError
from maskfit.memory_allocator import configure_malloc
from maskfit.process_supervisor import ProcessSupervisor, Worker, WorkerExit
from maskfit.training.progress_reporting import FoldProgress, ProgressReporter
from maskfit.training.run_session import load_run


class PipeReporter:
    """`ProgressReporter` that sends everything to another process.

    Sending raises OSError once that process is gone, which ends the training.

    Args:
        pipe: The end to send to.
        interval: Minimum number of seconds between two `FoldProgress` messages; the ones in between are dropped.
    """

    def __init__(self, pipe: Connection, interval: float = 0.2) -> None:
        self.pipe = pipe
        self.interval = interval
        self._last_sent = 0.0

    def line(self, text: str) -> None:
        """Sends a line.

        Args:
            text: The line.
        """
        self.pipe.send(text)

    def show(self, standing: FoldProgress) -> None:
        """Sends a fold's progress, at most once per interval.

        Args:
            standing: The progress.
        """
        now = time.monotonic()
        if now - self._last_sent >= self.interval:
            self._last_sent = now
            self.pipe.send(standing)

    def end(self, title: str) -> None:
        """Does nothing: the other process notices the end of this one.

        Args:
            title: The fold.
        """


def train_folds_in_parallel(folder: Path, folds: Sequence[int], max_parallel: int, reporter: ProgressReporter) -> None:
    """Trains folds of a prepared run, a limited number at a time, until all are done.

    Each process gets an equal part of this process's torch threads. The processes are spawned, so a program that calls
    this function, directly or through `train`, must guard its entry point with `if __name__ == "__main__":`.

    Args:
        folder: Run folder.
        folds: Fold numbers, from 0.
        max_parallel: Number of folds that train at a time, >= 1.
        reporter: Receives the progress of all folds.

    Raises:
        MaskfitError: The error of the first fold that failed. The other folds are stopped, as they are at Ctrl-C.
        RunError: A fold's process crashed or was killed.
    """
    pending = list(folds)
    fold_of: dict[Worker, int] = {}
    titles: dict[Worker, str] = {}
    threads = max(1, torch.get_num_threads() // max_parallel)
    with ProcessSupervisor() as supervisor:
        while pending or supervisor.workers:
            while pending and len(supervisor.workers) < max_parallel:
                worker = _start(supervisor, folder, pending[0], threads)
                fold_of[worker] = pending.pop(0)
            for event in supervisor.wait():
                if isinstance(event, WorkerExit):
                    reporter.end(titles.get(event.worker, ""))
                    _raise_if_failed(event, fold_of[event.worker])
                elif isinstance(event.message, FoldProgress):
                    titles[event.worker] = event.message.title
                    reporter.show(event.message)
                else:
                    reporter.line(str(event.message))


def _start(supervisor: ProcessSupervisor, folder: Path, fold: int, threads: int) -> Worker:
    return supervisor.start(_train_fold, str(folder), fold, threads, name=f"fold {fold}")


def _train_fold(pipe: Connection, folder: str, fold: int, threads: int) -> None:
    """Runs in the fold's process."""
    configure_malloc()
    torch.set_num_threads(threads)
    load_run(folder).train_fold(fold, PipeReporter(pipe))


def _raise_if_failed(event: WorkerExit, fold: int) -> None:
    if event.worker.error is not None:
        raise event.worker.error
    if event.failed:
        raise RunError(
            f"the process of fold {fold} {event.worker.describe_exit()}",
            hint="see its output above; a program of your own must call this under if __name__ == '__main__':",
        )
