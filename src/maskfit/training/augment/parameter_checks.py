"""Ranges that an augmentation draws from, and the check that a recipe's numbers lie where they mean something."""

from __future__ import annotations

import math

Range = tuple[float, float]
"""The lowest and the highest number that can be drawn."""


def check_share(**values: float) -> None:
    """Refuses what is no share or chance.

    Raises:
        ValueError: One of the values is not in 0 to 1.
    """
    for name, value in values.items():
        if not 0 <= value <= 1:
            raise ValueError(f"{name}={value} must lie in 0 to 1")


def check_range(name: str, values: Range, low: float, high: float, *, above: bool = False) -> None:
    """Refuses what is no range within bounds.

    Args:
        name: What the recipe calls it.
        values: Two numbers, the second not below the first.
        low: The least the first may be.
        high: The most the second may be.
        above: The first must lie above `low`, not on it.

    Raises:
        ValueError: It is none.
    """
    inside = len(values) == 2 and low <= values[0] <= values[1] <= high and (not above or values[0] > low)
    if not inside or not all(math.isfinite(value) for value in values):
        bounds = f"{'above' if above else 'from'} {low:g}" + (f" to {high:g}" if math.isfinite(high) else "")
        raise ValueError(f"{name}={values} must be two rising numbers {bounds}")


def symmetric_range(most: float) -> Range:
    """Factors of 1 +- `most`."""
    return (1 - most, 1 + most)
