"""Sampling: which training photos an epoch sees, and how often each.

A class is what is scored. Photos of which it is not fully known are no class that could be short or plenty: they come
once an epoch each, whatever is done about the others.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from maskfit.labels.schema import UNKNOWN

Places = NDArray[np.int64]


class Sampler(Protocol):
    """Draws the photos of one epoch."""

    def __len__(self) -> int:
        """How many photos an epoch has; the same for every epoch."""
        ...

    def draw(self, chance: np.random.Generator) -> Places:
        """The places of an epoch's photos among the training photos, in the order they are seen."""
        ...


class RandomSampler:
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


class _ByClass(ABC):
    """Photos of known classes drawn as a child says, the others once each; all of them in random order."""

    def __init__(self, classes: NDArray[np.int64]) -> None:
        self.unknown = np.flatnonzero(classes == UNKNOWN)
        self.groups = [np.flatnonzero(classes == number) for number in np.unique(classes[classes != UNKNOWN])]
        """The places of each class that there is."""
        self.sizes = np.array([len(group) for group in self.groups], dtype=np.int64)

    @property
    @abstractmethod
    def known(self) -> int:
        """How many photos of known classes an epoch has."""

    @abstractmethod
    def draw_known(self, chance: np.random.Generator) -> Places:
        """Their places, (known,), in any order."""

    def __len__(self) -> int:
        return self.known + len(self.unknown)

    def draw(self, chance: np.random.Generator) -> Places:
        places = self.draw_known(chance) if self.groups else np.empty(0, dtype=np.int64)
        return chance.permutation(np.concatenate([places, self.unknown]))


class ClassWeightedSampler(_ByClass):
    """As many photos as there are, each drawn by a weight that its class gives it (seed s2).

    Drawn with replacement, as torch's WeightedRandomSampler does: some photos come several times, others wait for
    another epoch.

    Args:
        classes: As for `Shuffle`.
        power: How far classes are evened out: the weight of a photo is its class's count to the power of minus this. 1
            makes all classes as likely, 0 all photos, 0.5 stands between.
    """

    def __init__(self, classes: NDArray[np.int64], power: float = 1.0) -> None:
        if not 0 <= power <= 2:
            raise ValueError(f"power={power} must lie in 0 to 2")
        super().__init__(classes)
        weights = np.concatenate([np.full(size, float(size) ** -power) for size in self.sizes] or [np.empty(0)])
        self.places = np.concatenate([*self.groups, np.empty(0, dtype=np.int64)])
        self.chances = weights / weights.sum()

    @property
    def known(self) -> int:
        return len(self.places)

    def draw_known(self, chance: np.random.Generator) -> Places:
        return chance.choice(self.places, size=self.known, p=self.chances)


class _Counted(_ByClass):
    """A count for each class, the same in every epoch; within a class no photo comes twice more than another."""

    counts: NDArray[np.int64]

    @property
    def known(self) -> int:
        return int(self.counts.sum())

    def draw_known(self, chance: np.random.Generator) -> Places:
        return np.concatenate(
            [_repeated(group, int(count), chance) for group, count in zip(self.groups, self.counts, strict=True)]
        )


class ClassBalancedSampler(_Counted):
    """As many photos as there are, every class as many of them; what does not divide goes to the largest classes.

    Args:
        classes: As for `Shuffle`.
    """

    def __init__(self, classes: NDArray[np.int64]) -> None:
        super().__init__(classes)
        each, rest = divmod(int(self.sizes.sum()), max(len(self.sizes), 1))
        self.counts = np.full(len(self.sizes), each)
        self.counts[np.argsort(-self.sizes, kind="stable")[:rest]] += 1


class UnderSampler(_Counted):
    """Every class cut down to the smallest one's count, with other photos left out in each epoch (seed s2).

    Args:
        classes: As for `Shuffle`.
        ratio: How many times the smallest class's count a class may keep, 1 or more.
    """

    def __init__(self, classes: NDArray[np.int64], ratio: float = 1.0) -> None:
        if not 1 <= ratio < np.inf:
            raise ValueError(f"ratio={ratio} must be 1 or more")
        super().__init__(classes)
        self.counts = np.minimum(self.sizes, round(ratio * int(self.sizes.min()))) if self.groups else self.sizes


class OverSampler(_Counted):
    """Every class brought up to the largest one's count by photos that come again; each comes once at least (seed s2).

    Args:
        classes: As for `Shuffle`.
        ratio: What share of the largest class's count the others are brought up to, above 0 to 1.
    """

    def __init__(self, classes: NDArray[np.int64], ratio: float = 1.0) -> None:
        if not 0 < ratio <= 1:
            raise ValueError(f"ratio={ratio} must lie above 0 and up to 1")
        super().__init__(classes)
        self.counts = np.maximum(self.sizes, round(ratio * int(self.sizes.max(initial=0))))


def _repeated(group: Places, count: int, chance: np.random.Generator) -> Places:
    """`count` places of a group: each as often as any other, or once more."""
    whole, rest = divmod(count, len(group))
    return np.concatenate([np.tile(group, whole), chance.permutation(group)[:rest]])


SAMPLERS: dict[str, Callable[..., Sampler]] = {
    "random": RandomSampler,
    "weighted": ClassWeightedSampler,
    "class_balanced": ClassBalancedSampler,
    "undersample": UnderSampler,
    "oversample": OverSampler,
}
