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
from maskfit.config.loader import read_recipe, recipe_to_yaml
from maskfit.config.recipe import Recipe
from maskfit.data.image_cache.cache import CachedImages, open_image_caches
from maskfit.data.preprocessing import CropResize
from maskfit.data.splits import read_folds
from maskfit.errors import RunError
from maskfit.evaluation.probability_table import concat_tables, read_table
from maskfit.evaluation.scores import Scores, score
from maskfit.file_io import read_json, write_json, write_text
from maskfit.report.build_report import compute_statistics, write_report
from maskfit.run_dir import RunDir, is_run_dir
from maskfit.training.calibrate_run import calibrate_run, write_model_cards
from maskfit.training.callbacks import EpochListener
from maskfit.training.plan import TrainingPlan, make_plan
from maskfit.training.precision import Precision, choose_precision, load_precision
from maskfit.training.progress_reporting import ProgressReporter
from maskfit.training.task import primary_score
from maskfit.training.train_fold import fold_data, train_fold


@dataclass(frozen=True)
class TrainingRun:
    """A run whose folder is made and whose photos are decoded.

    Attributes:
        plan: The recipe on its data.
        folder: The run's folder.
        stored: The photos at the size that augmentation crops from.
        framed: The photos that are held out in some fold, through the evaluation transform.
        precision: What it computes in.
    """

    plan: TrainingPlan
    folder: RunDir
    stored: CachedImages
    framed: CachedImages
    precision: Precision

    def unfinished_folds(self) -> tuple[int, ...]:
        """The folds that the recipe wants and that are not done yet, from 0."""
        return tuple(number for number in self.plan.fold_numbers() if not self.folder.fold(number).done)

    def train_fold(self, number: int, screen: ProgressReporter, watch: EpochListener | None = None) -> None:
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

    def finalize(self) -> Scores:
        """Joins and scores what the folds said of the persons they never saw, calibrates the models, and reports.

        Raises:
            RunError: A fold is not done.
        """
        plan, folder = self.plan, self.folder
        if self.unfinished_folds():
            raise RunError(
                f"fold {self.unfinished_folds()[0]} of this run is not done",
                location=folder.path,
                hint="train with --resume",
            )
        numbers = plan.fold_numbers()
        tables = [read_table(folder.fold(number).probabilities, plan.scored_schema.classes) for number in numbers]
        calibration, table = calibrate_run(plan, concat_tables(tables))
        rows = plan.indices_of(table.names)
        persons = [plan.photos[place].person for place in rows]
        scores = score(plan.scored_schema, plan.targets()[rows], probabilities=table.probabilities, persons=persons)
        table.write(folder.probabilities)
        for number in numbers:
            write_model_cards(plan, folder.fold(number), number, scores, calibration)
        folds = {number: read_json(folder.fold(number).scores) for number in numbers}
        write_json(
            folder.scores,
            {
                "score": primary_score(scores),
                "per_fold": {str(number): fold["score"] for number, fold in folds.items()},
                "seconds": sum(fold["seconds"] for fold in folds.values()),
                **scores.to_dict(),
            },
        )
        write_report(folder.report, compute_statistics([folder.path]))
        return scores


def prepare_run(recipe: Recipe, *, resume: bool = False, console: Console | None = None) -> TrainingRun:
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
    precision = load_precision(folder)
    for remark in (*plan.warnings, str(precision)):
        console.print(remark, markup=False, highlight=False)
    stored, framed = _open_stores(plan, console)
    if stored.fallback_crops:
        console.print(
            f"no face found in {len(stored.fallback_crops):,} of {len(stored):,} photos: the crop's fallback was taken; "
            f"they are listed in {stored.guesses}"
        )
    return TrainingRun(plan, folder, stored, framed, precision)


