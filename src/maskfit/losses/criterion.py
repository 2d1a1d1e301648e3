"""The loss of a whole network: every head's own loss, reduced and added up in this one place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn


class HeadLoss(NamedTuple):
    """A head's loss, and its weight in the sum."""

    loss: nn.Module
    share: float


class Criterion(nn.Module):
    """The weighted mean of the heads' losses; each head's is the mean over the photos of which it knows anything.

    Args:
        heads: By head its loss and share; only the ratio of the shares counts.

    Raises:
        ValueError: No share is above 0.
    """

    def __init__(self, heads: Mapping[str, HeadLoss]) -> None:
        super().__init__()
        total = sum(head.share for head in heads.values())
        if total <= 0:
            raise ValueError("one head at least needs a share above 0")
        self.names = tuple(heads)
        self.losses = nn.ModuleList(head.loss for head in heads.values())
        self.shares = tuple(head.share / total for head in heads.values())

    def forward(self, logits: Mapping[str, Tensor], allowed: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Logits and allowed classes by head to the mean loss by head, and their weighted sum as "loss"."""
        parts: dict[str, Tensor] = {}
        for name, loss in zip(self.names, self.losses, strict=True):
            known = ~allowed[name].all(dim=1)
            # No photo of the batch may know this head; then its part is zero, not 0/0.
            parts[name] = loss(logits[name], allowed[name]).sum() / known.sum().clamp(min=1)
        total = torch.stack([share * parts[name] for name, share in zip(self.names, self.shares, strict=True)]).sum()
        return {"loss": total, **parts}
