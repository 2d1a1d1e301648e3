"""One training over many devices: started here, a process for each, or by torchrun or Slurm on many machines."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch
from rich.console import Console

from maskfit.config.recipe import Recipe
from maskfit.errors import MaskfitError, RecipeError, RunError
from maskfit.evaluation.scores import Scores
from maskfit.memory_allocator import configure_malloc
from maskfit.run_dir import RunDir
from maskfit.training.parallel.distributed import ProcessGroup, detect_launcher, init_process_group
from maskfit.training.parallel.parallel_folds import PipeReporter
from maskfit.training.progress_reporting import ConsoleReporter, FoldProgress, ProgressReporter
from maskfit.training.run_session import load_run, prepare_run

PAUSE = 1.0
"""Seconds that the other ranks get to say what went wrong, once one has ended."""


def train_multi_device(recipe: Recipe, *, resume: bool = False, console: Console) -> tuple[RunDir, Scores]:
    """Trains a recipe over `trainer.devices` x `trainer.num_nodes` processes; the arguments are those of `train`.

    Started by torchrun or Slurm, this process is one of them; otherwise one for each device is started here.

    Raises:
        RecipeError: There are not as many processes as the recipe says, or batches are too small to be shared.
        RunError: Several nodes are wanted, and neither torchrun nor Slurm started this.
        MaskfitError: As `train`.
    """
    settings = recipe.trainer
    wanted = settings.devices * settings.num_nodes
    if settings.batch_size < 2 * wanted:
        raise RecipeError(
            f"batches of {settings.batch_size} photos cannot be shared by {wanted} devices: each needs two at least",
            location="trainer.batch_size",
            hint=f"set trainer.batch_size={2 * wanted} or more; it is that of all together",
        )
    ranks = detect_launcher()
    if ranks is None and settings.num_nodes > 1:
        raise RunError(
            f"{settings.num_nodes} nodes are wanted, and this is one process on one of them",
            location="trainer.num_nodes",
            hint="start the same command on every node with torchrun or srun; see docs/scale.md",
        )
    if ranks is None:
        begun = prepare_run(recipe, resume=resume, console=console)
        if begun.unfinished_folds():
            _spawn(begun.folder.path, begun.unfinished_folds(), settings.devices, ConsoleReporter(console))
        return begun.folder, begun.finalize()
    if ranks.count != wanted:
        raise RecipeError(
            f"{ranks.count} processes were started, where trainer.devices x trainer.num_nodes is {wanted}",
            hint="start one process for each device, or set trainer.devices and trainer.num_nodes",
        )
    with init_process_group(ranks):
        return _take_part(recipe, ranks, resume, console)


def _take_part(recipe: Recipe, ranks: ProcessGroup, resume: bool, console: Console) -> tuple[RunDir, Scores]:
    """What each of the processes does that torchrun or Slurm started."""
    said = console if ranks.is_rank_zero else Console(quiet=True)
    path = ranks.on_rank_zero(lambda: prepare_run(recipe, resume=resume, console=said).folder.path)
    # The store is whole now, or, where a machine has one of its own, filled by the first process there to lock it.
    begun = load_run(path)
    folds = ranks.on_rank_zero(begun.unfinished_folds)
    for number in folds:
        begun.train_fold(number, ConsoleReporter(said))
    return begun.folder, ranks.on_rank_zero(begun.finalize)


def _spawn(folder: Path, folds: Sequence[int], count: int, screen: ProgressReporter) -> None:
    """Trains folds of a begun run, one after another, each by so many processes on this machine.

    Raises:
        MaskfitError: What the first process that failed said; the others are stopped.
    """
    context = get_context("spawn")
    port = _free_port()
    threads = max(1, torch.get_num_threads() // count)
    processes: list[BaseProcess] = []
    pipes: dict[Connection, BaseProcess] = {}
    try:
        for rank in range(count):
            ours, theirs = context.Pipe(duplex=False)
            facts = (str(folder), tuple(folds), ProcessGroup(rank, count), port, threads, theirs)
            process: BaseProcess = context.Process(target=_train_rank, args=facts, name=f"rank {rank}")
            process.start()
            theirs.close()
            processes.append(process)
            pipes[ours] = process
        _listen(pipes, screen)
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.join()


def _listen(pipes: dict[Connection, BaseProcess], screen: ProgressReporter) -> None:
    titles: set[str] = set()
    while pipes:
        for ready in wait(list(pipes)):
            assert isinstance(ready, Connection)
            try:
                told = ready.recv()
            except EOFError:
                _refuse_failed(pipes, pipes.pop(ready))
                continue
            if isinstance(told, MaskfitError):
                raise told
            if isinstance(told, FoldProgress):
                titles.add(told.title)
                screen.show(told)
            else:
                screen.line(str(told))
    for title in titles:
        screen.end(title)


def _refuse_failed(pipes: dict[Connection, BaseProcess], process: BaseProcess) -> None:
    process.join()
    if not process.exitcode:
        return
    # One that dies takes the others with it; what they met first may be what is to be told.
    began = time.monotonic()
    while time.monotonic() - began < PAUSE:
        for ready in wait(list(pipes), timeout=0.1):
            assert isinstance(ready, Connection)
            try:
                told = ready.recv()
            except EOFError:
                pipes.pop(ready)
                continue
            if isinstance(told, MaskfitError):
                raise told
    raise RunError(
        f"the process of {process.name} ended with {process.exitcode}; the others were stopped",
        hint="what it said stands above; 'maskfit train ... --resume' goes on from the last checkpoint",
    )


def _train_rank(
    folder: str, folds: Sequence[int], ranks: ProcessGroup, port: int, threads: int, pipe: Connection
) -> None:
    """What each of the processes does that are started here."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches whoever started it
    configure_malloc()
    torch.set_num_threads(threads)
    os.environ |= {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "LOCAL_RANK": str(ranks.rank),
        "NODE_RANK": "0",
        "LOCAL_WORLD_SIZE": str(ranks.count),
    }
    screen = PipeReporter(pipe) if ranks.is_rank_zero else ConsoleReporter(Console(quiet=True))
    try:
        with init_process_group(ranks):
            begun = load_run(folder)
            for number in folds:
                begun.train_fold(number, screen)
    except MaskfitError as error:
        pipe.send(error)
        sys.exit(2)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
