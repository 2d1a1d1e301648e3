"""Weight averaging (EMA, SWA): averages over training that are validated and saved in the network's place."""

from __future__ import annotations

from abc import ABC, abstractmethod
from copy import deepcopy

from torch import nn
from torch.optim.swa_utils import AveragedModel

from maskfit.models.moving_average import update_moving_average


class WeightAverage(nn.Module, ABC):
    """An average of a network's weights and buffers."""

    @property
    @abstractmethod
    def averaged(self) -> nn.Module:
        """The averaged network; the network itself before the first update."""

    @abstractmethod
    def update(self, network: nn.Module, step: int) -> None:
        """Adds the network's current weights to the average.

        Args:
            network: The network.
            step: Number of the optimizer step that was just made, from 1.
        """


class ExponentialMovingAverage(WeightAverage):
    """Exponential moving average with warmup: early weights are forgotten quickly whatever the decay.

    The fraction kept at step t, from 1, is 1 - t^(-2/3), at most `decay`; buffers are averaged as weights are, and
    counters copied. It equals timm's `ModelEmaV3`, without importing timm, which takes as long as torch. Source:
    K. Crowson's warmup of the decay, as in timm.

    Args:
        network: The network to average.
        epochs: Number of epochs of the training.
        epoch_steps: Optimizer steps of one epoch.
        decay: Fraction of the average kept at each step after warmup, in (0, 1).

    Raises:
        ValueError: An option is out of range.
    """

    def __init__(self, network: nn.Module, epochs: int, epoch_steps: int, decay: float = 0.99) -> None:
        super().__init__()
        if not 0 < decay < 1:
            raise ValueError(f"decay must be in (0, 1), got {decay}")
        self.decay = decay
        # Weights in checkpoints are named average.module...
        self.average = nn.ModuleDict({"module": deepcopy(network).eval()})

    @property
    def averaged(self) -> nn.Module:
        """The averaged network."""
        return self.average["module"]

    def update(self, network: nn.Module, step: int) -> None:
        """Adds the network's current weights to the average.

        Args:
            network: The network.
            step: Number of the optimizer step, from 1.
        """
        update_moving_average(self.averaged, network, step, self.decay)


class StochasticWeightAveraging(WeightAverage):
    """SWA: mean of the weights at the end of each epoch of the last part (arXiv:1803.05407; boostup).

    Needs a learning rate that does not decay to zero: `lr_scheduler=constant` or `triangular2`.

    Args:
        network: The network to average.
        epochs: Number of epochs of the training.
        epoch_steps: Optimizer steps of one epoch.
        start: Fraction of the epochs after which averaging begins, in [0, 1).

    Raises:
        ValueError: An option is out of range.
    """

    def __init__(self, network: nn.Module, epochs: int, epoch_steps: int, start: float = 0.5) -> None:
        super().__init__()
        if not 0 <= start < 1:
            raise ValueError(f"start must be in [0, 1), got {start}")
        # BatchNorm statistics are averaged as well, which saves an extra pass over the photos.
        self.average = AveragedModel(network, use_buffers=True)
        self.first_epoch = int(start * epochs) + 1
        self.epoch_steps = epoch_steps
        # In a list, so that torch does not register the network as a submodule of its own average.
        self.source = [network]

    @property
    def averaged(self) -> nn.Module:
        """The averaged network; the network itself before the first update."""
        has_average = int(self.average.n_averaged) > 0
        return self.average.module if has_average else self.source[0]

    def update(self, network: nn.Module, step: int) -> None:
        """Adds the network's current weights to the average where `step` ends an epoch of the last part.

        Args:
            network: The network.
            step: Number of the optimizer step, from 1.
        """
        epoch, rest = divmod(step, self.epoch_steps)
        if rest == 0 and epoch >= self.first_epoch:
            self.average.update_parameters(network)


def none(network: nn.Module, epochs: int, epoch_steps: int) -> None:
    """Builds no average: the network itself is validated.

    Args:
        network: Not used.
        epochs: Not used.
        epoch_steps: Not used.
    """
    return
