"""Ordinal label smoothing: cross-entropy whose target is spread over neighboring values of an ordered attribute."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from maskfit.losses.per_sample_loss import PerSampleLoss


class OrdinalLabelSmoothing(PerSampleLoss):
    """Cross-entropy with a target spread over the values next to the true one by a normal distribution.

    Label distribution learning for ages (Gao et al. 2017, arXiv:1611.01731), applied to age bands: best with
    `data.age_labels.bin_width`, whose bands of a few years are summed to the official ones in prediction. Only for
    attributes whose values are ordered. For a sample with several allowed classes, the target is spread from the
    network's current distribution over them.

    Args:
        counts: (classes,) number of training samples of each class, for the class weights.
        spread: Standard deviation of the target in values, > 0.
        class_weights: As for `PerSampleLoss`.

    Raises:
        ValueError: An option is out of range.
    """

    kernel: Tensor

    def __init__(self, counts: Tensor, spread: float = 0.5, class_weights: str | list[float] = "none") -> None:
        super().__init__(counts, class_weights)
        if not 0 < spread < math.inf:
            raise ValueError(f"spread must be > 0, got {spread}")
        values = torch.arange(len(counts), dtype=torch.float64)
        kernel = torch.exp(-((values[:, None] - values) ** 2) / (2 * spread**2))
        self.register_buffer("kernel", (kernel / kernel.sum(dim=1, keepdim=True)).float(), persistent=False)

    def per_sample_loss(self, logits: Tensor, allowed: Tensor) -> Tensor:
        """Computes the unweighted loss of each sample.

        Args:
            logits: (batch, classes), float32.
            allowed: (batch, classes), bool.

        Returns:
            Losses, (batch,).
        """
        # A single allowed class gets probability 1; several share it by the network's current probabilities.
        probs = torch.softmax(logits.detach().masked_fill(~allowed, -torch.inf), dim=1)
        # Not a matrix product: autocast would round the target to half precision.
        target = (probs[:, :, None] * self.kernel).sum(dim=1)
        return -(target * torch.log_softmax(logits, dim=1)).sum(dim=1)
