"""Symmetric cross-entropy: for labels of which some are wrong."""

from __future__ import annotations

import torch
from torch import Tensor

from maskfit.losses.per_sample_loss import PerSampleLoss, log_allowed_probability


class SymmetricCrossEntropy(PerSampleLoss):
    """alpha CE + beta RCE (Wang et al. 2019, arXiv:1908.06112).

    The reverse cross-entropy takes the answer for the truth: -sum p log t, where log 0 is set to `floor`. So it is
    linear in the probability of what the label does not allow, and a wrong label pulls no harder than that.

    Args:
        counts: Training photos of each class, for the weights.
        alpha: The share of the cross-entropy, 0 or more.
        beta: The share of the reverse, 0 or more.
        floor: What stands for log 0, below 0.
        class_weights: As for `PhotoLoss`.
    """

    def __init__(
        self,
        counts: Tensor,
        alpha: float = 0.1,
        beta: float = 1.0,
        floor: float = -4.0,
        class_weights: str | list[float] = "none",
    ) -> None:
        super().__init__(counts, class_weights)
        if alpha < 0 or beta < 0 or not alpha + beta > 0:
            raise ValueError(f"alpha={alpha} and beta={beta} must be 0 or more, and one of them above")
        if not floor < 0:
            raise ValueError(f"floor={floor} must be below 0")
        self.alpha, self.beta, self.floor = alpha, beta, floor

    def per_sample_loss(self, logits: Tensor, allowed: Tensor) -> Tensor:
        logs = torch.log_softmax(logits, dim=1)
        # Added up rather than taken from 1, which would lose the digits of a small remainder.
        outside = logs.exp().masked_fill(allowed, 0.0).sum(dim=1)
        return -self.alpha * log_allowed_probability(logs, allowed) - self.beta * self.floor * outside
