"""Depthwise convolutions for training in bfloat16 on a CPU, with a faster backward pass.

oneDNN, which torch calls, has a fast bfloat16 forward pass for depthwise convolutions, but not for all of the backward
pass: with a stride, the gradient of the input uses a kernel for dense convolutions (137 ms instead of 10 to 40 in
float32); with kernels above 3, so does the gradient of the weights (49 ms instead of 17). These two are computed in
float32, everything else in bfloat16.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

MAX_NATIVE_KERNEL = 3
"""Largest kernel for which oneDNN has a depthwise bfloat16 gradient of the weights."""


def optimize_depthwise_bf16(network: nn.Module) -> nn.Module:
    """Gives the depthwise convolutions of a network a faster backward pass for bfloat16 training on a CPU.

    Only their class changes: weights keep their names, copies behave alike, and outside of bfloat16 on a CPU they
    compute what they did before.

    Args:
        network: The network, changed in place. Only torch's `Conv2d` and timm's `Conv2dSame` are replaced.

    Returns:
        The network.
    """
    replacements = _replacements()
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d) and type(layer) in replacements and _has_slow_backward(layer):
            layer.__class__ = replacements[type(layer)]
    return network


def _has_slow_backward(layer: nn.Conv2d) -> bool:
    depthwise = 1 < layer.groups == layer.in_channels == layer.out_channels
    plain = layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
    return depthwise and plain and (max(layer.stride) > 1 or max(layer.kernel_size) > MAX_NATIVE_KERNEL)


class Depthwise(nn.Conv2d):
    """A depthwise convolution with a fast backward pass in bfloat16."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if not torch.is_autocast_enabled("cpu") or torch.get_autocast_dtype("cpu") != torch.bfloat16:
            plain: Tensor = super()._conv_forward(input, weight, bias)
            return plain
        # The autograd function casts itself.
        with torch.autocast("cpu", enabled=False):
            result: Tensor = _Convolution.apply(
                input.bfloat16(), weight, bias, self.stride, self.padding, self.dilation
            )
        return result


class DepthwiseSame(Depthwise):
    """`Depthwise` with TensorFlow's "same" padding."""

    def forward(self, input: Tensor) -> Tensor:
        """Convolves the padded input (batch, channels, height, width)."""
        from timm.layers.padding import pad_same

        padded = pad_same(input, list(self.kernel_size), list(self.stride), list(self.dilation))
        return self._conv_forward(padded, self.weight, self.bias)


def _replacements() -> dict[type[nn.Conv2d], type[Depthwise]]:
    """Class of a convolution to the class that replaces it; a network has none of timm's where timm is not imported."""
    if "timm" not in sys.modules:
        return {nn.Conv2d: Depthwise}
    from timm.layers.conv2d_same import Conv2dSame

    return {nn.Conv2d: Depthwise, Conv2dSame: DepthwiseSame}


class _Convolution(torch.autograd.Function):
    """Convolution of a bfloat16 input with float32 weights to a bfloat16 output."""

    @staticmethod
    def forward(
        ctx: Any,
        inputs: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        stride: Sequence[int],
        padding: Sequence[int],
        dilation: Sequence[int],
    ) -> Tensor:
        ctx.save_for_backward(inputs, weight)
        ctx.arguments = (stride, padding, dilation, False, (0, 0), weight.shape[0])
        bias_bf16 = None if bias is None else bias.bfloat16()
        result: Tensor = torch.ops.aten.convolution(inputs, weight.bfloat16(), bias_bf16, *ctx.arguments)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        inputs, weight = ctx.saved_tensors
        grad_input, grad_weight, grad_bias = None, None, None
        if ctx.needs_input_grad[0]:
            kind = torch.float32 if max(ctx.arguments[0]) > 1 else torch.bfloat16
            # Only the shape is used: an empty tensor saves the cast.
            shape_only = torch.empty_like(inputs, dtype=kind)
            grad_input = _convolution_backward(ctx, gradient, shape_only, weight, [True, False, False])[0].bfloat16()
        if any(ctx.needs_input_grad[1:3]):
            kind = torch.float32 if max(weight.shape[2:]) > MAX_NATIVE_KERNEL else torch.bfloat16
            mask = [False, *ctx.needs_input_grad[1:3]]
            _, grad_weight, grad_bias = _convolution_backward(ctx, gradient, inputs.to(kind), weight, mask)
        return (
            grad_input,
            None if grad_weight is None else grad_weight.float(),
            None if grad_bias is None else grad_bias.float(),
            None,
            None,
            None,
        )


def _convolution_backward(
    ctx: Any, gradient: Tensor, inputs: Tensor, weight: Tensor, mask: list[bool]
) -> tuple[Tensor, ...]:
    """Gradients of input, weight and bias that the mask selects, computed in the dtype of the inputs."""
    kind = inputs.dtype
    results: tuple[Tensor, ...] = torch.ops.aten.convolution_backward(
        gradient.to(kind), inputs, weight.to(kind), [len(weight)], *ctx.arguments, mask
    )
    return results
