"""Sampling: which training photos an epoch sees, and how often each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Places = NDArray[np.int64]


class Sampling(Protocol):
    """Draws the photos of one epoch."""

    def __len__(self) -> int:
        """How many photos an epoch has; the same for every epoch."""
        ...

    def draw(self, chance: np.random.Generator) -> Places:
        """The places of an epoch's photos among the training photos, in the order they are seen."""
        ...


class Shuffle:
    """Every photo once, in random order.

    Args:
        classes: (photos,) the official class number of each training photo, `labels.UNKNOWN` where it is not known.
    """

    def __init__(self, classes: NDArray[np.int64]) -> None:
        self.count = len(classes)

    def __len__(self) -> int:
        return self.count

    def draw(self, chance: np.random.Generator) -> Places:
        return chance.permutation(self.count)


SAMPLINGS: dict[str, Callable[..., Sampling]] = {
    "shuffle": Shuffle,
}
