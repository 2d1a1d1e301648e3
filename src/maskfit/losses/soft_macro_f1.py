"""Soft macro F1 loss: macro F1 with probabilities in place of counts, so that it is differentiable."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from maskfit.losses.class_weights import class_weights
from maskfit.losses.cross_entropy import CrossEntropy


class SoftMacroF1Loss(nn.Module):
    """1 - mean over classes of 2 TP / (2 TP + FP + FN), counted in probabilities over the batch (project nlp09).

    The loss is a property of the batch; every sample with a known label gets it as its loss, so that the mean equals
    it. A class counts in the mean by its number of samples in the batch, at most 1: the F1 of an absent class is
    undefined. A sample with several allowed classes counts for each of them by the network's current probabilities.

    Args:
        counts: (classes,) number of training samples of each class, for the class weights.
        class_weights: Weight of each class's F1 in the mean: "none", "inverse", "one_minus_frequency", "effective", or
            one number per class. With "none", rare classes count as much as frequent ones.
    """

    weights: Tensor

    def __init__(self, counts: Tensor, class_weights: str | list[float] = "none") -> None:
        super().__init__()
        self.register_buffer("weights", _compute_class_weights(class_weights, counts), persistent=False)

    def forward(self, logits: Tensor, allowed: Tensor) -> Tensor:
        """Computes the loss of the batch, repeated for each sample.

        Args:
            logits: (batch, classes), any floating-point type.
            allowed: (batch, classes), bool.

        Returns:
            Losses, (batch,), float32; zero where all classes are allowed (unknown label).
        """
        logits = logits.float()
        known = ~allowed.all(dim=1)
        probs = torch.softmax(logits, dim=1) * known[:, None]
        # The target has no gradient: otherwise a sample could lower the loss by moving its target to an easier class.
        allowed_logits = logits.detach().masked_fill(~allowed, -torch.inf)
        target = torch.softmax(allowed_logits, dim=1) * known[:, None]
        f1 = 2 * (probs * target).sum(dim=0) / (probs + target).sum(dim=0).clamp(min=1e-6)
        class_weight = self.weights * target.sum(dim=0).clamp(max=1)
        loss = 1 - (class_weight * f1).sum() / class_weight.sum().clamp(min=1e-6)
        return torch.where(known, loss, 0.0)


class CrossEntropyF1(nn.Module):
    """(1 - f1_weight) * cross-entropy + f1_weight * soft macro F1 (project nlp09).

    Cross-entropy gives every sample its own gradient, soft macro F1 follows the competition's score.

    Args:
        counts: (classes,) number of training samples of each class, for the class weights.
        f1_weight: Weight of the soft macro F1 loss, 0 to 1.
        smoothing: Label smoothing of the cross-entropy, see `CrossEntropy`.
        class_weights: Class weights of both losses, see `PerSampleLoss` and `SoftMacroF1Loss`.

    Raises:
        ValueError: An option is out of range.
    """

    def __init__(
        self,
        counts: Tensor,
        f1_weight: float = 0.5,
        smoothing: float = 0.0,
        class_weights: str | list[float] = "none",
    ) -> None:
        super().__init__()
        if not 0 <= f1_weight <= 1:
            raise ValueError(f"f1_weight must be in 0 to 1, got {f1_weight}")
        self.f1_weight = f1_weight
        self.cross_entropy = CrossEntropy(counts, smoothing, class_weights)
        self.f1 = SoftMacroF1Loss(counts, class_weights)

    def forward(self, logits: Tensor, allowed: Tensor) -> Tensor:
        """Computes the loss of each sample.

        Args:
            logits: (batch, classes), any floating-point type.
            allowed: (batch, classes), bool.

        Returns:
            Losses, (batch,), float32; zero where all classes are allowed (unknown label).
        """
        cross_entropy, f1 = self.cross_entropy(logits, allowed), self.f1(logits, allowed)
        losses: Tensor = (1 - self.f1_weight) * cross_entropy + self.f1_weight * f1
        return losses


# The constructors have a parameter of the function's name.
_compute_class_weights = class_weights
