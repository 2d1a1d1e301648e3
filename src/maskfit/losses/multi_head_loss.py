"""Loss of a whole network: the weighted sum of the heads' losses, each averaged over the samples with a known label."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from maskfit.losses.soft_labels import SoftTarget


class MixedTargets(Protocol):
    """Targets of a batch in which images were mixed; `training.augment.batch_mixing.MixedBatch` implements it."""

    @property
    def permutation(self) -> Tensor:
        """(batch,) index in the batch of the image that was mixed in."""
        ...

    @property
    def lam(self) -> Tensor:
        """(batch,) weight of each image's own label in 0 to 1; its partner's weight is `1 - lam`."""
        ...


@runtime_checkable
class EpochDependent(Protocol):
    """Loss that changes over the epochs of a training."""

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Sets the current epoch.

        Args:
            epoch: Epoch that begins, from 0.
            epochs: Number of epochs of the training.
        """
        ...


class HeadLoss(NamedTuple):
    """Loss of one head and its weight.

    Attributes:
        loss: Maps logits and allowed masks to per-sample losses, see `maskfit.losses`.
        weight: Relative weight in the total loss, 0 or more.
    """

    loss: nn.Module
    weight: float


class MultiHeadLoss(nn.Module):
    """Weighted mean of the heads' losses; each head's loss is the mean over the samples whose label it knows.

    Args:
        heads: Head name to its loss and weight; only the ratios of the weights matter.
        reduce_count: In training, maps the number of known samples in this batch to the divisor of the mean. Processes
            that share a batch pass the mean over all ranks, so that averaged gradients are those of the whole batch.
            Default: the local number.

    Raises:
        ValueError: No weight is > 0.
    """

    def __init__(self, heads: Mapping[str, HeadLoss], reduce_count: Callable[[Tensor], Tensor] | None = None) -> None:
        super().__init__()
        self.reduce_count = reduce_count
        total = sum(head.weight for head in heads.values())
        if total <= 0:
            raise ValueError("at least one head needs a loss_weight > 0")
        self.names = tuple(heads)
        self.losses = nn.ModuleList(head.loss for head in heads.values())
        self.weights = tuple(head.weight / total for head in heads.values())

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Passes the current epoch to the losses that depend on it.

        Args:
            epoch: Epoch that begins, from 0.
            epochs: Number of epochs of the training.
        """
        for loss in self.losses:
            if isinstance(loss, EpochDependent):
                loss.begin_epoch(epoch, epochs)

    def forward(
        self,
        logits: Mapping[str, Tensor],
        allowed: Mapping[str, Tensor],
        mixed: MixedTargets | None = None,
        soft: Mapping[str, SoftTarget] | None = None,
    ) -> dict[str, Tensor]:
        """Computes the mean loss of each head and their weighted sum.

        Args:
            logits: Head name to logits, (batch, values).
            allowed: Head name to the classes that each sample's label allows, (batch, values), bool.
            mixed: Partner and weight of each image in a mixed batch: a sample's loss is then
                `lam * loss(own label) + (1 - lam) * loss(partner's label)`. None where nothing was mixed.
            soft: Head name to soft labels of the batch; a head may have none. None where there are none at all.

        Returns:
            Head name to mean loss, and the total as "loss".
        """
        parts: dict[str, Tensor] = {}
        for name, loss in zip(self.names, self.losses, strict=True):
            reduce_count = self.reduce_count if self.training else None
            parts[name] = _mean_loss(loss, logits[name], allowed[name], mixed, (soft or {}).get(name), reduce_count)
        total = torch.stack([weight * parts[name] for name, weight in zip(self.names, self.weights, strict=True)]).sum()
        return {"loss": total, **parts}


def _mean_loss(
    loss: nn.Module,
    logits: Tensor,
    allowed: Tensor,
    mixed: MixedTargets | None,
    soft: SoftTarget | None,
    reduce_count: Callable[[Tensor], Tensor] | None,
) -> Tensor:
    """Mean of a head's loss over the samples with a known label; a mixed sample counts by its known labels' weight."""
    values, known = _sample_losses(loss, logits, allowed, soft)
    if mixed is not None:
        lam = mixed.lam.to(values.dtype)
        partners = None if soft is None else soft.partners(mixed.permutation)
        other, other_known = _sample_losses(loss, logits, allowed[mixed.permutation], partners)
        values, known = lam * values + (1 - lam) * other, lam * known + (1 - lam) * other_known
    # A batch may hold no sample with a label for this head: its loss is then zero, not 0/0.
    count = known.sum() if reduce_count is None else reduce_count(known.sum())
    mean: Tensor = values.sum() / count.clamp(min=1e-6)
    return mean


def _sample_losses(loss: nn.Module, logits: Tensor, allowed: Tensor, soft: SoftTarget | None) -> tuple[Tensor, Tensor]:
    """Loss of each sample, and 1 where something is known of its label, hard or soft."""
    values = loss(logits, allowed)
    known = (~allowed.all(dim=1)).to(values.dtype)
    return (values, known) if soft is None else soft.combine(logits, values, known)
