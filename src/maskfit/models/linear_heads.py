"""Heads of one linear layer, and what all heads share: names, sizes and how their layers start."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from maskfit.labels.schema import JOINT_HEAD

Logits = dict[str, Tensor]
"""A head's answers: attribute, or `labels.JOINT`, to (batch, values or classes)."""

Start = Literal["default", "xavier"]
"""How linear layers start: torch's own way (uniform, by the inputs), or Glorot's (uniform, by inputs and outputs)."""


def head_outputs(sizes: Mapping[str, int], joint: bool) -> dict[str, int]:
    """The names of a head's outputs and how wide each is: one for all classes, or one for each attribute."""
    return {JOINT_HEAD: math.prod(sizes.values())} if joint else dict(sizes)


def init_weights(head: nn.Module, start: str) -> None:
    """Gives a head's linear layers their first weights.

    Args:
        head: The head.
        start: `default` or `xavier` (Glorot and Bengio 2010; seed s2 tried it), with biases of 0.

    Raises:
        ValueError: `start` is neither.
    """
    if start not in ("default", "xavier"):
        raise ValueError(f"start='{start}' must be default or xavier")
    if start == "default":
        return
    for layer in head.modules():
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)


class MultiHead(nn.Module):
    """One linear layer for each attribute on shared features (the three-way head of seeds s0 and s4).

    Args:
        features: How many numbers the trunk gives.
        sizes: How many values each attribute has.
        dropout: Share of features left out in training, for each head on its own.
        start: See `start_layers`.
    """

    def __init__(self, features: int, sizes: Mapping[str, int], dropout: float = 0.0, start: Start = "default") -> None:
        super().__init__()
        # A ModuleDict cannot hold every name (a dot, `keys`); a list beside the names can.
        self.names = tuple(sizes)
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Dropout(dropout), nn.Linear(features, size)) for size in sizes.values()
        )
        init_weights(self, start)

    def forward(self, features: Tensor) -> Logits:
        return {name: layer(features) for name, layer in zip(self.names, self.layers, strict=True)}


class SingleHead(nn.Module):
    """One linear layer for the class number of all attributes together.

    Args:
        features: How many numbers the trunk gives.
        sizes: How many values each attribute has.
        dropout: Share of features left out in training.
        start: See `start_layers`.
    """

    def __init__(self, features: int, sizes: Mapping[str, int], dropout: float = 0.0, start: Start = "default") -> None:
        super().__init__()
        self.names = (JOINT_HEAD,)
        self.layer = nn.Sequential(nn.Dropout(dropout), nn.Linear(features, math.prod(sizes.values())))
        init_weights(self, start)

    def forward(self, features: Tensor) -> Logits:
        return {JOINT_HEAD: self.layer(features)}


class MultiSampleDropoutHead(nn.Module):
    """Linear layers whose logits are the mean over several dropouts (after Inoue 2019, arXiv:1905.09788; seed s2).

    The paper takes the mean of the losses; the logits' is another way in use, and goes with any loss.

    Args:
        features: How many numbers the trunk gives.
        sizes: How many values each attribute has.
        samples: How many dropouts, 1 or more.
        dropout: Share of features that each of them leaves out in training.
        joint: One output for all attributes together, in place of one for each.
        start: See `start_layers`.
    """

    def __init__(
        self,
        features: int,
        sizes: Mapping[str, int],
        samples: int = 5,
        dropout: float = 0.5,
        joint: bool = False,
        start: Start = "default",
    ) -> None:
        super().__init__()
        if samples < 1:
            raise ValueError(f"samples={samples} must be 1 or more")
        wanted = head_outputs(sizes, joint)
        self.names = tuple(wanted)
        self.samples = samples
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList(nn.Linear(features, size) for size in wanted.values())
        init_weights(self, start)

    def forward(self, features: Tensor) -> Logits:
        if self.training:
            # A layer's answer to the mean is the mean of its answers, so the mean is taken first.
            features = torch.stack([self.dropout(features) for _ in range(self.samples)]).mean(dim=0)
        return {name: layer(features) for name, layer in zip(self.names, self.layers, strict=True)}
