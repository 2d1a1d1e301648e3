"""Focal loss: cross-entropy that down-weights samples which are already classified well."""

from __future__ import annotations

import torch
from torch import Tensor

from maskfit.losses.per_sample_loss import PerSampleLoss, check_fraction, log_allowed_probability

MIN_COMPLEMENT = 1e-12
"""Lower bound of 1 - p before the power: at 0 the derivative of a power below 1 is infinite."""


class Focal(PerSampleLoss):
    """(1 - p)^gamma times the cross-entropy -log p (Lin et al. 2017, arXiv:1708.02002; iloveslowfood, nlp09, cv-08).

    The factor is computed per sample. One of the source projects applied it to the mean loss of the batch, which gives
    every sample the same factor and so only changes the learning rate.

    Args:
        counts: (classes,) number of training samples of each class, for the class weights.
        gamma: Focusing exponent, >= 0; 0 is cross-entropy.
        smoothing: Label smoothing in [0, 1); each class of the uniform part has its own focal factor.
        class_weights: As for `PerSampleLoss`; cv-08 gives numbers.
        normalize: As for `PerSampleLoss`.

    Raises:
        ValueError: An option is out of range.
    """

    def __init__(
        self,
        counts: Tensor,
        gamma: float = 2.0,
        smoothing: float = 0.0,
        class_weights: str | list[float] = "none",
        normalize: bool = True,
    ) -> None:
        super().__init__(counts, class_weights, normalize)
        if not 0 <= gamma < float("inf"):
            raise ValueError(f"gamma must be >= 0, got {gamma}")
        self.gamma = gamma
        self.smoothing = check_fraction("smoothing", smoothing)

    def per_sample_loss(self, logits: Tensor, allowed: Tensor) -> Tensor:
        """Computes the unweighted loss of each sample.

        Args:
            logits: (batch, classes), float32.
            allowed: (batch, classes), bool.

        Returns:
            Losses, (batch,).
        """
        log_probs = torch.log_softmax(logits, dim=1)
        loss = self._focal(log_allowed_probability(log_probs, allowed))
        if self.smoothing:
            loss = (1 - self.smoothing) * loss + self.smoothing * self._focal(log_probs).mean(dim=1)
        return loss

    def _focal(self, log_probs: Tensor) -> Tensor:
        # expm1 keeps the digits of 1 - p where p is nearly 1.
        complement = (-torch.expm1(log_probs)).clamp(min=MIN_COMPLEMENT)
        return -(complement**self.gamma) * log_probs
