"""Symmetric cross-entropy, for training on noisy labels."""

from __future__ import annotations

import torch
from torch import Tensor

from maskfit.losses.per_sample_loss import PerSampleLoss, log_allowed_probability


class SymmetricCrossEntropy(PerSampleLoss):
    """alpha * CE + beta * RCE (Wang et al. 2019, arXiv:1908.06112).

    The reverse cross-entropy swaps prediction and target: -sum p log t, with log 0 set to `log_zero`. It is linear in
    the probability that the label does not allow, so that the gradient of a wrong label is bounded.

    Args:
        counts: (classes,) number of training samples of each class, for the class weights.
        alpha: Weight of the cross-entropy, >= 0.
        beta: Weight of the reverse cross-entropy, >= 0.
        log_zero: Value used for log 0, < 0.
        class_weights: As for `PerSampleLoss`.
        normalize: As for `PerSampleLoss`.

    Raises:
        ValueError: An option is out of range.
    """

    def __init__(
        self,
        counts: Tensor,
        alpha: float = 0.1,
        beta: float = 1.0,
        log_zero: float = -4.0,
        class_weights: str | list[float] = "none",
        normalize: bool = True,
    ) -> None:
        super().__init__(counts, class_weights, normalize)
        if alpha < 0 or beta < 0 or not alpha + beta > 0:
            raise ValueError(f"alpha and beta must be >= 0 and not both 0, got alpha={alpha} and beta={beta}")
        if not log_zero < 0:
            raise ValueError(f"log_zero must be < 0, got {log_zero}")
        self.alpha, self.beta, self.log_zero = alpha, beta, log_zero

    def per_sample_loss(self, logits: Tensor, allowed: Tensor) -> Tensor:
        """Computes the unweighted loss of each sample.

        Args:
            logits: (batch, classes), float32.
            allowed: (batch, classes), bool.

        Returns:
            Losses, (batch,).
        """
        log_probs = torch.log_softmax(logits, dim=1)
        # Summed rather than subtracted from 1, which would lose the digits of a small remainder.
        not_allowed = log_probs.exp().masked_fill(allowed, 0.0).sum(dim=1)
        return -self.alpha * log_allowed_probability(log_probs, allowed) - self.beta * self.log_zero * not_allowed
