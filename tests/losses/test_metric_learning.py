"""Losses on features: the same as slow loops, silent on photos of unknown class, and years in years."""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import numpy as np
import pytest
import torch

from maskfit.errors import RecipeError
from maskfit.losses import AGE_REGRESSION_LOSSES, METRIC_LOSSES
from maskfit.registry import ComponentSpec, instantiate

CLASSES = [0, 0, 1, 1, 1, 2, 2, -1]
NAMES = [name for name in METRIC_LOSSES if name != "none"]


def make(name: str, **options: object) -> torch.nn.Module:
    torch.manual_seed(0)
    return instantiate(METRIC_LOSSES, ComponentSpec.create(name, **options), features=5, classes=3)


def draw() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(8, 5, generator=torch.Generator().manual_seed(1)), torch.tensor(CLASSES)


def normed(features: torch.Tensor) -> np.ndarray:
    return torch.nn.functional.normalize(features[:7].double(), dim=1).numpy()


# The loops, over the seven photos of known class


def triplet(features, loss) -> float:
    rows = normed(features)
    triplets = [
        (a, p, n)
        for a, p, n in itertools.product(range(7), repeat=3)
        if a != p and CLASSES[a] == CLASSES[p] != CLASSES[n]
    ]
    found = [np.linalg.norm(rows[a] - rows[p]) - np.linalg.norm(rows[a] - rows[n]) + 0.05 for a, p, n in triplets]
    broken = [value for value in found if value > 0]
    return sum(broken) / len(broken)


def supcon(features, loss) -> float:
    similar = normed(features) @ normed(features).T / 0.1
    losses = []
    for a in range(7):
        total = sum(math.exp(similar[a, b]) for b in range(7) if b != a)
        friends = [b for b in range(7) if b != a and CLASSES[b] == CLASSES[a]]
        losses.append(-sum(math.log(math.exp(similar[a, b]) / total) for b in friends) / len(friends))
    return sum(losses) / 7


def arcface(features, loss) -> float:
    centers = torch.nn.functional.normalize(loss.loss.W.detach().double(), dim=0).numpy()
    losses = []
    for row, own in zip(normed(features), CLASSES, strict=False):
        logits = []
        for number in range(3):
            angle = math.acos(row @ centers[:, number])
            logits.append(64 * math.cos(angle + math.radians(28.6) * (number == own)))
        losses.append(math.log(sum(math.exp(value - logits[own]) for value in logits)))
    return sum(losses) / 7


def multi_similarity(features, loss) -> float:
    similar = normed(features) @ normed(features).T
    losses = []
    for a in range(7):
        friends = sum(math.exp(-2 * (similar[a, b] - 0.5)) for b in range(7) if b != a and CLASSES[a] == CLASSES[b])
        others = sum(math.exp(50 * (similar[a, b] - 0.5)) for b in range(7) if CLASSES[a] != CLASSES[b])
        losses.append(math.log(1 + friends) / 2 + math.log(1 + others) / 50)
    return sum(losses) / 7


LOOPS = {"triplet": triplet, "supcon": supcon, "arcface": arcface, "multi_similarity": multi_similarity}


