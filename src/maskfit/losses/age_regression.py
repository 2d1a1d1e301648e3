"""Regression losses on the age in years, added to the class losses as auxiliary losses (project nlp09).

The age in years separates 31 from 59, which lie in one age band. Predictions do not use the regressed age; the
gradient only shapes the backbone.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from maskfit.losses.multi_head_loss import MixedTargets


class AgeRegressionLoss(nn.Module):
    """Mean distance between predicted and labeled age, over the samples whose age is known.

    Args:
        distance: Maps predicted and labeled ages in years, each (batch,), to a distance per sample, (batch,).
        weight: Factor of the loss when it is added to the heads' loss, > 0.

    Raises:
        ValueError: `weight` is not positive and finite.
    """

    def __init__(self, distance: Callable[[Tensor, Tensor], Tensor], weight: float) -> None:
        super().__init__()
        if not 0 < weight < float("inf"):
            raise ValueError(f"weight must be > 0, got {weight}")
        self.distance = distance
        self.weight = weight

    def forward(self, predicted: Tensor, ages: Tensor, mixed: MixedTargets | None = None) -> Tensor:
        """Computes the weighted mean distance of a batch.

        Args:
            predicted: Predicted ages in years, (batch,).
            ages: Labeled ages in years, (batch,); NaN where not known.
            mixed: Partner and weight of each image in a mixed batch, as for `multi_head_loss.MultiHeadLoss`; None where
                nothing was mixed.

        Returns:
            A scalar; zero where no age is known.
        """
        predicted = predicted.float()
        values, known = self._distances(predicted, ages)
        if mixed is not None:
            lam = mixed.lam.to(values.dtype)
            other_values, other_known = self._distances(predicted, ages[mixed.permutation])
            values, known = lam * values + (1 - lam) * other_values, lam * known + (1 - lam) * other_known
        return self.weight * values.sum() / known.sum().clamp(min=1e-6)

    def _distances(self, predicted: Tensor, ages: Tensor) -> tuple[Tensor, Tensor]:
        """Distance of each sample, 0 where the age is not known; and a mask, 1 where it is known."""
        known = ~ages.isnan()
        # NaN is replaced before the distance: masking afterwards would leave a NaN gradient.
        target = torch.where(known, ages.float(), predicted.detach())
        return self.distance(predicted, target) * known, known.float()


def mse(weight: float = 0.001) -> AgeRegressionLoss:
    """Builds a squared error in years; nlp09 found a weight of 0.001 better than 1.

    Args:
        weight: Factor of the loss relative to the heads' loss, > 0.

    Returns:
        The loss.
    """
    return AgeRegressionLoss(lambda predicted, ages: (predicted - ages).square(), weight)


def smooth_l1(weight: float = 0.02, beta: float = 1.0) -> AgeRegressionLoss:
    """Builds a smooth L1 (Huber) loss in years, which limits the gradient of samples with a wrong age label.

    Args:
        weight: Factor of the loss relative to the heads' loss, > 0.
        beta: Error in years below which the loss is quadratic, > 0.

    Returns:
        The loss.

    Raises:
        ValueError: An option is out of range.
    """
    if not beta > 0:
        raise ValueError(f"beta must be > 0, got {beta}")
    return AgeRegressionLoss(
        lambda predicted, ages: F.smooth_l1_loss(predicted, ages, reduction="none", beta=beta), weight
    )


def none() -> None:
    """Builds no age regression loss."""
    return
