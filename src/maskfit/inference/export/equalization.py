"""Channel equalization: a network that computes the same, with channels of similar range in every tensor.

An int8 tensor has one scale for all of its channels, so a channel with a tenth of the range of another has a tenth of
its levels. Multiplying a channel where it is made, and dividing its weights where it is read, changes no result (Nagel
et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction", arXiv 1906.04721).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskfit.inference.export.activation_statistics import ChannelStatistics
from maskfit.inference.export.onnx_graph import Layer, OnnxGraph

Factors = NDArray[np.floating[Any]]

MIN_RANGE = 1e-4
"""Range of a channel at least, as far as factors are concerned; dead channels have none."""

MAX_FACTOR = 64.0
"""Factor of a channel at most."""


def equalize(graph: OnnxGraph, layers: Collection[Layer], statistics: Mapping[str, ChannelStatistics]) -> None:
    """Equalizes the channels between convolutions; the graph's weights and the statistics change.

    An activation that ends at a ceiling (ReLU6) ends a channel at its largest value on the calibration photos where
    that is lower, as a range for every channel would.

    Args:
        graph: The network.
        layers: The convolutions that are quantized.
        statistics: Statistics of their inputs and outputs, and of sums of these.
    """
    by_name = {layer.name: layer for layer in layers}
    for layer in layers:
        reader = _only_reader(graph, layer.output, by_name)
        if layer.activation is not None and reader is not None:
            _equalize_activation(graph, layer, reader, statistics[layer.output])
    for tensors in _linear_streams(graph, layers):
        _equalize_stream(graph, tensors, by_name, statistics)


def _equalize_activation(graph: OnnxGraph, layer: Layer, reader: Layer, own: ChannelStatistics) -> None:
    """Equalizes the channels of a tensor between an activation and the one convolution that reads it."""
    high = np.maximum(own.high, MIN_RANGE)
    ceiling = layer.ceiling if np.isfinite(layer.ceiling) else float(high.max())
    factors = np.clip(ceiling / high, 1.0, MAX_FACTOR)
    if reader.groups == 1:
        # What a channel gains, the reader's weights for it lose; in a depthwise convolution they have their own scale.
        factors = np.sqrt(factors)
    _scale_outputs(graph, layer, factors)
    _scale_inputs(graph, reader, 1 / factors)
    own.scale(factors)


def _equalize_stream(
    graph: OnnxGraph, tensors: list[str], by_name: Mapping[str, Layer], statistics: Mapping[str, ChannelStatistics]
) -> None:
    """Equalizes tensors that are added to each other, so that their channels must have the same factors."""
    readers = [
        by_name.get(node.name) for tensor in tensors for node in graph.consumers[tensor] if node.op_type != "Add"
    ]
    sums = {node.output[0] for tensor in tensors for node in graph.consumers[tensor] if node.op_type == "Add"}
    known = [reader for reader in readers if reader is not None and reader.groups == 1]
    if not known or len(known) < len(readers) or not sums <= set(tensors) or graph.outputs & set(tensors):
        return
    ranges = np.max(
        [np.maximum(-statistics[tensor].low, statistics[tensor].high).clip(MIN_RANGE) for tensor in tensors], 0
    )
    columns = np.max([_column_ranges(graph.weight(reader)) for reader in known], 0)
    factors = np.sqrt(np.maximum(columns, 1e-3) / ranges)
    factors = np.clip(factors / np.exp(np.log(factors).mean()), 1 / MAX_FACTOR, MAX_FACTOR)
    for tensor in tensors:
        maker = by_name.get(graph.producer[tensor].name)
        if maker is not None:
            _scale_outputs(graph, maker, factors)
        statistics[tensor].scale(factors)
    for reader in known:
        _scale_inputs(graph, reader, 1 / factors)


def _only_reader(graph: OnnxGraph, tensor: str, by_name: Mapping[str, Layer]) -> Layer | None:
    """The convolution that alone reads a tensor, where a factor for each channel can be undone in it."""
    nodes = graph.consumers[tensor]
    reader = by_name.get(nodes[0].name) if len(nodes) == 1 and tensor not in graph.outputs else None
    if reader is None or (reader.groups > 1 and graph.weight(reader).shape[1] > 1):
        return None
    return reader if reader.groups in (1, len(graph.weight(reader))) else None


def _linear_streams(graph: OnnxGraph, layers: Collection[Layer]) -> list[list[str]]:
    """Groups of tensors without an activation: outputs of convolutions, and the sums that they are part of."""
    stream = {layer.output: layer.output for layer in layers if layer.activation is None}
    for addition in graph.additions:
        if addition.activation is None and all(name in stream for name in addition.inputs):
            joined = {stream[name] for name in addition.inputs}
            stream |= {name: addition.output for name, own in stream.items() if own in joined}
            stream[addition.output] = addition.output
    groups = defaultdict(list)
    for name, own in stream.items():
        groups[own].append(name)
    return list(groups.values())


def _column_ranges(weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """The largest weight for each input channel, each relative to the largest of its output channel."""
    sizes = np.abs(weight)
    relative = sizes / np.maximum(sizes.max((1, 2, 3), keepdims=True), 1e-12)
    return np.asarray(relative.max((0, 2, 3)))


def _scale_outputs(graph: OnnxGraph, layer: Layer, factors: Factors) -> None:
    graph.set_weights(layer, graph.weight(layer) * factors[:, None, None, None], graph.bias(layer) * factors)


def _scale_inputs(graph: OnnxGraph, layer: Layer, factors: Factors) -> None:
    shaped = factors[None, :, None, None] if layer.groups == 1 else factors[:, None, None, None]
    graph.set_weights(layer, graph.weight(layer) * shaped, graph.bias(layer))
