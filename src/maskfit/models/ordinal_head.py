"""A head that knows the order of an attribute's values: between young and old lies the middle."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from maskfit.models.linear_heads import Logits, Start, init_weights


class OrdinalHead(nn.Module):
    """A cumulative model for attributes whose values have an order, a linear layer for each of the others.

    One number places a photo on a line that thresholds cut into the values: P(value > k) = sigmoid(place - t_k), the
    proportional odds of McCullagh 1980, consistent in rank as in arXiv:1901.07884. Its logits are the logarithms of the
    values' probabilities; a softmax gives them back as they are.

    Args:
        features: How many numbers the trunk gives.
        sizes: How many values each attribute has.
        ordered: The attributes whose values have an order; of three values or more, since two say nothing of order.
        dropout: Share of features left out in training, for each attribute on its own.
        start: See `linear_heads.start_layers`.

    Raises:
        ValueError: There is no such attribute, or it has two values.
    """

    def __init__(
        self,
        features: int,
        sizes: Mapping[str, int],
        ordered: str | Sequence[str] = ("age",),
        dropout: float = 0.0,
        start: Start = "default",
    ) -> None:
        super().__init__()
        # One word of the command line is a list of one.
        ordered = (ordered,) if isinstance(ordered, str) else ordered
        strange = [name for name in ordered if sizes.get(name, 0) < 3]
        if strange or not ordered:
            raise ValueError(
                f"ordered={list(ordered)} must name attributes of three values or more, of {', '.join(sizes)}"
            )
        self.names = tuple(sizes)
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Dropout(dropout), nn.Linear(features, 1), CumulativeLink(size))
            if name in ordered
            else nn.Sequential(nn.Dropout(dropout), nn.Linear(features, size))
            for name, size in sizes.items()
        )
        init_weights(self, start)

    def forward(self, features: Tensor) -> Logits:
        return {name: layer(features) for name, layer in zip(self.names, self.layers, strict=True)}


class CumulativeLink(nn.Module):
    """Places (batch, 1) on a line as log-probabilities (batch, values) of the pieces that thresholds cut it into.

    Args:
        values: How many pieces, 3 or more. They start as equally likely for a place of 0.
    """

    def __init__(self, values: int) -> None:
        super().__init__()
        edges = [math.log(value / (values - value)) for value in range(1, values)]
        gaps = [after - before for before, after in pairwise(edges)]
        self.first = nn.Parameter(torch.tensor(edges[:1]))
        # Kept as what softplus makes a gap of, so that the thresholds rise whatever is learned.
        self.gaps = nn.Parameter(torch.tensor([math.log(math.expm1(gap)) for gap in gaps]))

    def forward(self, places: Tensor) -> Tensor:
        gaps = F.softplus(self.gaps.float())
        thresholds = torch.cat([self.first.float(), self.first.float() + gaps.cumsum(dim=0)])
        above = places.float() - thresholds
        # P(k) = sigmoid(a) - sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - e^(b - a)), whose logarithm is exact everywhere.
        between = F.logsigmoid(above[:, :-1]) + F.logsigmoid(-above[:, 1:]) + torch.log(-torch.expm1(-gaps))
        return torch.cat([F.logsigmoid(-above[:, :1]), between, F.logsigmoid(above[:, -1:])], dim=1)
