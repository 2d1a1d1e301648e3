"""Trains the folds of a run as tasks of a Ray cluster; the run is prepared and finalized on this machine."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from maskfit.cluster.message_queue import FoldFinished, QueueReporter, create_message_queue
from maskfit.cluster.ray_session import TaskResources, WorkerContext, allocate_resources
from maskfit.config.recipe import Recipe
from maskfit.errors import MaskfitError, RecipeError, RunError
from maskfit.evaluation.scores import Scores
from maskfit.memory_allocator import configure_malloc
from maskfit.run_dir import RunDir
from maskfit.text import format_count
from maskfit.training.progress_reporting import ConsoleReporter, FoldProgress, ProgressReporter

MAX_RETRIES = 3
"""How often a fold whose process or machine died is restarted; it continues from its last checkpoint."""

POLL_SECONDS = 0.2
"""Interval at which messages are fetched from the queue."""


def train_on_ray(recipe: Recipe, *, resume: bool = False, console: Console | None = None) -> tuple[RunDir, Scores]:
    """Trains a recipe as `training.train.train` does, with its folds distributed over the connected cluster.

    Args:
        recipe: The experiment.
        resume: Continue an interrupted run.
        console: Receives progress; none by default.

    Returns:
        The run folder, and the scores of all held-out predictions together.

    Raises:
        MaskfitError: As `train`; or a machine of the cluster does not have the files.
    """
    from maskfit.training.run_session import prepare_run

    if recipe.trainer.devices * recipe.trainer.num_nodes > 1:
        raise RecipeError(
            f"a fold on a cluster trains on one device, got trainer.devices={recipe.trainer.devices}, "
            f"trainer.num_nodes={recipe.trainer.num_nodes}",
            location="trainer.devices",
            hint="set trainer.devices=1 trainer.num_nodes=1, or train on several devices without --ray",
        )
    console = console or Console(quiet=True)
    run = prepare_run(recipe, resume=resume, console=console)
    folds = run.unfinished_folds()
    if folds:
        resources = allocate_resources(len(folds), recipe.trainer.device)
        console.print(
            f"training {format_count(len(folds), 'fold')} on the cluster, "
            f"{resources.max_parallel} at a time, each with "
            f"{format_count(resources.cpus, 'core')}{' and a GPU' if resources.gpus else ''}",
            markup=False,
            highlight=False,
        )
        _train_folds(run.folder.path, folds, resources, ConsoleReporter(console))
    return run.folder, run.finalize(console)


def _train_folds(folder: Path, folds: Sequence[int], resources: TaskResources, reporter: ProgressReporter) -> None:
    import ray

    queue = create_message_queue()
    task = ray.remote(num_cpus=resources.cpus, num_gpus=resources.gpus, max_retries=MAX_RETRIES)(train_fold_task)
    context = WorkerContext.here()
    pending = {task.remote(context, str(folder), fold, resources.cpus, queue): fold for fold in folds}
    try:
        while pending:
            ready, _ = ray.wait(list(pending), timeout=POLL_SECONDS)
            _relay_messages(queue, reporter)
            for item in ready:
                _raise_if_failed(item, pending.pop(item))
        time.sleep(POLL_SECONDS)  # The last messages may still be in transit.
        _relay_messages(queue, reporter)
    finally:
        for item in pending:
            ray.cancel(item, force=True)


def _relay_messages(queue: Any, reporter: ProgressReporter) -> None:
    import ray

    for message in ray.get(queue.get_all.remote()):
        if isinstance(message, FoldProgress):
            reporter.show(message)
        elif isinstance(message, FoldFinished):
            reporter.end(message.title)
        else:
            reporter.line(str(message))


def _raise_if_failed(item: Any, fold: int) -> None:
    import ray

    try:
        error = ray.get(item)
    except ray.exceptions.RayTaskError:
        raise  # a bug in maskfit, with its traceback
    except ray.exceptions.RayError as lost:
        first_line = str(lost).strip().splitlines()[0]
        raise RunError(
            f"fold {fold} was lost {MAX_RETRIES + 1} times: {first_line}",
            hint="check the cluster, then train with --resume",
        ) from None
    if error is not None:
        raise error


def train_fold_task(context: WorkerContext, folder: str, fold: int, cores: int, queue: Any) -> MaskfitError | None:
    """Trains one fold in a process of the cluster.

    Args:
        context: The command's working folder and version.
        folder: Run folder.
        fold: Fold number, from 0.
        cores: Number of torch threads.
        queue: Handle of the `MessageQueue` that receives progress.

    Returns:
        The error if the user can correct it, else None.
    """
    import torch

    from maskfit.training.run_session import load_run

    configure_malloc()
    torch.set_num_threads(cores)
    try:
        context.activate()
        load_run(folder).train_fold(fold, QueueReporter(queue))
    except MaskfitError as error:
        return error
    return None
