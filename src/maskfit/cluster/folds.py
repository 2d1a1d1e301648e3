"""Folds of a run as tasks of a Ray cluster: begun here, trained wherever there is room, closed here."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from maskfit.allocation import keep_memory
from maskfit.cluster.desk import DeskScreen, Ended, open_desk
from maskfit.cluster.joining import Place, Share, share
from maskfit.errors import MaskfitError, RecipeError, RunError
from maskfit.evaluation.scores import Scores
from maskfit.recipe import Recipe
from maskfit.runfolder import RunFolder
from maskfit.training.screen import ConsoleScreen, Screen, Standing

RETRIES = 3
"""How often a fold whose process or machine died is begun again; it goes on from its last checkpoint."""

PAUSE = 0.2
"""Seconds between two looks at the desk."""


def train_on_ray(recipe: Recipe, *, resume: bool = False, console: Console | None = None) -> tuple[RunFolder, Scores]:
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
    from maskfit.training.begun import begin_run

    if recipe.trainer.devices * recipe.trainer.nodes > 1:
        raise RecipeError(
            "a fold on a cluster trains on one device", where="trainer.devices",
            fix="set trainer.devices=1 trainer.nodes=1, or train over many devices without --ray",
        )  # fmt: skip
    console = console or Console(quiet=True)
    begun = begin_run(recipe, resume=resume, console=console)
    folds = begun.open_folds()
    if folds:
        given = share(len(folds), recipe.trainer.device)
        console.print(
            f"{len(folds)} folds on the cluster, {given.at_once} at a time, {given.cpus} cores"
            f"{' and a GPU' if given.gpus else ''} each", markup=False, highlight=False,
        )  # fmt: skip
        _train(begun.folder.path, folds, given, ConsoleScreen(console))
    return begun.folder, begun.close()


def _train(folder: Path, folds: Sequence[int], given: Share, screen: Screen) -> None:
    import ray

    desk = open_desk()
    task = ray.remote(num_cpus=given.cpus, num_gpus=given.gpus, max_retries=RETRIES)(train_one)
    place = Place.here()
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


def _tell(told: Any, screen: Screen) -> None:
    if isinstance(told, Standing):
        screen.show(told)
    elif isinstance(told, Ended):
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
            f"fold {fold} was lost {RETRIES + 1} times: {what}", fix="look at the cluster; then train with --resume"
        ) from None
    if error is not None:
        raise error


def train_one(place: Place, folder: str, fold: int, cores: int, desk: Any) -> MaskfitError | None:
    """One fold, in a process of the cluster; gives what went wrong, where the user can mend it."""
    import torch

    from maskfit.training.begun import reopen_run

    keep_memory()
    torch.set_num_threads(cores)
    try:
        place.enter()
        reopen_run(folder).train_fold(fold, DeskScreen(desk))
    except MaskfitError as error:
        return error
    return None
