"""The validation metric that selects the best epoch, stops early and lowers the learning rate on a plateau."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from maskfit.errors import did_you_mean

OFF = "off"
"""Value of `trainer.monitor` with which no epoch is preferred: the model of the last one is kept."""

PREFIXES = ("valid_", "val_")
"""Prefixes that other programs and the columns of metrics.csv put before the metric."""


@dataclass(frozen=True)
class Monitor:
    """A validation metric and its direction.

    Attributes:
        metric: Column of metrics.csv, such as `valid_macro_f1`.
        mode: Whether the greatest or the smallest value is the best.
    """

    metric: str
    mode: Literal["max", "min"]

    def sort_value(self, value: float) -> float:
        """Returns a number that is greater for better values.

        Args:
            value: A value of the metric.

        Returns:
            The value, or its negative where smaller is better.
        """
        return value if self.mode == "max" else -value


MACRO_F1 = Monitor("valid_macro_f1", "max")
"""The default: macro F1 of the whole validation set."""


def monitor_names(attributes: Sequence[str]) -> tuple[str, ...]:
    """Returns the values of `trainer.monitor`.

    Args:
        attributes: Names of the attributes of the scored label schema.

    Returns:
        The names.
    """
    return ("macro_f1", "accuracy", "loss", *(f"{name}_f1" for name in attributes), OFF)


def parse_monitor(name: str, attributes: Sequence[str]) -> Monitor | None:
    """Reads a value of `trainer.monitor`.

    Args:
        name: One of `monitor_names`, also with a prefix in `PREFIXES`: `loss`, `valid_loss`, `val_loss`.
        attributes: Names of the attributes of the scored label schema.

    Returns:
        The metric with its direction; None for `off`.

    Raises:
        ValueError: There is no such metric.
    """
    known = monitor_names(attributes)
    short = next((name.removeprefix(prefix) for prefix in PREFIXES if name.startswith(prefix)), name)
    if short not in known:
        raise ValueError(f"there is no metric '{name}'; {did_you_mean(short, known)}")
    if short == OFF:
        return None
    return Monitor(f"valid_{short}", "min" if short == "loss" else "max")
