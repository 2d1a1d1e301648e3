"""A whole network: a trunk with its head."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from maskfit.models.backbones import NONE, Trunk, build_trunk
from maskfit.models.heads import HEADS, Logits
from maskfit.parts import Part, build


class Network(nn.Module):
    """Photos (batch, 3, height, width), normalised, to logits by head.

    Attributes:
        trunk: Gives the features, and says how its photos are normalised.
        head: Gives the logits; its `names` are those of the outputs.
    """

    def __init__(self, trunk: Trunk, head: nn.Module) -> None:
        super().__init__()
        self.trunk = trunk
        self.head = head

    @property
    def heads(self) -> tuple[str, ...]:
        """What the outputs are called, in order."""
        names: tuple[str, ...] = self.head.names  # type: ignore[assignment]
        return names

    def forward(self, photos: Tensor) -> Logits:
        logits: Logits = self.head(self.trunk(photos))
        return logits


def build_network(backbone: Part, head: Part, sizes: Mapping[str, int], weights: str = NONE) -> Network:
    """Builds a network from its parts.

    Args:
        backbone: A name of `backbones.BACKBONES` with its options.
        head: A name of `heads.HEADS` with its options.
        sizes: How many values each attribute has.
        weights: Where the trunk's weights come from; see `backbones.timm_trunk`.

    Raises:
        RecipeError: A name or an option is unknown.
        ModelFileError: The weights cannot be had or do not fit.
    """
    trunk = build_trunk(backbone, weights)
    return Network(trunk, build(HEADS, head, features=trunk.features, sizes=sizes))
