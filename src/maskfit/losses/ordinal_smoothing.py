"""Cross-entropy that knows which values lie beside each other: 29 years are nearly 30 and far from 60."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from maskfit.losses.per_sample_loss import PerSampleLoss


class OrdinalLabelSmoothing(PerSampleLoss):
    """Cross-entropy with a target that is spread over the values beside the right one, by a normal distribution.

    Label distribution learning for ages (Gao et al. 2017, arXiv:1611.01731) on bands: best with `data.age_labels.bin_width`, whose
    bands of a few years fold back to the official ones. Only for attributes whose values have an order. Of a photo with
    several allowed classes, the target is spread from what the network itself makes of those.

    Args:
        counts: Training photos of each class, for the weights.
        spread: Standard deviation of the target in values, above 0.
        class_weights: As for `PhotoLoss`.
    """

    kernel: Tensor

    def __init__(self, counts: Tensor, spread: float = 0.5, class_weights: str | list[float] = "none") -> None:
        super().__init__(counts, class_weights)
        if not 0 < spread < math.inf:
            raise ValueError(f"spread={spread} must be above 0")
        places = torch.arange(len(counts), dtype=torch.float64)
        kernel = torch.exp(-((places[:, None] - places) ** 2) / (2 * spread**2))
        self.register_buffer("kernel", (kernel / kernel.sum(dim=1, keepdim=True)).float(), persistent=False)

    def per_sample_loss(self, logits: Tensor, allowed: Tensor) -> Tensor:
        # One allowed class has all of its own share; of several, each has what the network gives it.
        share = torch.softmax(logits.detach().masked_fill(~allowed, -torch.inf), dim=1)
        # Not a matrix product: autocast would round the target to half precision.
        target = (share[:, :, None] * self.kernel).sum(dim=1)
        return -(target * torch.log_softmax(logits, dim=1)).sum(dim=1)
