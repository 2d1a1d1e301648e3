"""Label-distribution-aware margin loss (LDAM): rare classes need a larger margin."""

from __future__ import annotations

import torch
from torch import Tensor

from maskfit.losses.per_sample_loss import PerSampleLoss, log_allowed_probability


class LDAM(PerSampleLoss):
    """Cross-entropy after subtracting a margin from the true class's logit (arXiv:1906.07413; project nlp09).

    The margin of a class is proportional to n^(-1/4), n being its number of training samples, so that the rarest class
    has the largest one. For a sample with several allowed classes, each loses its own margin. Source: Cao et al. 2019.

    Args:
        counts: (classes,) number of training samples of each class, for the margins and the class weights.
        margin: Largest margin, > 0.
        scale: Factor of the logits, > 0. The paper's 30 belongs to cosine logits; those of maskfit's heads are not
            normalized, and prediction uses the logits unscaled.
        class_weights: As for `PerSampleLoss`; the paper uses "effective".
        deferred: Fraction of the epochs before the class weights apply, in [0, 1) (deferred re-weighting; the paper
            uses 0.8). Needs class weights.
        normalize: As for `PerSampleLoss`.

    Raises:
        ValueError: An option is out of range, or `deferred` is set without class weights.
    """

    margins: Tensor

    def __init__(
        self,
        counts: Tensor,
        margin: float = 0.5,
        scale: float = 1.0,
        class_weights: str | list[float] = "none",
        deferred: float = 0.0,
        normalize: bool = True,
    ) -> None:
        super().__init__(counts, class_weights, normalize)
        if margin <= 0 or scale <= 0:
            raise ValueError(f"margin and scale must be > 0, got margin={margin} and scale={scale}")
        if not 0 <= deferred < 1:
            raise ValueError(f"deferred must be in [0, 1), got {deferred}")
        if deferred and class_weights == "none":
            raise ValueError(f"deferred={deferred} needs class_weights, such as class_weights=effective in the paper")
        # A class without samples has the margin of one sample, not an infinite one.
        margins = counts.to(torch.float64).clamp(min=1) ** -0.25
        self.register_buffer("margins", (margin * margins / margins.max()).to(torch.float32), persistent=False)
        self.scale = scale
        self.deferred = deferred
        self.weights_active = deferred == 0

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Switches the class weights on once the deferred epochs have passed.

        Args:
            epoch: Epoch that begins, from 0.
            epochs: Number of epochs of the training.
        """
        self.weights_active = epoch >= self.deferred * epochs

    def sample_weights(self, allowed: Tensor) -> Tensor:
        """Computes the weight of each sample; 1 during the deferred epochs.

        Args:
            allowed: (batch, classes), bool.

        Returns:
            Weights, (batch,), float32.
        """
        if not self.weights_active:
            return torch.ones_like(allowed[:, 0], dtype=torch.float32)
        return super().sample_weights(allowed)

    def per_sample_loss(self, logits: Tensor, allowed: Tensor) -> Tensor:
        """Computes the unweighted loss of each sample.

        Args:
            logits: (batch, classes), float32.
            allowed: (batch, classes), bool.

        Returns:
            Losses, (batch,).
        """
        with_margin = self.scale * (logits - self.margins * allowed)
        return -log_allowed_probability(torch.log_softmax(with_margin, dim=1), allowed)
