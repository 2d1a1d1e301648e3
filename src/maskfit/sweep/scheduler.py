"""The loop of a sweep: starts trials, reports their epochs to the pruner and records their outcomes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console

from maskfit.config.loader import read_recipe
from maskfit.config.recipe import Recipe
from maskfit.run_dir import RunDir
from maskfit.sweep.executors import TrialExecutor
from maskfit.sweep.search_space import to_overrides
from maskfit.sweep.study import Study, TrialRecord, format_params
from maskfit.sweep.sweep_dir import SweepDir
from maskfit.sweep.trial_worker import EpochReport, TrialFinished, TrialJob, TrialOutcome
from maskfit.text import format_count
from maskfit.training.recipe_registry import RECIPE_REGISTRY

MAX_ATTEMPTS = 2
"""Number of attempts before a trial counts as failed."""

LARGE_MODEL_FILES = ("fold*/*.safetensors", "fold*/last.ckpt")
"""Files that are deleted from the runs of trials that are not among the best; the rest is small."""


def trial_recipe(folder: SweepDir, values: dict[str, Any], number: int) -> Recipe:
    """Returns the recipe of a trial: the sweep's recipe with the trial's values, and a run folder in the sweep's.

    Args:
        folder: The sweep's folder.
        values: Recipe key -> value.
        number: Trial number.

    Returns:
        The recipe.
    """
    overrides = [*to_overrides(values), *to_overrides({"output_dir": str(folder.trial(number).path)})]
    return read_recipe(folder.recipe, overrides, registries=RECIPE_REGISTRY)


class TrialScheduler:
    """Runs the trials of a study on an executor.

    Args:
        study: Records trials and proposes new ones.
        folder: The sweep's folder.
        executor: Where trials run.
        keep_models: Number of best trials whose model files are kept.
        max_epochs: Largest number of epochs per fold that any trial can have.
        console: Receives one line per event.
    """

    def __init__(
        self,
        study: Study,
        folder: SweepDir,
        executor: TrialExecutor,
        keep_models: int,
        max_epochs: int,
        console: Console,
    ) -> None:
        self.study = study
        self.folder = folder
        self.executor = executor
        self.keep_models = keep_models
        self.max_epochs = max_epochs
        self.console = console
        self._running: set[int] = set()
        self._to_retry: list[int] = []

    def run(self, trials: int) -> None:
        """Runs until the study holds this many trials and all of them have ended.

        Args:
            trials: Total number of trials, including those of before a resume.
        """
        self._to_retry = self.study.interrupted_trials()
        for number in self._to_retry:
            has_checkpoint = any(self.folder.trial(number).path.glob("fold*/last.ckpt"))
            how = "continues from its checkpoint" if has_checkpoint else "starts over"
            self._print(f"trial {number} was interrupted and {how}")
        while self._start_trials(trials) or self._running:
            for event in self.executor.wait():
                if isinstance(event, EpochReport):
                    self.executor.reply(event.number, self.study.report(event.number, event.step, event.score))
                else:
                    self._handle_finished(event)

    def _start_trials(self, trials: int) -> bool:
        """Starts trials until the executor is full; returns whether any was started."""
        started = False
        while len(self._running) < self.executor.max_parallel:
            if self._to_retry:
                number = self._to_retry.pop(0)
            elif len(self.study.trials()) < trials:
                number = self.study.ask()
            else:
                break
            started = self._start(number) or started
        return started

    def _start(self, number: int) -> bool:
        """Starts a trial; one with the values of a done trial is recorded at once with that trial's score."""
        values = self.study.draw(number)
        duplicate = self.study.find_duplicate(number)
        if duplicate is not None:
            self.study.set_attr(number, same_as=duplicate.number)
            interval = (duplicate.metadata.get("low"), duplicate.metadata.get("high"))
            self._end(number, TrialOutcome("done", duplicate.score, 0.0, *interval))
            return False
        recipe = trial_recipe(self.folder, values, number).model_dump(mode="json")
        self._running.add(number)
        self.executor.start(TrialJob(number, recipe, str(self.folder.log(number)), self.max_epochs))
        return True

    def _handle_finished(self, event: TrialFinished) -> None:
        self._running.discard(event.number)
        outcome = event.outcome
        attempts = self.study.get_attr(event.number, "attempts", 0) + 1
        self.study.set_attr(event.number, attempts=attempts)
        if outcome.state == "failed" and attempts < MAX_ATTEMPTS:
            seconds = outcome.seconds + self.study.get_attr(event.number, "seconds", 0.0)
            self.study.set_attr(event.number, seconds=seconds)
            self._print(f"trial {event.number} failed and is retried once: {outcome.reason}")
            self._to_retry.append(event.number)
        else:
            self._end(event.number, outcome)

    def _end(self, number: int, outcome: TrialOutcome) -> None:
        self.study.end(number, outcome)
        trials = self.study.trials()
        self._print(format_trial(trials[number], self.study.best()))
        self._remove_models(trials)

    def _remove_models(self, trials: list[TrialRecord]) -> None:
        """Deletes models and checkpoints of ended trials that are not among the best."""
        ranked = sorted((item for item in trials if item.state == "done"), key=lambda item: -(item.score or 0.0))
        kept = {item.number for item in ranked[: self.keep_models]}
        kept |= {item.number for item in trials if item.state == "running"}
        for item in trials:
            if item.number not in kept:
                remove_models(self.folder.trial(item.number))

    def _print(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False)


def remove_models(run: RunDir) -> None:
    """Deletes the models and checkpoints of a trial's run; its scores, curves and probabilities stay.

    Args:
        run: The trial's run folder.
    """
    for pattern in LARGE_MODEL_FILES:
        for path in run.path.glob(pattern):
            Path(path).unlink()


def format_trial(trial: TrialRecord, best: TrialRecord | None) -> str:
    """Returns an ended trial as one line.

    Args:
        trial: The trial.
        best: The best trial so far, which is marked with `*`.

    Returns:
        Number, outcome, seconds and values.
    """
    params = format_params(trial)
    seconds = f"{trial.metadata.get('seconds', 0.0):.0f} s"
    title = f"trial {trial.number}"
    if trial.state == "failed":
        return f"{title} failed: {trial.metadata.get('reason', '')} · {params}"
    if trial.state == "pruned":
        return (
            f"{title} pruned after {format_count(len(trial.steps), 'epoch')} at "
            f"{trial.score or 0.0:.4f} · {seconds} · {params}"
        )
    mark = " *" if best is not None and best.number == trial.number else ""
    duration = f"same values as trial {trial.metadata['same_as']}" if "same_as" in trial.metadata else seconds
    return f"{title} macro F1 {trial.score:.4f}{mark} · {duration} · {params}"
