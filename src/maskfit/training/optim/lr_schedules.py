"""Learning rate schedules by name: a factor on the optimiser's rate, for each step or by what validation says."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

Factor = Callable[[int], float]
"""Optimiser step (from 0) to the factor on the learning rate."""


@dataclass(frozen=True)
class ReduceOnPlateau:
    """Lowers the rate by `factor` when macro F1 has not risen for more than `patience` epochs.

    Args:
        epochs: Passes over the training photos.
        epoch_steps: Steps of one pass.
        factor: What the rate is multiplied by, in (0, 1).
        patience: Epochs to wait.
    """

    epochs: int
    epoch_steps: int
    factor: float = 0.5
    patience: int = 2

    def __post_init__(self) -> None:
        if not 0 < self.factor < 1:
            raise ValueError(f"factor={self.factor} must lie in (0, 1)")


LRScheduler = Factor | ReduceOnPlateau


def constant(epochs: int, epoch_steps: int) -> Factor:
    """The same rate throughout."""
    return lambda step: 1.0


def cosine(epochs: int, epoch_steps: int, warmup: float = 1.0, floor: float = 0.01) -> Factor:
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
        return _half_cosine((step - rising) / falling, floor)

    return factor


def cosine_restarts(
    epochs: int, epoch_steps: int, period: float = 10.0, stretch: float = 1.0, floor: float = 0.01
) -> Factor:
    """Falls along half a cosine again and again (SGDR, arXiv:1608.03983; seed s1).

    Args:
        epochs: Passes over the training photos.
        epoch_steps: Steps of one pass.
        period: Epochs of the first fall.
        stretch: How many times as long each fall is as the one before, 1 or more.
        floor: The last factor of each fall.

    Raises:
        ValueError: An option is out of range.
    """
    if period <= 0 or stretch < 1 or not 0 <= floor <= 1:
        raise ValueError(f"period={period} must be above 0, stretch={stretch} 1 or more and floor={floor} in 0 to 1")

    def factor(step: int) -> float:
        length, place = period * epoch_steps, float(step)
        while place >= length:
            place -= length
            length *= stretch
        return _half_cosine(place / length, floor)

    return factor


def exponential(epochs: int, epoch_steps: int, factor: float = 0.995) -> Factor:
    """Multiplies the rate by `factor` after each epoch (seed s2: .995)."""
    return lambda step: factor ** (step // epoch_steps)


def step(epochs: int, epoch_steps: int, every: int = 5, factor: float = 0.1) -> Factor:
    """Multiplies the rate by `factor` after every so many epochs (seed s4: 5, 0.1)."""
    if every < 1:
        raise ValueError(f"every={every} must be 1 or more")
    return lambda place: factor ** (place // (every * epoch_steps))


def triangular2(epochs: int, epoch_steps: int, period: float = 4.0, floor: float = 0.1) -> Factor:
    """Rises and falls evenly in each period, each time half as high (Smith 2017, arXiv:1506.01186; seed s3).

    Args:
        epochs: Passes over the training photos.
        epoch_steps: Steps of one pass.
        period: Epochs of one rise and fall.
        floor: The factor between two triangles.
    """
    if period <= 0:
        raise ValueError(f"period={period} must be above 0")
    length = period * epoch_steps

    def factor(place: int) -> float:
        turn, share = divmod(place / length, 1.0)
        return floor + (1 - floor) * (1 - abs(2 * share - 1)) / 2**turn

    return factor


def one_cycle(epochs: int, epoch_steps: int, rise: float = 0.3, start: float = 0.04, floor: float = 1e-4) -> Factor:
    """Rises along a cosine for a share of the training, then falls to nearly nothing (arXiv:1708.07120).

    Args:
        epochs: Passes over the training photos.
        epoch_steps: Steps of one pass.
        rise: The share of the training that rises, in (0, 1).
        start: The first factor.
        floor: The last factor.
    """
    if not 0 < rise < 1:
        raise ValueError(f"rise={rise} must lie in (0, 1)")
    total = epochs * epoch_steps

    def factor(place: int) -> float:
        share = place / total
        if share < rise:
            return start + (1 - start) * (1 - math.cos(math.pi * share / rise)) / 2
        return _half_cosine((share - rise) / (1 - rise), floor)

    return factor


def _half_cosine(share: float, floor: float) -> float:
    """From 1 at the start to `floor` at the end and after it."""
    return floor + (1 - floor) * (1 + math.cos(math.pi * min(share, 1.0))) / 2


LR_SCHEDULERS: dict[str, Callable[..., LRScheduler]] = {
    "constant": constant,
    "cosine": cosine,
    "cosine_restarts": cosine_restarts,
    "exponential": exponential,
    "step": step,
    "triangular2": triangular2,
    "one_cycle": one_cycle,
    "reduce_on_plateau": ReduceOnPlateau,
}
