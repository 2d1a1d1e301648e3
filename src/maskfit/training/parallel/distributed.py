"""Distributed data-parallel training: the process group of one training and collective operations on it.

All ranks hold the same weights. The recipe alone decides what a batch is and what is scored; each rank takes its part
of every batch, and quantities of the whole batch are reduced over the ranks: the loss, its normalizer, the validation
predictions. Files are written by rank 0.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from maskfit.errors import MaskfitError

T = TypeVar("T")

COLLECTIVE_TIMEOUT = timedelta(hours=6)
"""How long a rank waits for another: rank 0 alone decodes a large dataset or evaluates a fold."""


@dataclass(frozen=True)
class ProcessGroup:
    """This process's position among the processes of one training.

    Attributes:
        rank: Number of this process, from 0.
        world_size: Number of processes.
    """

    rank: int = 0
    world_size: int = 1

    @property
    def is_rank_zero(self) -> bool:
        """Whether this process writes files and prints progress."""
        return self.rank == 0

    @property
    def rank_seed(self) -> tuple[int, ...]:
        """Seed parts in addition to the step's; empty for rank 0, which draws what a single process would draw."""
        return (self.rank,) if self.rank else ()

    def mean(self, value: Tensor) -> Tensor:
        """Averages a tensor over the ranks, without a gradient.

        Args:
            value: A tensor of the same shape on every rank.

        Returns:
            The mean, on every rank.
        """
        if self.world_size == 1:
            return value
        total = value.detach().clone()
        dist.all_reduce(total)
        return total / self.world_size

    def gather(self, item: T) -> list[T]:
        """Gathers an object of every rank on every rank.

        Args:
            item: This rank's object; must be picklable.

        Returns:
            The objects of all ranks, by rank.
        """
        if self.world_size == 1:
            return [item]
        gathered: list[Any] = [None] * self.world_size
        dist.all_gather_object(gathered, item)
        return gathered

    def broadcast_buffers(self, tensors: Iterable[Tensor]) -> None:
        """Copies rank 0's tensors to all ranks: BatchNorm statistics, which each rank computes on its own photos.

        Args:
            tensors: Tensors to overwrite in place, in the same order on every rank.
        """
        if self.world_size > 1:
            for tensor in tensors:
                dist.broadcast(tensor, src=0)

    def barrier(self) -> None:
        """Waits until all ranks have called this."""
        if self.world_size > 1:
            dist.barrier()

    def on_rank_zero(self, action: Callable[[], T]) -> T:
        """Runs a function on rank 0 while the other ranks wait.

        Args:
            action: The function; its result must be picklable.

        Returns:
            Its result, on every rank.

        Raises:
            MaskfitError: Raised by the function; on rank 0 only. The other ranks exit silently with code 2.
        """
        if self.world_size == 1:
            return action()
        outcome: list[Any] = [None, None]
        if self.is_rank_zero:
            try:
                outcome[0] = action()
            except MaskfitError as error:
                outcome[1] = error
        dist.broadcast_object_list(outcome, src=0)
        if outcome[1] is not None:
            raise outcome[1] if self.is_rank_zero else SystemExit(2)
        result: T = outcome[0]
        return result


SINGLE_PROCESS = ProcessGroup()
"""The group of a training by one process."""


def get_process_group() -> ProcessGroup:
    """Returns this process's position in the initialized process group.

    Returns:
        `SINGLE_PROCESS` where no group was initialized.
    """
    if dist.is_available() and dist.is_initialized():
        return ProcessGroup(dist.get_rank(), dist.get_world_size())
    return SINGLE_PROCESS


def detect_launcher() -> ProcessGroup | None:
    """Returns the rank and world size that torchrun or Slurm gave this process.

    Returns:
        None if neither started it.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ:
        return ProcessGroup(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))
    if "SLURM_PROCID" in os.environ and "SLURM_STEP_ID" in os.environ:
        return ProcessGroup(int(os.environ["SLURM_PROCID"]), int(os.environ["SLURM_NTASKS"]))
    return None


def is_main_process() -> bool:
    """Returns whether this process prints: it runs alone, or is rank 0 of those that torchrun or Slurm started.

    Returns:
        True unless a launcher gave this process a rank above 0.
    """
    variable = "RANK" if "TORCHELASTIC_RUN_ID" in os.environ else "SLURM_PROCID"
    return int(os.environ.get(variable, 0)) == 0


@contextmanager
def init_process_group(group: ProcessGroup) -> Iterator[ProcessGroup]:
    """Initializes `torch.distributed` for the duration of a `with` block: NCCL for GPU tensors, Gloo otherwise.

    Args:
        group: Rank and world size of this process.

    Yields:
        The same group.
    """
    if "MASTER_ADDR" not in os.environ:
        # Slurm's variables name the nodes; Lightning derives the rendezvous address from them.
        from maskfit.training.lightning_api import SLURMEnvironment

        slurm = SLURMEnvironment()
        os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"] = slurm.main_address, str(slurm.main_port)
    os.environ["RANK"], os.environ["WORLD_SIZE"] = str(group.rank), str(group.world_size)
    os.environ.setdefault("LOCAL_RANK", os.environ.get("SLURM_LOCALID", "0"))
    os.environ.setdefault("NODE_RANK", os.environ.get("GROUP_RANK") or os.environ.get("SLURM_NODEID", "0"))
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(backend, timeout=COLLECTIVE_TIMEOUT)
    try:
        yield group
    finally:
        dist.destroy_process_group()