def load_run(folder: str | Path) -> TrainingRun:
    """A run that another process began, with the recipe that its folder holds.

    Paths in the recipe count from the current folder, as they did for who began it.

    Raises:
        RunError: There is no run, or the photos are no longer those it was begun with.
    """
    path = Path(folder)
    if not is_run_dir(path):
        raise RunError("there is no run here", location=path, hint="name the run's folder")
    return prepare_run(read_recipe(RunDir(path).recipe).model_copy(update={"output_dir": str(path)}), resume=True)


def _made(plan: TrainingPlan) -> RunDir:
    """Makes the run's folder; never writes into another run's."""
    recipe = plan.recipe
    folder = RunDir(Path(recipe.output_dir) if recipe.output_dir else _new_name(recipe.name))
    if folder.path.exists() and (not folder.path.is_dir() or any(folder.path.iterdir())):
        raise RunError(
            "this folder is not empty",
            location=folder.path,
            hint="add --resume to go on with the run in it, or name another folder with output_dir=DIR",
        )
    plan.folds.write(folder.folds)
    # The meta device gives a network's shapes without its weights' memory.
    with torch.device("meta"):
        precision = choose_precision(recipe, plan.network())
    write_json(folder.environment, {**_environment(), "precision": asdict(precision)})
    # Written last: a folder is a run once it holds a recipe.
    write_text(folder.recipe, recipe_to_yaml(recipe))
    return folder


def _new_name(name: str) -> Path:
    number = 1
    while (path := Path("runs") / (name if number == 1 else f"{name}-{number}")).exists():
        number += 1
    return path


def _resumed(plan: TrainingPlan) -> RunDir:
    if not plan.recipe.output_dir or not is_run_dir(Path(plan.recipe.output_dir)):
        where = plan.recipe.output_dir or Path("runs")
        raise RunError(
            "there is no run to resume here", location=where, hint="name the run's folder with output_dir=DIR"
        )
    folder = RunDir(Path(plan.recipe.output_dir))
    begun = read_recipe(folder.recipe)
    if _what_it_is(begun) != _what_it_is(plan.recipe):
        changed = _differences(begun.model_dump(mode="json"), plan.recipe.model_dump(mode="json"))
        raise RunError(
            f"this run was begun with another recipe; {', '.join(changed)}",
            location=folder.recipe,
            hint="resume it with the same recipe and words, or start a new run",
        )
    if dict(read_folds(folder.folds).fold_of_person) != dict(plan.folds.fold_of_person):
        raise RunError(
            "the photos are no longer those the run was begun with", location=folder.folds, hint="start a new run"
        )
    return folder


FREE = ("output_dir", "cv.train_folds", "trainer.parallel_folds")
"""Where a run lies, which of its folds are trained now, and how many at once, does not change what it is."""


def _what_it_is(recipe: Recipe) -> Recipe:
    trainer = recipe.trainer.model_copy(update={"parallel_folds": 1})
    return recipe.model_copy(
        update={"output_dir": None, "cv": recipe.cv.model_copy(update={"train_folds": ()}), "trainer": trainer}
    )


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


def _open_stores(plan: TrainingPlan, console: Console) -> tuple[CachedImages, CachedImages]:
    """The photos at the size that augmentation crops from, and those held out through the evaluation transform."""
    recipe = plan.recipe
    framing = plan.preprocessing.crop_resize
    larger = framing.scaled(recipe.data.train_resize_scale)
    wanted: list[tuple[CropResize, Collection[int] | None]] = [(larger, None)]
    if larger != framing:
        wanted.append((framing, plan.val_indices()))
    began = time.perf_counter()
    with console.status("decoding photos") as status:

        def show(done: int, total: int) -> None:
            rate = done / (time.perf_counter() - began)
            status.update(
                f"decoding photos: {done:,} of {total:,} · {rate:,.0f}/s · {(total - done) / rate:.0f} s left"
            )

        where = Path(recipe.data.cache_dir) if recipe.data.cache_dir else None
        opened = open_image_caches(plan.photos.photos, wanted, folder=where, progress=show, say=console.print)
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
