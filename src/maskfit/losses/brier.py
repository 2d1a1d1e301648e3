"""Distances between probabilities and the label, in place of likelihoods: no photo costs more than a few."""

from __future__ import annotations

import torch
from torch import Tensor

from maskfit.losses.per_sample_loss import PerSampleLoss


class Brier(PerSampleLoss):
    """The sum of squared differences of the probabilities (Brier 1950; the mean squared error of seed s1, summed).

    The allowed classes count as one, so that a photo with several costs nothing once they have it all.

    Args:
        counts: Training photos of each class, for the weights.
        class_weights: As for `PhotoLoss`.
    """

    def __init__(self, counts: Tensor, class_weights: str | list[float] = "none") -> None:
        super().__init__(counts, class_weights)

    def per_sample_loss(self, logits: Tensor, allowed: Tensor) -> Tensor:
        return probability_residuals(logits, allowed).square().sum(dim=1)


class SmoothL1(PerSampleLoss):
    """As `Brier`, with Huber's distance in place of the square (seed s1): d^2 / 2 beta below beta, d - beta / 2 above.

    Args:
        counts: Training photos of each class, for the weights.
        beta: Where the square ends, above 0. Differences of probabilities reach 1 at most: at 1, torch's own default,
            it is half the Brier score.
        class_weights: As for `PhotoLoss`.
    """

    def __init__(self, counts: Tensor, beta: float = 1.0, class_weights: str | list[float] = "none") -> None:
        super().__init__(counts, class_weights)
        if not beta > 0:
            raise ValueError(f"beta={beta} must be above 0")
        self.beta = beta

    def per_sample_loss(self, logits: Tensor, allowed: Tensor) -> Tensor:
        d = probability_residuals(logits, allowed)
        return torch.where(d < self.beta, d.square() / (2 * self.beta), d - self.beta / 2).sum(dim=1)


def probability_residuals(logits: Tensor, allowed: Tensor) -> Tensor:
    """How far each probability is from the label, (batch, classes + 1) in 0 to 1.

    First what the allowed classes lack together, then what each other class has; 0 in the allowed classes' own places.
    """
    outside = torch.softmax(logits, dim=1).masked_fill(allowed, 0.0)
    return torch.cat([outside.sum(dim=1, keepdim=True), outside], dim=1)
