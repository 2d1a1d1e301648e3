"""The loop of a sweep: trials are begun where there is room, followed from epoch to epoch, and written down."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console

from maskfit.config.loader import read_recipe
from maskfit.config.recipe import Recipe
from maskfit.run_dir import RunDir
from maskfit.sweep.executors import TrialExecutor
from maskfit.sweep.search_space import to_overrides
from maskfit.sweep.study import Study, TrialRecord, values_of
from maskfit.sweep.sweep_dir import SweepDir
from maskfit.sweep.trial_worker import EpochReport, Outcome, TrialFinished, TrialJob
from maskfit.training.recipe_registry import RECIPE_REGISTRY

MAX_ATTEMPTS = 2
"""How often a trial is tried before it has failed."""

LARGE_MODEL_FILES = ("fold*/*.safetensors", "fold*/last.ckpt")
"""What is taken from the runs of trials that are not among the best; all the rest is small."""


def trial_recipe(folder: SweepDir, values: dict[str, Any], number: int) -> Recipe:
    """The recipe of a trial: the sweep's own with the trial's values, its run in the sweep's folder."""
    words = [*to_overrides(values), *to_overrides({"run": str(folder.trial(number).path)})]
    return read_recipe(folder.recipe, words, slots=RECIPE_REGISTRY)


class TrialScheduler:
    """Trials under way.

    Args:
        study: What was tried, and what to try next.
        folder: The sweep's.
        placement: Where trials run.
        keep: Of how many of the best trials models are kept.
        longest: The most epochs of one fold.
        console: Where progress is shown.
    """

    def __init__(
        self, study: Study, folder: SweepDir, placement: TrialExecutor, keep: int, longest: int, console: Console
    ) -> None:
        self.study = study
        self.folder = folder
        self.placement = placement
        self.keep = keep
        self.longest = longest
        self.console = console
        self.running: set[int] = set()
        self.again: list[int] = []

    def run(self, trials: int) -> None:
        """Goes on until there are so many trials, each of which ended."""
        self.again = self.study.interrupted_trials()
        for number in self.again:
            begun = any(self.folder.trial(number).path.glob("fold*/last.ckpt"))
            how = "goes on from its checkpoint" if begun else "begins anew"
            self._say(f"trial {number} was cut off and {how}")
        while self._begin(trials) or self.running:
            for event in self.placement.wait():
                if isinstance(event, EpochReport):
                    self.placement.reply(event.number, self.study.report(event.number, event.step, event.score))
                else:
                    self._ended(event)

    def _begin(self, trials: int) -> bool:
        """Begins what there is room for; whether anything was begun."""
        begun = False
        while len(self.running) < self.placement.max_parallel:
            if self.again:
                number = self.again.pop(0)
            elif len(self.study.tried()) < trials:
                number = self.study.ask()
            else:
                break
            begun = self._start(number) or begun
        return begun

    def _start(self, number: int) -> bool:
        """Begins a trial; one of values that were tried already is written down at once."""
        values = self.study.draw(number)
        twin = self.study.find_duplicate(number)
        if twin is not None:
            self.study.set_attr(number, same_as=twin.number)
            outcome = Outcome("done", twin.score, 0.0, twin.facts.get("low"), twin.facts.get("high"))
            self._end(number, outcome)
            return False
        recipe = trial_recipe(self.folder, values, number).model_dump(mode="json")
        self.running.add(number)
        self.placement.start(TrialJob(number, recipe, str(self.folder.log(number)), self.longest))
        return True

    def _ended(self, event: TrialFinished) -> None:
        self.running.discard(event.number)
        outcome = event.outcome
        attempts = self.study.get_attr(event.number, "attempts", 0) + 1
        self.study.set_attr(event.number, attempts=attempts)
        if outcome.state == "failed" and attempts < MAX_ATTEMPTS:
            self.study.set_attr(
                event.number, seconds=outcome.seconds + self.study.get_attr(event.number, "seconds", 0.0)
            )
            self._say(f"trial {event.number} failed and is tried once more: {outcome.reason}")
            self.again.append(event.number)
        else:
            self._end(event.number, outcome)

    def _end(self, number: int, outcome: Outcome) -> None:
        self.study.end(number, outcome)
        tried = self.study.tried()
        self._say(describe(tried[number], self.study.best()))
        self._clear(tried)

    def _clear(self, tried: list[TrialRecord]) -> None:
        """Takes the models and checkpoints of trials that ended and are not among the best."""
        ranked = sorted((item for item in tried if item.state == "done"), key=lambda item: -(item.score or 0.0))
        kept = {item.number for item in ranked[: self.keep]} | {
            item.number for item in tried if item.state == "running"
        }
        for item in tried:
            if item.number not in kept:
                remove_models(self.folder.trial(item.number))

    def _say(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False)


def remove_models(run: RunDir) -> None:
    """Takes models and checkpoints out of a trial's run; its scores, curves and probabilities stay."""
    for pattern in LARGE_MODEL_FILES:
        for path in run.path.glob(pattern):
            Path(path).unlink()


def describe(tried: TrialRecord, best: TrialRecord | None) -> str:
    """A trial that ended, in one line."""
    values = values_of(tried)
    seconds = f"{tried.facts.get('seconds', 0.0):.0f} s"
    lead = f"trial {tried.number}"
    if tried.state == "failed":
        return f"{lead} failed: {tried.facts.get('reason', '')} · {values}"
    if tried.state == "pruned":
        return f"{lead} given up after {len(tried.steps)} epochs at {tried.score or 0.0:.4f} · {seconds} · {values}"
    mark = " *" if best is not None and best.number == tried.number else ""
    twin = f"as trial {tried.facts['same_as']}" if "same_as" in tried.facts else seconds
    return f"{lead} macro F1 {tried.score:.4f}{mark} · {twin} · {values}"
