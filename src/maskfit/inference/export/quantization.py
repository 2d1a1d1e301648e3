"""Quantising: a network whose convolutions compute in eight bits, by ONNX Runtime's static quantiser.

Ranges of what flows between the layers are set by photos. Weights have one scale for each output channel, without which
networks of depthwise convolutions lose most of what they know (Jacob et al. 2018, "Quantization and Training of Neural
Networks for Efficient Integer-Arithmetic-Only Inference").
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

from maskfit.data.photo_dataset import Photo
from maskfit.errors import DataError
from maskfit.inference.engines.engine import FRAMES
from maskfit.inference.export.parity import read_frames
from maskfit.model_file import ModelMetadata
from maskfit.onnx_runtime import import_onnxruntime

MAX_CALIBRATION_IMAGES = 256
"""Photos that set ranges; more change them little."""

KEEP_FLOAT_FRACTION = 8
"""The first convolution of so many keeps its bits, at least one. They are narrow, so that they cost few bytes, and hand
their errors to all others: a MobileNetV2 (52 convolutions) changed four times as many answers where only one kept them.
"""


def quantize_static(program: Any, facts: ModelMetadata, photos: Sequence[Photo]) -> Any:
    """An ONNX program whose convolutions compute in eight bits, the first ones excepted (`KEPT`), and the heads.

    Weights use all eight bits: with seven, which old processors without VNNI would ask for, a MobileNetV2 changed twice
    as many answers.

    Args:
        program: What `to_onnx` gives.
        facts: Its facts.
        photos: Photos to set ranges by; `MOST_PHOTOS` of them are taken, evenly.

    Raises:
        DataError: None can be read.
    """
    import onnx

    import_onnxruntime()
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    taken = photos[:: -(-len(photos) // MAX_CALIBRATION_IMAGES)]
    frames = read_frames(facts.preprocessing.crop_resize, taken)
    opening = next(frames, None)
    if opening is None:
        raise DataError("there is no photo to set ranges by that can be read", hint="check the folder of --calibrate")
    batches = ({FRAMES: batch} for batch in chain([opening], frames))
    # Shapes and folded layers are torch's work already; without this mark the quantiser would ask for them.
    program.metadata_props.add(key="onnx.quant.pre_process", value="onnxruntime.quant")
    convolutions = [node.name for node in program.graph.node if node.op_type == "Conv"]
    with TemporaryDirectory() as folder:
        out = Path(folder) / "int8.onnx"
        quantize_static(
            program,
            out,
            SimpleNamespace(get_next=lambda: next(batches, None)),
            quant_format=QuantFormat.QDQ,
            # The clipping after a convolution goes with it: without, eight bits would be spread over what is clipped.
            op_types_to_quantize=["Conv", "Clip", "Relu"],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=[
                *convolutions[: max(1, len(convolutions) // KEEP_FLOAT_FRACTION)],
                *_after_pooling(program),
            ],
            calibrate_method=CalibrationMethod.MinMax,
        )
        return onnx.load(out)


def _after_pooling(program: Any) -> list[str]:
    """The convolutions that read an average pooling.

    Between two tensors of eight bits ONNX Runtime (1.31) fuses such a pooling into one of its own that gives other
    numbers: a small net then changed six answers of eleven, and one where nothing was fused.
    """
    pooled = {output for node in program.graph.node if node.op_type == "AveragePool" for output in node.output}
    return [node.name for node in program.graph.node if node.op_type == "Conv" and node.input[0] in pooled]