@pytest.mark.parametrize("name", NAMES)
def test_it_equals_its_loop_by_its_share(name):
    features, classes = draw()
    loss = make(name, weight=0.25)
    assert loss(features, classes).item() == pytest.approx(0.25 * LOOPS[name](features, loss), rel=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_features_of_one_class_are_drawn_together(name):
    features, classes = draw()
    loss = make(name, weight=1.0)
    centers = torch.eye(5)[[0, 0, 1, 1, 1, 2, 2, 3]]
    if name == "arcface":
        with torch.no_grad():
            loss.loss.W.copy_(torch.eye(5)[:, :3])
    assert loss(centers, classes) < loss(features, classes)
    features.requires_grad_()
    loss(features, classes).backward()
    assert features.grad.isfinite().all()
    assert (features.grad[-1] == 0).all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("known", [0, 1])
def test_batches_with_nothing_to_compare_cost_a_finite_number(name, known):
    features = torch.randn(4, 5, requires_grad=True)
    loss = make(name)(features, torch.tensor([0] * known + [-1] * (4 - known)))
    loss.backward()
    assert loss.isfinite()
    assert features.grad.isfinite().all()
    if not known:
        assert loss == 0


@pytest.mark.parametrize("name", NAMES)
def test_half_precision_is_not_felt(name):
    features, classes = draw()
    loss = make(name)
    expected = loss(features.bfloat16().float(), classes)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = loss(features.bfloat16(), classes)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("triplet", {"weight": 0}),
        ("triplet", {"margin": 0}),
        ("supcon", {"temperature": 0}),
        ("arcface", {"margin": 91}),
        ("arcface", {"scale": 0}),
        ("multi_similarity", {"alpha": 0}),
        ("supcon", {"color": 1}),
        ("tripel", {}),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused(name, options):
    with pytest.raises(RecipeError, match=next(iter(options), "did you mean 'triplet'")):
        make(name, **options)


# Years


class Mixed(NamedTuple):
    permutation: torch.Tensor
    lam: torch.Tensor


FOUND, YEARS = torch.tensor([30.0, 41.0, 60.5, 25.0]), torch.tensor([28.0, float("nan"), 60.0, 31.0])


def slow_years(name: str, found: list[float], years: list[float], mixed: Mixed | None) -> float:
    def distance(a: float, b: float) -> float:
        d = abs(a - b)
        return d * d if name == "mse" else (d * d / 2 if d < 1 else d - 0.5)

    total = count = 0.0
    for row, value in enumerate(found):
        sides = (
            [(row, 1.0)]
            if mixed is None
            else [(row, float(mixed.lam[row])), (int(mixed.permutation[row]), 1 - float(mixed.lam[row]))]
        )
        for index, fraction in sides:
            if not math.isnan(years[index]):
                total += fraction * distance(value, years[index])
                count += fraction
    return total / count


@pytest.mark.parametrize("name", ["mse", "smooth_l1"])
@pytest.mark.parametrize("mixed", [None, Mixed(torch.tensor([3, 0, 1, 2]), torch.tensor([1.0, 0.25, 0.5, 0.75]))])
def test_years_equal_their_loop_and_unknown_ones_count_nothing(name, mixed):
    found = FOUND.clone().requires_grad_()
    loss = instantiate(AGE_REGRESSION_LOSSES, ComponentSpec.create(name, weight=0.5))(found, YEARS, mixed)
    assert loss.item() == pytest.approx(0.5 * slow_years(name, FOUND.tolist(), YEARS.tolist(), mixed), rel=1e-5)
    loss.backward()
    assert found.grad.isfinite().all()
    assert (found.grad[1] == 0) == (mixed is None)


@pytest.mark.parametrize("name", ["mse", "smooth_l1"])
def test_a_batch_without_years_costs_nothing(name):
    found = FOUND.clone().requires_grad_()
    loss = instantiate(AGE_REGRESSION_LOSSES, ComponentSpec.create(name))(found, torch.full((4,), float("nan")))
    loss.backward()
    assert loss == 0
    assert (found.grad == 0).all()


def test_the_shares_of_years_are_the_seeds_and_refused_at_zero():
    assert instantiate(AGE_REGRESSION_LOSSES, ComponentSpec.create("mse")).weight == 0.001
    for part in (ComponentSpec.create("mse", weight=0), ComponentSpec.create("smooth_l1", beta=0)):
        with pytest.raises(RecipeError, match="must be > 0"):
            instantiate(AGE_REGRESSION_LOSSES, part)
    assert instantiate(AGE_REGRESSION_LOSSES, ComponentSpec.create("none")) is None
