"""Squeeze-and-excitation whose way back is fast: the gradient of a mean over all pixels, not written out for each.

torch divides such a gradient for every pixel, and adds the result, which lies channels first, to one that lies channels
last. Handed on as one number for each channel it is neither divided nor read again and again.
"""

from __future__ import annotations

from typing import Any

import torch
from timm.models._efficientnet_blocks import SqueezeExcite
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


def optimize_squeeze_excite(network: nn.Module) -> nn.Module:
    """Gives timm's `SqueezeExcite` layers (EfficientNet, MobileNetV3) their own way back, in place.

    They change their class and nothing else: weights keep their names, and results are the same to the bit.
    """
    for layer in network.modules():
        if type(layer) is SqueezeExcite:
            layer.__class__ = Squeeze
    return network


class Squeeze(SqueezeExcite):
    """timm's layer, with its own mean."""

    def forward(self, x: Tensor) -> Tensor:
        squeezed: Tensor = _Mean.apply(x)
        gates: Tensor = self.gate(self.conv_expand(self.act1(self.conv_reduce(squeezed))))
        return x * gates


class _Mean(torch.autograd.Function):
    """Planes (batch, channels, height, width) to their means (batch, channels, 1, 1)."""

    @staticmethod
    def forward(ctx: Any, planes: Tensor) -> Tensor:
        ctx.shape = planes.shape
        return planes.mean((2, 3), keepdim=True)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        spread: Tensor = (gradient / (ctx.shape[2] * ctx.shape[3])).expand(ctx.shape)
        return spread
