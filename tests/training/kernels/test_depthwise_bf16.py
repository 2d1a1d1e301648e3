"""Depthwise convolutions in bfloat16 on a processor: the same gradients, each in the type that is fast for it."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from timm.layers.conv2d_same import Conv2dSame
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint

from maskfit.config.recipe import Recipe
from maskfit.model_file import load_model
from maskfit.training.kernels.depthwise_bf16 import Depthwise, DepthwiseSame, optimize_depthwise_bf16
from maskfit.training.precision import supports_bf16
from maskfit.training.train import train

LAYERS: dict[str, Callable[[], nn.Conv2d]] = {
    "strided": lambda: nn.Conv2d(16, 16, 3, stride=2, padding=1, groups=16, bias=False),
    "wide": lambda: nn.Conv2d(16, 16, 5, padding=2, groups=16),
    "both": lambda: nn.Conv2d(16, 16, 5, stride=2, padding=2, groups=16),
    "same": lambda: Conv2dSame(16, 16, 5, stride=2, groups=16),
    "spread": lambda: nn.Conv2d(16, 16, 5, padding=4, dilation=2, groups=16),
}


def hastened(layer: nn.Conv2d) -> nn.Conv2d:
    inside = optimize_depthwise_bf16(nn.Sequential(deepcopy(layer)))[0]
    assert isinstance(inside, Depthwise)
    return inside


def photos() -> Tensor:
    given = torch.randn(3, 16, 13, 14, generator=torch.Generator().manual_seed(1))
    return given.contiguous(memory_format=torch.channels_last)


def passes(layer: nn.Module, given: Tensor, half: bool = False) -> list[Tensor]:
    """What a layer gives, and the gradients of its photos and weights for a fixed one."""
    given = given.clone().requires_grad_()
    layer.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        result = layer(given)
    away = torch.randn(result.shape, generator=torch.Generator().manual_seed(2))
    result.backward(away.to(result.dtype))
    assert given.grad is not None
    return [result.detach(), given.grad, *(item.grad for item in layer.parameters() if item.grad is not None)]


def assert_as_near(found: list[Tensor], plain: list[Tensor], exact: list[Tensor]) -> None:
    """Each of `found` is as near to `exact` as bfloat16 gets on any processor, or as the plain layer is on this one.

    Eight bits put each number up to 0.4 % off. Kernels for processors that multiply bfloat16 stay within 0.5 % in
    all; without them torch computes the plain layer itself by a routine that rounds on the way (0.63 % measured).
    """
    limit = 0.005
    for own, same, expected in zip(found, plain, exact, strict=True):
        size = expected.norm()
        allowed = limit if supports_bf16() else max(limit, float((same.double() - expected).norm() / size))
        assert (own.double() - expected).norm() <= allowed * size


@pytest.mark.parametrize("name", LAYERS)
def test_there_and_back_it_is_the_convolution_to_the_digits_of_bfloat16(name: str) -> None:
    """By the plain layer in 64 bits."""
    layer = LAYERS[name]()
    found = passes(hastened(layer), photos(), half=True)
    plain = passes(layer, photos(), half=True)
    exact = passes(layer.double(), photos().double())
    assert len(found) == len(exact) == (3 if layer.bias is None else 4)
    assert_as_near(found, plain, exact)
    assert found[0].dtype == torch.bfloat16
    assert all(item.dtype == torch.float32 for item in found[1:])


@pytest.mark.parametrize("name", LAYERS)
def test_outside_of_bfloat16_it_is_the_plain_one_to_the_bit(name: str) -> None:
    layer = LAYERS[name]()
    for own, plain in zip(passes(hastened(layer), photos()), passes(layer, photos()), strict=True):
        assert torch.equal(own, plain)


class Types(TorchDispatchMode):
    """Notes in which type each product of the way back is computed."""

    def __init__(self) -> None:
        super().__init__()
        self.photos: list[torch.dtype] = []
        self.weights: list[torch.dtype] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.convolution_backward.default:
            assert len({item.dtype for item in args[:3]}) == 1
            expected = args[-1]
            self.photos += [args[0].dtype] * expected[0]
            self.weights += [args[0].dtype] * expected[1]
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    ("name", "strided", "wide"),
    [("strided", True, False), ("wide", False, True), ("both", True, True), ("same", True, True)],
)
def test_only_what_is_slow_in_bfloat16_is_computed_in_32_bits(name: str, strided: bool, wide: bool) -> None:
    with Types() as seen:
        passes(hastened(LAYERS[name]()), photos(), half=True)
    assert seen.photos == [torch.float32 if strided else torch.bfloat16]
    assert seen.weights == [torch.float32 if wide else torch.bfloat16]


def test_a_frozen_weights_gradient_is_not_computed() -> None:
    layer = hastened(LAYERS["both"]()).requires_grad_(False)
    with Types() as seen:
        passes(layer, photos(), half=True)
    assert seen.photos
    assert not seen.weights
    assert layer.weight.grad is None


def test_what_is_fast_already_or_no_depthwise_convolution_is_left() -> None:
    left = nn.Sequential(
        nn.Conv2d(8, 8, 3, padding=1, groups=8),
        nn.Conv2d(8, 8, 5, stride=2, groups=4),
        nn.Conv2d(8, 16, 5, groups=8),
        nn.Conv2d(1, 1, 5),
        nn.Conv2d(8, 8, 5, padding="same", groups=8),
        nn.Conv2d(8, 8, 5, padding=2, groups=8, padding_mode="reflect"),
    )
    before = [type(layer) for layer in left]
    assert [type(layer) for layer in optimize_depthwise_bf16(left)] == before
    assert type(hastened(LAYERS["same"]())) is DepthwiseSame


def test_a_copy_has_weights_of_its_own() -> None:
    """As the moving average has."""
    layer = hastened(LAYERS["both"]())
    copy = deepcopy(layer)
    before = passes(copy, photos(), half=True)[0]
    with torch.no_grad():
        layer.weight.zero_()
    assert torch.equal(passes(copy, photos(), half=True)[0], before)


@pytest.mark.parametrize("reentrant", [False, True])
def test_computed_a_second_time_it_gives_the_same(reentrant: bool) -> None:
    class Twice(nn.Sequential):
        def forward(self, input: Tensor) -> Any:
            return checkpoint(super().forward, input, use_reentrant=reentrant)

    layer = hastened(LAYERS["both"]())
    for own, once in zip(passes(Twice(layer), photos(), half=True), passes(layer, photos(), half=True), strict=True):
        assert torch.equal(own, once)


@pytest.mark.parametrize("compiled", [False, True])
def test_a_run_in_bfloat16_has_the_weights_of_one_in_32_bits(
    tiny: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compiled: bool
) -> None:
    """Compiled, by the compiler's first half, which follows the network's code."""
    real, asked = nn.Module.compile, []
    monkeypatch.setattr(nn.Module, "compile", lambda self, **options: real(self, backend="eager", **options))
    forward = Depthwise._conv_forward
    monkeypatch.setattr(Depthwise, "_conv_forward", lambda *given: [asked.append(given[0]), forward(*given)][1])
    words = [
        "model.backbone={name: test_efficientnet}",
        "trainer.epochs=1",
        "weight_averaging=ema",
        "trainer.full_data_epochs=1",
        f"trainer.compile={compiled}",
    ]
    names = {}
    for kind in ("32-true", "bf16-mixed"):
        folder, scores = train(tiny(*words, f"trainer.precision={kind}", f"output_dir={tmp_path / kind}"))
        assert bool(asked) == (kind == "bf16-mixed")
        assert scores.photos
        for file in ("best.safetensors", "full_data.safetensors"):
            network, _ = load_model(folder.fold(0).path / file)
            assert not any(isinstance(layer, Depthwise) for layer in network.modules())
            names[kind, file] = [(name, item.dtype) for name, item in load_file(folder.fold(0).path / file).items()]
    assert names["32-true", "best.safetensors"] == names["bf16-mixed", "best.safetensors"]
    assert names["32-true", "full_data.safetensors"] == names["bf16-mixed", "full_data.safetensors"]
