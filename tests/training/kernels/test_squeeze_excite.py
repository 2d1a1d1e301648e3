"""Squeeze-and-excitation with its own way back computes what timm's does, to the bit."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
import torch
from timm import create_model
from timm.models._efficientnet_blocks import SqueezeExcite
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from maskfit.training.kernels.squeeze_excite import FastSqueezeExcite, optimize_squeeze_excite


def passes(layer: nn.Module, half: bool) -> list[Tensor]:
    given = torch.randn(3, 16, 7, 9, generator=torch.Generator().manual_seed(1))
    given = given.contiguous(memory_format=torch.channels_last)
    given = (given.bfloat16() if half else given).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        result = layer(given)
    result.float().square().sum().backward()
    assert given.grad is not None
    return [result, given.grad, *(item.grad for item in layer.parameters() if item.grad is not None)]


@pytest.mark.parametrize("half", [False, True])
def test_it_is_timms_layer(half: bool) -> None:
    layer = SqueezeExcite(16, rd_channels=4)
    own = optimize_squeeze_excite(nn.Sequential(deepcopy(layer)))[0]
    assert type(own) is FastSqueezeExcite
    assert list(own.state_dict()) == list(layer.state_dict())
    for mine, theirs in zip(passes(own, half), passes(layer, half), strict=True):
        assert mine.dtype == theirs.dtype
        assert torch.equal(mine, theirs)


class Divided(TorchDispatchMode):
    """Notes the shapes that are divided."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes: set[tuple[int, ...]] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.div.Scalar or func is torch.ops.aten.div.Tensor:
            self.shapes.add(tuple(args[0].shape))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(("own", "shape"), [(True, (3, 16, 1, 1)), (False, (3, 16, 7, 9))])
def test_the_gradient_of_the_mean_is_divided_once_for_each_channel(own: bool, shape: tuple[int, ...]) -> None:
    network = nn.Sequential(SqueezeExcite(16, rd_channels=4))
    with Divided() as seen:
        passes(optimize_squeeze_excite(network) if own else network, half=False)
    assert seen.shapes == {shape}


def test_the_layers_of_networks_are_found() -> None:
    network = optimize_squeeze_excite(create_model("mobilenetv3_small_050"))
    assert any(type(layer) is FastSqueezeExcite for layer in network.modules())
    assert not any(type(layer) is SqueezeExcite for layer in network.modules())
