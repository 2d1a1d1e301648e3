"""Squeeze-and-excitation with a faster backward pass: the gradient of global average pooling is not expanded in memory.

torch divides this gradient for every pixel and adds the result, which is channels first, to one that is channels last.
Passed on as one value per channel, it is neither divided nor read repeatedly.
"""

from __future__ import annotations

from typing import Any

import torch
from timm.models._efficientnet_blocks import SqueezeExcite
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


def optimize_squeeze_excite(network: nn.Module) -> nn.Module:
    """Gives timm's `SqueezeExcite` layers (EfficientNet, MobileNetV3) a faster backward pass.

    Only their class changes: weights keep their names, and results are bitwise the same.

    Args:
        network: The network, changed in place.

    Returns:
        The network.
    """
    for layer in network.modules():
        if type(layer) is SqueezeExcite:
            layer.__class__ = FastSqueezeExcite
    return network


class FastSqueezeExcite(SqueezeExcite):
    """timm's layer with its own global average pooling."""

    def forward(self, x: Tensor) -> Tensor:
        """Scales the channels of feature maps (batch, channels, height, width) by their gates."""
        squeezed: Tensor = _GlobalAveragePool.apply(x)
        gates: Tensor = self.gate(self.conv_expand(self.act1(self.conv_reduce(squeezed))))
        return x * gates


class _GlobalAveragePool(torch.autograd.Function):
    """Maps feature maps (batch, channels, height, width) to their means (batch, channels, 1, 1)."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor) -> Tensor:
        ctx.shape = maps.shape
        return maps.mean((2, 3), keepdim=True)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        expanded: Tensor = (gradient / (ctx.shape[2] * ctx.shape[3])).expand(ctx.shape)
        return expanded
