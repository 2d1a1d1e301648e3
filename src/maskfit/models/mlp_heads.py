"""Heads of more than one layer, as the seeds had them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from maskfit.models.linear_heads import Logits, Start, head_outputs, init_weights


class HiddenHead(nn.Module):
    """A hidden layer, ReLU and dropout before the last layer (seed s2: 512 and 0.7, which won it its best score).

    Args:
        features: How many numbers the trunk gives.
        sizes: How many values each attribute has.
        width: Numbers of the hidden layer.
        dropout: Share of them left out in training.
        joint: One output for all attributes together, as s2 had it; otherwise one for each, each with its own layer.
        start: See `linear_heads.start_layers`.
    """

    def __init__(
        self,
        features: int,
        sizes: Mapping[str, int],
        width: int = 512,
        dropout: float = 0.7,
        joint: bool = True,
        start: Start = "default",
    ) -> None:
        super().__init__()
        _refuse_widths([width])
        wanted = head_outputs(sizes, joint)
        self.names = tuple(wanted)
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Linear(features, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, size))
            for size in wanted.values()
        )
        init_weights(self, start)

    def forward(self, features: Tensor) -> Logits:
        return {name: layer(features) for name, layer in zip(self.names, self.layers, strict=True)}


class VanillaHead(nn.Module):
    """A layer as wide as ImageNet has classes, BatchNorm, dropout, ReLU, a linear layer (seed s1's Vanilla networks).

    s1 kept its trunk's own classifier for the first layer; maskfit's trunks come without, so here it starts anew.

    Args:
        features: How many numbers the trunk gives.
        sizes: How many values each attribute has.
        width: Numbers of the first layer.
        dropout: Share of them left out in training.
        joint: One output for all attributes together, as s1 had it; otherwise one for each, on the same numbers.
        start: See `linear_heads.start_layers`.
    """

    def __init__(
        self,
        features: int,
        sizes: Mapping[str, int],
        width: int = 1000,
        dropout: float = 0.5,
        joint: bool = True,
        start: Start = "default",
    ) -> None:
        super().__init__()
        _refuse_widths([width])
        wanted = head_outputs(sizes, joint)
        self.names = tuple(wanted)
        self.body = nn.Sequential(nn.Linear(features, width), nn.BatchNorm1d(width), nn.Dropout(dropout), nn.ReLU())
        self.layers = nn.ModuleList(nn.Linear(width, size) for size in wanted.values())
        init_weights(self, start)

    def forward(self, features: Tensor) -> Logits:
        hidden = self.body(features)
        return {name: layer(hidden) for name, layer in zip(self.names, self.layers, strict=True)}


class MlpHead(nn.Module):
    """For each attribute three linear layers with ReLU between them (seed s0: 500 and 100).

    Args:
        features: How many numbers the trunk gives.
        sizes: How many values each attribute has.
        widths: Numbers of the hidden layers.
        dropout: Share of each hidden layer left out in training.
        start: See `linear_heads.start_layers`.
    """

    def __init__(
        self,
        features: int,
        sizes: Mapping[str, int],
        widths: Sequence[int] = (500, 100),
        dropout: float = 0.0,
        start: Start = "default",
    ) -> None:
        super().__init__()
        _refuse_widths(widths)
        self.names = tuple(sizes)
        self.layers = nn.ModuleList(_mlp(features, widths, size, dropout) for size in sizes.values())
        init_weights(self, start)

    def forward(self, features: Tensor) -> Logits:
        return {name: layer(features) for name, layer in zip(self.names, self.layers, strict=True)}


def _mlp(features: int, widths: Sequence[int], size: int, dropout: float) -> nn.Sequential:
    layers: list[nn.Module] = []
    before = features
    for width in widths:
        layers += [nn.Linear(before, width), nn.ReLU(), nn.Dropout(dropout)]
        before = width
    return nn.Sequential(*layers, nn.Linear(before, size))


def _refuse_widths(widths: Sequence[int]) -> None:
    if any(width < 1 for width in widths):
        raise ValueError(f"a layer of {min(widths)} numbers cannot be; take 1 or more")
