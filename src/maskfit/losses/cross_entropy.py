"""Cross-entropy with class weights and label smoothing, for labels that may be partly known."""

from __future__ import annotations

import torch
from torch import Tensor

from maskfit.losses.per_sample_loss import PerSampleLoss, check_fraction, log_allowed_probability


class CrossEntropy(PerSampleLoss):
    """Negative log of the summed probability of the allowed classes.

    With one allowed class it equals torch's `cross_entropy`; with several, it is the negative log-likelihood of the
    known part of the label.

    Args:
        counts: (classes,) number of training samples of each class, for the class weights.
        smoothing: Label smoothing: weight of the uniform distribution in the target, in [0, 1).
        class_weights: As for `PerSampleLoss`.
        normalize: As for `PerSampleLoss`.

    Raises:
        ValueError: An option is out of range.
    """

    def __init__(
        self,
        counts: Tensor,
        smoothing: float = 0.0,
        class_weights: str | list[float] = "none",
        normalize: bool = True,
    ) -> None:
        super().__init__(counts, class_weights, normalize)
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
        loss = -log_allowed_probability(log_probs, allowed)
        if self.smoothing:
            loss = (1 - self.smoothing) * loss - self.smoothing * log_probs.mean(dim=1)
        return loss
