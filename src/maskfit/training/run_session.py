"""A training run: prepared once, its folds trained in any order and in any process, then finalized once.

    run = prepare_run(recipe)                      # once: checks everything, creates the folder, decodes the photos
    load_run(folder).train_fold(2, reporter)       # in any order, in parallel: one fold, from its last checkpoint
    run.finalize()                                 # once: merges and scores the folds' predictions, writes the report

A fold depends only on the run's folder, the photos and its number. So folds trained one after another, in parallel or
on other machines with the same files give the same results; the processes share only the image cache, which
`prepare_run` fills and the others read.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from maskfit.calibration import MIN_RELIABLE_PERSONS
from maskfit.config.loader import read_recipe, recipe_to_yaml
from maskfit.config.recipe import Recipe
from maskfit.data.image_cache.cache import CachedImages, open_image_caches
from maskfit.data.preprocessing import CropResize
from maskfit.data.splits import read_splits
from maskfit.errors import RunError
from maskfit.evaluation.ages import write_age_table
from maskfit.evaluation.fit_decisions import describe_fit
from maskfit.evaluation.probability_table import concat_tables, read_table
from maskfit.evaluation.scores import Scores, score
from maskfit.file_io import read_json, write_json, write_text
from maskfit.file_locks import is_occupied
from maskfit.models.backbone_names import NONE
from maskfit.models.meta_device import meta_device
from maskfit.progress_log import log_progress
from maskfit.report.build_report import compute_statistics, write_report
from maskfit.report.run_statistics import RunStatistics
from maskfit.report.summary_text import hold_out_more
from maskfit.run_dir import WORKING_DIR, RunDir, is_run_dir
from maskfit.text import format_count
from maskfit.training.calibrate_run import calibrate_run, write_model_cards
from maskfit.training.callbacks import EpochListener
from maskfit.training.label_digest import digest_labels
from maskfit.training.plan import TrainingPlan, make_plan
from maskfit.training.precision import Precision, choose_precision, load_precision
from maskfit.training.progress_reporting import ProgressReporter
from maskfit.training.task import primary_score
from maskfit.training.train_fold import StartNetwork, build_fold_data, build_start_network, train_fold
from maskfit.version import __version__


@dataclass(frozen=True)
class TrainingRun:
    """A run whose folder exists and whose photos are decoded.

    Attributes:
        plan: The recipe on its data.
        folder: The run's folder.
        train_images: Cached images at the size that augmentation crops from.
        val_images: Cached images of the photos that are held out in some fold, preprocessed as in prediction.
        precision: The run's precision.
        start_networks: Fold -> its network, where it was built to check its weights; taken out when the fold begins.
    """

    plan: TrainingPlan
    folder: RunDir
    train_images: CachedImages
    val_images: CachedImages
    precision: Precision
    start_networks: dict[int, StartNetwork] = field(default_factory=dict, compare=False, repr=False)

    def unfinished_folds(self) -> tuple[int, ...]:
        """Returns the folds of the recipe that are not done yet.

        Returns:
            Fold numbers, from 0.
        """
        return tuple(number for number in self.plan.fold_numbers() if not self.folder.fold(number).done)

    def train_fold(self, number: int, reporter: ProgressReporter, listener: EpochListener | None = None) -> None:
        """Trains one fold to its end, from its last checkpoint where there is one; does nothing where it is done.

        Writes into the fold's own folder only.

        Args:
            number: The fold, from 0.
            reporter: Shows the progress.
            listener: Called after each epoch; may stop the training.

        Raises:
            RunError: The logits are not finite.
            TrainingStopped: The listener stopped the training.
            KeyboardInterrupt: Ctrl-C; the fold resumes from its last checkpoint when it is trained again.
        """
        folder = self.folder.fold(number)
        if folder.done:
            reporter.line(f"fold {number + 1} of {self.plan.folds.num_folds} is done already")
        else:
            data = build_fold_data(self.plan, number, self.train_images, self.val_images)
            start = self.start_networks.pop(number, None)
            train_fold(self.plan, self.precision.kind, number, data, folder, reporter, listener, start)

    def finalize(self, console: Console | None = None) -> Scores:
        """Merges and scores the folds' out-of-fold predictions, calibrates the models, and writes the report.

        Args:
            console: Shows warnings; None for no output.

        Returns:
            The scores of the out-of-fold predictions.

        Raises:
            RunError: A fold is not done.
        """
        plan, folder = self.plan, self.folder
        if self.unfinished_folds():
            raise RunError(
                f"fold {self.unfinished_folds()[0]} of this run is not done",
                location=folder.path,
                hint="train it with --resume",
            )
        numbers = plan.fold_numbers()
        tables = [read_table(folder.fold(number).probabilities, plan.scored_schema.num_classes) for number in numbers]
        bands = [folder.fold(number).age_bands for number in numbers]
        narrow = concat_tables([read_table(path) for path in bands]) if all(path.is_file() for path in bands) else None
        calibrated = calibrate_run(plan, concat_tables(tables), narrow)
        table = calibrated.table
        if console:
            calibration = calibrated.calibration
            if calibration.warning:
                line = f"{calibration.warning}; next: {calibration.next_step}"
                console.print(line, style="yellow", markup=False, highlight=False, soft_wrap=True)
            for fit in calibrated.decisions.values():
                console.print(describe_fit(fit, plan.scored_schema), markup=False, highlight=False, soft_wrap=True)
        indices = plan.indices_of(table.names)
        persons = [plan.photos[index].person for index in indices]
        scores = score(plan.scored_schema, plan.targets[indices], probabilities=table.probabilities, persons=persons)
        table.write(folder.oof_probabilities)
        if calibrated.ages is not None:
            write_age_table(folder.oof_ages, table.names, calibrated.ages)
        for number in numbers:
            write_model_cards(plan, folder.fold(number), number, scores, calibrated.calibration)
        folds = {number: read_json(folder.fold(number).scores) for number in numbers}
        write_json(
            folder.scores,
            {
                "score": primary_score(scores),
                "per_fold": {str(number): fold["score"] for number, fold in folds.items()},
                "seconds": sum(fold["seconds"] for fold in folds.values()),
                "decisions": {name: fit.to_dict() for name, fit in calibrated.decisions.items()},
                **scores.to_dict(),
            },
        )
        statistics = compute_statistics([folder.path])
        write_report(folder.report, statistics)
        # With fewer persons the line about the calibration has said so.
        few = calibrated.calibration.persons < MIN_RELIABLE_PERSONS
        line = hold_out_more(statistics) if isinstance(statistics, RunStatistics) and not few else ""
        if console and line:
            console.print(line, style="yellow", markup=False, highlight=False, soft_wrap=True)
        return scores


def prepare_run(recipe: Recipe, *, resume: bool = False, console: Console | None = None) -> TrainingRun:
    """Checks a recipe on its data, creates the run's folder or finds the one to resume, and decodes the photos.

    Args:
        recipe: The recipe; `output_dir` names the folder, otherwise a new one is created under `runs/`.
        resume: Whether to resume the run in that folder.
        console: Shows warnings and the progress of decoding; None for no output.

    Returns:
        The run.

    Raises:
        MaskfitError: Recipe, data or folder are invalid; nothing was written.
    """
    console = console or Console(quiet=True)
    plan = make_plan(recipe)
    first_fold = plan.fold_numbers()[0]  # Raises for an invalid fold before anything is written.
    start_networks = {}
    if not resume and recipe.model.pretrained != NONE:
        # Weights that cannot be downloaded, or do not fit, are an error now and not after decoding all photos.
        start = build_start_network(plan, first_fold)
        if recipe.trainer.parallel_folds == 1:  # Otherwise each fold has a process of its own.
            start_networks[first_fold] = start
    folder = _find_run_dir(plan) if resume else _create_run_dir(plan)
    precision = load_precision(folder)
    for line in (*plan.warnings, str(precision)):
        console.print(line, markup=False, highlight=False)
    train_images, val_images = _open_caches(plan, console)
    if train_images.fallback_crops:
        console.print(
            f"no face found in {len(train_images.fallback_crops):,} of {format_count(len(train_images), 'photo')}: "
            f"the crop's fallback was used; they are listed in {train_images.fallback_file}"
        )
    return TrainingRun(plan, folder, train_images, val_images, precision, start_networks)


def load_run(folder: str | Path) -> TrainingRun:
    """Loads a run that another process prepared, with the recipe in its folder.

    Relative paths in the recipe are resolved from the current folder, as they were when the run was prepared.

    Args:
        folder: The run's folder.

    Returns:
        The run.

    Raises:
        RunError: There is no run, or its photos have changed.
    """
    path = Path(folder)
    if not is_run_dir(path):
        raise RunError("this folder holds no run", location=path, hint="give the folder of a run")
    return prepare_run(read_recipe(RunDir(path).recipe).model_copy(update={"output_dir": str(path)}), resume=True)


def _create_run_dir(plan: TrainingPlan) -> RunDir:
    """Creates the run's folder; never writes into an existing run."""
    recipe = plan.recipe
    folder = RunDir(Path(recipe.output_dir) if recipe.output_dir else _new_run_dir(recipe.name))
    if is_occupied(folder.path):
        raise RunError(
            "this folder is not empty",
            location=folder.path,
            hint="add --resume to resume the run in it, or set output_dir=DIR to use another folder",
        )
    plan.folds.write(folder.splits)
    # The meta device gives a network's shapes without the memory of its weights.
    with meta_device():
        precision = choose_precision(recipe, plan.network())
    write_json(folder.environment, {**_environment(), "precision": asdict(precision), "labels": _digest_labels(plan)})
    # Written last: a folder counts as a run once it holds a recipe.
    write_text(folder.recipe, recipe_to_yaml(recipe))
    return folder


