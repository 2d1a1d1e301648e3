"""Heads of more than one layer, as the source projects had them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from maskfit.models.linear_heads import Init, Logits, head_outputs, init_weights


class OneHiddenLayerHead(nn.Module):
    """A hidden layer, ReLU, dropout and a linear layer (nlp09: width 512, dropout 0.7 gave its best score).

    Args:
        features: Number of backbone features.
        sizes: Attribute name to number of values.
        width: Width of the hidden layer, >= 1.
        dropout: Dropout probability of the hidden layer.
        joint: Whether one output covers all classes, as in nlp09; otherwise each attribute has its own hidden layer.
        init: Initialization, see `linear_heads.init_weights`.

    Raises:
        ValueError: An option is out of range.
    """

    def __init__(
        self,
        features: int,
        sizes: Mapping[str, int],
        width: int = 512,
        dropout: float = 0.7,
        joint: bool = True,
        init: Init = "default",
    ) -> None:
        super().__init__()
        _check_width(width)
        outputs = head_outputs(sizes, joint)
        self.names = tuple(outputs)
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Linear(features, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, size))
            for size in outputs.values()
        )
        init_weights(self, init)

    def forward(self, features: Tensor) -> Logits:
        """Computes logits (batch, values) by output from features (batch, features)."""
        return {name: layer(features) for name, layer in zip(self.names, self.layers, strict=True)}


class BatchNormDropoutHead(nn.Module):
    """Linear layer, BatchNorm, dropout, ReLU, linear layer (the "Vanilla" networks of iloveslowfood).

    iloveslowfood kept the backbone's own ImageNet classifier as the first layer; here it is initialized at random,
    since backbones come without a classifier.

    Args:
        features: Number of backbone features.
        sizes: Attribute name to number of values.
        width: Width of the first layer, >= 1; the default is ImageNet's number of classes.
        dropout: Dropout probability of the first layer's outputs.
        joint: Whether one output covers all classes, as in iloveslowfood; otherwise the attributes share the first
            layer.
        init: Initialization, see `linear_heads.init_weights`.

    Raises:
        ValueError: An option is out of range.
    """

    def __init__(
        self,
        features: int,
        sizes: Mapping[str, int],
        width: int = 1000,
        dropout: float = 0.5,
        joint: bool = True,
        init: Init = "default",
    ) -> None:
        super().__init__()
        _check_width(width)
        outputs = head_outputs(sizes, joint)
        self.names = tuple(outputs)
        self.body = nn.Sequential(nn.Linear(features, width), nn.BatchNorm1d(width), nn.Dropout(dropout), nn.ReLU())
        self.layers = nn.ModuleList(nn.Linear(width, size) for size in outputs.values())
        init_weights(self, init)

    def forward(self, features: Tensor) -> Logits:
        """Computes logits (batch, values) by output from features (batch, features)."""
        hidden = self.body(features)
        return {name: layer(hidden) for name, layer in zip(self.names, self.layers, strict=True)}


class MlpHead(nn.Module):
    """A multi-layer perceptron with ReLU per attribute (boostup: widths 500 and 100).

    Args:
        features: Number of backbone features.
        sizes: Attribute name to number of values.
        widths: Widths of the hidden layers, each >= 1.
        dropout: Dropout probability of each hidden layer.
        init: Initialization, see `linear_heads.init_weights`.

    Raises:
        ValueError: An option is out of range.
    """

    def __init__(
        self,
        features: int,
        sizes: Mapping[str, int],
        widths: Sequence[int] = (500, 100),
        dropout: float = 0.0,
        init: Init = "default",
    ) -> None:
        super().__init__()
        for width in widths:
            _check_width(width)
        self.names = tuple(sizes)
        self.layers = nn.ModuleList(_mlp(features, widths, size, dropout) for size in sizes.values())
        init_weights(self, init)

    def forward(self, features: Tensor) -> Logits:
        """Computes logits (batch, values) by attribute from features (batch, features)."""
        return {name: layer(features) for name, layer in zip(self.names, self.layers, strict=True)}


def _mlp(features: int, widths: Sequence[int], size: int, dropout: float) -> nn.Sequential:
    layers: list[nn.Module] = []
    inputs = features
    for width in widths:
        layers += [nn.Linear(inputs, width), nn.ReLU(), nn.Dropout(dropout)]
        inputs = width
    return nn.Sequential(*layers, nn.Linear(inputs, size))


def _check_width(width: int) -> None:
    if width < 1:
        raise ValueError(f"the width of a hidden layer must be >= 1, got {width}")
