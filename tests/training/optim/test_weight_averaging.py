"""Averages of weights, against the plain sums they stand for."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from maskfit.registry import ComponentSpec, instantiate
from maskfit.training.optim import WEIGHT_AVERAGING
from maskfit.training.optim.weight_averaging import WeightAverage

STEPS, EPOCHS = 4, 6


def moved(network: nn.Linear, value: float) -> nn.Linear:
    nn.init.constant_(network.weight, value)
    return network


def average(name: str, network: nn.Module, **options: float) -> WeightAverage:
    built = instantiate(
        WEIGHT_AVERAGING, ComponentSpec.create(name, **options), network=network, epochs=EPOCHS, epoch_steps=STEPS
    )
    assert isinstance(built, WeightAverage)
    return built


def weight(mean: WeightAverage) -> float:
    averaged = mean.averaged
    assert isinstance(averaged, nn.Linear)
    return float(averaged.weight[0, 0].detach())


def test_swa_is_the_mean_of_the_last_epochs_ends() -> None:
    network = moved(nn.Linear(2, 2), 0.0)
    mean = average("swa", network, start=0.5)
    for step in range(1, EPOCHS * STEPS + 1):
        mean.update(moved(network, float(step)), step)
    # Of six epochs the last three: their last steps are 16, 20 and 24.
    assert weight(mean) == pytest.approx((16 + 20 + 24) / 3)


def test_swa_judges_the_network_itself_until_it_begins() -> None:
    network = moved(nn.Linear(2, 2), 7.0)
    mean = average("swa", network, start=0.5)
    mean.update(network, STEPS)
    assert weight(mean) == 7.0


def test_swa_averages_the_statistics_of_batchnorm() -> None:
    network = nn.BatchNorm1d(1)
    mean = average("swa", network, start=0.0)
    for step, value in ((STEPS, 1.0), (2 * STEPS, 3.0)):
        nn.init.constant_(network.running_mean, value)
        mean.update(network, step)
    assert float(mean.averaged.running_mean) == pytest.approx(2.0)


def test_ema_forgets_its_start_and_follows_by_its_decay() -> None:
    network = moved(nn.Linear(2, 2), 0.0)
    mean = average("ema", network, decay=0.9)
    expected = 0.0
    for step in range(1, 200):
        moved(network, float(step % 5))
        mean.update(network, step)
        decay = min(0.9, 1 - (1 + step) ** -(2 / 3))
        expected = decay * expected + (1 - decay) * (step % 5)
    assert weight(mean) == pytest.approx(expected, rel=1e-4)


def test_the_network_is_no_part_of_its_own_average() -> None:
    network = nn.Linear(2, 2)
    for name in ("ema", "swa"):
        mean = average(name, network)
        assert not {id(item) for item in network.parameters()} & {id(item) for item in mean.parameters()}


@pytest.mark.parametrize(("name", "options"), [("ema", {"decay": 1.0}), ("swa", {"start": 1.0})])
def test_options_out_of_range_are_refused(name: str, options: dict[str, float]) -> None:
    from maskfit.errors import RecipeError

    with pytest.raises(RecipeError, match=next(iter(options))):
        average(name, nn.Linear(2, 2), **options)


def test_an_average_holds_torch_numbers_only() -> None:
    """What a checkpoint saves of it is read back without unpickling code."""
    for name in ("ema", "swa"):
        assert all(isinstance(item, torch.Tensor) for item in average(name, nn.Linear(2, 2)).state_dict().values())
