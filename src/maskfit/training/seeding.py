"""Chance that follows from where training stands, not from what ran before.

Every draw is a function of (seed, fold, purpose, step). So a run that was killed and goes on draws what it would have
drawn, and no generator's state has to be kept.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def derive_seed(*where: int | str) -> int:
    """A seed in 0 to 2**63 - 1 that depends on all of `where` and on nothing else."""
    words = [item if isinstance(item, int) else int.from_bytes(item.encode(), "little") for item in where]
    return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> np.uint64(1))


def derive_generator(*where: int | str) -> np.random.Generator:
    """A numpy generator that depends on all of `where` and on nothing else."""
    return np.random.default_rng(derive_seed(*where))


def seed_torch(*where: int | str) -> None:
    """Sets torch's generators on every device, from which dropout and augmentation draw."""
    torch.manual_seed(derive_seed(*where))


def uniform(count: int, low: float = 0.0, high: float = 1.0) -> Tensor:
    """Numbers drawn evenly from `low` to `high` by torch's global generator, (count,), on the host.

    Drawn there, a few for each photo, and then sent over: a GPU gets the numbers that a processor would get, and nobody
    waits for it to tell which photos drew what.
    """
    return torch.empty(count).uniform_(low, high)
