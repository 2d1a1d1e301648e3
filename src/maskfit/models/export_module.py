"""A network for export: raw uint8 images in, logits and calibrated official probabilities out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from maskfit.labels.schema import JOINT_HEAD
from maskfit.models.linear_heads import Logits
from maskfit.models.network import Network

MIN_PROBABILITY = 1e-12
"""Lower bound of a probability before its logarithm; the same as in `maskfit.calibration`."""


class DatasetNormalize(nn.Module):
    """Normalizes every image by the same numbers: pixel * scale + shift.

    Args:
        scale: Factor of each channel.
        shift: Offset of each channel.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, scale: Sequence[float], shift: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("scale", torch.tensor(scale, dtype=torch.float32)[:, None, None])
        self.register_buffer("shift", torch.tensor(shift, dtype=torch.float32)[:, None, None])

    def forward(self, images: Tensor) -> Tensor:
        """Normalizes images (batch, 3, height, width; float32 in 0 to 255)."""
        return images * self.scale + self.shift


class InstanceNormalize(nn.Module):
    """Normalizes each image by the mean and standard deviation of its own channels.

    Args:
        min_std: Lower bound of the standard deviation, in levels of 255.
    """

    def __init__(self, min_std: float) -> None:
        super().__init__()
        self.min_std = min_std

    def forward(self, images: Tensor) -> Tensor:
        """Normalizes images (batch, 3, height, width; float32 in 0 to 255)."""
        centered = images - images.mean((2, 3), keepdim=True)
        return centered / centered.square().mean((2, 3), keepdim=True).sqrt().clamp(min=self.min_std)


class ExportModule(nn.Module):
    """Maps uint8 images (batch, height, width, 3) to a tuple: each head's logits in order, then the probabilities.

    Computes inside the graph what `labels.schema.logits_to_probabilities` and `Calibration.apply_temperature` compute
    in numpy, so that a program needs only the exported network to get predictions.

    Args:
        network: The network, in evaluation mode.
        normalization: `DatasetNormalize` or `InstanceNormalize`.
        sizes: Attribute name to number of values in training.
        to_scored_index: Attribute name to the index of the official value of each training value; only attributes for
            which the two differ.
        temperatures: Head name to temperature, as in `Calibration`.
    """

    def __init__(
        self,
        network: Network,
        normalization: nn.Module,
        sizes: Mapping[str, int],
        to_scored_index: Mapping[str, Sequence[int]],
        temperatures: Mapping[str, float],
    ) -> None:
        super().__init__()
        self.network = network
        self.normalization = normalization
        self.sizes = dict(sizes)
        self.merged_attributes = tuple(to_scored_index)
        for name, indices in to_scored_index.items():
            # Numbered, since a buffer's name cannot hold every attribute name, such as one with a dot.
            matrix = nn.functional.one_hot(torch.tensor(indices)).float()
            self.register_buffer(f"to_scored{self.merged_attributes.index(name)}", matrix)
        self.temperatures = dict(temperatures)

    def forward(self, frames: Tensor) -> tuple[Tensor, ...]:
        """Computes logits and probabilities.

        Args:
            frames: Images, (batch, height, width, 3), uint8.

        Returns:
            The logits of each head in order, (batch, values), then official probabilities, (batch, official classes).
        """
        # Contiguous: torch's exporter would write strides into the graph where a network flattens its feature maps.
        logits = self.network(self.normalization(frames.permute(0, 3, 1, 2).contiguous().float()))
        return (*(logits[name] for name in self.network.heads), self.probabilities(logits))

    def probabilities(self, logits: Logits) -> Tensor:
        """Computes calibrated probabilities of the official classes.

        Args:
            logits: Head name to logits, (batch, values).

        Returns:
            Probabilities, (batch, official classes).
        """
        if JOINT_HEAD not in logits:
            return self._outer_product(lambda name: self._to_scored(logits[name].softmax(1), 1, name))
        cube = logits[JOINT_HEAD].softmax(1).reshape(-1, *self.sizes.values())
        for axis, name in enumerate(self.sizes, start=1):
            cube = self._to_scored(cube, axis, name)
        if JOINT_HEAD in self.temperatures:
            return self._apply_temperature(cube.flatten(1), JOINT_HEAD)
        if not self.temperatures:
            return cube.flatten(1)
        return self._outer_product(lambda name: self._marginal(cube, name))

    def _outer_product(self, attribute_probs: Callable[[str], Tensor]) -> Tensor:
        """Joint probabilities as the product of each attribute's (batch, values), after its temperature."""
        joint: Tensor | None = None
        for name in self.sizes:
            probs = self._apply_temperature(attribute_probs(name), name)
            joint = probs if joint is None else (joint[:, :, None] * probs[:, None, :]).flatten(1)
        assert joint is not None
        return joint

    def _to_scored(self, probs: Tensor, axis: int, name: str) -> Tensor:
        """Sums probabilities of an attribute's training values to those of its official values."""
        if name not in self.merged_attributes:
            return probs
        matrix: Tensor = self.get_buffer(f"to_scored{self.merged_attributes.index(name)}")
        # Not -1, which torch's older exporter would write into the graph, where it is invalid.
        last = probs.dim() - 1
        return (probs.movedim(axis, last) @ matrix).movedim(last, axis)

    def _marginal(self, cube: Tensor, name: str) -> Tensor:
        """Marginal probabilities of one attribute from joint ones (batch, values of each attribute ...)."""
        for axis, other in reversed(list(enumerate(self.sizes, start=1))):
            cube = cube if other == name else cube.sum(axis)
        return cube

    def _apply_temperature(self, probs: Tensor, name: str) -> Tensor:
        temperature = self.temperatures.get(name)
        return probs if temperature is None else (probs.clamp(min=MIN_PROBABILITY).log() / temperature).softmax(1)
