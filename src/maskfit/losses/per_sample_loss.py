"""What losses over sets of allowed classes share: the class weights, and what an unknown label costs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from maskfit.losses.class_weights import class_weights


class PerSampleLoss(nn.Module):
    """A loss that looks at each photo by itself; a kind of loss says `measure`.

    Args:
        counts: Training photos of each class, for the weights.
        class_weights: A name of `class_weights.CLASS_WEIGHTS` or a number for each class. A photo with several allowed
            classes has their mean weight.
    """

    weights: Tensor

    def __init__(self, counts: Tensor, class_weights: str | list[float] = "none") -> None:
        super().__init__()
        self.register_buffer("weights", _weights(class_weights, counts), persistent=False)

    def per_sample_loss(self, logits: Tensor, allowed: Tensor) -> Tensor:
        """Logits (batch, classes; float32) and allowed (batch, classes; bool) to losses (batch,) before any weight."""
        raise TypeError(f"{type(self).__name__} must say what it measures")

    def sample_weights(self, allowed: Tensor) -> Tensor:
        """The weight of each photo, (batch,): the mean of its allowed classes' weights."""
        share = allowed / allowed.sum(dim=1, keepdim=True)
        # Not a matrix product: autocast would round the weights to half precision.
        return (share * self.weights).sum(dim=1)

    def forward(self, logits: Tensor, allowed: Tensor) -> Tensor:
        """Logits (batch, classes) and allowed (batch, classes; bool) to losses (batch,); zero where all are allowed."""
        losses = self.per_sample_loss(logits.float(), allowed) * self.sample_weights(allowed)
        return torch.where(allowed.all(dim=1), 0.0, losses)


# The class has an option of the function's name.
_weights = class_weights


def log_allowed_probability(logs: Tensor, allowed: Tensor) -> Tensor:
    """The logarithm of the probability that the allowed classes have together, (batch,), from log-probabilities."""
    return torch.logsumexp(logs.masked_fill(~allowed, -torch.inf), dim=1)


def check_fraction(name: str, share: float) -> float:
    """A share that may be 0 but not 1.

    Raises:
        ValueError: It does not lie in [0, 1).
    """
    if not 0 <= share < 1:
        raise ValueError(f"{name}={share} must lie in [0, 1)")
    return share
