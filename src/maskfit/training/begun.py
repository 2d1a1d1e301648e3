"""A run that has begun: its folder and its photos are there, each fold can be trained in a process of its own.

    begun = begin_run(recipe)                    # once: checks everything, makes the folder, decodes the photos
    reopen_run(folder).train_fold(2, screen)     # anywhere, in any order, side by side: one fold, from where it stands
    begun.close()                                # once: joins, scores and reports what the folds wrote

A fold depends on nothing but the run's folder, the photos and its number. So folds trained one after another, side by
side or on other machines that see the same files give the same; what the processes share is the store, which
`begin_run` filled and the others only read.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Collection
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from maskfit import __version__
from maskfit.cookbook import dump_recipe, read_recipe
from maskfit.data.folds import read_folds
from maskfit.data.store import StoredFrames, open_stores
from maskfit.data.transforms import Framing
from maskfit.errors import RunError
from maskfit.evaluation.scores import Scores, score
from maskfit.evaluation.tables import read_table, stack
from maskfit.files import read_json, write_json, write_text
from maskfit.recipe import Recipe
from maskfit.report.pages import judge, write_report
from maskfit.runfolder import RunFolder, is_run
from maskfit.training.closing import calibrated, tell_models
from maskfit.training.fold import fold_data, train_fold
from maskfit.training.plan import Plan, make_plan
from maskfit.training.precision import Precision, choose_precision, kept_precision
from maskfit.training.screen import Screen
from maskfit.training.task import headline
from maskfit.training.watching import Watch


@dataclass(frozen=True)
class BegunRun:
    """A run whose folder is made and whose photos are decoded.

    Attributes:
        plan: The recipe on its data.
        folder: The run's folder.
        stored: The photos at the size that augmentation crops from.
        framed: The photos that are held out in some fold, through the evaluation transform.
        precision: What it computes in.
    """

    plan: Plan
    folder: RunFolder
    stored: StoredFrames
    framed: StoredFrames
    precision: Precision

    def open_folds(self) -> tuple[int, ...]:
        """The folds that the recipe wants and that are not done yet, from 0."""
        return tuple(number for number in self.plan.fold_numbers() if not self.folder.fold(number).done)

    def train_fold(self, number: int, screen: Screen, watch: Watch | None = None) -> None:
        """Trains one fold to its end, from its last checkpoint where it has one; nothing where it is done already.

        It writes into the fold's own folder and nowhere else.

        Args:
            number: Which fold, from 0.
            screen: Where progress is told.
            watch: Who follows it from epoch to epoch, and may end it.

        Raises:
            RunError: The network's answers are no longer numbers.
            Stopped: Whoever watches ended it.
            KeyboardInterrupt: Ctrl-C; the fold goes on from its last checkpoint when it is trained again.
        """
        own = self.folder.fold(number)
        if own.done:
            screen.line(f"fold {number + 1} of {self.plan.folds.count} is done already")
        else:
            data = fold_data(self.plan, number, self.stored, self.framed)
            train_fold(self.plan, self.precision.kind, number, data, own, screen, watch)

    def close(self) -> Scores:
        """Joins and scores what the folds said of the persons they never saw, calibrates the models, and reports.

        Raises:
            RunError: A fold is not done.
        """
        plan, folder = self.plan, self.folder
        if self.open_folds():
            raise RunError(
                f"fold {self.open_folds()[0]} of this run is not done", where=folder.path, fix="train with --resume"
            )
        numbers = plan.fold_numbers()
        tables = [read_table(folder.fold(number).probabilities, plan.official.classes) for number in numbers]
        calibration, table = calibrated(plan, stack(tables))
        rows = plan.places(table.names)
        persons = [plan.photos[place].person for place in rows]
        scores = score(plan.official, plan.truth()[rows], probabilities=table.probabilities, persons=persons)
        table.write(folder.probabilities)
        for number in numbers:
            tell_models(plan, folder.fold(number), number, scores, calibration)
        folds = {number: read_json(folder.fold(number).scores) for number in numbers}
        write_json(
            folder.scores,
            {
                "score": headline(scores),
                "per_fold": {str(number): fold["score"] for number, fold in folds.items()},
                "seconds": sum(fold["seconds"] for fold in folds.values()),
                **scores.to_dict(),
            },
        )
        write_report(folder.report, judge([folder.path]))
        return scores


def begin_run(recipe: Recipe, *, resume: bool = False, console: Console | None = None) -> BegunRun:
    """Checks a recipe on its data, makes the run's folder or finds the one to go on with, and decodes the photos.

    Args:
        recipe: The experiment; `run` says where, or a new folder under `runs/` is made.
        resume: Go on with the run that is there.
        console: Where remarks and the decoding are shown; nowhere where left out.

    Raises:
        MaskfitError: Recipe, data or folder are not right; nothing is written then.
    """
    console = console or Console(quiet=True)
    plan = make_plan(recipe)
    plan.fold_numbers()  # A fold that there is not is told before anything is written.
    folder = _resumed(plan) if resume else _made(plan)
    precision = kept_precision(folder)
    for remark in (*plan.remarks, str(precision)):
        console.print(remark, markup=False, highlight=False)
    stored, framed = _open_stores(plan, console)
    if stored.guessed:
        console.print(
            f"no face found in {len(stored.guessed):,} of {len(stored):,} photos: the crop's fallback was taken; "
            f"they are listed in {stored.guesses}"
        )
    return BegunRun(plan, folder, stored, framed, precision)


def reopen_run(folder: str | Path) -> BegunRun:
    """A run that another process began, with the recipe that its folder holds.

    Paths in the recipe count from the current folder, as they did for who began it.

    Raises:
        RunError: There is no run, or the photos are no longer those it was begun with.
    """
    path = Path(folder)
    if not is_run(path):
        raise RunError("there is no run here", where=path, fix="name the run's folder")
    return begin_run(read_recipe(RunFolder(path).recipe).model_copy(update={"run": str(path)}), resume=True)


def _made(plan: Plan) -> RunFolder:
    """Makes the run's folder; never writes into another run's."""
    recipe = plan.recipe
    folder = RunFolder(Path(recipe.run) if recipe.run else _new_name(recipe.name))
    if folder.path.exists() and (not folder.path.is_dir() or any(folder.path.iterdir())):
        raise RunError(
            "this folder is not empty",
            where=folder.path,
            fix="add --resume to go on with the run in it, or name another folder with run=DIR",
        )
    plan.folds.write(folder.folds)
    # The meta device gives a network's shapes without its weights' memory.
    with torch.device("meta"):
        precision = choose_precision(recipe, plan.network())
    write_json(folder.environment, {**_environment(), "precision": asdict(precision)})
    # Written last: a folder is a run once it holds a recipe.
    write_text(folder.recipe, dump_recipe(recipe))
    return folder


def _new_name(name: str) -> Path:
    number = 1
    while (path := Path("runs") / (name if number == 1 else f"{name}-{number}")).exists():
        number += 1
    return path


def _resumed(plan: Plan) -> RunFolder:
    if not plan.recipe.run or not is_run(Path(plan.recipe.run)):
        where = plan.recipe.run or Path("runs")
        raise RunError("there is no run to resume here", where=where, fix="name the run's folder with run=DIR")
    folder = RunFolder(Path(plan.recipe.run))
    begun = read_recipe(folder.recipe)
    if _what_it_is(begun) != _what_it_is(plan.recipe):
        changed = _differences(begun.model_dump(mode="json"), plan.recipe.model_dump(mode="json"))
        raise RunError(
            f"this run was begun with another recipe; {', '.join(changed)}",
            where=folder.recipe,
            fix="resume it with the same recipe and words, or start a new run",
        )
    if dict(read_folds(folder.folds).of) != dict(plan.folds.of):
        raise RunError(
            "the photos are no longer those the run was begun with", where=folder.folds, fix="start a new run"
        )
    return folder


FREE = ("run", "fold", "trainer.folds_at_once")
"""Where a run lies, which of its folds are trained now, and how many at once, does not change what it is."""


def _what_it_is(recipe: Recipe) -> Recipe:
    trainer = recipe.trainer.model_copy(update={"folds_at_once": 1})
    return recipe.model_copy(update={"run": None, "fold": (), "trainer": trainer})


def _differences(before: Any, after: Any, key: str = "") -> list[str]:
    if isinstance(before, dict) and isinstance(after, dict):
        names = [(name, f"{key}.{name}" if key else name) for name in dict.fromkeys([*before, *after])]
        return [
            line
            for name, whole in names
            if whole not in FREE
            for line in _differences(before.get(name), after.get(name), whole)
        ]
    return [] if before == after else [f"{key} was {before}, is {after}"]


def _open_stores(plan: Plan, console: Console) -> tuple[StoredFrames, StoredFrames]:
    """The photos at the size that augmentation crops from, and those held out through the evaluation transform."""
    recipe = plan.recipe
    framing = plan.preprocessing.framing
    larger = framing.scaled(recipe.data.train_scale)
    wanted: list[tuple[Framing, Collection[int] | None]] = [(larger, None)]
    if larger != framing:
        wanted.append((framing, plan.held_out()))
    began = time.perf_counter()
    with console.status("decoding photos") as status:

        def show(done: int, total: int) -> None:
            rate = done / (time.perf_counter() - began)
            status.update(
                f"decoding photos: {done:,} of {total:,} · {rate:,.0f}/s · {(total - done) / rate:.0f} s left"
            )

        where = Path(recipe.data.store) if recipe.data.store else None
        opened = open_stores(plan.photos.photos, wanted, folder=where, progress=show, say=console.print)
    return opened[0], opened[-1]


def _environment() -> dict[str, Any]:
    packages = ("torch", "torchvision", "timm", "lightning", "numpy", "pillow")
    return {
        "maskfit": __version__,
        "command": sys.argv,
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in packages},
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "began": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
