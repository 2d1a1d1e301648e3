"""Cross-entropy, with class weights and label smoothing, for labels that may be known in part."""

from __future__ import annotations

import torch
from torch import Tensor

from maskfit.losses.per_sample_loss import PerSampleLoss, check_fraction, log_allowed_probability


class CrossEntropy(PerSampleLoss):
    """Minus the logarithm of the probability that the allowed classes have together.

    With one allowed class it is torch's `cross_entropy`; with several, the likelihood of the part that is known.

    Args:
        counts: Training photos of each class, for the weights.
        smoothing: Share of the target that is spread evenly over all classes, in [0, 1).
        class_weights: As for `PhotoLoss`.
    """

    def __init__(self, counts: Tensor, smoothing: float = 0.0, class_weights: str | list[float] = "none") -> None:
        super().__init__(counts, class_weights)
        self.smoothing = check_fraction("smoothing", smoothing)

    def per_sample_loss(self, logits: Tensor, allowed: Tensor) -> Tensor:
        logs = torch.log_softmax(logits, dim=1)
        loss = -log_allowed_probability(logs, allowed)
        if self.smoothing:
            loss = (1 - self.smoothing) * loss - self.smoothing * logs.mean(dim=1)
        return loss
