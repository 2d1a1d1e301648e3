"""Trains one network on several devices: starts one process per device, or joins those of torchrun or Slurm."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from rich.console import Console

from maskfit.config.recipe import Recipe
from maskfit.errors import RecipeError, RunError
from maskfit.evaluation.scores import Scores
from maskfit.memory_allocator import configure_malloc
from maskfit.process_supervisor import ProcessSupervisor, Worker, WorkerEvent, WorkerExit
from maskfit.run_dir import RunDir
from maskfit.text import format_count
from maskfit.training.parallel.distributed import ProcessGroup, detect_launcher, init_process_group
from maskfit.training.parallel.parallel_folds import PipeReporter
from maskfit.training.progress_reporting import ConsoleReporter, FoldProgress, ProgressReporter
from maskfit.training.run_session import load_run, prepare_run

ERROR_WAIT_SECONDS = 1.0
"""Time the other ranks get to report an error once one rank has crashed: theirs may be the cause of the crash."""


def train_multi_device(recipe: Recipe, *, resume: bool = False, console: Console) -> tuple[RunDir, Scores]:
    """Trains a recipe with `trainer.devices` x `trainer.num_nodes` processes.

    Under torchrun or Slurm this process is one of them; otherwise one process per device is started here.

    Args:
        recipe: The experiment.
        resume: Continue the run in `recipe.output_dir` from its last checkpoints.
        console: Receives progress.

    Returns:
        The run folder, and the scores of all held-out predictions together.

    Raises:
        RecipeError: The number of processes differs from the recipe, or the batch is too small to be split.
        RunError: More than one node is configured, and neither torchrun nor Slurm started this process.
        MaskfitError: As `train`.
    """
    settings = recipe.trainer
    world_size = settings.devices * settings.num_nodes
    if settings.batch_size < 2 * world_size:
        raise RecipeError(
            f"trainer.batch_size must be >= {2 * world_size}, two photos for each of "
            f"{format_count(world_size, 'device')}, "
            f"got {settings.batch_size}",
            location="trainer.batch_size",
            hint=f"set trainer.batch_size={2 * world_size} or more; it is the batch size over all devices",
        )
    group = detect_launcher()
    if group is None and settings.num_nodes > 1:
        raise RunError(
            f"trainer.num_nodes={settings.num_nodes}, but this process was started alone on one node",
            location="trainer.num_nodes",
            hint="start the same command on every node with torchrun or srun; see docs/scale.md",
        )
    if group is None:
        run = prepare_run(recipe, resume=resume, console=console)
        if run.unfinished_folds():
            _spawn_ranks(run.folder.path, run.unfinished_folds(), settings.devices, ConsoleReporter(console))
        return run.folder, run.finalize(console)
    if group.world_size != world_size:
        raise RecipeError(
            f"{format_count(group.world_size, 'process was', 'processes were')} started, but "
            f"trainer.devices x trainer.num_nodes is {world_size}",
            hint="start one process for each device, or set trainer.devices and trainer.num_nodes",
        )
    with init_process_group(group):
        return _train_as_rank(recipe, group, resume, console)


def _train_as_rank(recipe: Recipe, group: ProcessGroup, resume: bool, console: Console) -> tuple[RunDir, Scores]:
    """Runs in every process that torchrun or Slurm started."""
    rank_console = console if group.is_rank_zero else Console(quiet=True)
    path = group.on_rank_zero(lambda: prepare_run(recipe, resume=resume, console=rank_console).folder.path)
    # Rank 0 has filled the image cache; a node with a cache of its own fills it in the first process that locks it.
    run = load_run(path)
    folds = group.on_rank_zero(run.unfinished_folds)
    for fold in folds:
        run.train_fold(fold, ConsoleReporter(rank_console))
    return run.folder, group.on_rank_zero(lambda: run.finalize(rank_console))


def _spawn_ranks(folder: Path, folds: Sequence[int], world_size: int, reporter: ProgressReporter) -> None:
    """Trains folds of a prepared run, one after another, each with `world_size` processes on this machine.

    Raises:
        MaskfitError: The error of the first rank that failed; the other ranks are stopped.
    """
    port = _free_port()
    threads = max(1, torch.get_num_threads() // world_size)
    titles: set[str] = set()
    # A rank that waits for another one in a collective call does not react to SIGTERM: ranks are killed.
    with ProcessSupervisor(grace_seconds=0) as supervisor:
        for rank in range(world_size):
            group = ProcessGroup(rank, world_size)
            supervisor.start(_train_rank, str(folder), tuple(folds), group, port, threads, name=f"rank {rank}")
        while supervisor.workers:
            for event in sorted(supervisor.wait(), key=_handling_order):
                _handle_event(event, supervisor, reporter, titles)
    for title in titles:
        reporter.end(title)


def _handling_order(event: WorkerEvent) -> int:
    """Messages first, then exits with an error, which explain the other exits."""
    if isinstance(event, WorkerExit):
        return 1 if event.worker.error is not None else 2
    return 0


def _handle_event(
    event: WorkerEvent, supervisor: ProcessSupervisor, reporter: ProgressReporter, titles: set[str]
) -> None:
    if isinstance(event, WorkerExit):
        if event.failed:
            _raise_failure(event.worker, supervisor)
    elif isinstance(event.message, FoldProgress):
        titles.add(event.message.title)
        reporter.show(event.message)
    else:
        reporter.line(str(event.message))


def _raise_failure(failed: Worker, supervisor: ProcessSupervisor) -> None:
    """Raises the error of a failed rank, or that of another rank if this one crashed without a `MaskfitError`."""
    if failed.error is not None:
        raise failed.error
    # One rank's end makes the others fail in their next collective call; the first error explains the rest.
    end = time.monotonic() + ERROR_WAIT_SECONDS
    while supervisor.workers and time.monotonic() < end:
        for event in supervisor.wait(timeout=0.1):
            if isinstance(event, WorkerExit) and event.worker.error is not None:
                raise event.worker.error
    raise RunError(
        f"the process of {failed.name} {failed.describe_exit()}; the others were stopped",
        hint="see its output above; 'maskfit train ... --resume' continues from the last checkpoint",
    )


def _train_rank(
    pipe: Connection, folder: str, folds: Sequence[int], group: ProcessGroup, port: int, threads: int
) -> None:
    """Runs in every process that `_spawn_ranks` starts."""
    configure_malloc()
    torch.set_num_threads(threads)
    os.environ |= {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "LOCAL_RANK": str(group.rank),
        "NODE_RANK": "0",
        "LOCAL_WORLD_SIZE": str(group.world_size),
    }
    reporter = PipeReporter(pipe) if group.is_rank_zero else ConsoleReporter(Console(quiet=True))
    with init_process_group(group):
        run = load_run(folder)
        for fold in folds:
            run.train_fold(fold, reporter)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
