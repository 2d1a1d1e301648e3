"""Depthwise convolutions in bfloat16 on a processor: there and back by what is fast for each of their three products.

oneDNN, which torch asks, has fast bfloat16 for a depthwise convolution, but not for all of its way back: strided, the
photos' gradient falls to a routine for dense convolutions (137 ms in place of 10 to 40 in 32 bits); of kernels above 3,
the weights' (49 ms in place of 17). So these two are computed in 32 bits, all else in bfloat16.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from timm.layers.conv2d_same import Conv2dSame
from timm.layers.padding import pad_same
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

MAX_NATIVE_KERNEL = 3
"""The kernel up to which oneDNN computes the weights' gradient of a depthwise convolution as such."""


def optimize_depthwise_bf16(network: nn.Module) -> nn.Module:
    """Gives the depthwise convolutions of a network their own way back, for training in bfloat16 on a processor.

    They change their class and nothing else: weights keep their names, copies behave as they do, and outside of
    bfloat16 on a processor they compute what they did.

    Args:
        network: Is changed in place. Convolutions of other classes than torch's and timm's `Conv2dSame` are left.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d) and type(layer) in OWN and _slow_on_the_way_back(layer):
            layer.__class__ = OWN[type(layer)]
    return network


def _slow_on_the_way_back(layer: nn.Conv2d) -> bool:
    depthwise = 1 < layer.groups == layer.in_channels == layer.out_channels
    plain = layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
    return depthwise and plain and (max(layer.stride) > 1 or max(layer.kernel_size) > MAX_NATIVE_KERNEL)


class Depthwise(nn.Conv2d):
    """A depthwise convolution with a fast way back in bfloat16."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if not torch.is_autocast_enabled("cpu") or torch.get_autocast_dtype("cpu") != torch.bfloat16:
            plain: Tensor = super()._conv_forward(input, weight, bias)
            return plain
        # The function casts for itself.
        with torch.autocast("cpu", enabled=False):
            result: Tensor = _Convolution.apply(
                input.bfloat16(), weight, bias, self.stride, self.padding, self.dilation
            )
        return result


class DepthwiseSame(Depthwise):
    """The same, padded as TensorFlow pads."""

    def forward(self, input: Tensor) -> Tensor:
        padded = pad_same(input, list(self.kernel_size), list(self.stride), list(self.dilation))
        return self._conv_forward(padded, self.weight, self.bias)


OWN: dict[type[nn.Conv2d], type[Depthwise]] = {nn.Conv2d: Depthwise, Conv2dSame: DepthwiseSame}
"""The classes that are replaced, and by what."""


class _Convolution(torch.autograd.Function):
    """From photos in bfloat16 and weights in 32 bits to bfloat16."""

    @staticmethod
    def forward(
        ctx: Any,
        photos: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        stride: Sequence[int],
        padding: Sequence[int],
        dilation: Sequence[int],
    ) -> Tensor:
        ctx.save_for_backward(photos, weight)
        ctx.how = (stride, padding, dilation, False, (0, 0), weight.shape[0])
        half = None if bias is None else bias.bfloat16()
        result: Tensor = torch.ops.aten.convolution(photos, weight.bfloat16(), half, *ctx.how)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        photos, weight = ctx.saved_tensors
        to_photos, to_weight, to_bias = None, None, None
        if ctx.needs_input_grad[0]:
            kind = torch.float32 if max(ctx.how[0]) > 1 else torch.bfloat16
            # Only their shape counts here: an empty tensor saves casting them.
            shaped = torch.empty_like(photos, dtype=kind)
            to_photos = _back(ctx, gradient, shaped, weight, [True, False, False])[0].bfloat16()
        if any(ctx.needs_input_grad[1:3]):
            kind = torch.float32 if max(weight.shape[2:]) > MAX_NATIVE_KERNEL else torch.bfloat16
            mask = [False, *ctx.needs_input_grad[1:3]]
            _, to_weight, to_bias = _back(ctx, gradient, photos.to(kind), weight, mask)
        return (
            to_photos,
            None if to_weight is None else to_weight.float(),
            None if to_bias is None else to_bias.float(),
            None,
            None,
            None,
        )


def _back(ctx: Any, gradient: Tensor, photos: Tensor, weight: Tensor, mask: list[bool]) -> tuple[Tensor, ...]:
    """The gradients for photos, weight and bias that the mask wants, computed in the photos' type."""
    kind = photos.dtype
    results: tuple[Tensor, ...] = torch.ops.aten.convolution_backward(
        gradient.to(kind), photos, weight.to(kind), [len(weight)], *ctx.how, mask
    )
    return results
