"""Every loss recomputed by plain Python loops, photo by photo and class by class, also for labels known in part."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from maskfit.errors import RecipeError
from maskfit.losses import LOSSES
from maskfit.losses.class_weights import class_weights
from maskfit.registry import ComponentSpec, instantiate

COUNTS = (2745, 2050, 415, 3660, 4085, 545, 549, 410, 83, 732, 817, 109, 549, 410, 83, 732, 817, 109)
Row, Fits = list[float], list[bool]


def make(name: str, classes: int, **options: object) -> torch.nn.Module:
    return instantiate(
        LOSSES, ComponentSpec.create(name, **options), counts=torch.tensor(COUNTS[:classes], dtype=torch.float64)
    )


def draw(classes: int, batch: int = 12) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits, and allowed classes: of each photo one, several, or (the last) all."""
    random = np.random.default_rng(classes)
    allowed = np.zeros((batch, classes), bool)
    for row in range(batch):
        allowed[row, random.choice(classes, 1 if row < 6 else max(1, classes // 2), replace=False)] = True
    allowed[-1] = True
    return torch.tensor(random.normal(size=(batch, classes)) * 2, dtype=torch.float32), torch.tensor(allowed)


def softmax(row: Row) -> Row:
    total = sum(math.exp(value) for value in row)
    return [math.exp(value) / total for value in row]


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def inside(row: Row, fits: Fits) -> float:
    return sum(value for value, fit in zip(row, fits, strict=True) if fit)


# The loops


def focal(row: Row, fits: Fits, gamma: float = 2, smoothing: float = 0) -> float:
    def of(p: float) -> float:
        return -((1 - p) ** gamma) * math.log(p)

    shares = softmax(row)
    return (1 - smoothing) * of(inside(shares, fits)) + smoothing * sum(map(of, shares)) / len(row)


def ldam(row: Row, fits: Fits, margin: float = 0.5, scale: float = 1) -> float:
    margins = [count**-0.25 for count in COUNTS[: len(row)]]
    factor = margin / max(margins)
    moved = [
        scale * (value - factor * own if fit else value) for value, own, fit in zip(row, margins, fits, strict=True)
    ]
    return -math.log(inside(softmax(moved), fits))


def symmetric(row: Row, fits: Fits, alpha: float = 0.1, beta: float = 1, log_zero: float = -4) -> float:
    shares = softmax(row)
    reverse = -sum(fraction * (0 if fit else log_zero) for fraction, fit in zip(shares, fits, strict=True))
    return -alpha * math.log(inside(shares, fits)) + beta * reverse


def binary(row: Row, fits: Fits) -> float:
    none = 1.0
    loss = 0.0
    for value, fit in zip(row, fits, strict=True):
        if fit:
            none *= 1 - sigmoid(value)
        else:
            loss -= math.log(1 - sigmoid(value))
    return (loss - math.log(1 - none)) / len(row)


def apart(row: Row, fits: Fits) -> Row:
    shares = softmax(row)
    return [1 - inside(shares, fits), *(fraction for fraction, fit in zip(shares, fits, strict=True) if not fit)]


def brier(row: Row, fits: Fits) -> float:
    return sum(d * d for d in apart(row, fits))


def smooth_l1(row: Row, fits: Fits, beta: float = 1) -> float:
    return sum(d * d / (2 * beta) if d < beta else d - beta / 2 for d in apart(row, fits))


def neighbours(row: Row, fits: Fits, spread: float = 0.5) -> float:
    shares = softmax(row)
    loss = 0.0
    for right, fit in enumerate(fits):
        if fit:
            near = [math.exp(-((index - right) ** 2) / (2 * spread**2)) for index in range(len(row))]
            cost = -sum(weight * math.log(fraction) for weight, fraction in zip(near, shares, strict=True)) / sum(near)
            loss += cost * shares[right] / inside(shares, fits)
    return loss


LOOPS = {
    "focal": focal,
    "ldam": ldam,
    "symmetric_cross_entropy": symmetric,
    "ordinal_smoothing": neighbours,
    "bce": binary,
    "brier": brier,
    "smooth_l1": smooth_l1,
}

CASES = [
    ("focal", {}),
    ("focal", {"gamma": 0.5}),
    ("focal", {"gamma": 3, "smoothing": 0.2}),
    ("ldam", {}),
    ("ldam", {"margin": 1.0, "scale": 3.0}),
    ("symmetric_cross_entropy", {}),
    ("symmetric_cross_entropy", {"alpha": 1, "beta": 0.2, "log_zero": -9}),
    ("ordinal_smoothing", {}),
    ("ordinal_smoothing", {"spread": 1.0}),
    ("ordinal_smoothing", {"spread": 5}),
    ("bce", {}),
    ("brier", {}),
    ("smooth_l1", {}),
    ("smooth_l1", {"beta": 0.1}),
]


@pytest.mark.parametrize("classes", [2, 3, 18])
@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
@pytest.mark.parametrize("kind", ["none", "inverse"])
def test_a_loss_of_the_photo_equals_its_loop(name, options, classes, kind):
    logits, allowed = draw(classes)
    weights = class_weights(kind, torch.tensor(COUNTS[:classes])).tolist()
    expected = [
        0.0 if all(fits) else LOOPS[name](row, fits, **options) * inside(weights, fits) / sum(fits)
        for row, fits in zip(logits.tolist(), allowed.tolist(), strict=True)
    ]
    found = make(name, classes, class_weights=kind, **options)(logits, allowed)
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-6)


def slow_f1(logits: torch.Tensor, allowed: torch.Tensor, weights: Row) -> float:
    """1 - macro F1 in shares, over the classes that are there."""
    classes = len(weights)
    hits, found, there = [0.0] * classes, [0.0] * classes, [0.0] * classes
    for row, fits in zip(logits.tolist(), allowed.tolist(), strict=True):
        if all(fits):
            continue
        shares = softmax(row)
        for number in range(classes):
            targets = shares[number] / inside(shares, fits) if fits[number] else 0.0
            hits[number] += shares[number] * targets
            found[number] += shares[number]
            there[number] += targets
    says = [weight * min(1.0, count) for weight, count in zip(weights, there, strict=True)]
    f1 = [2 * hit / (a + b) for hit, a, b in zip(hits, found, there, strict=True)]
    return 1 - sum(say * value for say, value in zip(says, f1, strict=True)) / sum(says)


@pytest.mark.parametrize("classes", [2, 3, 18])
@pytest.mark.parametrize("kind", ["none", "inverse"])
def test_macro_f1_equals_its_loop_for_any_number_of_classes(classes, kind):
    logits, allowed = draw(classes, batch=30)
    weights = class_weights(kind, torch.tensor(COUNTS[:classes])).tolist()
    found = make("soft_macro_f1", classes, class_weights=kind)(logits, allowed)
    expected = slow_f1(logits, allowed, weights)
    np.testing.assert_allclose(found, [expected] * 29 + [0.0], rtol=1e-5)
    both = make("ce_f1", classes, class_weights=kind, f1_weight=0.3)(logits, allowed)
    plain = make("cross_entropy", classes, class_weights=kind)(logits, allowed)
    np.testing.assert_allclose(both[:-1], 0.7 * plain[:-1] + 0.3 * expected, rtol=1e-5)


def test_macro_f1_of_sure_answers_is_the_score_itself():
    sklearn = pytest.importorskip("sklearn.metrics")
    random = np.random.default_rng(0)
    targets, answers = random.integers(0, 18, 200), random.integers(0, 18, 200)
    answers[:120] = targets[:120]
    logits = 100 * F.one_hot(torch.tensor(answers), 18).float()
    found = make("soft_macro_f1", 18)(logits, F.one_hot(torch.tensor(targets), 18).bool())
    assert found[0].item() == pytest.approx(1 - sklearn.f1_score(targets, answers, average="macro"), abs=1e-5)


def test_macro_f1_is_of_the_batch_and_says_nothing_of_what_is_not_there():
    allowed = F.one_hot(torch.tensor([0, 0, 1]), 18).bool()
    loss = make("soft_macro_f1", 18)
    assert loss(100 * allowed.float(), allowed).max() < 1e-5
    logits = torch.zeros(3, 18, requires_grad=True)
    loss(logits, allowed).mean().backward()
    # Whatever no photo is goes down, and what it is goes up.
    assert (logits.grad[allowed] < 0).all()
    assert (logits.grad[:, 2:] > 0).all()


# Torch's own


def test_binary_and_smooth_l1_are_torchs_for_ordinary_labels():
    logits, _ = draw(18)
    target = F.one_hot(torch.arange(12) % 18, 18)
    binary = F.binary_cross_entropy_with_logits(logits, target.float(), reduction="none").mean(dim=1)
    torch.testing.assert_close(make("bce", 18)(logits, target.bool()), binary)
    shares = torch.softmax(logits, dim=1)
    huber = F.smooth_l1_loss(shares, target.float(), reduction="none", beta=0.2).sum(dim=1)
    torch.testing.assert_close(make("smooth_l1", 18, beta=0.2)(logits, target.bool()), huber)
    squares = F.mse_loss(shares, target.float(), reduction="none").sum(dim=1)
    torch.testing.assert_close(make("brier", 18)(logits, target.bool()), squares)


# What each is for


def test_focal_weighs_each_photo_by_itself_not_the_batch():
    """A seed raised the mean of the batch to the power: easy and hard photos then count alike."""
    logits = torch.tensor([[4.0, 0.0, 0.0], [-4.0, 0.0, 0.0]])
    allowed = torch.tensor([[True, False, False]] * 2)
    ordinary, focused = make("cross_entropy", 3)(logits, allowed), make("focal", 3, gamma=2)(logits, allowed)
    factors = focused / ordinary
    assert factors[0] < 0.01
    assert factors[1] > 0.95
    mean = ordinary.mean()
    on_the_mean = (1 - torch.exp(-mean)) ** 2 * mean
    assert abs(focused.mean() - on_the_mean) > 0.01
    torch.testing.assert_close(
        make("focal", 3, gamma=0, smoothing=0.1)(logits, allowed),
        make("cross_entropy", 3, smoothing=0.1)(logits, allowed),
    )


@pytest.mark.parametrize("gamma", [0, 0.3, 1, 2, 5])
def test_focal_has_finite_gradients_where_the_answer_is_certain(gamma):
    logits = torch.tensor([[200.0, 0.0, 0.0], [0.0, 200.0, 0.0]], requires_grad=True)
    make("focal", 3, gamma=gamma, smoothing=0.1)(logits, torch.tensor([[True, False, False]] * 2)).sum().backward()
    assert logits.grad.isfinite().all()


def test_seed_s4s_focal_weights_keep_their_ratios():
    weights = [2.8723, 3.9589, 4.5075, 14.0625, 14.0625, 28.4211]
    allowed = torch.eye(6, dtype=torch.bool)
    losses = make("focal", 6, class_weights=weights)(torch.zeros(6, 6), allowed)
    torch.testing.assert_close(losses / losses[0], torch.tensor(weights) / weights[0])


def test_ldam_defers_its_weights():
    logits, allowed = torch.zeros(3, 3), torch.eye(3, dtype=torch.bool)
    loss = make("ldam", 3, class_weights="inverse", deferred=0.8)
    first = loss(logits, allowed)
    torch.testing.assert_close(first, make("ldam", 3)(logits, allowed))
    weighted = make("ldam", 3, class_weights="inverse")(logits, allowed)
    for epoch, expected in ((7, first), (8, weighted), (9, weighted), (0, first)):
        loss.begin_epoch(epoch, 10)
        torch.testing.assert_close(loss(logits, allowed), expected)
    # The thinnest class has the widest margin.
    assert loss.margins.argmax() == 2
    assert loss.margins.max() == 0.5


def test_symmetric_pulls_less_at_a_wrong_label():
    logits = torch.tensor([[9.0, 0.0, 0.0]])
    wrong = torch.tensor([[False, True, False]])
    pulls = {}
    for name in ("cross_entropy", "symmetric_cross_entropy"):
        free = logits.clone().requires_grad_()
        make(name, 3)(free, wrong).sum().backward()
        pulls[name] = free.grad.norm().item()
    assert pulls["symmetric_cross_entropy"] < 0.2 * pulls["cross_entropy"]


def test_binary_of_several_allowed_classes_is_exact_far_below_zero():
    logits = torch.tensor([[-200.0, -200.0, 0.0]], requires_grad=True)
    loss = make("bce", 3)(logits, torch.tensor([[True, True, False]]))
    assert loss.item() == pytest.approx((200 - math.log(2) + math.log(2)) / 3, rel=1e-5)
    loss.sum().backward()
    torch.testing.assert_close(logits.grad[0] * 3, torch.tensor([-0.5, -0.5, 0.5]))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("focal", {"gamma": -1}),
        ("focal", {"smoothing": 1}),
        ("ldam", {"margin": 0}),
        ("ldam", {"scale": -1}),
        ("ldam", {"deferred": 1, "class_weights": "inverse"}),
        ("ldam", {"deferred": 0.8}),
        ("symmetric_cross_entropy", {"alpha": 0, "beta": 0}),
        ("symmetric_cross_entropy", {"beta": -1}),
        ("symmetric_cross_entropy", {"log_zero": 0}),
        ("smooth_l1", {"beta": 0}),
        ("ce_f1", {"f1_weight": 1.1}),
        ("ce_f1", {"smoothing": -1}),
    ],
    ids=str,
)
def test_options_out_of_range_are_refused(name, options):
    with pytest.raises(RecipeError, match=next(iter(options))):
        make(name, 3, **options)


def test_a_neighbour_costs_less_than_a_stranger():
    logits = 4 * torch.eye(6)
    costs = make("ordinal_smoothing", 6)(logits, torch.eye(6, dtype=torch.bool)[2].expand(6, 6))
    assert costs.argsort().tolist()[0] == 2
    assert costs[1] < costs[0]
    assert costs[3] < costs[4] < costs[5]


def test_a_spread_must_be_one():
    for spread in (0, -1, math.inf, math.nan):
        with pytest.raises(RecipeError, match="spread"):
            make("ordinal_smoothing", 3, spread=spread)
