"""Batches for the training loop, read straight from the store: no workers and no decoding."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from maskfit.data.image_cache.cache import CachedImages
from maskfit.training.parallel.distributed import ALONE, ProcessGroup
from maskfit.training.samplers import Sampler
from maskfit.training.seeding import derive_generator

PREFETCH_BATCHES = 2
"""Batches that are read before they are wanted."""

Batch = dict[str, Any]
"""`frames` (batch, height, width, 3; uint8), `allowed` by head (batch, classes; bool), `indices` (batch,)."""


@dataclass(frozen=True)
class FoldDataset:
    """What batches are made of.

    Attributes:
        frames: The framed photos.
        allowed: By head (photos, values): what each photo's label leaves possible.
        indices: Which photos to use, as places in `frames`.
    """

    frames: CachedImages
    allowed: Mapping[str, NDArray[np.bool_]]
    indices: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.indices)

    def batch(self, places: NDArray[np.int64]) -> Batch:
        """The photos at these places of `indices`."""
        indices = self.indices[places]
        return {
            "frames": torch.from_numpy(self.frames.gather(indices)),
            "allowed": {head: torch.from_numpy(rows[indices]) for head, rows in self.allowed.items()},
            "indices": torch.from_numpy(indices),
        }

    def batches(self, places: Iterable[NDArray[np.int64]], pinned: bool) -> Iterator[Batch]:
        """A batch for each of `places`, the next ones read by a thread while one is used.

        Args:
            places: For each batch places of `indices`.
            pinned: In memory from which a GPU fetches while it computes.
        """

        def read(some: NDArray[np.int64]) -> Batch:
            batch = self.batch(some)
            return _pinned(batch) if pinned else batch

        coming = iter(places)
        with ThreadPoolExecutor(1, "batches") as thread:
            waiting = deque(thread.submit(read, some) for some in islice(coming, PREFETCH_BATCHES))
            while waiting:
                batch = waiting.popleft().result()
                waiting.extend(thread.submit(read, some) for some in islice(coming, 1))
                yield batch


def _pinned(batch: Batch) -> Batch:
    return {
        name: item.pin_memory() if isinstance(item, torch.Tensor) else _pinned(item) for name, item in batch.items()
    }


class TrainLoader:
    """Endless epochs of batches, each epoch's photos and order a function of the seed and the epoch's number.

    An epoch begins where training stands: after a resume within an epoch, with the first batch that was not yet seen.
    The last batch is filled from the front of the epoch's order where it would hold a single photo of several, since
    BatchNorm cannot norm one; otherwise it is smaller.

    Args:
        samples: What to draw from.
        sampling: Draws the photos of an epoch.
        size: Photos in a batch.
        chance: What the order depends on besides the epoch.
        batches_done: Tells how many batches of the whole training are done.
        ranks: Who shares each batch: every rank takes its part, and the last batch is filled so that each has two.
        pinned: For a GPU; see `Samples.batches`.
    """

    def __init__(
        self,
        samples: FoldDataset,
        sampling: Sampler,
        size: int,
        chance: tuple[int | str, ...],
        batches_done: Callable[[], int],
        ranks: ProcessGroup = ALONE,
        pinned: bool = False,
    ) -> None:
        self.samples = samples
        self.sampling = sampling
        self.size = size
        self.chance = chance
        self.batches_done = batches_done
        self.ranks = ranks
        self.pinned = pinned

    def __len__(self) -> int:
        return -(-len(self.sampling) // self.size)

    def __iter__(self) -> Iterator[Batch]:
        epoch, done = divmod(self.batches_done(), len(self))
        return self.samples.batches(self._places(epoch, done), self.pinned)

    def _places(self, epoch: int, done: int) -> Iterator[NDArray[np.int64]]:
        order = self.sampling.draw(derive_generator(*self.chance, "order", epoch))
        for number in range(done, len(self)):
            places = order[number * self.size : (number + 1) * self.size]
            # With batches of one, as somebody wanted it, that photo would stand in every step.
            lacking = 2 * self.ranks.count - len(places)
            if lacking > 0 and self.size > 1 and len(order) > 1:
                places = np.concatenate([places, np.resize(order, lacking)])
            yield np.array_split(places, self.ranks.count)[self.ranks.rank]


class ValLoader:
    """Every photo once, in order; the last batch is as small as it is, never left out.

    Args:
        samples: What to go through.
        size: Photos in a batch.
        ranks: Who shares them: every rank has its own photos, one more or less than another.
        pinned: For a GPU; see `Samples.batches`.
    """

    def __init__(self, samples: FoldDataset, size: int, ranks: ProcessGroup = ALONE, pinned: bool = False) -> None:
        self.samples = samples
        self.size = size
        self.pinned = pinned
        self.places = np.array_split(np.arange(len(samples)), ranks.count)[ranks.rank]

    def __len__(self) -> int:
        return -(-len(self.places) // self.size)

    def __iter__(self) -> Iterator[Batch]:
        starts = range(0, len(self.places), self.size)
        return self.samples.batches((self.places[start : start + self.size] for start in starts), self.pinned)
