"""Static int8 quantization of convolutions, calibrated on photos, with the same predictions on every processor.

Weights have a scale for each output channel, without which networks of depthwise convolutions lose most of their
accuracy (Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
Inference", arXiv 1712.05877). Channels are equalized first, weights are rounded so that no engine's sums saturate, and
what rounding adds on average is taken from the bias: docs/performance.md says what each is worth.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from maskfit.data.photo_dataset import Photo
from maskfit.data.preprocessing import ImageBatch
from maskfit.errors import DataError
from maskfit.inference.engines.int8_origin import INT8_KEY, Int8Origin, describe_instructions
from maskfit.inference.export.activation_statistics import ChannelStatistics, measure_activations
from maskfit.inference.export.equalization import equalize
from maskfit.inference.export.onnx_graph import Layer, OnnxGraph
from maskfit.inference.export.parity import read_frames
from maskfit.inference.export.qdq import ActivationScale, QuantizedWeights, insert_qdq
from maskfit.inference.export.weight_rounding import bias_shift, round_weights
from maskfit.model_file import ModelMetadata

MAX_CALIBRATION_IMAGES = 256
"""Photos that calibrate ranges; more change them little."""

FLOAT_CONVOLUTIONS = 2
"""The first convolutions stay in float: with two in place of one, a briefly trained MobileNetV2 changed half as many
predictions in the same time; with eight no fewer, and it was slower."""

SMOOTH_ACTIVATIONS = {"Sigmoid", "HardSigmoid", "HardSwish", "Swish", "Mish", "Gelu", "Erf", "Tanh"}
"""Operators that activations without a kink at 0 begin with; what is clipped is clipped by the levels themselves."""


def quantize_static(
    program: Any, metadata: ModelMetadata, photos: Sequence[Photo], fuses_activations: bool = False
) -> Any:
    """Quantizes the convolutions of an ONNX program to int8, except `FLOAT_CONVOLUTIONS` and those of a single pixel.

    Squeeze-and-excitation takes next to no time. Heads stay in float.

    Args:
        program: What `to_onnx` returned; it is changed.
        metadata: The model's metadata.
        photos: Photos to calibrate on; `MAX_CALIBRATION_IMAGES` of them are used, evenly spaced.
        fuses_activations: As for `quantize_program`.

    Returns:
        The quantized program.

    Raises:
        DataError: No photo can be read.
    """
    selected = photos[:: -(-len(photos) // MAX_CALIBRATION_IMAGES)]
    frames = read_frames(metadata.preprocessing.crop_resize, selected)
    first = next(frames, None)
    if first is None:
        raise DataError("there is no photo to calibrate on that can be read", hint="check the folder of --calibrate")
    quantized = quantize_program(program, chain([first], frames), fuses_activations)
    # Read by benchmark and predict on another processor.
    quantized.metadata_props.add(key=INT8_KEY, value=Int8Origin(describe_instructions(), len(selected)).to_json())
    return quantized


def quantize_program(program: Any, batches: Iterator[ImageBatch], fuses_activations: bool = False) -> Any:
    """Quantizes the convolutions of an ONNX program; see `quantize_static`.

    Args:
        program: An ONNX program with the input `frames`; it is changed.
        batches: Frames (batch, height, width, 3) to calibrate on, at least one.
        fuses_activations: Whether what runs the program computes activations such as SiLU together with the
            convolution before them. Then nothing is rounded between the two; elsewhere the convolution would not
            compute in integers.

    Returns:
        The quantized program.
    """
    graph = OnnxGraph(program)
    candidates = graph.convolutions[FLOAT_CONVOLUTIONS:]
    tensors = list(dict.fromkeys(name for layer in candidates for name in (*layer.inputs, layer.output)))
    tensors += [layer.output for layer in graph.additions if layer.output not in tensors]
    statistics = measure_activations(graph.save(), batches, tensors)
    layers = [
        layer
        for layer in candidates
        if layer.inputs[0] in statistics
        and statistics[layer.inputs[0]].pixels > 1
        # Between two int8 tensors ONNX Runtime (1.31) fuses such a pooling into one that computes other numbers.
        and graph.producer[layer.inputs[0]].op_type != "AveragePool"
    ]
    scaled = {name for layer in layers for name in (*layer.inputs, layer.output)}
    for addition in graph.additions:
        if set(addition.inputs) <= scaled:
            scaled.add(addition.output)
    if fuses_activations:
        scaled -= {name for name in scaled if any(node.op_type in SMOOTH_ACTIVATIONS for node in graph.consumers[name])}
    equalize(graph, layers, statistics)
    return insert_qdq(
        graph,
        {layer.name: _round(graph, layer, statistics) for layer in layers},
        {name: ActivationScale.from_range(*_range(statistics[name])) for name in scaled},
    )


def _range(own: ChannelStatistics) -> tuple[float, float]:
    return float(own.low.min()), float(own.high.max())


def _round(graph: OnnxGraph, layer: Layer, statistics: Mapping[str, ChannelStatistics]) -> QuantizedWeights:
    """The rounded weights of a convolution, and its bias without what rounding them adds on average."""
    weight = graph.weight(layer)
    rounded, scales = round_weights(weight, layer.groups)
    shift = bias_shift(weight, rounded, scales, statistics[layer.inputs[0]].mean, layer.groups)
    return QuantizedWeights(rounded, scales, graph.bias(layer) - shift)
