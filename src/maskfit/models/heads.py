"""Heads: from a trunk's features to logits, by the name of what they answer for."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from torch import Tensor, nn

from maskfit.labels import JOINT

Logits = dict[str, Tensor]
"""A head's answers: attribute, or `labels.JOINT`, to (batch, values or classes)."""


class AttributeHeads(nn.Module):
    """One linear layer for each attribute on shared features (the three-way head of seeds s0 and s4).

    Args:
        features: How many numbers the trunk gives.
        sizes: How many values each attribute has.
        dropout: Share of features left out in training, for each head on its own.
    """

    def __init__(self, features: int, sizes: Mapping[str, int], dropout: float = 0.0) -> None:
        super().__init__()
        # A ModuleDict cannot hold every name (a dot, `keys`); a list beside the names can.
        self.names = tuple(sizes)
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Dropout(dropout), nn.Linear(features, size)) for size in sizes.values()
        )

    def forward(self, features: Tensor) -> Logits:
        return {name: layer(features) for name, layer in zip(self.names, self.layers, strict=True)}


class JointHead(nn.Module):
    """One linear layer for the class number of all attributes together.

    Args:
        features: How many numbers the trunk gives.
        sizes: How many values each attribute has.
        dropout: Share of features left out in training.
    """

    def __init__(self, features: int, sizes: Mapping[str, int], dropout: float = 0.0) -> None:
        super().__init__()
        self.names = (JOINT,)
        self.layer = nn.Sequential(nn.Dropout(dropout), nn.Linear(features, math.prod(sizes.values())))

    def forward(self, features: Tensor) -> Logits:
        return {JOINT: self.layer(features)}


HEADS: dict[str, Callable[..., nn.Module]] = {
    "attributes": AttributeHeads,
    "joint": JointHead,
}
