"""A sweep without training: trials are scored by a formula of their values, in this process."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from maskfit.config.loader import read_recipe, recipe_to_yaml
from maskfit.config.recipe import Recipe
from maskfit.file_io import write_text
from maskfit.registry import ComponentSpec
from maskfit.sweep.samplers import PRUNERS
from maskfit.sweep.scheduler import TrialScheduler
from maskfit.sweep.search_space import Space, read_space
from maskfit.sweep.study import Study, open_study
from maskfit.sweep.sweep_dir import SweepDir
from maskfit.sweep.trial_worker import EpochReport, Event, Outcome, TrialFinished, TrialJob
from maskfit.training.recipe_registry import RECIPE_REGISTRY


class Killed(Exception):  # noqa: N818 - nothing is wrong
    """The command is no more."""


class Formula:
    """Runs trials of three epochs; each is as good as its rate is near 0.01, times 0.6, 0.8, 1 of it.

    Args:
        fail: Which attempts fail: (trial, which time from 0).
        kill: After so many events the command is killed.
    """

    def __init__(self, fail: set[tuple[int, int]] | None = None, kill: int | None = None, room: int = 1) -> None:
        self.fail = fail or set()
        self.kill = kill
        self.room = room
        self.going: dict[int, tuple[float, int]] = {}
        self.attempts: dict[int, int] = {}
        self.jobs: list[TrialJob] = []

    def start(self, job: TrialJob) -> None:
        rate = Recipe.model_validate(job.recipe).optimizer.options["lr"]
        self.going[job.number] = (1 - abs(rate - 0.01) * 20, 0)
        self.jobs.append(job)

    def wait(self) -> list[Event]:
        events: list[Event] = []
        for number, (best, epoch) in list(self.going.items()):
            if self.kill is not None:
                if self.kill == 0:
                    raise Killed
                self.kill -= 1
            if epoch == -1:
                del self.going[number]
                events.append(TrialFinished(number, Outcome("pruned", seconds=1.0)))
            elif (number, self.attempts.get(number, 0)) in self.fail:
                self.attempts[number] = self.attempts.get(number, 0) + 1
                del self.going[number]
                events.append(
                    TrialFinished(number, Outcome("failed", seconds=1.0, reason="the network answers with no numbers"))
                )
            elif epoch == 3:
                del self.going[number]
                events.append(TrialFinished(number, Outcome("done", best, 3.0, best - 0.02, best + 0.02)))
            else:
                events.append(EpochReport(number, epoch, best * (0.6 + 0.2 * epoch)))
        return events

    def answer(self, number: int, stop: bool) -> None:
        best, epoch = self.going[number]
        self.going[number] = (best, -1 if stop else epoch + 1)

    def close(self) -> None:
        self.going.clear()


SPACE = """
optimizer.lr: {low: 1.0e-4, high: 3.0e-2, log: true}
trainer.batch_size: {low: 8, high: 32, step: 8}
loss: [cross_entropy, {name: focal, gamma: {low: 0.5, high: 4.0}}]
"""


@pytest.fixture
def space(tmp_path: Path) -> Space:
    path = tmp_path / "space.yaml"
    path.write_text(SPACE)
    return read_space(path)


@pytest.fixture(scope="session")
def database() -> Iterator[str]:
    """One database for all tests, in memory where there is such a place: a sweep of formulas waits for it alone."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield f"sqlite:///{folder}/studies.db"


@pytest.fixture
def sweeping(tmp_path: Path, space: Space, database: str) -> Callable[..., Study]:
    """Runs a sweep in a folder, and gives its study; called again with `resume`, it goes on."""

    def run(
        name: str,
        placement: Any,
        trials: int = 8,
        *,
        resume: bool = False,
        pruner: str = "none",
        sampler: str = "tpe",
        lines: list[str] | None = None,
    ) -> Study:
        folder = SweepDir(tmp_path / name)
        write_text(folder.recipe, recipe_to_yaml(read_recipe("fast", registries=RECIPE_REGISTRY)))
        how = {"startup": 3, "warmup": 0} if pruner == "median" else {}
        opened = open_study(database, str(folder.path), {"space": space.text}, PRUNERS[pruner](3, **how), resume=resume)
        startup = {"startup": 4} if sampler == "tpe" else {}
        study = Study(opened, space, ComponentSpec.create(sampler, **startup), 7, placement.room > 1)
        console = Console(quiet=True) if lines is None else Console(file=_Lines(lines), width=400)
        TrialScheduler(study, folder, placement, 2, 3, console).run(trials)
        return study

    return run


class _Lines:
    def __init__(self, lines: list[str]) -> None:
        self.lines = lines

    def write(self, text: str) -> int:
        self.lines += [line for line in text.splitlines() if line]
        return len(text)

    def flush(self) -> None:
        """Nothing is held back."""
