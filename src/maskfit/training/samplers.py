"""Samplers: which training photos an epoch contains, and how often each.

Classes are those that are scored. A photo whose class is not fully known belongs to none of them; every sampler
includes it once per epoch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from maskfit.labels.schema import UNKNOWN

Indices = NDArray[np.int64]


class Sampler(Protocol):
    """Draws the photos of each epoch."""

    def __len__(self) -> int:
        """Returns the number of photos in an epoch; the same for every epoch."""
        ...

    def sample_indices(self, rng: np.random.Generator) -> Indices:
        """Draws the photos of an epoch.

        Args:
            rng: Source of random numbers.

        Returns:
            Indices into the training photos, in the order in which they are used.
        """
        ...


class RandomSampler:
    """Every photo once, in random order.

    Args:
        classes: (photos,) official class index of each training photo, `labels.schema.UNKNOWN` where it is not known.
    """

    def __init__(self, classes: NDArray[np.int64]) -> None:
        self.count = len(classes)

    def __len__(self) -> int:
        return self.count

    def sample_indices(self, rng: np.random.Generator) -> Indices:
        """Draws the photos of an epoch; see `Sampler.draw`."""
        return rng.permutation(self.count)


class _ClassSampler(ABC):
    """Photos of known class, drawn by the subclass, and the others once each; all in random order."""

    def __init__(self, classes: NDArray[np.int64]) -> None:
        self.unknown = np.flatnonzero(classes == UNKNOWN)
        self.groups = [np.flatnonzero(classes == number) for number in np.unique(classes[classes != UNKNOWN])]
        """Indices of the photos of each class that occurs."""
        self.sizes = np.array([len(group) for group in self.groups], dtype=np.int64)

    @property
    @abstractmethod
    def num_known(self) -> int:
        """Number of photos of known class in an epoch."""

    @abstractmethod
    def sample_known_indices(self, rng: np.random.Generator) -> Indices:
        """Draws the photos of known class, (num_known,), in any order."""

    def __len__(self) -> int:
        return self.num_known + len(self.unknown)

    def sample_indices(self, rng: np.random.Generator) -> Indices:
        """Draws the photos of an epoch; see `Sampler.draw`."""
        known = self.sample_known_indices(rng) if self.groups else np.empty(0, dtype=np.int64)
        return rng.permutation(np.concatenate([known, self.unknown]))


class ClassWeightedSampler(_ClassSampler):
    """As many photos as there are, drawn with replacement by class weight (project nlp09).

    As torch's WeightedRandomSampler: some photos occur several times in an epoch, others not at all.

    Args:
        classes: As for `RandomSampler`.
        power: Exponent of the weights, 0 to 2: a photo's weight is its class's count to the power of -`power`. 1 makes
            all classes equally likely, 0 all photos, 0.5 is in between.

    Raises:
        ValueError: An option is out of range.
    """

    def __init__(self, classes: NDArray[np.int64], power: float = 1.0) -> None:
        if not 0 <= power <= 2:
            raise ValueError(f"power must be in 0 to 2, got {power}")
        super().__init__(classes)
        weights = np.concatenate([np.full(size, float(size) ** -power) for size in self.sizes] or [np.empty(0)])
        self.indices = np.concatenate([*self.groups, np.empty(0, dtype=np.int64)])
        self.probabilities = weights / weights.sum()

    @property
    def num_known(self) -> int:
        """Number of photos of known class in an epoch."""
        return len(self.indices)

    def sample_known_indices(self, rng: np.random.Generator) -> Indices:
        """Draws the photos of known class, (num_known,)."""
        return rng.choice(self.indices, size=self.num_known, p=self.probabilities)


class _FixedCountSampler(_ClassSampler):
    """A fixed count per class; within a class, the photos' counts differ by one at most."""

    counts: NDArray[np.int64]

    @property
    def num_known(self) -> int:
        """Number of photos of known class in an epoch."""
        return int(self.counts.sum())

    def sample_known_indices(self, rng: np.random.Generator) -> Indices:
        """Draws the photos of known class, (num_known,)."""
        return np.concatenate(
            [_sample_evenly(group, int(count), rng) for group, count in zip(self.groups, self.counts, strict=True)]
        )


class ClassBalancedSampler(_FixedCountSampler):
    """As many photos as there are, the same number of each class; the remainder goes to the largest classes.

    Args:
        classes: As for `RandomSampler`.
    """

    def __init__(self, classes: NDArray[np.int64]) -> None:
        super().__init__(classes)
        each, rest = divmod(int(self.sizes.sum()), max(len(self.sizes), 1))
        self.counts = np.full(len(self.sizes), each)
        self.counts[np.argsort(-self.sizes, kind="stable")[:rest]] += 1


class UnderSampler(_FixedCountSampler):
    """Reduces every class to the count of the smallest one; each epoch omits other photos (project nlp09).

    Args:
        classes: As for `RandomSampler`.
        ratio: Upper limit of a class's count as a multiple of the smallest class's, >= 1.

    Raises:
        ValueError: An option is out of range.
    """

    def __init__(self, classes: NDArray[np.int64], ratio: float = 1.0) -> None:
        if not 1 <= ratio < np.inf:
            raise ValueError(f"ratio must be >= 1, got {ratio}")
        super().__init__(classes)
        self.counts = np.minimum(self.sizes, round(ratio * int(self.sizes.min()))) if self.groups else self.sizes


class OverSampler(_FixedCountSampler):
    """Raises every class to the count of the largest one by repeating photos (project nlp09).

    Every photo occurs at least once.

    Args:
        classes: As for `RandomSampler`.
        ratio: Lower limit of a class's count as a fraction of the largest class's, in (0, 1].

    Raises:
        ValueError: An option is out of range.
    """

    def __init__(self, classes: NDArray[np.int64], ratio: float = 1.0) -> None:
        if not 0 < ratio <= 1:
            raise ValueError(f"ratio must be in (0, 1], got {ratio}")
        super().__init__(classes)
        self.counts = np.maximum(self.sizes, round(ratio * int(self.sizes.max(initial=0))))


def _sample_evenly(group: Indices, count: int, rng: np.random.Generator) -> Indices:
    """Draws `count` photos of a group; their counts differ by one at most."""
    repeats, rest = divmod(count, len(group))
    return np.concatenate([np.tile(group, repeats), rng.permutation(group)[:rest]])


SAMPLERS: dict[str, Callable[..., Sampler]] = {
    "random": RandomSampler,
    "weighted": ClassWeightedSampler,
    "class_balanced": ClassBalancedSampler,
    "undersample": UnderSampler,
    "oversample": OverSampler,
}
"""Names of the recipe key `sampler`."""
