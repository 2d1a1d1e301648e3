"""Learning rate schedules by name: a factor on the optimizer's rate for each step, or a reduction on a plateau."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

Factor = Callable[[int], float]
"""Maps the optimizer step (from 0) to the factor on the learning rate."""


@dataclass(frozen=True)
class ReduceOnPlateau:
    """Multiplies the rate by `factor` when macro F1 has not increased for more than `patience` epochs.

    Attributes:
        epochs: Number of epochs of the training.
        epoch_steps: Optimizer steps of one epoch.
        factor: Factor on the rate, in (0, 1).
        patience: Epochs without an increase that are tolerated.
    """

    epochs: int
    epoch_steps: int
    factor: float = 0.5
    patience: int = 2

    def __post_init__(self) -> None:
        if not 0 < self.factor < 1:
            raise ValueError(f"factor must be in (0, 1), got {self.factor}")


LRScheduler = Factor | ReduceOnPlateau
"""A learning rate schedule."""


def constant(epochs: int, epoch_steps: int) -> Factor:
    """Builds a constant rate.

    Args:
        epochs: Number of epochs of the training.
        epoch_steps: Optimizer steps of one epoch.

    Returns:
        The schedule.
    """
    return lambda step: 1.0


def cosine(epochs: int, epoch_steps: int, warmup: float = 1.0, floor: float = 0.01) -> Factor:
    """Builds a linear warmup followed by a half cosine.

    Args:
        epochs: Number of epochs of the training.
        epoch_steps: Optimizer steps of one epoch.
        warmup: Epochs of the warmup, >= 0; fractions are allowed.
        floor: Factor of the last step, 0 to 1.

    Returns:
        The schedule.

    Raises:
        ValueError: An option is out of range.
    """
    if warmup < 0 or not 0 <= floor <= 1:
        raise ValueError(f"warmup must be >= 0 and floor in 0 to 1, got warmup={warmup} and floor={floor}")
    warmup_steps = round(warmup * epoch_steps)
    decay_steps = max(epochs * epoch_steps - warmup_steps - 1, 1)

    def factor(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / warmup_steps
        return _half_cosine((step - warmup_steps) / decay_steps, floor)

    return factor


def cosine_restarts(
    epochs: int, epoch_steps: int, period: float = 10.0, stretch: float = 1.0, floor: float = 0.01
) -> Factor:
    """Builds half cosines with warm restarts (SGDR, arXiv:1608.03983; iloveslowfood).

    Args:
        epochs: Number of epochs of the training.
        epoch_steps: Optimizer steps of one epoch.
        period: Epochs of the first cycle, > 0.
        stretch: Length of each cycle relative to the one before, >= 1.
        floor: Last factor of each cycle, 0 to 1.

    Returns:
        The schedule.

    Raises:
        ValueError: An option is out of range.
    """
    if period <= 0 or stretch < 1 or not 0 <= floor <= 1:
        raise ValueError(
            f"period must be > 0, stretch >= 1 and floor in 0 to 1, "
            f"got period={period}, stretch={stretch} and floor={floor}"
        )

    def factor(step: int) -> float:
        length, position = period * epoch_steps, float(step)
        while position >= length:
            position -= length
            length *= stretch
        return _half_cosine(position / length, floor)

    return factor


def exponential(epochs: int, epoch_steps: int, factor: float = 0.995) -> Factor:
    """Builds a multiplication of the rate by a factor after each epoch (nlp09: 0.995).

    Args:
        epochs: Number of epochs of the training.
        epoch_steps: Optimizer steps of one epoch.
        factor: The factor.

    Returns:
        The schedule.
    """
    return lambda step: factor ** (step // epoch_steps)


def step(epochs: int, epoch_steps: int, every: int = 5, factor: float = 0.1) -> Factor:
    """Builds a multiplication of the rate by a factor after every few epochs (cv-08: 5, 0.1).

    Args:
        epochs: Number of epochs of the training.
        epoch_steps: Optimizer steps of one epoch.
        every: Epochs between multiplications, >= 1.
        factor: The factor.

    Returns:
        The schedule.

    Raises:
        ValueError: An option is out of range.
    """
    if every < 1:
        raise ValueError(f"every must be >= 1, got {every}")
    return lambda step: factor ** (step // (every * epoch_steps))


def triangular2(epochs: int, epoch_steps: int, period: float = 4.0, floor: float = 0.1) -> Factor:
    """Builds a triangular cyclic rate whose amplitude halves each cycle (Smith 2017, arXiv:1506.01186; level1-06).

    Args:
        epochs: Number of epochs of the training.
        epoch_steps: Optimizer steps of one epoch.
        period: Epochs of one cycle, > 0.
        floor: Factor between two cycles.

    Returns:
        The schedule.

    Raises:
        ValueError: An option is out of range.
    """
    if period <= 0:
        raise ValueError(f"period must be > 0, got {period}")
    length = period * epoch_steps

    def factor(step: int) -> float:
        cycle, fraction = divmod(step / length, 1.0)
        return floor + (1 - floor) * (1 - abs(2 * fraction - 1)) / 2**cycle

    return factor


def one_cycle(epochs: int, epoch_steps: int, rise: float = 0.3, start: float = 0.04, floor: float = 1e-4) -> Factor:
    """Builds the one-cycle schedule: up along a cosine, then down to nearly zero (arXiv:1708.07120).

    Args:
        epochs: Number of epochs of the training.
        epoch_steps: Optimizer steps of one epoch.
        rise: Fraction of the training in which the rate increases, in (0, 1).
        start: First factor.
        floor: Last factor.

    Returns:
        The schedule.

    Raises:
        ValueError: An option is out of range.
    """
    if not 0 < rise < 1:
        raise ValueError(f"rise must be in (0, 1), got {rise}")
    total = epochs * epoch_steps

    def factor(step: int) -> float:
        fraction = step / total
        if fraction < rise:
            return start + (1 - start) * (1 - math.cos(math.pi * fraction / rise)) / 2
        return _half_cosine((fraction - rise) / (1 - rise), floor)

    return factor


def _half_cosine(fraction: float, floor: float) -> float:
    """From 1 at fraction 0 to `floor` at 1 and beyond."""
    return floor + (1 - floor) * (1 + math.cos(math.pi * min(fraction, 1.0))) / 2
