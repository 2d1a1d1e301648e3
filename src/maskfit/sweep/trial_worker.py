"""A trial as a piece of work: what it is told, what it tells, and the work itself, in a process of its own.

All of it is plain data, so that it can be sent to another process or machine.
"""

from __future__ import annotations

import shutil
import statistics
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from maskfit.file_io import read_json

Tell = Callable[[int, float], bool]
"""Told (step, macro F1 so far) after each epoch; gives whether to stop."""


@dataclass(frozen=True)
class TrialJob:
    """A trial to be run.

    Attributes:
        number: Its number.
        recipe: The whole recipe, as JSON has it; `run` names the trial's folder.
        log: Where it writes what it says.
        longest: The most epochs that any trial of the sweep can have in one fold.
    """

    number: int
    recipe: dict[str, Any]
    log: str
    longest: int


@dataclass(frozen=True)
class Outcome:
    """How a trial ended.

    Attributes:
        state: `done`, `pruned` or `failed`.
        score: The held-out macro F1 of one that is done.
        seconds: How long it took, without what an earlier attempt took.
        low, high: The score's 95 % interval over persons.
        reason: Why it failed.
    """

    state: str
    score: float | None = None
    seconds: float = 0.0
    low: float | None = None
    high: float | None = None
    reason: str = ""


@dataclass(frozen=True)
class EpochReport:
    """A trial came to the end of an epoch, and waits to hear whether to go on."""

    number: int
    step: int
    score: float


@dataclass(frozen=True)
class TrialFinished:
    """A trial ended."""

    number: int
    outcome: Outcome = field(default_factory=lambda: Outcome("failed"))


Event = EpochReport | TrialFinished


def run_trial(job: TrialJob, tell: Tell, log: TextIO, threads: int | None = None) -> Outcome:
    """Trains a trial, from its last checkpoint where there is one; whatever goes wrong in it is an outcome.

    Args:
        job: The trial.
        tell: Who is told after each epoch.
        log: Where it writes what it says.
        threads: Cores that it may use; torch's own choice where left out.
    """
    began = time.perf_counter()
    try:
        if threads:
            import torch  # Here: whoever only sends jobs needs no torch.

            torch.set_num_threads(threads)
        return _train(job, tell, log, began)
    except Exception as error:  # a trial that fails must not end the sweep, whatever it is
        traceback.print_exc(file=log)
        what = str(error).strip().splitlines() or [""]
        kind = "" if type(error).__module__.startswith("maskfit.") else f"{type(error).__name__}: "
        return Outcome("failed", seconds=time.perf_counter() - began, reason=f"{kind}{what[0]}")
    finally:
        log.flush()


def _train(job: TrialJob, tell: Tell, log: TextIO, began: float) -> Outcome:
    from rich.console import Console

    from maskfit.config.recipe import Recipe
    from maskfit.run_dir import is_run_dir
    from maskfit.training.callbacks import TrainingStopped
    from maskfit.training.progress_reporting import ConsoleReporter
    from maskfit.training.run_session import prepare_run
    from maskfit.training.task import primary_score

    recipe = Recipe.model_validate(job.recipe)
    console = Console(file=log, width=160, no_color=True)
    folder = Path(str(recipe.output_dir))
    if folder.exists() and not is_run_dir(folder):
        # Killed before its run began: nothing in it is worth going on with.
        shutil.rmtree(folder)
    begun = prepare_run(recipe, resume=folder.exists(), console=console)
    done: list[float] = []

    def watch(fold: int, epoch: int, score: float) -> None:
        if tell(len(done) * job.longest + epoch, statistics.fmean([*done, score])):
            raise TrainingStopped

    try:
        for number in begun.plan.fold_numbers():
            begun.train_fold(number, ConsoleReporter(console), watch)
            done.append(float(read_json(begun.folder.fold(number).scores)["score"]))
    except TrainingStopped:
        return Outcome("pruned", seconds=time.perf_counter() - began)
    scores = begun.finalize()
    around = scores.intervals.get("macro_f1")
    low, high = (around.low, around.high) if around else (None, None)
    return Outcome("done", primary_score(scores), time.perf_counter() - began, low, high)
