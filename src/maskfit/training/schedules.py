"""Learning rate schedules by name: a factor on the optimiser's rate, for each step."""

from __future__ import annotations

import math
from collections.abc import Callable

Schedule = Callable[[int], float]
"""Step (from 0) to the factor on the learning rate."""


def cosine(epochs: int, epoch_steps: int, warmup: float = 1.0, floor: float = 0.01) -> Schedule:
    """Rises evenly for `warmup` epochs, then falls along half a cosine to `floor`.

    Args:
        epochs: Passes over the training photos.
        epoch_steps: Steps of one pass.
        warmup: Epochs to rise; a part of one is allowed.
        floor: The factor of the last step.

    Raises:
        ValueError: `warmup` or `floor` is out of range.
    """
    if warmup < 0 or not 0 <= floor <= 1:
        raise ValueError(f"warmup={warmup} must be 0 or more and floor={floor} in 0 to 1")
    rising = round(warmup * epoch_steps)
    falling = max(epochs * epoch_steps - rising - 1, 1)

    def factor(step: int) -> float:
        if step < rising:
            return (step + 1) / rising
        share = min((step - rising) / falling, 1.0)
        return floor + (1 - floor) * (1 + math.cos(math.pi * share)) / 2

    return factor


def constant(epochs: int, epoch_steps: int) -> Schedule:
    """The same rate throughout."""
    return lambda step: 1.0


SCHEDULES: dict[str, Callable[..., Schedule]] = {
    "cosine": cosine,
    "constant": constant,
}
