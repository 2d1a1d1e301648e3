"""Several folds of a run at once, each in a process of its own, all seen on one screen and stopped together."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType

import torch

from maskfit.errors import MaskfitError, RunError
from maskfit.memory_allocator import configure_malloc
from maskfit.training.progress_reporting import FoldProgress, ProgressReporter
from maskfit.training.run_session import load_run

PATIENCE = 5.0
"""Seconds that a process gets to end before it is killed."""


class PipeReporter:
    """Tells another process. When that is gone, telling fails, and so training ends with who began it.

    Args:
        pipe: The end that is written to.
        pause: Seconds between two tellings of how far a fold is.
    """

    def __init__(self, pipe: Connection, pause: float = 0.2) -> None:
        self.pipe = pipe
        self.pause = pause
        self.told = 0.0

    def line(self, text: str) -> None:
        self.pipe.send(text)

    def show(self, standing: FoldProgress) -> None:
        now = time.monotonic()
        if now - self.told >= self.pause:
            self.told = now
            self.pipe.send(standing)

    def end(self, title: str) -> None:
        """Nothing: the other process sees this one end."""


@dataclass
class _Fold:
    """A fold under way in its process."""

    number: int
    process: BaseProcess
    title: str = ""
    error: MaskfitError | None = None

    def tell(self, told: object, screen: ProgressReporter) -> None:
        if isinstance(told, FoldProgress):
            self.title = told.title
            screen.show(told)
        elif isinstance(told, MaskfitError):
            self.error = told
        else:
            screen.line(str(told))


def train_folds_in_parallel(folder: Path, folds: Sequence[int], at_once: int, screen: ProgressReporter) -> None:
    """Trains folds of a begun run, so many at a time, until all are done.

    Each process gets its share of this one's threads. A program that calls this, itself or through `train`, must keep
    what it does under `if __name__ == "__main__":`, as always with processes of Python's.

    Args:
        folder: The run's.
        folds: Their numbers.
        at_once: How many may train at a time, 1 or more.
        screen: Where the progress of all is shown.

    Raises:
        MaskfitError: What the first fold that failed said; the others are stopped, as they are at Ctrl-C.
    """
    waiting = list(folds)
    running: dict[Connection, _Fold] = {}
    threads = max(1, torch.get_num_threads() // at_once)
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                pipe, fold = _begin(folder, waiting.pop(0), threads)
                running[pipe] = fold
            for ready in wait(list(running)):
                assert isinstance(ready, Connection)
                fold = running[ready]
                try:
                    fold.tell(ready.recv(), screen)
                except EOFError:
                    del running[ready]
                    _end(fold, screen)
    finally:
        _stop([fold.process for fold in running.values()])


def _begin(folder: Path, number: int, threads: int) -> tuple[Connection, _Fold]:
    # Not by a fork: neither torch's threads nor a GPU live through one.
    context = get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_train, args=(str(folder), number, threads, theirs), name=f"fold {number}")
    with _deaf_to_ctrl_c():
        process.start()
    # With this end closed here, the other's end is seen.
    theirs.close()
    return ours, _Fold(number, process)


@contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """A process that is started in here ignores Ctrl-C, which reaches all of a terminal: who began it stops it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _train(folder: str, number: int, threads: int, pipe: Connection) -> None:
    """What a fold's process does."""
    signal.signal(signal.SIGTERM, _interrupt)
    configure_malloc()
    torch.set_num_threads(threads)
    try:
        load_run(folder).train_fold(number, PipeReporter(pipe))
    except MaskfitError as error:
        pipe.send(error)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


def _interrupt(signum: int, frame: FrameType | None) -> None:
    # As at Ctrl-C: what is being written is cleared away.
    raise KeyboardInterrupt


def _end(fold: _Fold, screen: ProgressReporter) -> None:
    fold.process.join()
    screen.end(fold.title)
    if fold.error is not None:
        raise fold.error
    if fold.process.exitcode:
        raise RunError(
            f"the process of fold {fold.number} ended with {fold.process.exitcode}",
            hint="what it said stands above; a program of your own must call this under if __name__ == '__main__':",
        )


def _stop(processes: Sequence[BaseProcess]) -> None:
    for process in processes:
        process.terminate()
    for process in processes:
        process.join(PATIENCE)
        if process.is_alive():
            process.kill()
            process.join()
