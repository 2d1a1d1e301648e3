"""A whole network: a trunk with its head."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from maskfit.models.backbones import NONE, Backbone, build_backbone
from maskfit.models.heads import HEADS
from maskfit.models.linear_heads import Logits
from maskfit.registry import ComponentSpec, instantiate


class AgeRegressor(nn.Module):
    """An age in years, from a trunk's features (seed s2).

    The layer gives standardised years, so that its weights are of the size of the heads': 0 is `middle`, 1 is `spread`
    years more.

    Args:
        features: How many numbers the trunk gives.
    """

    middle, spread = 40.0, 20.0

    def __init__(self, features: int) -> None:
        super().__init__()
        self.layer = nn.Linear(features, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Features (batch, features) as years (batch,)."""
        # In half precision years would be read to a thirty-second.
        years: Tensor = self.middle + self.spread * self.layer(features)[:, 0].float()
        return years


class Network(nn.Module):
    """Photos (batch, 3, height, width), normalised, to logits by head.

    Attributes:
        trunk: Gives the features, and says how its photos are normalised.
        head: Gives the logits; its `names` are those of the outputs.
        years: Gives years beside the logits, for a loss in training; it has no part in the answer. None without.
    """

    def __init__(self, trunk: Backbone, head: nn.Module, years: AgeRegressor | None = None) -> None:
        super().__init__()
        self.backbone = trunk
        self.head = head
        self.years = years

    @property
    def heads(self) -> tuple[str, ...]:
        """What the outputs are called, in order."""
        names: tuple[str, ...] = self.head.names  # type: ignore[assignment]
        return names

    def forward(self, photos: Tensor) -> Logits:
        return self.forward_head(self.forward_features(photos))

    def forward_features(self, photos: Tensor) -> Tensor:
        """Photos to the trunk's features (batch, features)."""
        features: Tensor = self.backbone(photos)
        return features

    def forward_head(self, features: Tensor) -> Logits:
        """The trunk's features to logits by head."""
        logits: Logits = self.head(features)
        return logits


def build_network(
    backbone: ComponentSpec, head: ComponentSpec, sizes: Mapping[str, int], weights: str = NONE, years: bool = False
) -> Network:
    """Builds a network from its parts.

    Args:
        backbone: A name of `backbones.BACKBONES` with its options.
        head: A name of `heads.HEADS` with its options.
        sizes: How many values each attribute has.
        weights: Where the trunk's weights come from; see `backbones.timm_trunk`.
        years: With a layer for years beside the head.

    Raises:
        RecipeError: A name or an option is unknown.
        ModelFileError: The weights cannot be had or do not fit.
    """
    trunk = build_backbone(backbone, weights)
    built = instantiate(HEADS, head, features=trunk.features, sizes=sizes)
    return Network(trunk, built, AgeRegressor(trunk.features) if years else None)
