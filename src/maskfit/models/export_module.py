"""A network as it is given away: frames in as they are, and beside the logits the probabilities that are answered."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from maskfit.labels.schema import JOINT_HEAD
from maskfit.models.linear_heads import Logits
from maskfit.models.network import Network

MIN_PROBABILITY = 1e-12
"""A probability counts at least this much, so that its logarithm is a number; as in `maskfit.calibration`."""


class DatasetNormalize(nn.Module):
    """Normalises by the same three numbers for every photo: pixel * scale + shift.

    Args:
        scale: By channel.
        shift: By channel.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, scale: Sequence[float], shift: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("scale", torch.tensor(scale, dtype=torch.float32)[:, None, None])
        self.register_buffer("shift", torch.tensor(shift, dtype=torch.float32)[:, None, None])

    def forward(self, planes: Tensor) -> Tensor:
        return planes * self.scale + self.shift


class InstanceNormalize(nn.Module):
    """Normalises each photo by its own channels' means and deviations.

    Args:
        least: Levels of 255 that a deviation counts at least.
    """

    def __init__(self, least: float) -> None:
        super().__init__()
        self.least = least

    def forward(self, planes: Tensor) -> Tensor:
        centred = planes - planes.mean((2, 3), keepdim=True)
        return centred / centred.square().mean((2, 3), keepdim=True).sqrt().clamp(min=self.least)


class ExportModule(nn.Module):
    """Frames uint8 (batch, height, width, 3) to a tuple: each head's logits in order, then the probabilities.

    What `labels.answer` and `Calibration.temper` do to logits in numpy is done inside, so that a program needs nothing
    but the network to give an answer.

    Args:
        network: The network, in evaluation mode.
        normalising: `ByDataset` or `ByPhoto`.
        sizes: How many values each attribute has as trained, by name.
        folding: By attribute, the official value of each trained one.
        temperatures: By head, as `Calibration` has them.
    """

    def __init__(
        self,
        network: Network,
        normalising: nn.Module,
        sizes: Mapping[str, int],
        folding: Mapping[str, Sequence[int]],
        temperatures: Mapping[str, float],
    ) -> None:
        super().__init__()
        self.network = network
        self.normalising = normalising
        self.sizes = dict(sizes)
        self.folded = tuple(folding)
        for name, codes in folding.items():
            # By number, since a buffer's name cannot hold every attribute's, such as one with a dot.
            matrix = nn.functional.one_hot(torch.tensor(codes)).float()
            self.register_buffer(f"folding{self.folded.index(name)}", matrix)
        self.temperatures = dict(temperatures)

    def forward(self, frames: Tensor) -> tuple[Tensor, ...]:
        # Contiguous: torch's exporter would write strides into the graph where a network flattens its last planes.
        logits = self.network(self.normalising(frames.permute(0, 3, 1, 2).contiguous().float()))
        return (*(logits[name] for name in self.network.heads), self.probabilities(logits))

    def probabilities(self, logits: Logits) -> Tensor:
        """Official probabilities (batch, official classes)."""
        if JOINT_HEAD not in logits:
            return self._product(lambda name: self._folded(logits[name].softmax(1), 1, name))
        cube = logits[JOINT_HEAD].softmax(1).reshape(-1, *self.sizes.values())
        for axis, name in enumerate(self.sizes, start=1):
            cube = self._folded(cube, axis, name)
        if JOINT_HEAD in self.temperatures:
            return self._tempered(cube.flatten(1), JOINT_HEAD)
        if not self.temperatures:
            return cube.flatten(1)
        return self._product(lambda name: self._marginal(cube, name))

    def _product(self, shares_of: Callable[[str], Tensor]) -> Tensor:
        """The product over all attributes of (batch, values), each at its temperature."""
        joint: Tensor | None = None
        for name in self.sizes:
            own = self._tempered(shares_of(name), name)
            joint = own if joint is None else (joint[:, :, None] * own[:, None, :]).flatten(1)
        assert joint is not None
        return joint

    def _folded(self, shares: Tensor, axis: int, name: str) -> Tensor:
        """Shares of the trained values of an attribute as those of its official ones."""
        if name not in self.folded:
            return shares
        matrix: Tensor = self.get_buffer(f"folding{self.folded.index(name)}")
        return (shares.movedim(axis, -1) @ matrix).movedim(-1, axis)

    def _marginal(self, cube: Tensor, name: str) -> Tensor:
        """What probabilities (batch, values of each attribute ...) say of one attribute alone."""
        for axis, other in reversed(list(enumerate(self.sizes, start=1))):
            cube = cube if other == name else cube.sum(axis)
        return cube

    def _tempered(self, shares: Tensor, name: str) -> Tensor:
        temperature = self.temperatures.get(name)
        return shares if temperature is None else (shares.clamp(min=MIN_PROBABILITY).log() / temperature).softmax(1)
