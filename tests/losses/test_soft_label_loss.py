"""Soft labels in the loss, against slow loops over the photos."""

from __future__ import annotations

import math

import pytest
import torch

from maskfit.losses.cross_entropy import CrossEntropy
from maskfit.losses.multi_head_loss import HeadLoss, MultiHeadLoss
from maskfit.losses.soft_labels import SoftLabels, SoftTarget, soft_cross_entropy
from maskfit.training.augment.batch_mixing import MixedBatch

LOGITS = torch.tensor([[1.0, 0.0, -1.0, 2.0], [0.5, 0.5, 3.0, 0.0], [0.0, 1.0, 2.0, -3.0], [-1.0, 0.0, 0.0, 4.0]])
ALLOWED = torch.tensor([[1, 0, 0, 0], [1, 1, 1, 1], [0, 0, 1, 0], [1, 1, 1, 1]], dtype=torch.bool)
GROUPS = torch.tensor([[1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], dtype=torch.bool)
PROBABILITIES = torch.tensor([[0.2, 0.3, 0.5], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
"""Both labels; the soft one alone; the label alone; neither."""


def slow_soft(row: int) -> float:
    odds = [math.exp(value) for value in LOGITS[row].tolist()]
    probs = [value / sum(odds) for value in odds]
    loss: float = -sum(
        weight * math.log(sum(prob for prob, own in zip(probs, group, strict=True) if own))
        for weight, group in zip(PROBABILITIES[row].tolist(), GROUPS.tolist(), strict=True)
        if weight
    )
    return loss


def slow_hard(row: int) -> float:
    odds: list[float] = [math.exp(value) for value in LOGITS[row].tolist()]
    return -math.log(sum(odd for odd, own in zip(odds, ALLOWED[row].tolist(), strict=True) if own) / sum(odds))


def criterion() -> MultiHeadLoss:
    return MultiHeadLoss({"age": HeadLoss(CrossEntropy(torch.ones(4)), 1.0)})


def test_the_cross_entropy_of_groups() -> None:
    values = soft_cross_entropy(LOGITS, PROBABILITIES, GROUPS)
    assert values.tolist() == pytest.approx([slow_soft(row) for row in range(4)], rel=1e-5)


def test_groups_of_one_output_are_torchs_cross_entropy() -> None:
    targets = torch.tensor([[0.1, 0.2, 0.3, 0.4]]).expand(4, 4)
    own = soft_cross_entropy(LOGITS, targets, torch.eye(4, dtype=torch.bool))
    assert own.tolist() == pytest.approx(
        torch.nn.functional.cross_entropy(LOGITS, targets, reduction="none").tolist(), rel=1e-5
    )


@pytest.mark.parametrize("weight", [0.25, 1.0])
def test_label_and_soft_label_share_a_photo(weight: float) -> None:
    soft = SoftLabels({"age": (PROBABILITIES, GROUPS)}, weight)(torch.arange(4))
    parts = criterion()({"age": LOGITS}, {"age": ALLOWED}, None, soft)
    expected = [(1 - weight) * slow_hard(0) + weight * slow_soft(0), slow_soft(1), slow_hard(2)]
    assert parts["loss"].item() == pytest.approx(sum(expected) / 3, rel=1e-5)


def test_a_head_without_soft_labels_is_as_before() -> None:
    hard = criterion()({"age": LOGITS}, {"age": ALLOWED})
    other = SoftLabels({"mask": (PROBABILITIES, GROUPS)}, 0.5)(torch.arange(4))
    assert torch.equal(criterion()({"age": LOGITS}, {"age": ALLOWED}, None, other)["loss"], hard["loss"])


def test_mixed_photos_mix_their_soft_labels() -> None:
    permutation, lam = torch.tensor([1, 0, 3, 2]), torch.tensor([0.7, 0.6, 0.9, 0.5])
    mixed = MixedBatch(torch.zeros(4, 3, 2, 2), permutation, lam)
    soft = {"age": SoftTarget(PROBABILITIES, GROUPS, 0.5)}
    found = criterion()({"age": LOGITS}, {"age": ALLOWED}, mixed, soft)["loss"].item()

    def loss(row: int, target: int) -> float:
        """Loss of one photo to another's labels, of which the last photo has none."""
        hard = CrossEntropy(torch.ones(4))(LOGITS[row : row + 1], ALLOWED[target : target + 1]).item()
        soft = soft_cross_entropy(LOGITS[row : row + 1], PROBABILITIES[target : target + 1], GROUPS).item()
        return float((hard + soft) / 2 if target == 0 else hard + soft)

    total = count = 0.0
    for row, (other, share) in enumerate(zip(permutation.tolist(), lam.tolist(), strict=True)):
        for target, weight in ((row, share), (other, 1 - share)):
            total += weight * loss(row, target)
            count += weight * (target != 3)
    assert found == pytest.approx(total / count, rel=1e-5)


def test_the_gradient_is_finite_where_a_prediction_is_certain_and_wrong() -> None:
    logits = torch.tensor([[200.0, 0.0, 0.0, 0.0]], requires_grad=True)
    torch.autograd.backward(soft_cross_entropy(logits, torch.tensor([[0.0, 0.0, 1.0]]), GROUPS).sum())
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("weight", [0.0, 1.5, float("nan")])
def test_a_weight_is_a_share(weight: float) -> None:
    with pytest.raises(ValueError, match="weight of soft labels"):
        SoftLabels({}, weight)
