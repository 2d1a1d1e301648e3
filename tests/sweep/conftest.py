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
from maskfit.sweep.trial_worker import EpochReport, Event, TrialFinished, TrialJob, TrialOutcome
from maskfit.training.recipe_registry import RECIPE_REGISTRY


class Killed(Exception):  # noqa: N818 - stands for a signal
    """Simulates that the command is killed."""


class FormulaExecutor:
    """Executor whose trials have three epochs; the score falls with the learning rate's distance from 0.01.

    The epochs report 0.6, 0.8 and 1 times the final score.

    Args:
        fail: Attempts that fail: (trial number, attempt from 0).
        kill_after: Number of events after which the command is killed; never if None.
        max_parallel: Number of trials at a time.
    """

    def __init__(
        self, fail: set[tuple[int, int]] | None = None, kill_after: int | None = None, max_parallel: int = 1
    ) -> None:
        self.fail = fail or set()
        self.kill_after = kill_after
        self.max_parallel = max_parallel
        self.running: dict[int, tuple[float, int]] = {}
        self.attempts: dict[int, int] = {}
        self.jobs: list[TrialJob] = []

    def start(self, job: TrialJob) -> None:
        rate = Recipe.model_validate(job.recipe).optimizer.options["lr"]
        self.running[job.number] = (1 - abs(rate - 0.01) * 20, 0)
        self.jobs.append(job)

    def wait(self) -> list[Event]:
        events: list[Event] = []
        for number, (best, epoch) in list(self.running.items()):
            if self.kill_after is not None:
                if self.kill_after == 0:
                    raise Killed
                self.kill_after -= 1
            if epoch == -1:
                del self.running[number]
                events.append(TrialFinished(number, TrialOutcome("pruned", seconds=1.0)))
            elif (number, self.attempts.get(number, 0)) in self.fail:
                self.attempts[number] = self.attempts.get(number, 0) + 1
                del self.running[number]
                events.append(
                    TrialFinished(number, TrialOutcome("failed", seconds=1.0, reason="non-finite logits in validation"))
                )
            elif epoch == 3:
                del self.running[number]
                events.append(TrialFinished(number, TrialOutcome("done", best, 3.0, best - 0.02, best + 0.02)))
            else:
                events.append(EpochReport(number, epoch, best * (0.6 + 0.2 * epoch)))
        return events

    def reply(self, number: int, stop: bool) -> None:
        best, epoch = self.running[number]
        self.running[number] = (best, -1 if stop else epoch + 1)

    def close(self) -> None:
        self.running.clear()


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
    """One database for all tests, in memory where possible: these sweeps wait for nothing else."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield f"sqlite:///{folder}/studies.db"


@pytest.fixture
def run_sweep(tmp_path: Path, space: Space, database: str) -> Callable[..., Study]:
    """Runs a sweep in a folder and returns its study; with `resume`, continues it."""

    def run(
        name: str,
        executor: Any,
        trials: int = 8,
        *,
        resume: bool = False,
        pruner: str = "none",
        sampler: str = "tpe",
        lines: list[str] | None = None,
    ) -> Study:
        folder = SweepDir(tmp_path / name)
        write_text(folder.recipe, recipe_to_yaml(read_recipe("fast", registries=RECIPE_REGISTRY)))
        options = {"startup": 3, "warmup": 0} if pruner == "median" else {}
        database_study = open_study(
            database, str(folder.path), {"space": space.text}, PRUNERS[pruner](3, **options), resume=resume
        )
        startup = {"startup": 4} if sampler == "tpe" else {}
        study = Study(database_study, space, ComponentSpec.create(sampler, **startup), 7, executor.max_parallel > 1)
        console = Console(quiet=True) if lines is None else Console(file=_Lines(lines), width=400)
        TrialScheduler(study, folder, executor, 2, 3, console).run(trials)
        return study

    return run


class _Lines:
    def __init__(self, lines: list[str]) -> None:
        self.lines = lines

    def write(self, text: str) -> int:
        self.lines += [line for line in text.splitlines() if line]
        return len(text)

    def flush(self) -> None:
        """Nothing is buffered."""
