"""Data loaders that read batches straight from the image cache: no worker processes and no decoding."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from maskfit.thread_pool import thread_pool
from maskfit.training.parallel.distributed import SINGLE_PROCESS, ProcessGroup
from maskfit.training.samplers import Sampler
from maskfit.training.seeding import SeedKey, derive_generator

PREFETCH_BATCHES = 2
"""Number of batches that are read ahead."""


class PhotoSource(Protocol):
    """What a batch is read from."""

    def __len__(self) -> int: ...

    def gather(self, indices: NDArray[np.int64]) -> NDArray[Any]:
        """Copies photos.

        Args:
            indices: Positions in the dataset.

        Returns:
            Their pixels (indices, height, width, 3) or features (indices, copies, features).
        """


Batch = dict[str, Any]
"""`images` (batch, height, width, 3; uint8), `allowed` by head (batch, values; bool), `indices` (batch,)."""


@dataclass(frozen=True)
class FoldDataset:
    """The images and labels of one side of a fold.

    Attributes:
        images: Cached images of the whole dataset, or their cached features.
        allowed: Head name to the classes that each photo's label allows, (photos, values), bool.
        indices: Indices into `images` of the photos to use; a photo may occur several times.
    """

    images: PhotoSource
    allowed: Mapping[str, NDArray[np.bool_]]
    indices: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.indices)

    def batch(self, positions: NDArray[np.int64]) -> Batch:
        """Reads one batch.

        Args:
            positions: (batch,) positions in `indices`.

        Returns:
            The batch.
        """
        indices = self.indices[positions]
        return {
            "images": torch.from_numpy(self.images.gather(indices)),
            "allowed": {head: torch.from_numpy(rows[indices]) for head, rows in self.allowed.items()},
            "indices": torch.from_numpy(indices),
        }

    def batches(self, positions: Iterable[NDArray[np.int64]], pinned: bool) -> Iterator[Batch]:
        """Reads batches, the next ones by a background thread while one is used.

        Args:
            positions: For each batch, positions in `indices`.
            pinned: Whether to put them into pinned memory, from which a GPU copies asynchronously.

        Yields:
            The batches in order.
        """

        def read(batch_positions: NDArray[np.int64]) -> Batch:
            batch = self.batch(batch_positions)
            return _pin_memory(batch) if pinned else batch

        remaining = iter(positions)
        with thread_pool(1, "batches") as thread:
            pending = deque(thread.submit(read, some) for some in islice(remaining, PREFETCH_BATCHES))
            while pending:
                batch = pending.popleft().result()
                pending.extend(thread.submit(read, some) for some in islice(remaining, 1))
                yield batch


def _pin_memory(batch: Batch) -> Batch:
    return {
        name: item.pin_memory() if isinstance(item, torch.Tensor) else _pin_memory(item) for name, item in batch.items()
    }


class TrainLoader:
    """Training batches of endless epochs; each epoch's photos and order follow from the seed and the epoch number.

    An epoch begins where training stands: after a resume within an epoch, with the first batch that was not yet used.
    A last batch of a single photo is filled from the front of the epoch's order, since BatchNorm cannot normalize one
    sample; otherwise the last batch is smaller.

    Args:
        dataset: The training photos.
        sampler: Draws the photos of an epoch.
        batch_size: Photos per batch over all ranks, >= 1.
        seed_key: Seed key of the order, besides the epoch.
        batches_done: Returns the number of batches of the whole training that are done.
        process_group: The ranks that share each batch. The last batch is filled so that each has two photos.
        pinned: See `FoldDataset.batches`.
    """

    def __init__(
        self,
        dataset: FoldDataset,
        sampler: Sampler,
        batch_size: int,
        seed_key: SeedKey,
        batches_done: Callable[[], int],
        process_group: ProcessGroup = SINGLE_PROCESS,
        pinned: bool = False,
    ) -> None:
        self.dataset = dataset
        self.sampler = sampler
        self.batch_size = batch_size
        self.seed_key = seed_key
        self.batches_done = batches_done
        self.process_group = process_group
        self.pinned = pinned

    def __len__(self) -> int:
        return -(-len(self.sampler) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        epoch, done = divmod(self.batches_done(), len(self))
        return self.dataset.batches(self._positions(epoch, done), self.pinned)

    def _positions(self, epoch: int, done: int) -> Iterator[NDArray[np.int64]]:
        order = self.sampler.sample_indices(derive_generator(*self.seed_key, "order", epoch))
        ranks = self.process_group.world_size
        for number in range(done, len(self)):
            positions = order[number * self.batch_size : (number + 1) * self.batch_size]
            # Not with a batch size of 1, where the same photo would then be in every step.
            missing = 2 * ranks - len(positions)
            if missing > 0 and self.batch_size > 1 and len(order) > 1:
                positions = np.concatenate([positions, np.resize(order, missing)])
            yield np.array_split(positions, ranks)[self.process_group.rank]


class ValLoader:
    """Validation batches: every photo once, in order; the last batch may be smaller.

    Args:
        dataset: The validation photos.
        batch_size: Photos per batch of this rank, >= 1.
        process_group: The ranks that share the photos; their numbers of photos differ by one at most.
        pinned: See `FoldDataset.batches`.
    """

    def __init__(
        self, dataset: FoldDataset, batch_size: int, process_group: ProcessGroup = SINGLE_PROCESS, pinned: bool = False
    ) -> None:
        self.dataset = dataset
        self.batch_size = batch_size
        self.pinned = pinned
        self.positions = np.array_split(np.arange(len(dataset)), process_group.world_size)[process_group.rank]

    def __len__(self) -> int:
        return -(-len(self.positions) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        starts = range(0, len(self.positions), self.batch_size)
        return self.dataset.batches((self.positions[start : start + self.batch_size] for start in starts), self.pinned)
