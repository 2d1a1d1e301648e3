"""Soft macro F1: the score itself, with probabilities in place of counts."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from maskfit.losses.class_weights import class_weights
from maskfit.losses.cross_entropy import CrossEntropy


class SoftMacroF1Loss(nn.Module):
    """1 - the mean over the classes of 2 TP / (2 TP + FP + FN), each counted in probabilities over the batch (seed s2).

    It is a property of the batch; each photo of which something is known has it as its loss, so that their mean is it.
    A class has a say as far as the batch holds it, up to one photo: of a class that is not there F1 says nothing. A
    photo with several allowed classes counts for them as the network now shares it out among them.

    Args:
        counts: Training photos of each class, for the weights.
        class_weights: As for `PhotoLoss`: a weight of each class's F1 in the mean. Without, thin classes count as much
            as thick ones.
    """

    weights: Tensor

    def __init__(self, counts: Tensor, class_weights: str | list[float] = "none") -> None:
        super().__init__()
        self.register_buffer("weights", _weights(class_weights, counts), persistent=False)

    def forward(self, logits: Tensor, allowed: Tensor) -> Tensor:
        """Logits (batch, classes) and allowed (batch, classes; bool) to losses (batch,); zero where all are allowed."""
        logits = logits.float()
        known = ~allowed.all(dim=1)
        shares = torch.softmax(logits, dim=1) * known[:, None]
        # Not learned from: else a photo could lower the loss by calling itself what is easier.
        inside = logits.detach().masked_fill(~allowed, -torch.inf)
        truth = torch.softmax(inside, dim=1) * known[:, None]
        f1 = 2 * (shares * truth).sum(dim=0) / (shares + truth).sum(dim=0).clamp(min=1e-6)
        say = self.weights * truth.sum(dim=0).clamp(max=1)
        loss = 1 - (say * f1).sum() / say.sum().clamp(min=1e-6)
        return torch.where(known, loss, 0.0)


class CrossEntropyF1(nn.Module):
    """(1 - share) cross-entropy + share soft macro F1 (seed s2): the one for each photo, the other for the score.

    Args:
        counts: Training photos of each class, for the weights.
        share: The share of the F1, in 0 to 1.
        smoothing: Of the cross-entropy; see `CrossEntropy`.
        class_weights: Of both; see `PhotoLoss` and `MacroF1`.
    """

    def __init__(
        self,
        counts: Tensor,
        share: float = 0.5,
        smoothing: float = 0.0,
        class_weights: str | list[float] = "none",
    ) -> None:
        super().__init__()
        if not 0 <= share <= 1:
            raise ValueError(f"share={share} must lie in 0 to 1")
        self.share = share
        self.cross_entropy = CrossEntropy(counts, smoothing, class_weights)
        self.f1 = SoftMacroF1Loss(counts, class_weights)

    def forward(self, logits: Tensor, allowed: Tensor) -> Tensor:
        """Logits (batch, classes) and allowed (batch, classes; bool) to losses (batch,); zero where all are allowed."""
        losses: Tensor = (1 - self.share) * self.cross_entropy(logits, allowed) + self.share * self.f1(logits, allowed)
        return losses


# The classes have an option of the function's name.
_weights = class_weights
