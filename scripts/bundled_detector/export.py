"""Exports the bundled detector: ONNX whose larger weights are stored in 8 bits."""

from __future__ import annotations

import io

import numpy as np
import onnx
import torch
from network import STRIDES, FaceNetwork
from onnx import helper, numpy_helper

LARGE = 1024
"""Weights of a layer from which on they are stored in 8 bits."""


def to_onnx(network: FaceNetwork) -> bytes:
    """Returns the network as ONNX with free photos, height and width."""
    stream = io.BytesIO()
    names = [f"stride_{stride}" for stride in STRIDES]
    axes = {"image": {0: "photos", 1: "height", 2: "width"}}
    for name, stride in zip(names, STRIDES, strict=True):
        axes[name] = {0: "photos", 2: f"height/{stride}", 3: f"width/{stride}"}
    example = (torch.zeros(1, 320, 384, 3, dtype=torch.uint8),)
    network = network.eval().to(memory_format=torch.contiguous_format)
    torch.onnx.export(
        network, example, stream, input_names=["image"], output_names=names, dynamic_axes=axes, dynamo=False
    )
    return stream.getvalue()


def to_small_onnx(network: FaceNetwork) -> bytes:
    """Returns the network as ONNX with free shapes and weights in 8 bits, each output channel with a scale of its own.

    A cast and a product restore the weights. They depend on no input, so an engine computes them once when it loads the
    file, and then computes in 32 bits as with any other file.
    """
    model = onnx.load_from_string(to_onnx(network))
    graph = model.graph
    restored = []
    for tensor in list(graph.initializer):
        weights = numpy_helper.to_array(tensor)
        if weights.dtype != np.float32 or weights.ndim != 4 or weights.size < LARGE:
            continue
        scale = np.abs(weights).max(axis=(1, 2, 3), keepdims=True) / 127
        scale = np.maximum(scale, 1e-12).astype(np.float32)
        stored = np.clip(np.round(weights / scale), -127, 127).astype(np.int8)
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(stored, f"{name}_int8"))
        graph.initializer.append(numpy_helper.from_array(scale, f"{name}_scale"))
        restored += [
            helper.make_node("Cast", [f"{name}_int8"], [f"{name}_float"], to=onnx.TensorProto.FLOAT),
            helper.make_node("Mul", [f"{name}_float", f"{name}_scale"], [name]),
        ]
    nodes = [*restored, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())
