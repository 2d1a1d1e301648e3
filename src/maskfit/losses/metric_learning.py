"""Losses on a trunk's features: photos of one class should lie together, those of others apart (seed s4).

They stand beside the heads' losses and do not touch the answer. Each is pytorch-metric-learning's own; here stands
which photos it sees and by what share it counts.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from maskfit.labels.schema import UNKNOWN


class EmbeddingLoss(nn.Module):
    """A metric-learning loss of the photos of which the whole class is known.

    Args:
        loss: Takes features (photos, features) and classes (photos,) and gives one number; it norms the features.
        share: What its number is multiplied by before it is added to the heads' loss, above 0.
    """

    def __init__(self, loss: nn.Module, share: float) -> None:
        super().__init__()
        if not 0 < share < float("inf"):
            raise ValueError(f"share={share} must be above 0")
        self.loss = loss
        self.share = share

    def forward(self, features: Tensor, classes: Tensor) -> Tensor:
        """Features (batch, features) and official class numbers (batch,; `UNKNOWN` where not known) to one number."""
        known = classes != UNKNOWN
        # Distances lose their digits in half precision.
        with torch.autocast(features.device.type, enabled=False):
            features = features.float()
            if not known.any():
                return 0.0 * features.sum()
            loss: Tensor = self.share * self.loss(features[known], classes[known])
        return loss


# The package takes seconds to import, and few recipes name one of its losses: so each builder imports it for itself.


def triplet(features: int, classes: int, share: float = 0.1, margin: float = 0.05) -> EmbeddingLoss:
    """Triplet margin loss over all triplets of a batch that break the margin (Schroff et al. 2015, arXiv:1503.03832).

    Args:
        features: How many numbers the trunk gives.
        classes: How many classes there are.
        share: The loss's weight beside the heads'.
        margin: By how much the other class must be farther, in 0 to 2; features have the length 1.
    """
    from pytorch_metric_learning.losses import TripletMarginLoss

    if not 0 < margin <= 2:
        raise ValueError(f"margin={margin} must lie above 0 and not above 2")
    return EmbeddingLoss(TripletMarginLoss(margin=margin), share)


def supcon(features: int, classes: int, share: float = 0.1, temperature: float = 0.1) -> EmbeddingLoss:
    """Supervised contrastive loss (Khosla et al. 2020, arXiv:2004.11362).

    Args:
        features: How many numbers the trunk gives.
        classes: How many classes there are.
        share: The loss's weight beside the heads'.
        temperature: What cosines are divided by, above 0.
    """
    from pytorch_metric_learning.losses import SupConLoss

    if not temperature > 0:
        raise ValueError(f"temperature={temperature} must be above 0")
    return EmbeddingLoss(SupConLoss(temperature=temperature), share)


def arcface(
    features: int, classes: int, share: float = 0.1, margin: float = 28.6, scale: float = 64.0
) -> EmbeddingLoss:
    """ArcFace: an angle to win by, around a centre for each class that is learned (Deng et al. 2019, arXiv:1801.07698).

    Args:
        features: How many numbers the trunk gives.
        classes: How many classes there are.
        share: The loss's weight beside the heads'.
        margin: The angle in degrees, in 0 to 90.
        scale: What cosines are multiplied by, above 0.
    """
    from pytorch_metric_learning.losses import ArcFaceLoss

    if not 0 <= margin <= 90 or not scale > 0:
        raise ValueError(f"margin={margin} must lie in 0 to 90 degrees, and scale={scale} above 0")
    return EmbeddingLoss(ArcFaceLoss(classes, features, margin=margin, scale=scale), share)


def multi_similarity(
    features: int, classes: int, share: float = 0.1, alpha: float = 2.0, beta: float = 50.0, base: float = 0.5
) -> EmbeddingLoss:
    """Multi-similarity loss (Wang et al. 2019, arXiv:1904.06627).

    Args:
        features: How many numbers the trunk gives.
        classes: How many classes there are.
        share: The loss's weight beside the heads'.
        alpha: How sharply pairs of one class count, above 0.
        beta: How sharply pairs of two classes count, above 0.
        base: The cosine around which both turn.
    """
    from pytorch_metric_learning.losses import MultiSimilarityLoss

    if not (alpha > 0 and beta > 0):
        raise ValueError(f"alpha={alpha} and beta={beta} must be above 0")
    return EmbeddingLoss(MultiSimilarityLoss(alpha=alpha, beta=beta, base=base), share)


def none(features: int, classes: int) -> None:
    """The heads' losses alone."""
    return


EMBEDDING_LOSSES: dict[str, Callable[..., EmbeddingLoss | None]] = {
    "none": none,
    "triplet": triplet,
    "supcon": supcon,
    "arcface": arcface,
    "multi_similarity": multi_similarity,
}
