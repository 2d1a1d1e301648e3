"""Which weights move when."""

from __future__ import annotations

import pytest
import torch

from maskfit.errors import RecipeError
from maskfit.models.network import Network, build_network
from maskfit.registry import ComponentSpec, instantiate
from maskfit.training.optim import FREEZING


@pytest.fixture
def network() -> Network:
    return build_network(
        ComponentSpec.create("small", width=4), ComponentSpec.create("multi_head"), {"mask": 3, "age": 3}
    )


def moving(network: Network) -> float:
    """The share of the backbone's weights that move."""
    weights = list(network.backbone.parameters())
    return sum(item.numel() for item in weights if item.requires_grad) / sum(item.numel() for item in weights)


@pytest.mark.parametrize("name", FREEZING)
def test_the_head_always_moves_and_in_the_end_everything_does(name: str, network: Network) -> None:
    freeze = instantiate(FREEZING, ComponentSpec.create(name))
    for epoch in range(10):
        freeze(network, epoch)
        assert all(item.requires_grad for item in network.head.parameters())
    assert moving(network) == 1


def test_the_trunk_waits_as_long_as_it_is_told(network: Network) -> None:
    freeze = instantiate(FREEZING, ComponentSpec.create("backbone", epochs=2))
    fractions = []
    for epoch in range(4):
        freeze(network, epoch)
        fractions.append(moving(network))
    assert fractions == [0, 0, 1, 1]


def test_gradual_thaws_from_the_end(network: Network) -> None:
    freeze = instantiate(FREEZING, ComponentSpec.create("gradual_unfreeze", epochs=1, stages=3))
    fractions = []
    for epoch in range(4):
        freeze(network, epoch)
        fractions.append(moving(network))
        flags = [item.requires_grad for item in network.backbone.parameters()]
        # What is thawed lies behind what is not.
        assert flags == sorted(flags)
    assert fractions[0] == 0
    assert sorted(fractions) == fractions
    assert fractions[-1] == 1


def test_frozen_weights_get_no_gradient(network: Network) -> None:
    instantiate(FREEZING, ComponentSpec.create("backbone"))(network, 0)
    sum(item.sum() for item in network(torch.rand(2, 3, 32, 32)).values()).backward()
    assert all(item.grad is None for item in network.backbone.parameters())


def test_options_out_of_range_are_refused() -> None:
    with pytest.raises(RecipeError, match="epochs must be >= 1, got 0"):
        instantiate(FREEZING, ComponentSpec.create("backbone", epochs=0))
