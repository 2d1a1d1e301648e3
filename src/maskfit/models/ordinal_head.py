"""Ordinal head: a cumulative link model for attributes whose values are ordered, such as age bands."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from maskfit.models.linear_heads import Init, Logits, init_weights


class OrdinalHead(nn.Module):
    """A cumulative link model for ordered attributes, and a linear layer for each of the others.

    A linear layer maps features to one score, and thresholds divide the line into values:
    P(value > k) = sigmoid(score - t_k), the proportional odds model of McCullagh 1980, rank-consistent as in
    arXiv:1901.07884. Its logits are the log-probabilities of the values, which a softmax leaves unchanged.

    Args:
        features: Number of backbone features.
        sizes: Attribute name to number of values.
        ordered: Names of the ordered attributes, each of 3 values or more.
        dropout: Dropout probability of the features, drawn for each attribute separately.
        init: Initialization, see `linear_heads.init_weights`.

    Raises:
        ValueError: An ordered attribute does not exist or has fewer than 3 values, or none is named.
    """

    def __init__(
        self,
        features: int,
        sizes: Mapping[str, int],
        ordered: str | Sequence[str] = ("age",),
        dropout: float = 0.0,
        init: Init = "default",
    ) -> None:
        super().__init__()
        # A single name on the command line is a list of one.
        ordered = (ordered,) if isinstance(ordered, str) else ordered
        invalid = [name for name in ordered if sizes.get(name, 0) < 3]
        if invalid or not ordered:
            raise ValueError(
                f"ordered must name attributes of 3 values or more, got {list(ordered)}; attributes: {', '.join(sizes)}"
            )
        self.names = tuple(sizes)
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Dropout(dropout), nn.Linear(features, 1), CumulativeLink(size))
            if name in ordered
            else nn.Sequential(nn.Dropout(dropout), nn.Linear(features, size))
            for name, size in sizes.items()
        )
        init_weights(self, init)

    def forward(self, features: Tensor) -> Logits:
        """Computes logits (batch, values) by attribute from features (batch, features)."""
        return {name: layer(features) for name, layer in zip(self.names, self.layers, strict=True)}


class CumulativeLink(nn.Module):
    """Maps scores (batch, 1) to log-probabilities (batch, values) of the intervals between learned thresholds.

    Args:
        values: Number of intervals, >= 3. They start equally likely for a score of 0.
    """

    def __init__(self, values: int) -> None:
        super().__init__()
        edges = [math.log(value / (values - value)) for value in range(1, values)]
        gaps = [after - before for before, after in pairwise(edges)]
        self.first = nn.Parameter(torch.tensor(edges[:1]))
        # The parameter is the softplus inverse of the gap, so that the thresholds stay increasing in training.
        self.gaps = nn.Parameter(torch.tensor([math.log(math.expm1(gap)) for gap in gaps]))

    def forward(self, scores: Tensor) -> Tensor:
        """Computes the log-probability of each interval.

        Args:
            scores: (batch, 1), any floating-point type.

        Returns:
            Log-probabilities, (batch, values), float32.
        """
        gaps = F.softplus(self.gaps.float())
        thresholds = torch.cat([self.first.float(), self.first.float() + gaps.cumsum(dim=0)])
        above = scores.float() - thresholds
        # P(k) = sigmoid(a) - sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - e^(b - a)), whose logarithm is exact everywhere.
        between = F.logsigmoid(above[:, :-1]) + F.logsigmoid(-above[:, 1:]) + torch.log(-torch.expm1(-gaps))
        return torch.cat([F.logsigmoid(-above[:, :1]), between, F.logsigmoid(above[:, -1:])], dim=1)
