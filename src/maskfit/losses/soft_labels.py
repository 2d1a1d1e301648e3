"""Soft labels in the loss: cross-entropy to a distribution over values, beside that of the label.

Source: knowledge distillation (Hinton et al. 2015, arXiv:1503.02531), without a temperature, as labels of several
annotators have none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn


class SoftTarget(NamedTuple):
    """Soft labels of a batch for one head.

    Attributes:
        probabilities: (batch, groups); rows sum to 1, or are 0 without a soft label.
        allowed: (groups, outputs), bool; the outputs that each group consists of.
        weight: Weight of the soft label where there is a label too, in (0, 1].
    """

    probabilities: Tensor
    allowed: Tensor
    weight: float

    def partners(self, permutation: Tensor) -> SoftTarget:
        """Selects the targets of the images that were mixed in.

        Args:
            permutation: (batch,) their indices in the batch.

        Returns:
            The targets in this order.
        """
        return self._replace(probabilities=self.probabilities[permutation])

    def combine(self, logits: Tensor, values: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """Combines the loss to the label with the loss to the soft label.

        Args:
            logits: (batch, outputs).
            values: (batch,) losses to the labels.
            known: (batch,) 1 where a label is known, 0 elsewhere.

        Returns:
            (batch,) losses: the weighted mean of both; where only one of label and soft label is there, its own. And
            (batch,) 1 where either is known.
        """
        soft = soft_cross_entropy(logits, self.probabilities, self.allowed).to(values.dtype)
        has_soft = (self.probabilities.sum(dim=1) > 0).to(values.dtype)
        share = has_soft * (1 - known * (1 - self.weight))
        return (1 - share) * values + share * soft, torch.maximum(known, has_soft)


class SoftLabels(nn.Module):
    """Soft labels of every photo of a dataset, on the device.

    Args:
        heads: Head name to the photos' probabilities (photos, groups) and the groups' outputs (groups, outputs).
        weight: Weight of the soft label where there is a label too, in (0, 1].

    Raises:
        ValueError: `weight` is out of range.
    """

    def __init__(self, heads: Mapping[str, tuple[Tensor, Tensor]], weight: float) -> None:
        super().__init__()
        if not 0 < weight <= 1:
            raise ValueError(f"the weight of soft labels must be in (0, 1], got {weight}")
        self.heads = tuple(heads)
        self.weight = weight
        # By number: a head may have a name that a buffer must not have.
        for number, (probabilities, allowed) in enumerate(heads.values()):
            self.register_buffer(f"probabilities_{number}", probabilities, persistent=False)
            self.register_buffer(f"allowed_{number}", allowed, persistent=False)

    def forward(self, indices: Tensor) -> dict[str, SoftTarget]:
        """Selects the soft labels of a batch.

        Args:
            indices: (batch,) indices of the photos in the dataset.

        Returns:
            Head name to its targets.
        """
        return {
            head: SoftTarget(
                self.get_buffer(f"probabilities_{number}")[indices], self.get_buffer(f"allowed_{number}"), self.weight
            )
            for number, head in enumerate(self.heads)
        }


def soft_cross_entropy(logits: Tensor, probabilities: Tensor, allowed: Tensor) -> Tensor:
    """Computes the cross-entropy of predictions to distributions over groups of outputs.

    Args:
        logits: (batch, outputs), any floating-point type.
        probabilities: (batch, groups).
        allowed: (groups, outputs), bool; each group has at least one output. Groups may overlap.

    Returns:
        Losses, (batch,), float32; 0 where a row of `probabilities` is 0.
    """
    log_probs = torch.log_softmax(logits.float(), dim=1)
    # (batch, groups, outputs): a network has few outputs, and a product of probabilities would lose small ones.
    groups = log_probs[:, None, :].masked_fill(~allowed, float("-inf")).logsumexp(dim=2)
    return -(probabilities * groups).sum(dim=1)
