"""Cross-entropy, with class weights and label smoothing, for labels that may be known in part."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from maskfit.losses.class_weights import class_weights


class CrossEntropy(nn.Module):
    """Minus the logarithm of the probability that the allowed classes have together.

    With one allowed class it is torch's `cross_entropy`; with several, the likelihood of the part that is known.

    Args:
        counts: Training photos of each class, for the weights.
        smoothing: Share of the target that is spread evenly over all classes, in [0, 1).
        class_weights: A name of `class_weights.CLASS_WEIGHTS` or a number for each class. A photo with several allowed
            classes has their mean weight.
    """

    weights: Tensor

    def __init__(self, counts: Tensor, smoothing: float = 0.0, class_weights: str | list[float] = "none") -> None:
        super().__init__()
        if not 0 <= smoothing < 1:
            raise ValueError(f"smoothing={smoothing} must lie in [0, 1)")
        self.smoothing = smoothing
        self.register_buffer("weights", _weights(class_weights, counts), persistent=False)

    def forward(self, logits: Tensor, allowed: Tensor) -> Tensor:
        """Logits (batch, classes) and allowed (batch, classes; bool) to losses (batch,); zero where all are allowed."""
        logs = torch.log_softmax(logits.float(), dim=1)
        loss = -torch.logsumexp(logs.masked_fill(~allowed, -torch.inf), dim=1)
        if self.smoothing:
            loss = (1 - self.smoothing) * loss - self.smoothing * logs.mean(dim=1)
        share = allowed / allowed.sum(dim=1, keepdim=True)
        # Not a matrix product: autocast would round the weights to half precision.
        return torch.where(allowed.all(dim=1), 0.0, loss * (share * self.weights).sum(dim=1))


# The class has an option of the function's name.
_weights = class_weights
