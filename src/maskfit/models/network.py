"""A whole network: backbone, head and, for training only, an age regressor."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from maskfit.models.backbone_names import NONE
from maskfit.models.backbones import Backbone, build_backbone
from maskfit.models.heads import HEADS, takes_local_features
from maskfit.models.linear_heads import Logits
from maskfit.registry import ComponentSpec, instantiate


class AgeRegressor(nn.Module):
    """Linear regression of the age in years from a backbone's pooled features (project nlp09).

    The layer predicts standardized ages, (age - `mean`) / `std`, so that its weights are of the size of the heads'.

    Args:
        features: Number of pooled features; local ones, which follow them, are not read.
    """

    mean, std = 40.0, 20.0

    def __init__(self, features: int) -> None:
        super().__init__()
        self.layer = nn.Linear(features, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Predicts the age of each image.

        Args:
            features: (batch, features).

        Returns:
            Ages in years, (batch,), float32.
        """
        # Converted before scaling: float16 resolves ages near 40 only to 1/32 year, bfloat16 to 1/4.
        ages: Tensor = self.mean + self.std * self.layer(features[:, : self.layer.in_features])[:, 0].float()
        return ages


class Network(nn.Module):
    """Maps normalized images (batch, 3, height, width) to logits by head.

    Args:
        backbone: Maps images to features, and holds their normalization.
        head: Maps features to logits; its `names` are those of the outputs.
        age_regressor: Predicts ages for an auxiliary loss in training; predictions do not use it. None without one.

    Attributes:
        backbone: As given.
        head: As given.
        age_regressor: As given.
    """

    def __init__(self, backbone: Backbone, head: nn.Module, age_regressor: AgeRegressor | None = None) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.age_regressor = age_regressor

    @property
    def heads(self) -> tuple[str, ...]:
        """Names of the outputs, in order."""
        names: tuple[str, ...] = self.head.names  # type: ignore[assignment]
        return names

    def forward(self, images: Tensor) -> Logits:
        """Computes the logits of each image.

        Args:
            images: (batch, 3, height, width), normalized.

        Returns:
            Head name to logits, (batch, values).
        """
        return self.forward_head(self.forward_features(images))

    def forward_features(self, images: Tensor) -> Tensor:
        """Computes the backbone features of each image.

        Args:
            images: (batch, 3, height, width), normalized.

        Returns:
            Features, (batch, features).
        """
        features: Tensor = self.backbone(images)
        return features

    def forward_head(self, features: Tensor) -> Logits:
        """Computes logits from backbone features.

        Args:
            features: (batch, features).

        Returns:
            Head name to logits, (batch, values).
        """
        logits: Logits = self.head(features)
        return logits


def build_network(
    backbone: ComponentSpec,
    head: ComponentSpec,
    sizes: Mapping[str, int],
    weights: str = NONE,
    age_regression: bool = False,
) -> Network:
    """Builds a network from its components.

    Args:
        backbone: A name in `backbones.BACKBONES` with its options.
        head: A name in `heads.HEADS` with its options.
        sizes: Attribute name to number of values.
        weights: Initial weights of the backbone: "none", "timm", "faces" or a file, see `backbones.timm_backbone`.
        age_regression: Whether to add an `AgeRegressor`.

    Returns:
        The network, in training mode.

    Raises:
        RecipeError: A name or an option is unknown or out of range.
        ModelFileError: The weights are not available or do not fit.
    """
    built = build_backbone(backbone, weights)
    inputs = {"features": built.features, "sizes": sizes}
    if takes_local_features(head):
        inputs["local_features"] = built.local_features
    return Network(
        built,
        instantiate(HEADS, head, **inputs),
        AgeRegressor(built.features - built.local_features) if age_regression else None,
    )
