"""Random numbers that depend on the position in a training, not on what ran before.

Every seed is a function of (seed, fold, purpose, step). A run that was killed and resumed therefore draws the same
numbers as an uninterrupted one, and no generator state has to be saved.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

SeedKey = tuple[int | str, ...]
"""Integers and words from which a seed is derived, such as `(seed, "fold", 0)`."""


def derive_seed(*key: int | str) -> int:
    """Derives a seed from a key.

    Args:
        *key: Non-negative integers and words; order matters.

    Returns:
        A seed in 0 to 2**63 - 1 that depends on the key alone.
    """
    words = [item if isinstance(item, int) else int.from_bytes(item.encode(), "little") for item in key]
    return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> np.uint64(1))


def derive_generator(*key: int | str) -> np.random.Generator:
    """Creates a numpy generator from a key.

    Args:
        *key: As for `derive_seed`.

    Returns:
        A generator that depends on the key alone.
    """
    return np.random.default_rng(derive_seed(*key))


def seed_torch(*key: int | str) -> None:
    """Seeds torch's generators on every device, which dropout and augmentation use.

    Args:
        *key: As for `derive_seed`.
    """
    torch.manual_seed(derive_seed(*key))


def uniform(count: int, low: float = 0.0, high: float = 1.0) -> Tensor:
    """Draws uniform random numbers from torch's global generator, on the CPU.

    A few numbers per image are drawn on the CPU and then copied: a GPU gets the same numbers as a CPU would, and the
    host never waits for the device to learn which images drew what.

    Args:
        count: Number of values.
        low: Lower bound.
        high: Upper bound.

    Returns:
        Values, (count,), float32.
    """
    return torch.empty(count).uniform_(low, high)
