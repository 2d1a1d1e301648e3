"""Focal loss: cross-entropy that cares less about what is answered well already."""

from __future__ import annotations

import torch
from torch import Tensor

from maskfit.losses.per_sample_loss import PerSampleLoss, check_fraction, log_allowed_probability

LEAST = 1e-12
"""The least doubt that is raised to a power: at 0 the slope of a power below 1 is infinite."""


class Focal(PerSampleLoss):
    """(1 - p)^gamma times the cross-entropy -log p (Lin et al. 2017, arXiv:1708.02002; seeds s1, s2, s4).

    The factor is each photo's own. On the mean of a batch, as one of the seeds had it, every photo would get the same
    factor, and the loss would be another learning rate and no more.

    Args:
        counts: Training photos of each class, for the weights.
        gamma: How little a well-answered photo counts, 0 or more; 0 is cross-entropy.
        smoothing: Share of the target that is spread evenly over all classes, each with its own factor, in [0, 1).
        class_weights: As for `PhotoLoss`; seed s4 gives numbers.
    """

    def __init__(
        self,
        counts: Tensor,
        gamma: float = 2.0,
        smoothing: float = 0.0,
        class_weights: str | list[float] = "none",
    ) -> None:
        super().__init__(counts, class_weights)
        if not 0 <= gamma < float("inf"):
            raise ValueError(f"gamma={gamma} must be 0 or more")
        self.gamma = gamma
        self.smoothing = check_fraction("smoothing", smoothing)

    def per_sample_loss(self, logits: Tensor, allowed: Tensor) -> Tensor:
        logs = torch.log_softmax(logits, dim=1)
        loss = self._focused(log_allowed_probability(logs, allowed))
        if self.smoothing:
            loss = (1 - self.smoothing) * loss + self.smoothing * self._focused(logs).mean(dim=1)
        return loss

    def _focused(self, logs: Tensor) -> Tensor:
        # 1 - p without loss of digits where p is nearly 1.
        doubt = (-torch.expm1(logs)).clamp(min=LEAST)
        return -(doubt**self.gamma) * logs
