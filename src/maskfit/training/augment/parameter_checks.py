"""Ranges that augmentations draw from, and checks of their options."""

from __future__ import annotations

import math

Range = tuple[float, float]
"""Lowest and highest value that can be drawn."""


def check_fraction(**values: float) -> None:
    """Checks that options lie in 0 to 1.

    Args:
        **values: Values by option name.

    Raises:
        ValueError: A value is outside 0 to 1.
    """
    for name, value in values.items():
        if not 0 <= value <= 1:
            raise ValueError(f"{name} must be in 0 to 1, got {value}")


def check_range(name: str, values: Range, low: float, high: float, *, exclusive: bool = False) -> None:
    """Checks that an option is a range within bounds.

    Args:
        name: Name of the option.
        values: Lowest and highest value.
        low: Lower bound.
        high: Upper bound, may be infinite.
        exclusive: Whether the lower bound itself is excluded.

    Raises:
        ValueError: `values` are not two finite rising numbers within the bounds.
    """
    inside = len(values) == 2 and low <= values[0] <= values[1] <= high and (not exclusive or values[0] > low)
    if not inside or not all(math.isfinite(value) for value in values):
        lower = f"{'>' if exclusive else '>='} {low:g}"
        bounds = lower + (f" and <= {high:g}" if math.isfinite(high) else "")
        raise ValueError(f"{name} must be two rising numbers {bounds}, got {values}")


def symmetric_range(strength: float) -> Range:
    """Returns the range of factors 1 - strength to 1 + strength.

    Args:
        strength: Largest change, 0 or more.

    Returns:
        The range.
    """
    return (1 - strength, 1 + strength)
