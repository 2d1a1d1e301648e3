"""Brier score and smooth L1 between probabilities and label: bounded losses, in contrast to likelihoods."""

from __future__ import annotations

import torch
from torch import Tensor

from maskfit.losses.per_sample_loss import PerSampleLoss


class Brier(PerSampleLoss):
    """Sum of squared differences between probabilities and label (Brier 1950; summed form of iloveslowfood's MSE).

    The allowed classes count as one class, so that a sample with several costs nothing once they have all probability.

    Args:
        counts: (classes,) number of training samples of each class, for the class weights.
        class_weights: As for `PerSampleLoss`.
    """

    def __init__(self, counts: Tensor, class_weights: str | list[float] = "none") -> None:
        super().__init__(counts, class_weights)

    def per_sample_loss(self, logits: Tensor, allowed: Tensor) -> Tensor:
        """Computes the unweighted loss of each sample.

        Args:
            logits: (batch, classes), float32.
            allowed: (batch, classes), bool.

        Returns:
            Losses, (batch,).
        """
        return probability_residuals(logits, allowed).square().sum(dim=1)


class SmoothL1(PerSampleLoss):
    """As `Brier`, with the Huber distance: d^2 / (2 beta) below beta, d - beta / 2 above (project iloveslowfood).

    Args:
        counts: (classes,) number of training samples of each class, for the class weights.
        beta: Residual at which the loss turns from quadratic to linear, > 0. Residuals of probabilities are at most 1,
            so that 1 (torch's default) gives half the Brier score.
        class_weights: As for `PerSampleLoss`.

    Raises:
        ValueError: An option is out of range.
    """

    def __init__(self, counts: Tensor, beta: float = 1.0, class_weights: str | list[float] = "none") -> None:
        super().__init__(counts, class_weights)
        if not beta > 0:
            raise ValueError(f"beta must be > 0, got {beta}")
        self.beta = beta

    def per_sample_loss(self, logits: Tensor, allowed: Tensor) -> Tensor:
        """Computes the unweighted loss of each sample.

        Args:
            logits: (batch, classes), float32.
            allowed: (batch, classes), bool.

        Returns:
            Losses, (batch,).
        """
        d = probability_residuals(logits, allowed)
        return torch.where(d < self.beta, d.square() / (2 * self.beta), d - self.beta / 2).sum(dim=1)


def probability_residuals(logits: Tensor, allowed: Tensor) -> Tensor:
    """Computes the distance of each probability from the label.

    Args:
        logits: (batch, classes).
        allowed: (batch, classes), bool.

    Returns:
        Residuals in 0 to 1, (batch, classes + 1): first the probability that the allowed classes lack together, then
        the probability of each other class; 0 at the allowed classes.
    """
    not_allowed = torch.softmax(logits, dim=1).masked_fill(allowed, 0.0)
    return torch.cat([not_allowed.sum(dim=1, keepdim=True), not_allowed], dim=1)
