"""LDAM: thin classes must win by a wider margin."""

from __future__ import annotations

import torch
from torch import Tensor

from maskfit.losses.per_sample_loss import PerSampleLoss, log_allowed_probability


class LDAM(PerSampleLoss):
    """Cross-entropy after a margin was taken from the right class's logit (Cao et al. 2019, arXiv:1906.07413; seed s2).

    The margin of a class goes with n^(-1/4), n being its training photos, so that the thinnest has the widest. Of a
    photo with several allowed classes each loses its own.

    Args:
        counts: Training photos of each class, for the margins and the weights.
        margin: The widest margin, above 0.
        scale: What logits are multiplied by. The paper's 30 belongs to its last layer, whose logits are cosines; those
            of maskfit's heads have a scale of their own, and the probabilities of prediction are the logits' as is.
        class_weights: As for `PhotoLoss`; the paper takes `effective`.
        deferred: The share of the epochs that pass before the class weights count, in [0, 1) (the paper's deferred
            re-weighting has 0.8). Needs class weights.
    """

    margins: Tensor

    def __init__(
        self,
        counts: Tensor,
        margin: float = 0.5,
        scale: float = 1.0,
        class_weights: str | list[float] = "none",
        deferred: float = 0.0,
    ) -> None:
        super().__init__(counts, class_weights)
        if margin <= 0 or scale <= 0:
            raise ValueError(f"margin={margin} and scale={scale} must be above 0")
        if not 0 <= deferred < 1:
            raise ValueError(f"deferred={deferred} must lie in [0, 1)")
        if deferred and class_weights == "none":
            raise ValueError(f"deferred={deferred} has no class_weights to defer; the paper takes effective")
        # A class without a photo has the margin of one photo, not an infinite one.
        margins = counts.to(torch.float64).clamp(min=1) ** -0.25
        self.register_buffer("margins", (margin * margins / margins.max()).to(torch.float32), persistent=False)
        self.scale = scale
        self.deferred = deferred
        self.weighted = deferred == 0

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Says which epoch of how many begins, counted from 0."""
        self.weighted = epoch >= self.deferred * epochs

    def sample_weights(self, allowed: Tensor) -> Tensor:
        if not self.weighted:
            return torch.ones_like(allowed[:, 0], dtype=torch.float32)
        return super().sample_weights(allowed)

    def per_sample_loss(self, logits: Tensor, allowed: Tensor) -> Tensor:
        handicapped = self.scale * (logits - self.margins * allowed)
        return -log_allowed_probability(torch.log_softmax(handicapped, dim=1), allowed)