def _new_run_dir(name: str) -> Path:
    number = 1
    while (path := Path("runs") / (name if number == 1 else f"{name}-{number}")).exists():
        number += 1
    return path


def _find_run_dir(plan: TrainingPlan) -> RunDir:
    if not plan.recipe.output_dir or not is_run_dir(Path(plan.recipe.output_dir)):
        where = plan.recipe.output_dir or Path("runs")
        raise RunError(
            "this folder holds no run to resume", location=where, hint="set output_dir=DIR to the folder of the run"
        )
    folder = RunDir(Path(plan.recipe.output_dir))
    stored = read_recipe(folder.recipe)
    if _without_free_keys(stored) != _without_free_keys(plan.recipe):
        changed = _differences(stored.model_dump(mode="json"), plan.recipe.model_dump(mode="json"))
        raise RunError(
            f"this run was started with another recipe: {', '.join(changed)}",
            location=folder.recipe,
            hint=f"resume it with the same recipe and overrides: maskfit train {folder.recipe} "
            f"output_dir={folder.path} --resume, also where maskfit's own recipe has changed; or start a new run",
        )
    if dict(read_splits(folder.splits).fold_of_person) != dict(plan.folds.fold_of_person):
        raise RunError(
            "the photos have changed since this run was started", location=folder.splits, hint="start a new run"
        )
    # Runs of earlier versions did not store it.
    if read_json(folder.environment).get("labels", digest := _digest_labels(plan)) != digest:
        raise RunError(
            "the labels of the photos, or the soft labels, have changed since this run was started",
            location=folder.environment,
            hint="start a new run, or restore them",
        )
    return folder


