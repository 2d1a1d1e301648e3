"""Averages of the weights over training, which are then judged and kept in the network's place."""

from __future__ import annotations

from collections.abc import Callable

from timm.utils.model_ema import ModelEmaV3
from torch import nn


class Average(nn.Module):
    """An average of a network's weights and buffers.

    Attributes:
        module: The averaged network.
    """

    module: nn.Module

    def update(self, network: nn.Module, step: int) -> None:
        """Takes in the network's weights after this optimiser step, counted from 1."""
        raise TypeError(f"{type(self).__name__} must say how it averages")


class MovingAverage(Average):
    """An exponential moving average, which forgets early weights quickly whatever the decay (timm's ModelEmaV3).

    Args:
        network: What is averaged.
        epochs: Epochs of the training.
        epoch_steps: Optimiser steps of one epoch.
        decay: How much of the average stays at each step, once warmed up, in (0, 1).
    """

    def __init__(self, network: nn.Module, epochs: int, epoch_steps: int, decay: float = 0.99) -> None:
        super().__init__()
        if not 0 < decay < 1:
            raise ValueError(f"decay={decay} must lie in (0, 1)")
        self.average = ModelEmaV3(network, decay=decay, use_warmup=True)

    @property
    def module(self) -> nn.Module:  # type: ignore[override]
        module: nn.Module = self.average.module
        return module

    def update(self, network: nn.Module, step: int) -> None:
        self.average.update(network, step=step)


def none(network: nn.Module, epochs: int, epoch_steps: int) -> None:
    """No average: the network itself is judged."""
    return


AVERAGES: dict[str, Callable[..., Average | None]] = {
    "none": none,
    "ema": MovingAverage,
}
