"""The loss of a whole network: every head's own loss, reduced and added up in this one place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn


class MixedTargets(Protocol):
    """What mixing says of a batch; `training.mixing.Mixed` is one.

    Attributes:
        partner: (batch,) the place in the batch of the photo that was mixed in.
        share: (batch,) how much of each photo is its own, in 0 to 1.
    """

    @property
    def partner(self) -> Tensor: ...

    @property
    def share(self) -> Tensor: ...


@runtime_checkable
class EpochDependent(Protocol):
    """A loss that is not the same in every epoch."""

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Says which epoch of how many begins, counted from 0."""
        ...


class HeadLoss(NamedTuple):
    """A head's loss, and its weight in the sum."""

    loss: nn.Module
    weight: float


class MultiHeadLoss(nn.Module):
    """The weighted mean of the heads' losses; each head's is the mean over the photos of which it knows anything.

    Args:
        heads: By head its loss and share; only the ratio of the shares counts.
        over: In training, what the mean over the photos is divided by, given how many of this batch are known; where
            several processes share a batch, the mean of their counts, so that the mean of their losses is that of all.

    Raises:
        ValueError: No share is above 0.
    """

    def __init__(self, heads: Mapping[str, HeadLoss], over: Callable[[Tensor], Tensor] | None = None) -> None:
        super().__init__()
        self.over = over
        total = sum(head.weight for head in heads.values())
        if total <= 0:
            raise ValueError("one head at least needs a share above 0")
        self.names = tuple(heads)
        self.losses = nn.ModuleList(head.loss for head in heads.values())
        self.shares = tuple(head.weight / total for head in heads.values())

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Tells the losses that change over training which epoch of how many begins, counted from 0."""
        for loss in self.losses:
            if isinstance(loss, EpochDependent):
                loss.begin_epoch(epoch, epochs)

    def forward(
        self, logits: Mapping[str, Tensor], allowed: Mapping[str, Tensor], pair: MixedTargets | None = None
    ) -> dict[str, Tensor]:
        """The mean loss by head, and their weighted sum as "loss".

        Args:
            logits: By head, (batch, values).
            allowed: By head, (batch, values): the classes that each photo's label leaves possible.
            pair: Where photos were mixed, with whom and by what share; a photo's loss is then the mean of the two
                labels' losses by that share.
        """
        parts: dict[str, Tensor] = {}
        for name, loss in zip(self.names, self.losses, strict=True):
            parts[name] = _mean(loss, logits[name], allowed[name], pair, self.over if self.training else None)
        total = torch.stack([share * parts[name] for name, share in zip(self.names, self.shares, strict=True)]).sum()
        return {"loss": total, **parts}


def _mean(
    loss: nn.Module, logits: Tensor, allowed: Tensor, pair: MixedTargets | None, over: Callable[[Tensor], Tensor] | None
) -> Tensor:
    """A head's loss over the photos of which it knows anything; a mixed photo is known by the shares that are."""
    values = loss(logits, allowed)
    known = (~allowed.all(dim=1)).to(values.dtype)
    if pair is not None:
        share = pair.share.to(values.dtype)
        values = share * values + (1 - share) * loss(logits, allowed[pair.partner])
        known = share * known + (1 - share) * known[pair.partner]
    # No photo of the batch may know this head; then its part is zero, not 0/0.
    count = known.sum() if over is None else over(known.sum())
    mean: Tensor = values.sum() / count.clamp(min=1e-6)
    return mean
