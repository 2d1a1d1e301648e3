"""Heads of one linear layer, and what all heads share: output names, output sizes and weight initialization."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from maskfit.labels.schema import JOINT_HEAD

Logits = dict[str, Tensor]
"""Attribute name, or `JOINT_HEAD`, to logits (batch, values or classes)."""

Init = Literal["default", "xavier"]
"""Initialization of linear layers: torch's default (uniform by fan-in) or Xavier uniform (by fan-in and fan-out)."""


def head_outputs(sizes: Mapping[str, int], joint: bool) -> dict[str, int]:
    """Returns the names and sizes of a head's outputs.

    Args:
        sizes: Attribute name to number of values.
        joint: Whether one output covers all classes, instead of one per attribute.

    Returns:
        Output name to number of logits.
    """
    return {JOINT_HEAD: math.prod(sizes.values())} if joint else dict(sizes)


def init_weights(head: nn.Module, init: str) -> None:
    """Initializes the linear layers of a head in place.

    Args:
        head: The head.
        init: "default" leaves torch's initialization; "xavier" sets Xavier uniform weights (Glorot and Bengio 2010,
            tried by nlp09) and zero biases.

    Raises:
        ValueError: `init` is neither.
    """
    if init not in ("default", "xavier"):
        raise ValueError(f"init must be default or xavier, got {init!r}")
    if init == "default":
        return
    for layer in head.modules():
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)


class LocalNorm(nn.BatchNorm1d):
    """Batch normalization whose statistics do not begin with the variance 1, which takes dozens of steps to forget.

    The first batches count equally, later ones with the usual momentum: features of an earlier stage have variances of
    a hundredth and less.
    """

    def forward(self, features: Tensor) -> Tensor:
        """Normalizes features (batch, features)."""
        if self.training and self.num_batches_tracked is not None:
            self.momentum = max(0.1, 1 / (int(self.num_batches_tracked) + 1))
        return super().forward(features)


class MultiHead(nn.Module):
    """One linear layer per attribute on shared features (the three-way head of boostup, and cv-08).

    Args:
        features: Number of backbone features.
        sizes: Attribute name to number of values.
        dropout: Dropout probability of the features, drawn for each attribute separately.
        init: Initialization, see `init_weights`.
        global_only: Attributes that read a backbone's pooled features only, not its local ones (`local_stages`), which
            each other attribute reads too. Names that the label schema lacks are passed over, so that a recipe fits
            several schemas.
        local_features: Number of local features, which are the last of `features`.
    """

    def __init__(
        self,
        features: int,
        sizes: Mapping[str, int],
        dropout: float = 0.0,
        init: Init = "default",
        global_only: Sequence[str] = (),
        local_features: int = 0,
    ) -> None:
        super().__init__()
        # Not a ModuleDict, whose keys cannot hold every attribute name (a dot, `keys`).
        self.names = tuple(sizes)
        self.global_features = features - local_features
        self.has_local_features = local_features > 0
        self.local_attributes = frozenset(set(sizes) - set(global_only)) if local_features else frozenset()
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.Dropout(dropout),
                nn.Linear(features if name in self.local_attributes else self.global_features, size),
            )
            for name, size in sizes.items()
        )
        # Channels of an earlier stage differ in size by orders of magnitude.
        self.local_norm = LocalNorm(local_features, affine=False) if self.local_attributes else None
        init_weights(self, init)

    def forward(self, features: Tensor) -> Logits:
        """Computes logits (batch, values) by attribute from features (batch, features)."""
        # Sliced only where there are local features, so that other networks' exported programs have no Slice.
        own = features[:, : self.global_features] if self.has_local_features else features
        all_features = own
        if self.local_norm is not None:
            all_features = torch.cat([own, self.local_norm(features[:, self.global_features :])], dim=1)
        return {
            name: layer(all_features if name in self.local_attributes else own)
            for name, layer in zip(self.names, self.layers, strict=True)
        }


class SingleHead(nn.Module):
    """One linear layer over the joint classes of all attributes.

    Args:
        features: Number of backbone features.
        sizes: Attribute name to number of values.
        dropout: Dropout probability of the features.
        init: Initialization, see `init_weights`.
    """

    def __init__(self, features: int, sizes: Mapping[str, int], dropout: float = 0.0, init: Init = "default") -> None:
        super().__init__()
        self.names = (JOINT_HEAD,)
        self.layer = nn.Sequential(nn.Dropout(dropout), nn.Linear(features, math.prod(sizes.values())))
        init_weights(self, init)

    def forward(self, features: Tensor) -> Logits:
        """Computes joint logits (batch, classes) from features (batch, features)."""
        return {JOINT_HEAD: self.layer(features)}


class MultiSampleDropoutHead(nn.Module):
    """Linear layers whose logits are averaged over several dropout masks (Inoue 2019, arXiv:1905.09788; nlp09).

    The paper averages the losses; averaging the logits is a common variant that works with any loss.

    Args:
        features: Number of backbone features.
        sizes: Attribute name to number of values.
        samples: Number of dropout masks, >= 1.
        dropout: Dropout probability of each mask.
        joint: Whether one output covers all classes, instead of one per attribute.
        init: Initialization, see `init_weights`.

    Raises:
        ValueError: An option is out of range.
    """

    def __init__(
        self,
        features: int,
        sizes: Mapping[str, int],
        samples: int = 5,
        dropout: float = 0.5,
        joint: bool = False,
        init: Init = "default",
    ) -> None:
        super().__init__()
        if samples < 1:
            raise ValueError(f"samples must be >= 1, got {samples}")
        outputs = head_outputs(sizes, joint)
        self.names = tuple(outputs)
        self.samples = samples
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList(nn.Linear(features, size) for size in outputs.values())
        init_weights(self, init)

    def forward(self, features: Tensor) -> Logits:
        """Computes logits (batch, values) by output from features (batch, features)."""
        if self.training:
            # A linear layer commutes with the mean, so the mean over the masks is taken first.
            features = torch.stack([self.dropout(features) for _ in range(self.samples)]).mean(dim=0)
        return {name: layer(features) for name, layer in zip(self.names, self.layers, strict=True)}
