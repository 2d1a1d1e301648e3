"""An int8 network as an ONNX program: float layers between QuantizeLinear and DequantizeLinear nodes ("QDQ").

ONNX Runtime and OpenVINO replace such a layer by one that computes in integers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskfit.inference.export.onnx_graph import OnnxGraph

LEVELS = 255
"""Largest value of a quantized activation."""

_MAX_BIAS = 2**31 - 1


@dataclass(frozen=True)
class ActivationScale:
    """How a tensor is quantized: value = scale * (level - zero).

    Attributes:
        scale: Width of a level, > 0.
        zero: The level of 0.0, 0 to 255.
    """

    scale: float
    zero: int

    @classmethod
    def from_range(cls, low: float, high: float) -> ActivationScale:
        """Spreads the levels over a range, which is extended to contain 0.

        Args:
            low: Smallest value.
            high: Largest value.

        Returns:
            The scale.
        """
        low, high = min(low, 0.0), max(high, 0.0)
        scale = float(np.float32(max((high - low) / LEVELS, 1e-8)))
        return cls(scale, min(LEVELS, max(0, round(-low / scale))))


@dataclass(frozen=True)
class QuantizedWeights:
    """Weights of a convolution.

    Attributes:
        weight: Rounded weights (output channels, input channels of a group, kernel height, kernel width).
        scales: Scale of each output channel.
        bias: Bias of each output channel, in float.
    """

    weight: NDArray[np.int8]
    scales: NDArray[np.float32]
    bias: NDArray[np.float64]


def insert_qdq(graph: OnnxGraph, weights: Mapping[str, QuantizedWeights], scales: Mapping[str, ActivationScale]) -> Any:
    """Replaces float layers and tensors by quantized ones.

    Args:
        graph: The network.
        weights: Weights of the quantized convolutions by the name of their node; their inputs must be in `scales`.
        scales: How tensors are quantized, by name.

    Returns:
        The program.
    """
    ends = {layer.name: layer for layer in (*graph.convolutions, *graph.additions) if layer.output in scales}
    # Levels from 0 up to the activation's ceiling cut as it does.
    saturating = {layer.activation.name for layer in ends.values() if layer.activation is not None}
    read = {layer.name: layer.inputs[0] for layer in graph.convolutions}
    renamed: dict[str, str] = {}
    nodes: list[Any] = []
    for node in graph.nodes:
        if node.name in saturating and node.output[0] in renamed:
            continue
        inputs = [renamed.get(name, name) for name in node.input]
        del node.input[:]
        node.input.extend(inputs)
        if node.name in weights:
            nodes += _dequantize_weights(graph, node, weights[node.name], scales[read[node.name]])
        if node.name in ends:
            node.output[0] = ends[node.name].output
        nodes.append(node)
        for name in node.output:
            if name in scales:
                nodes += _requantize(graph, name, scales[name])
                renamed[name] = f"{name}.dequantized"
    return graph.save(nodes)


def _dequantize_weights(graph: OnnxGraph, node: Any, own: QuantizedWeights, input_scale: ActivationScale) -> list[Any]:
    """Nodes that make a convolution's weights and bias; the bias has the scale of the sums that it is added to."""
    from onnx import helper

    sum_scales = (own.scales * np.float32(input_scale.scale)).astype(np.float32)
    bias = np.clip(np.round(own.bias / sum_scales), -_MAX_BIAS, _MAX_BIAS).astype(np.int32)
    nodes = []
    pairs: list[tuple[NDArray[Any], NDArray[np.float32]]] = [(own.weight, own.scales), (bias, sum_scales)]
    for index, (values, steps) in enumerate(pairs, start=1):
        name = node.input[index]
        parts = [f"{name}.levels", f"{name}.scales", f"{name}.zeros"]
        graph.initializers |= dict(zip(parts, (values, steps, np.zeros(len(steps), values.dtype)), strict=True))
        nodes.append(helper.make_node("DequantizeLinear", parts, [f"{name}.dequantized"], f"{name}.dequantize", axis=0))
        node.input[index] = f"{name}.dequantized"
    return nodes


def _requantize(graph: OnnxGraph, name: str, own: ActivationScale) -> list[Any]:
    """A tensor's QuantizeLinear and DequantizeLinear."""
    from onnx import helper

    scale, zero = f"{name}.scale", f"{name}.zero"
    graph.initializers |= {scale: np.asarray(np.float32(own.scale)), zero: np.asarray(np.uint8(own.zero))}
    return [
        helper.make_node("QuantizeLinear", [name, scale, zero], [f"{name}.levels"], f"{name}.quantize"),
        helper.make_node(
            "DequantizeLinear", [f"{name}.levels", scale, zero], [f"{name}.dequantized"], f"{name}.dequantize"
        ),
    ]
