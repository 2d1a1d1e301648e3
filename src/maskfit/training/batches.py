"""Batches for the training loop, read straight from the store: no workers and no decoding."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from maskfit.data.store import StoredFrames
from maskfit.training.chance import generator
from maskfit.training.sampling import Sampling

Batch = dict[str, Any]
"""`frames` (batch, height, width, 3; uint8), `allowed` by head (batch, classes; bool), `indices` (batch,)."""


@dataclass(frozen=True)
class Samples:
    """What batches are made of.

    Attributes:
        frames: The framed photos.
        allowed: By head (photos, values): what each photo's label leaves possible.
        indices: Which photos to use, as places in `frames`.
    """

    frames: StoredFrames
    allowed: Mapping[str, NDArray[np.bool_]]
    indices: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.indices)

    def batch(self, places: NDArray[np.int64]) -> Batch:
        """The photos at these places of `indices`."""
        indices = self.indices[places]
        return {
            "frames": torch.from_numpy(self.frames.take(indices)),
            "allowed": {head: torch.from_numpy(rows[indices]) for head, rows in self.allowed.items()},
            "indices": torch.from_numpy(indices),
        }


class TrainingBatches:
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
    """

    def __init__(
        self,
        samples: Samples,
        sampling: Sampling,
        size: int,
        chance: tuple[int | str, ...],
        batches_done: Callable[[], int],
    ) -> None:
        self.samples = samples
        self.sampling = sampling
        self.size = size
        self.chance = chance
        self.batches_done = batches_done

    def __len__(self) -> int:
        return -(-len(self.sampling) // self.size)

    def __iter__(self) -> Iterator[Batch]:
        epoch, done = divmod(self.batches_done(), len(self))
        order = self.sampling.draw(generator(*self.chance, "order", epoch))
        for number in range(done, len(self)):
            places = order[number * self.size : (number + 1) * self.size]
            # With batches of one, as somebody wanted it, that photo would stand in every step.
            if len(places) == 1 and self.size > 1 and len(order) > 1:
                places = np.concatenate([places, order[:1]])
            yield self.samples.batch(places)


class ValidationBatches:
    """Every photo once, in order; the last batch is as small as it is, never left out.

    Args:
        samples: What to go through.
        size: Photos in a batch.
    """

    def __init__(self, samples: Samples, size: int) -> None:
        self.samples = samples
        self.size = size

    def __len__(self) -> int:
        return -(-len(self.samples) // self.size)

    def __iter__(self) -> Iterator[Batch]:
        for start in range(0, len(self.samples), self.size):
            yield self.samples.batch(np.arange(start, min(start + self.size, len(self.samples))))