def _digest_labels(plan: TrainingPlan) -> str:
    soft_labels = plan.recipe.data.soft_labels
    return digest_labels(plan.photos, None if soft_labels is None else Path(soft_labels))


FREE_KEYS = ("output_dir", "cv.train_folds", "trainer.parallel_folds")
"""Recipe keys that may change on resume: the folder, the folds to train and how many of them in parallel."""


def _without_free_keys(recipe: Recipe) -> Recipe:
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
            if whole not in FREE_KEYS
            for line in _differences(before.get(name), after.get(name), whole)
        ]
    return [] if before == after else [f"{key} was {before}, is {after}"]


def _open_caches(plan: TrainingPlan, console: Console) -> tuple[CachedImages, CachedImages]:
    """Decodes the photos into the image cache, for training (larger, to crop from) and for validation."""
    recipe = plan.recipe
    val_crop_resize = plan.preprocessing.crop_resize
    train_crop_resize = val_crop_resize.scaled(recipe.data.train_resize_scale)
    requests: list[tuple[CropResize, Collection[int] | None]] = [(train_crop_resize, None)]
    if train_crop_resize != val_crop_resize:
        requests.append((val_crop_resize, plan.val_indices()))
    start = time.perf_counter()
    with console.status("decoding photos") as status, log_progress(console, "decoding photos") as advance:

        def show(done: int, total: int) -> None:
            advance(done, total)
            rate = done / (time.perf_counter() - start)
            status.update(
                f"decoding photos: {done:,} of {total:,} · {rate:,.0f}/s · {(total - done) / rate:.0f} s left"
            )

        folder = Path(recipe.data.cache_dir) if recipe.data.cache_dir else None
        caches = open_image_caches(plan.photos.photos, requests, folder=folder, progress=show, log=console.print)
    return caches[0], caches[-1]


def _environment() -> dict[str, Any]:
    packages = ("torch", "torchvision", "timm", "lightning", "numpy", "pillow")
    return {
        "maskfit": __version__,
        "command": sys.argv,
        WORKING_DIR: os.getcwd(),
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in packages},
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "began": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
