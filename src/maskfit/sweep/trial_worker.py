"""One trial of a sweep: the job, its events and outcome, and the training itself.

Jobs, events and outcomes are plain data, so that they can be sent to another process or machine.
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

ReportEpoch = Callable[[int, float], bool]
"""Called with (step, macro F1 so far) after each epoch; returns whether to stop the trial."""


@dataclass(frozen=True)
class TrialJob:
    """A trial to run.

    Attributes:
        number: Trial number, from 0.
        recipe: The whole recipe as JSON values; `output_dir` is the trial's run folder.
        log: Path of the text file that receives the trial's output.
        max_epochs: Largest number of epochs per fold that any trial of the sweep can have.
    """

    number: int
    recipe: dict[str, Any]
    log: str
    max_epochs: int


@dataclass(frozen=True)
class TrialOutcome:
    """How a trial ended.

    Attributes:
        state: `done`, `pruned` or `failed`.
        score: Held-out macro F1 of a done trial, in [0, 1].
        seconds: Duration of this attempt; earlier attempts are not included.
        low: Lower end of the score's 95 % interval over persons.
        high: Upper end of that interval.
        reason: Why a failed trial failed.
    """

    state: str
    score: float | None = None
    seconds: float = 0.0
    low: float | None = None
    high: float | None = None
    reason: str = ""


@dataclass(frozen=True)
class EpochReport:
    """A trial finished an epoch and waits for the reply whether to stop.

    Attributes:
        number: Trial number.
        step: Epoch counted over all folds, from 0.
        score: Mean macro F1 of the finished folds and of this epoch.
    """

    number: int
    step: int
    score: float


@dataclass(frozen=True)
class TrialFinished:
    """A trial ended.

    Attributes:
        number: Trial number.
        outcome: How it ended.
    """

    number: int
    outcome: TrialOutcome = field(default_factory=lambda: TrialOutcome("failed"))


Event = EpochReport | TrialFinished


def run_trial(job: TrialJob, report_epoch: ReportEpoch, log: TextIO, threads: int | None = None) -> TrialOutcome:
    """Trains a trial, from its last checkpoint if it has one; an exception becomes a failed outcome.

    Args:
        job: The trial.
        report_epoch: Called after each epoch.
        log: Receives progress and tracebacks.
        threads: Number of torch threads; torch's default if None.

    Returns:
        The outcome.
    """
    began = time.perf_counter()
    try:
        if threads:
            import torch  # Here: a process that only sends jobs needs no torch.

            torch.set_num_threads(threads)
        return _train(job, report_epoch, log, began)
    except Exception as error:  # whatever it is, a failed trial must not end the sweep
        traceback.print_exc(file=log)
        lines = str(error).strip().splitlines() or [""]
        kind = "" if type(error).__module__.startswith("maskfit.") else f"{type(error).__name__}: "
        return TrialOutcome("failed", seconds=time.perf_counter() - began, reason=f"{kind}{lines[0]}")
    finally:
        log.flush()


def _train(job: TrialJob, report_epoch: ReportEpoch, log: TextIO, began: float) -> TrialOutcome:
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
        # Killed before its run was complete enough to be resumed.
        shutil.rmtree(folder)
    run = prepare_run(recipe, resume=folder.exists(), console=console)
    fold_scores: list[float] = []

    def on_epoch(fold: int, epoch: int, score: float) -> None:
        if report_epoch(len(fold_scores) * job.max_epochs + epoch, statistics.fmean([*fold_scores, score])):
            raise TrainingStopped

    try:
        for fold in run.plan.fold_numbers():
            run.train_fold(fold, ConsoleReporter(console), on_epoch)
            fold_scores.append(float(read_json(run.folder.fold(fold).scores)["score"]))
    except TrainingStopped:
        return TrialOutcome("pruned", seconds=time.perf_counter() - began)
    scores = run.finalize()
    interval = scores.intervals.get("macro_f1")
    low, high = (interval.low, interval.high) if interval else (None, None)
    return TrialOutcome("done", primary_score(scores), time.perf_counter() - began, low, high)
