"""Averages of the weights over training, which are then judged and kept in the network's place."""

from __future__ import annotations

from collections.abc import Callable

from timm.utils.model_ema import ModelEmaV3
from torch import nn
from torch.optim.swa_utils import AveragedModel


class Average(nn.Module):
    """An average of a network's weights and buffers."""

    @property
    def averaged(self) -> nn.Module:
        """The averaged network; the network itself while nothing was averaged yet."""
        raise TypeError(f"{type(self).__name__} must say what it averaged")

    def update(self, network: nn.Module, step: int) -> None:
        """Takes in the network's weights after this optimiser step, counted from 1."""
        raise TypeError(f"{type(self).__name__} must say how it averages")


class ExponentialMovingAverage(Average):
    """An exponential moving average that warms up: early weights are forgotten quickly whatever the decay (timm's EMA).

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
    def averaged(self) -> nn.Module:
        module: nn.Module = self.average.module
        return module

    def update(self, network: nn.Module, step: int) -> None:
        self.average.update(network, step=step)


class StochasticWeightAveraging(Average):
    """SWA: the plain mean of the weights at the end of each epoch of the last part (arXiv:1803.05407; seed s0).

    Goes with a rate that does not fall to nothing: `lr_scheduler=constant` or `triangular2`.

    Args:
        network: What is averaged.
        epochs: Epochs of the training.
        epoch_steps: Optimiser steps of one epoch.
        start: The share of the epochs after which averaging begins, in [0, 1).
    """

    def __init__(self, network: nn.Module, epochs: int, epoch_steps: int, start: float = 0.5) -> None:
        super().__init__()
        if not 0 <= start < 1:
            raise ValueError(f"start={start} must lie in [0, 1)")
        # The statistics of BatchNorm are averaged as well, so that no extra pass over the photos is needed.
        self.average = AveragedModel(network, use_buffers=True)
        self.first = int(start * epochs) + 1
        self.epoch_steps = epoch_steps
        # In a list, so that the network is not counted as a part of its own average.
        self.source = [network]

    @property
    def averaged(self) -> nn.Module:
        begun = int(self.average.n_averaged) > 0
        return self.average.module if begun else self.source[0]

    def update(self, network: nn.Module, step: int) -> None:
        epoch, rest = divmod(step, self.epoch_steps)
        if rest == 0 and epoch >= self.first:
            self.average.update_parameters(network)


def none(network: nn.Module, epochs: int, epoch_steps: int) -> None:
    """No average: the network itself is judged."""
    return


WEIGHT_AVERAGING: dict[str, Callable[..., Average | None]] = {
    "none": none,
    "ema": ExponentialMovingAverage,
    "swa": StochasticWeightAveraging,
}
