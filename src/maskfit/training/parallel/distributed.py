"""Ranks: one training by several processes, each with its part of every batch.

All of them hold the same weights. What a batch is and what is scored follows from the recipe alone; each rank takes its
part of it, and what must be known of the whole is added up over the ranks: the loss, its divisor, the validation's
answers. Files are written by the first rank.
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

Given = TypeVar("Given")

PATIENCE = timedelta(hours=6)
"""How long a rank waits for another: decoding a large set, or judging a fold, is done by one."""


@dataclass(frozen=True)
class ProcessGroup:
    """This process among those of one training.

    Attributes:
        rank: Its number, from 0.
        count: How many there are.
    """

    rank: int = 0
    count: int = 1

    @property
    def is_rank_zero(self) -> bool:
        """Whether this one writes files and speaks."""
        return self.rank == 0

    @property
    def rank_seed(self) -> tuple[int, ...]:
        """What chance depends on besides the step; nothing for the first, who draws what one alone would draw."""
        return (self.rank,) if self.rank else ()

    def mean(self, value: Tensor) -> Tensor:
        """The mean of a number over the ranks, without a gradient."""
        if self.count == 1:
            return value
        total = value.detach().clone()
        dist.all_reduce(total)
        return total / self.count

    def gather(self, item: Given) -> list[Given]:
        """What every rank has, in their order, on every rank."""
        if self.count == 1:
            return [item]
        found: list[Any] = [None] * self.count
        dist.all_gather_object(found, item)
        return found

    def broadcast_buffers(self, tensors: Iterable[Tensor]) -> None:
        """Gives all ranks the first one's numbers: BatchNorm's statistics, which each counts on its own photos."""
        if self.count > 1:
            for tensor in tensors:
                dist.broadcast(tensor, src=0)

    def barrier(self) -> None:
        """Waits until all ranks are here."""
        if self.count > 1:
            dist.barrier()

    def on_rank_zero(self, action: Callable[[], Given]) -> Given:
        """The first rank does it, the others wait and get what came out.

        Raises:
            MaskfitError: What the first rank met; the others end without a word.
        """
        if self.count == 1:
            return action()
        told: list[Any] = [None, None]
        if self.is_rank_zero:
            try:
                told[0] = action()
            except MaskfitError as error:
                told[1] = error
        dist.broadcast_object_list(told, src=0)
        if told[1] is not None:
            raise told[1] if self.is_rank_zero else SystemExit(2)
        result: Given = told[0]
        return result


ALONE = ProcessGroup()


def get_process_group() -> ProcessGroup:
    """This process, as it was joined with others; alone where it was not."""
    if dist.is_available() and dist.is_initialized():
        return ProcessGroup(dist.get_rank(), dist.get_world_size())
    return ALONE


def detect_launcher() -> ProcessGroup | None:
    """What torchrun or Slurm started this process as; None where neither did."""
    if "TORCHELASTIC_RUN_ID" in os.environ:
        return ProcessGroup(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))
    if "SLURM_PROCID" in os.environ and "SLURM_STEP_ID" in os.environ:
        return ProcessGroup(int(os.environ["SLURM_PROCID"]), int(os.environ["SLURM_NTASKS"]))
    return None


def is_first() -> bool:
    """Whether this process speaks: alone, or the first of those that torchrun or Slurm started."""
    name = "RANK" if "TORCHELASTIC_RUN_ID" in os.environ else "SLURM_PROCID"
    return int(os.environ.get(name, 0)) == 0


@contextmanager
def init_process_group(ranks: ProcessGroup) -> Iterator[ProcessGroup]:
    """Joins this process with the others of its training for the time of the block."""
    if "MASTER_ADDR" not in os.environ:
        # Slurm says who takes part; how to find each other, Lightning reads from that.
        from lightning.fabric.plugins.environments.slurm import SLURMEnvironment

        slurm = SLURMEnvironment()
        os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"] = slurm.main_address, str(slurm.main_port)
    os.environ["RANK"], os.environ["WORLD_SIZE"] = str(ranks.rank), str(ranks.count)
    os.environ.setdefault("LOCAL_RANK", os.environ.get("SLURM_LOCALID", "0"))
    os.environ.setdefault("NODE_RANK", os.environ.get("GROUP_RANK") or os.environ.get("SLURM_NODEID", "0"))
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(backend, timeout=PATIENCE)
    try:
        yield ranks
    finally:
        dist.destroy_process_group()
