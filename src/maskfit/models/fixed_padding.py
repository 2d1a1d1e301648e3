"""Padding "same" with fixed numbers: an exported network has one image size, and its graph no arithmetic on shapes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from timm.layers.conv2d_same import Conv2dSame
from timm.layers.padding import get_same_padding
from torch import Tensor, nn
from torch.nn import functional


class FixedPaddingConv(nn.Module):
    """A convolution with its own number of zeros on each side; the older ONNX exporter writes it as one node.

    Args:
        layer: The convolution whose weights it takes.
        padding: Zeros at the left, right, top and bottom.
    """

    def __init__(self, layer: nn.Conv2d, padding: tuple[int, int, int, int]) -> None:
        super().__init__()
        self.weight, self.bias = layer.weight, layer.bias
        self.padding = padding
        self.options = (tuple(layer.stride), tuple(layer.dilation), layer.groups)

    def forward(self, images: Tensor) -> Tensor:
        """Convolves feature maps (batch, channels, height, width)."""
        result: Tensor = _PaddedConvolution.apply(images, self.weight, self.bias, self.padding, *self.options)
        return result


def fix_same_padding(network: nn.Module, frames: Tensor) -> None:
    """Replaces TensorFlow's padding "same", which timm computes from each input, by its numbers for one image size.

    Args:
        network: The network, changed in place; its results for images of this size stay the same.
        frames: Images as the network takes them, with the size that they always have.
    """
    padding: dict[nn.Module, tuple[int, int, int, int]] = {}

    def note(layer: Any, inputs: tuple[Tensor, ...]) -> None:
        sizes = zip(inputs[0].shape[-2:], layer.kernel_size, layer.stride, layer.dilation, strict=True)
        rows, columns = (get_same_padding(int(size), *shape) for size, *shape in sizes)
        padding[layer] = (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2)

    layers = [layer for layer in network.modules() if type(layer) is Conv2dSame]
    hooks = [layer.register_forward_pre_hook(note) for layer in layers]
    try:
        with torch.inference_mode():
            network(frames)
    finally:
        for hook in hooks:
            hook.remove()
    for parent in list(network.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, nn.Conv2d) and layer in padding:
                setattr(parent, name, FixedPaddingConv(layer, padding[layer]))


class _PaddedConvolution(torch.autograd.Function):
    """ONNX has a number of zeros for each side in its convolutions, torch has one for both."""

    @staticmethod
    def forward(
        _ctx: Any,
        images: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        padding: Sequence[int],
        stride: Sequence[int],
        dilation: Sequence[int],
        groups: int,
    ) -> Tensor:
        padded = functional.pad(images, list(padding))
        return functional.conv2d(padded, weight, bias, list(stride), 0, list(dilation), groups)

    @staticmethod
    def symbolic(
        graph: Any,
        images: Any,
        weight: Any,
        bias: Any,
        padding: Sequence[int],
        stride: Sequence[int],
        dilation: Sequence[int],
        groups: int,
    ) -> Any:
        """The node of the graph."""
        left, right, top, bottom = padding
        return graph.op(
            "Conv",
            images,
            weight,
            *(() if bias is None or bias.node().mustBeNone() else (bias,)),
            kernel_shape_i=weight.type().sizes()[2:],
            pads_i=[top, left, bottom, right],
            strides_i=stride,
            dilations_i=dilation,
            group_i=groups,
        )
