"""Folds of a run as tasks of a Ray cluster: begun here, trained wherever there is room, closed here."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from maskfit.cluster.message_queue import FoldFinished, QueueReporter, open_desk
from maskfit.cluster.ray_session import ResourceShare, WorkerContext, allocate_resources
from maskfit.config.recipe import Recipe
from maskfit.errors import MaskfitError, RecipeError, RunError
from maskfit.evaluation.scores import Scores
from maskfit.memory_allocator import configure_malloc
from maskfit.run_dir import RunDir
from maskfit.training.progress_reporting import ConsoleReporter, FoldProgress, ProgressReporter

MAX_RETRIES = 3
"""How often a fold whose process or machine died is begun again; it goes on from its last checkpoint."""

PAUSE = 0.2
"""Seconds between two looks at the desk."""


def train_on_ray(recipe: Recipe, *, resume: bool = False, console: Console | None = None) -> tuple[RunDir, Scores]:
    """Trains a recipe as `training.run.train` does, its folds spread over the cluster that was joined.

    Args:
        recipe: The experiment.
        resume: Go on with a run that was cut off.
        console: Where progress is shown; nowhere where left out.

    Returns:
        The run's folder, and the scores of all held-out answers together.

    Raises:
        MaskfitError: As `train`; or a machine of the cluster does not see the files.
    """
    from maskfit.training.run_session import prepare_run

    if recipe.trainer.devices * recipe.trainer.num_nodes > 1:
        raise RecipeError(
            "a fold on a cluster trains on one device",
            location="trainer.devices",
            hint="set trainer.devices=1 trainer.num_nodes=1, or train over many devices without --ray",
        )
    console = console or Console(quiet=True)
    begun = prepare_run(recipe, resume=resume, console=console)
    folds = begun.unfinished_folds()
    if folds:
        given = allocate_resources(len(folds), recipe.trainer.device)
        console.print(
            f"{len(folds)} folds on the cluster, {given.at_once} at a time, {given.cpus} cores"
            f"{' and a GPU' if given.gpus else ''} each",
            markup=False,
            highlight=False,
        )
        _train(begun.folder.path, folds, given, ConsoleReporter(console))
    return begun.folder, begun.finalize()


def _train(folder: Path, folds: Sequence[int], given: ResourceShare, screen: ProgressReporter) -> None:
    import ray

    desk = open_desk()
    task = ray.remote(num_cpus=given.cpus, num_gpus=given.gpus, max_retries=MAX_RETRIES)(train_one)
    place = WorkerContext.here()
    open_ = {task.remote(place, str(folder), fold, given.cpus, desk): fold for fold in folds}
    try:
        while open_:
            ready, _ = ray.wait(list(open_), timeout=PAUSE)
            for told in ray.get(desk.take.remote()):
                _tell(told, screen)
            for item in ready:
                fold = open_.pop(item)
                _refuse_failed(item, fold)
        time.sleep(PAUSE)  # The last words may be on their way.
        for told in ray.get(desk.take.remote()):
            _tell(told, screen)
    finally:
        for item in open_:
            ray.cancel(item, force=True)


def _tell(told: Any, screen: ProgressReporter) -> None:
    if isinstance(told, FoldProgress):
        screen.show(told)
    elif isinstance(told, FoldFinished):
        screen.end(told.title)
    else:
        screen.line(str(told))


def _refuse_failed(item: Any, fold: int) -> None:
    import ray

    try:
        error = ray.get(item)
    except ray.exceptions.RayTaskError:
        raise  # a fault of maskfit's own, with its traceback
    except ray.exceptions.RayError as lost:
        what = str(lost).strip().splitlines()[0]
        raise RunError(
            f"fold {fold} was lost {MAX_RETRIES + 1} times: {what}",
            hint="look at the cluster; then train with --resume",
        ) from None
    if error is not None:
        raise error


def train_one(place: WorkerContext, folder: str, fold: int, cores: int, desk: Any) -> MaskfitError | None:
    """One fold, in a process of the cluster; gives what went wrong, where the user can mend it."""
    import torch

    from maskfit.training.run_session import load_run

    configure_malloc()
    torch.set_num_threads(cores)
    try:
        place.activate()
        load_run(folder).train_fold(fold, QueueReporter(desk))
    except MaskfitError as error:
        return error
    return None
