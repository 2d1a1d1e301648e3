"""Halving: weights kept in sixteen bits and computed with in thirty-two, so that a file has half its size.

Each is widened where the network is loaded (ONNX Runtime and OpenVINO fold that away), so it takes as much memory and
is as fast as it was. Eleven bits of every weight's precision remain: a MobileNetV2 changed 3 of 1,400 answers, where
eight bits changed 48.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from maskfit.model_file import ModelMetadata

MIN_DIMS = 2
"""Sides from which on weights are halved: those of convolutions and linear layers. What has fewer is small, and may be
finer than sixteen bits: biases, and the numbers that normalise a photo."""

MAX_FP16 = float(np.finfo(np.float16).max)
"""The largest number of sixteen bits, 65,504."""

MIN_MAX_WEIGHT = 2.0**-14
"""Below this sixteen bits lose precision; weights whose largest is smaller stay as they are."""


def convert_weights_to_fp16(program: Any, facts: ModelMetadata) -> Any:
    """An ONNX program whose weights are kept in sixteen bits.

    Weights that sixteen bits cannot hold, some of them above `MOST` or all of them below `LEAST`, stay as they are.

    Args:
        program: What `to_onnx` gives; it is changed.
        facts: Its facts.
    """
    from onnx import TensorProto, helper, numpy_helper

    widening = []
    for weights in program.graph.initializer:
        if weights.data_type != TensorProto.FLOAT or len(weights.dims) < MIN_DIMS:
            continue
        values = numpy_helper.to_array(weights)
        largest = float(np.abs(values).max(initial=0.0))
        if not MIN_MAX_WEIGHT <= largest <= MAX_FP16:
            continue
        name = weights.name
        weights.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.half"))
        widening.append(helper.make_node("Cast", [weights.name], [name], f"{name}.widened", to=TensorProto.FLOAT))
    # In front of all that computes: a program's nodes stand in the order in which they run.
    nodes = [*widening, *program.graph.node]
    del program.graph.node[:]
    program.graph.node.extend(nodes)
    return program
