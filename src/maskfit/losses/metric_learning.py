"""Metric-learning losses on backbone features, added to the heads' losses as auxiliary losses (project cv-08).

They pull features of one class together and push those of other classes apart; predictions do not depend on them
directly. The losses are those of pytorch-metric-learning; this module selects the samples and applies the weight.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from maskfit.labels.schema import UNKNOWN


class MetricLoss(nn.Module):
    """Metric-learning loss over the samples whose class is fully known.

    Args:
        loss: Maps features (samples, features) and class indices (samples,) to a scalar; it normalizes the features.
        weight: Factor of the loss when it is added to the heads' loss, > 0.

    Raises:
        ValueError: `weight` is not positive and finite.
    """

    def __init__(self, loss: nn.Module, weight: float) -> None:
        super().__init__()
        if not 0 < weight < float("inf"):
            raise ValueError(f"weight must be > 0, got {weight}")
        self.loss = loss
        self.weight = weight

    def forward(self, features: Tensor, classes: Tensor) -> Tensor:
        """Computes the weighted loss of a batch.

        Args:
            features: (batch, features), any floating-point type.
            classes: (batch,) official class index, `UNKNOWN` where it is not known.

        Returns:
            A scalar; zero where no class is known.
        """
        known = classes != UNKNOWN
        # Distances lose their digits in half precision.
        with torch.autocast(features.device.type, enabled=False):
            features = features.float()
            if not known.any():
                return 0.0 * features.sum()
            loss: Tensor = self.weight * self.loss(features[known], classes[known])
        return loss


# pytorch-metric-learning takes seconds to import and few recipes use it, so each builder imports it itself.


def triplet(features: int, classes: int, weight: float = 0.1, margin: float = 0.05) -> MetricLoss:
    """Builds a triplet margin loss over all triplets of a batch that violate the margin (arXiv:1503.03832).

    Args:
        features: Number of backbone features.
        classes: Number of classes.
        weight: Factor of the loss relative to the heads' loss, > 0.
        margin: Required distance gap between other and same class, in (0, 2]; features have unit length.

    Returns:
        The loss.

    Raises:
        ValueError: An option is out of range.
    """
    from pytorch_metric_learning.losses import TripletMarginLoss

    if not 0 < margin <= 2:
        raise ValueError(f"margin must be in (0, 2], got {margin}")
    return MetricLoss(TripletMarginLoss(margin=margin), weight)


def supcon(features: int, classes: int, weight: float = 0.1, temperature: float = 0.1) -> MetricLoss:
    """Builds a supervised contrastive loss (Khosla et al. 2020, arXiv:2004.11362).

    Args:
        features: Number of backbone features.
        classes: Number of classes.
        weight: Factor of the loss relative to the heads' loss, > 0.
        temperature: Divisor of the cosine similarities, > 0.

    Returns:
        The loss.

    Raises:
        ValueError: An option is out of range.
    """
    from pytorch_metric_learning.losses import SupConLoss

    if not temperature > 0:
        raise ValueError(f"temperature must be > 0, got {temperature}")
    return MetricLoss(SupConLoss(temperature=temperature), weight)


def arcface(features: int, classes: int, weight: float = 0.1, margin: float = 28.6, scale: float = 64.0) -> MetricLoss:
    """Builds ArcFace: an additive angular margin around a learned center per class (arXiv:1801.07698).

    Args:
        features: Number of backbone features.
        classes: Number of classes.
        weight: Factor of the loss relative to the heads' loss, > 0.
        margin: Angular margin in degrees, 0 to 90.
        scale: Factor of the cosine similarities, > 0.

    Returns:
        The loss, whose class centers are trainable parameters.

    Raises:
        ValueError: An option is out of range.
    """
    from pytorch_metric_learning.losses import ArcFaceLoss

    if not 0 <= margin <= 90 or not scale > 0:
        raise ValueError(f"margin must be in 0 to 90 degrees and scale > 0, got margin={margin} and scale={scale}")
    return MetricLoss(ArcFaceLoss(classes, features, margin=margin, scale=scale), weight)


def multi_similarity(
    features: int, classes: int, weight: float = 0.1, alpha: float = 2.0, beta: float = 50.0, base: float = 0.5
) -> MetricLoss:
    """Builds a multi-similarity loss (Wang et al. 2019, arXiv:1904.06627).

    Args:
        features: Number of backbone features.
        classes: Number of classes.
        weight: Factor of the loss relative to the heads' loss, > 0.
        alpha: Sharpness of the weighting of same-class pairs, > 0.
        beta: Sharpness of the weighting of other-class pairs, > 0.
        base: Cosine similarity at which both weightings are centered.

    Returns:
        The loss.

    Raises:
        ValueError: An option is out of range.
    """
    from pytorch_metric_learning.losses import MultiSimilarityLoss

    if not (alpha > 0 and beta > 0):
        raise ValueError(f"alpha and beta must be > 0, got alpha={alpha} and beta={beta}")
    return MetricLoss(MultiSimilarityLoss(alpha=alpha, beta=beta, base=base), weight)


def none(features: int, classes: int) -> None:
    """Builds no metric-learning loss.

    Args:
        features: Number of backbone features; not used.
        classes: Number of classes; not used.
    """
    return
