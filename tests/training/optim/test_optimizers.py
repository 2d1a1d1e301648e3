"""Every optimizer learns, keeps to its options, and goes on after a resume as if nothing had happened."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from maskfit.errors import RecipeError
from maskfit.registry import ComponentSpec, instantiate
from maskfit.training.optim import OPTIMIZERS
from maskfit.training.optim.optimizers import SAM, sgd

RATES = {"lion": 0.01, "adam": 0.03, "adamw": 0.03, "adamp": 0.03, "radam": 0.1, "madgrad": 0.03, "sam": 0.03}


def problem() -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
    photos = torch.randn(32, 4)
    return network, photos, photos[:, :3].argmax(dim=1)


def steps(
    network: nn.Module, optimiser: torch.optim.Optimizer, photos: torch.Tensor, targets: torch.Tensor, count: int
) -> float:
    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = nn.functional.cross_entropy(network(photos), targets)
        loss.backward()
        return loss

    for _ in range(count):
        loss = optimiser.step(closure)
    return float(loss.detach())


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_it_learns(name: str) -> None:
    network, photos, targets = problem()
    optimiser = instantiate(OPTIMIZERS, ComponentSpec.create(name, lr=RATES.get(name, 0.1)), network=network)
    first = steps(network, optimiser, photos, targets, 1)
    assert steps(network, optimiser, photos, targets, 80) < 0.5 * first


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_its_state_goes_through_a_file(name: str) -> None:
    network, photos, targets = problem()
    optimiser = instantiate(OPTIMIZERS, ComponentSpec.create(name), network=network)
    steps(network, optimiser, photos, targets, 3)
    other = copy.deepcopy(network)
    resumed = instantiate(OPTIMIZERS, ComponentSpec.create(name), network=other)
    resumed.load_state_dict(copy.deepcopy(optimiser.state_dict()))
    steps(network, optimiser, photos, targets, 3)
    steps(other, resumed, photos, targets, 3)
    for ours, theirs in zip(network.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_decay_spares_biases_and_norms(name: str) -> None:
    network, _, _ = problem()
    optimiser = instantiate(OPTIMIZERS, ComponentSpec.create(name, weight_decay=0.5), network=network)
    decay = {id(item): group["weight_decay"] for group in optimiser.param_groups for item in group["params"]}
    assert {decay[id(item)] for item in network.parameters() if item.ndim > 1} == {0.5}
    assert {decay[id(item)] for item in network.parameters() if item.ndim == 1} == {0.0}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_unknown_options_are_refused(name: str) -> None:
    with pytest.raises(RecipeError, match="no option 'lrr'"):
        instantiate(OPTIMIZERS, ComponentSpec.create(name, lrr=1.0), network=problem()[0])


def test_sam_steps_with_the_gradient_at_the_worst_point_nearby() -> None:
    """On a quadratic the worst point lies straight up the gradient, so the step is known."""
    weight = nn.Parameter(torch.tensor([3.0, 4.0]))
    holder = nn.ParameterList([weight])
    optimiser = SAM(sgd(holder, lr=0.1), rho=0.5)

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = 0.5 * weight.square().sum()
        loss.backward()
        return loss

    loss = optimiser.step(closure)
    worst = torch.tensor([3.0, 4.0]) * (1 + 0.5 / 5)
    torch.testing.assert_close(weight.detach(), torch.tensor([3.0, 4.0]) - 0.1 * worst)
    assert float(loss.detach()) == pytest.approx(12.5)
