"""One contract for every loss in the table, and the criterion that adds them up. The slow loops stand beside."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from maskfit.errors import RecipeError
from maskfit.labels.schema import JOINT_HEAD, LABEL_SCHEMAS
from maskfit.losses import LOSSES
from maskfit.losses.class_weights import CLASS_WEIGHTS, class_weights
from maskfit.losses.cross_entropy import CrossEntropy
from maskfit.losses.multi_head_loss import HeadLoss, MultiHeadLoss
from maskfit.registry import ComponentSpec, instantiate

SIZES = (2, 3, 18)
COUNTS = (2745, 2050, 415, 3660, 4085, 545, 549, 410, 83, 732, 817, 109, 549, 410, 83, 732, 817, 109)
"""The competition's images of each class."""


def make(name: str, classes: int, **options: object) -> torch.nn.Module:
    counts = torch.tensor(COUNTS[:classes], dtype=torch.float64)
    return instantiate(LOSSES, ComponentSpec.create(name, **options), counts=counts)


def draw(classes: int, batch: int = 12, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits, and allowed classes: of each photo one, several, or (the last) all."""
    random = np.random.default_rng(seed)
    logits = torch.tensor(random.normal(size=(batch, classes)) * 2, dtype=torch.float32)
    allowed = np.zeros((batch, classes), bool)
    for row in range(batch):
        allowed[row, random.choice(classes, 1 if row < 8 else max(1, classes // 2), replace=False)] = True
    allowed[-1] = True
    return logits, torch.tensor(allowed)


OF_THE_BATCH = ("soft_macro_f1", "ce_f1")
"""Losses that are a property of the whole batch, at least in part."""

contract = pytest.mark.parametrize(("name", "classes"), [(name, classes) for name in LOSSES for classes in SIZES])
of_the_photo = pytest.mark.parametrize(
    ("name", "classes"), [(name, classes) for name in LOSSES if name not in OF_THE_BATCH for classes in SIZES]
)


@contract
def test_a_loss_is_one_finite_number_a_photo_with_finite_gradients(name, classes):
    logits, allowed = draw(classes)
    logits.requires_grad_()
    loss = make(name, classes)(logits, allowed)
    assert loss.shape == (12,)
    assert loss.dtype == torch.float32
    assert loss.isfinite().all()
    loss.sum().backward()
    assert logits.grad.isfinite().all()
    # Every photo of which something is known is pushed somewhere.
    assert (logits.grad[:-1].abs().sum(dim=1) > 0).all()


@contract
def test_an_unknown_photo_has_no_loss_and_no_gradient(name, classes):
    logits, allowed = draw(classes)
    logits.requires_grad_()
    loss = make(name, classes)(logits, allowed)
    assert loss[-1] == 0
    loss.sum().backward()
    assert (logits.grad[-1] == 0).all()


@of_the_photo
def test_a_photos_loss_does_not_depend_on_the_others(name, classes):
    logits, allowed = draw(classes)
    loss = make(name, classes)
    together = loss(logits, allowed)
    alone = torch.cat([loss(logits[row : row + 1], allowed[row : row + 1]) for row in range(12)])
    torch.testing.assert_close(together, alone)


@contract
def test_extreme_logits_stay_finite(name, classes):
    logits = torch.full((2, classes), -1e4)
    logits[0, 0], logits[1, 1] = 1e4, 1e4
    logits.requires_grad_()
    allowed = torch.zeros(2, classes, dtype=torch.bool)
    allowed[:, 0] = True
    loss = make(name, classes)(logits, allowed)
    assert loss.isfinite().all()
    loss.sum().backward()
    assert logits.grad.isfinite().all()


@contract
@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_half_precision_logits_give_the_same_loss(name, classes, kind):
    logits, allowed = draw(classes)
    loss = make(name, classes, class_weights="inverse")
    expected = loss(logits.to(kind).float(), allowed)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = loss(logits.to(kind), allowed)
    assert found.dtype == torch.float32
    # Only the logits are rounded; no weight and no sum is.
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


@contract
def test_right_answers_cost_less_than_guesses_and_learning_finds_them(name, classes):
    allowed = torch.eye(classes, dtype=torch.bool)
    # No surer than a loss that smooths can like.
    right = torch.eye(classes) * 3
    loss = make(name, classes)
    guess, good, bad = (loss(logits, allowed).mean() for logits in (torch.zeros(classes, classes), right, -right))
    assert good < guess < bad
    logits = torch.zeros(classes, classes, requires_grad=True)
    for _ in range(60):
        (gradient,) = torch.autograd.grad(loss(logits, allowed).sum(), logits)
        logits = (logits - gradient).detach().requires_grad_()
    # All classes are learned, the eighteenth as well as the first.
    assert (logits.argmax(dim=1) == torch.arange(classes)).all()


@of_the_photo
def test_class_weights_are_honoured(name, classes):
    weights = [float(1 + index) for index in range(classes)]
    counts = torch.tensor(COUNTS[:classes], dtype=torch.float64)
    mean = sum(weight * count for weight, count in zip(weights, COUNTS, strict=False)) / float(counts.sum())
    allowed = torch.eye(classes, dtype=torch.bool)
    logits, _ = draw(classes, batch=classes)
    plain, weighted = make(name, classes)(logits, allowed), make(name, classes, class_weights=weights)(logits, allowed)
    torch.testing.assert_close(weighted, plain * torch.tensor(weights) / mean)


@contract
def test_no_loss_takes_options_that_it_does_not_know(name, classes):
    with pytest.raises(RecipeError, match="has no option 'color'"):
        make(name, classes, color=1)
    with pytest.raises(RecipeError, match="class_weights"):
        make(name, classes, class_weights=[1.0] * (classes + 1))


# Cross-entropy


def slow_cross_entropy(logits, allowed, weights, smoothing) -> list[float]:
    losses = []
    for row, fits in zip(logits.tolist(), allowed.tolist(), strict=True):
        if all(fits):
            losses.append(0.0)
            continue
        total = sum(math.exp(value) for value in row)
        fractions = [math.exp(value) / total for value in row]
        loss = -math.log(sum(fraction for fraction, fit in zip(fractions, fits, strict=True) if fit))
        even = -sum(math.log(fraction) for fraction in fractions) / len(fractions)
        weight = sum(value for value, fit in zip(weights, fits, strict=True) if fit) / sum(fits)
        losses.append(((1 - smoothing) * loss + smoothing * even) * weight)
    return losses


@pytest.mark.parametrize("classes", SIZES)
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("kind", ["none", "inverse"])
def test_cross_entropy_equals_a_slow_loop_also_for_partial_labels(classes, smoothing, kind):
    logits, allowed = draw(classes)
    counts = torch.tensor(COUNTS[:classes], dtype=torch.float64)
    weights = class_weights(kind, counts).tolist()
    found = CrossEntropy(counts, smoothing, kind)(logits, allowed)
    np.testing.assert_allclose(found, slow_cross_entropy(logits, allowed, weights, smoothing), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("classes", SIZES)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_is_torchs_for_ordinary_labels(classes, smoothing):
    logits, _ = draw(classes)
    target = torch.arange(12) % classes
    found = CrossEntropy(torch.ones(classes), smoothing)(logits, F.one_hot(target, classes).bool())
    expected = F.cross_entropy(logits, target, label_smoothing=smoothing, reduction="none")
    torch.testing.assert_close(found, expected)


def test_a_partial_label_has_the_likelihood_of_what_is_known():
    """A photo with only a mask state, under a joint head: the mask's marginal probability."""
    scheme = LABEL_SCHEMAS["mask-gender-age"]
    logits, _ = draw(18, batch=3)
    allowed = scheme.allowed_mask_from_indices(
        scheme.encode_batch([{"mask": "incorrect"}, {"age": 61}, {}]), JOINT_HEAD
    )
    found = CrossEntropy(torch.ones(18))(logits, torch.tensor(allowed))
    marginals = scheme.marginals(torch.softmax(logits.double(), 1).numpy())
    expected = [-math.log(marginals["mask"][0, 1]), -math.log(marginals["age"][1, 2]), 0]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("smoothing", [-0.1, 1.0, float("nan")])
def test_smoothing_out_of_range_is_refused(smoothing):
    with pytest.raises(RecipeError, match="smoothing"):
        make("cross_entropy", 3, smoothing=smoothing)


def test_losses_take_logits_not_probabilities():
    """Cross-entropy on a softmax was an error of a source project: with three classes its loss stays above 0.55."""
    logits, allowed = 20 * torch.eye(3), torch.eye(3, dtype=torch.bool)
    assert make("cross_entropy", 3)(logits, allowed).max() < 1e-6
    assert make("cross_entropy", 3)(torch.softmax(logits, dim=1), allowed).min() > 0.5


# Class weights


@pytest.mark.parametrize("kind", list(CLASS_WEIGHTS))
@pytest.mark.parametrize("counts", [COUNTS, (5, 0, 1), (7, 0, 0), (0, 0, 0), (0.5, 2.5, 1)])
def test_weights_are_positive_where_photos_are_and_their_mean_over_photos_is_one(kind, counts):
    counts = torch.tensor(counts, dtype=torch.float64)
    weights = class_weights(kind, counts)
    assert weights.shape == counts.shape
    assert weights.isfinite().all()
    assert (weights >= 0).all()
    if counts.sum() > 0:
        assert float((weights * counts).sum() / counts.sum()) == pytest.approx(1, rel=1e-5)


def test_weights_are_what_their_names_say():
    counts = torch.tensor([100.0, 10.0, 1.0])
    ratio = {
        kind: (weights / weights[0]).tolist() for kind in CLASS_WEIGHTS for weights in [class_weights(kind, counts)]
    }
    assert ratio["none"] == [1, 1, 1]
    assert ratio["inverse"] == pytest.approx([1, 10, 100])
    assert ratio["one_minus_frequency"] == pytest.approx([1, (101 / 111) / (11 / 111), (110 / 111) / (11 / 111)])
    effective = [(1 - 0.9999) / (1 - 0.9999**count) for count in (100, 10, 1)]
    assert ratio["effective"] == pytest.approx([value / effective[0] for value in effective])


def test_weights_without_scaling_are_the_numbers_themselves():
    counts = torch.tensor([100.0, 10.0, 1.0])
    assert class_weights([1.4, 7, 7], counts, normalize=False).tolist() == pytest.approx([1.4, 7, 7])
    assert class_weights("inverse", counts, normalize=False).tolist() == pytest.approx([0.01, 0.1, 1])
    logits, allowed = draw(3)
    for name in ("cross_entropy", "focal", "ldam", "symmetric_cross_entropy"):
        loss = LOSSES[name](counts=counts, class_weights=[1.4, 7, 7], normalize=False)
        scaled = LOSSES[name](counts=counts, class_weights=[1.4, 7, 7])
        # The mean over the photos of the weights themselves.
        mean = (140 + 70 + 7) / 111
        torch.testing.assert_close(loss(logits, allowed), mean * scaled(logits, allowed))


@pytest.mark.parametrize(
    "kind", ["invers", [1.0, 2.0], [1.0, 2.0, 0.0], [1.0, 2.0, float("nan")], [1, 2, float("inf")]]
)
def test_wrong_weights_are_refused(kind):
    with pytest.raises(RecipeError, match="class_weights"):
        class_weights(kind, torch.ones(3))


# Criterion


def test_the_criterion_is_the_weighted_mean_of_means_over_what_is_known():
    heads = {"mask": 3, "gender": 2}
    logits = {name: torch.randn(6, size, generator=torch.Generator().manual_seed(1)) for name, size in heads.items()}
    allowed = {"mask": torch.zeros(6, 3, dtype=torch.bool), "gender": torch.ones(6, 2, dtype=torch.bool)}
    allowed["mask"][:, 1] = True
    allowed["gender"][:2, 0] = False
    losses = {name: CrossEntropy(torch.ones(size)) for name, size in heads.items()}
    criterion = MultiHeadLoss({"mask": HeadLoss(losses["mask"], 3.0), "gender": HeadLoss(losses["gender"], 1.0)})
    found = criterion(logits, allowed)
    mask = F.cross_entropy(logits["mask"], torch.full((6,), 1))
    # The mean is over the two photos whose gender is known, not over six.
    gender = F.cross_entropy(logits["gender"][:2], torch.ones(2, dtype=torch.long))
    torch.testing.assert_close(found["mask"], mask)
    torch.testing.assert_close(found["gender"], gender)
    torch.testing.assert_close(found["loss"], 0.75 * mask + 0.25 * gender)


class Mixed(NamedTuple):
    """Stands in for a MixedBatch."""

    permutation: torch.Tensor
    lam: torch.Tensor


@pytest.mark.parametrize("name", LOSSES)
def test_a_mixed_photo_has_both_labels_by_their_shares(name):
    logits, allowed = draw(3)
    mixed = Mixed(torch.tensor([*range(1, 12), 0]), torch.linspace(0, 1, 12))
    loss = make(name, 3)
    found = MultiHeadLoss({"a": HeadLoss(loss, 1.0)})({"a": logits}, {"a": allowed}, mixed)["loss"]
    own, other = loss(logits, allowed).tolist(), loss(logits, allowed[mixed.permutation]).tolist()
    known = [0.0 if all(row) else 1.0 for row in allowed.tolist()]
    total = count = 0.0
    for row, (partner, fraction) in enumerate(zip(mixed.permutation.tolist(), mixed.lam.tolist(), strict=True)):
        total += fraction * own[row] + (1 - fraction) * other[row]
        count += fraction * known[row] + (1 - fraction) * known[partner]
    assert found.item() == pytest.approx(total / count, rel=1e-5)


def test_losses_are_told_of_the_epoch_where_they_ask():
    calls = []
    loss = make("ldam", 3, class_weights="effective", deferred=0.5)
    loss.begin_epoch = lambda epoch, epochs: calls.append((epoch, epochs))
    criterion = MultiHeadLoss({"a": HeadLoss(make("focal", 3), 1.0), "b": HeadLoss(loss, 1.0)})
    criterion.begin_epoch(3, 10)
    assert calls == [(3, 10)]


def test_a_head_that_no_photo_knows_costs_nothing():
    criterion = MultiHeadLoss({name: HeadLoss(CrossEntropy(torch.ones(2)), 1.0) for name in ("a", "b")})
    logits = {name: torch.zeros(2, 2, requires_grad=True) for name in ("a", "b")}
    allowed = {"a": torch.eye(2, dtype=torch.bool), "b": torch.ones(2, 2, dtype=torch.bool)}
    found = criterion(logits, allowed)
    assert found["b"] == 0
    assert found["loss"].item() == pytest.approx(math.log(2) / 2)
    found["loss"].backward()
    assert (logits["b"].grad == 0).all()


def test_shares_count_by_their_ratio_and_one_must_be_above_zero():
    loss = CrossEntropy(torch.ones(2))
    logits, allowed = {"a": torch.zeros(1, 2), "b": torch.ones(1, 2)}, {name: torch.eye(2)[:1].bool() for name in "ab"}
    small, large = (
        MultiHeadLoss({"a": HeadLoss(loss, 0.375 * factor), "b": HeadLoss(loss, 0.25 * factor)})(logits, allowed)[
            "loss"
        ]
        for factor in (1, 100)
    )
    torch.testing.assert_close(small, large)
    with pytest.raises(ValueError, match="weight > 0"):
        MultiHeadLoss({"a": HeadLoss(loss, 0.0)})
