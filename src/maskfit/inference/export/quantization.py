"""Static int8 quantization of convolutions with ONNX Runtime.

Activation ranges are calibrated on photos. Weights have one scale for each output channel, without which networks of
depthwise convolutions lose most of their accuracy (Jacob et al. 2018, "Quantization and Training of Neural Networks for
Efficient Integer-Arithmetic-Only Inference", arXiv 1712.05877).
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
"""Photos that calibrate ranges; more change them little."""

KEEP_FLOAT_FRACTION = 8
"""The first one in this many convolutions stays in float, at least one. The first ones are narrow, so they cost few
bytes, and pass their errors to all others: a MobileNetV2 (52 convolutions) changed four times as many predictions where
only one stayed in float."""


def quantize_static(program: Any, metadata: ModelMetadata, photos: Sequence[Photo]) -> Any:
    """Quantizes the convolutions of an ONNX program to int8, except the first ones (`KEEP_FLOAT_FRACTION`).

    Weights use all eight bits: with seven, as recommended for old processors without VNNI, a MobileNetV2 changed twice
    as many predictions. Heads stay in float.

    Args:
        program: What `to_onnx` returned.
        metadata: The model's metadata.
        photos: Photos to calibrate on; `MAX_CALIBRATION_IMAGES` of them are used, evenly spaced.

    Returns:
        The quantized program.

    Raises:
        DataError: No photo can be read.
    """
    import onnx

    import_onnxruntime()
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    selected = photos[:: -(-len(photos) // MAX_CALIBRATION_IMAGES)]
    frames = read_frames(metadata.preprocessing.crop_resize, selected)
    first = next(frames, None)
    if first is None:
        raise DataError("there is no photo to calibrate on that can be read", hint="check the folder of --calibrate")
    batches = ({FRAMES: batch} for batch in chain([first], frames))
    # torch inferred the shapes and folded the layers already; without this mark the quantizer asks for it.
    program.metadata_props.add(key="onnx.quant.pre_process", value="onnxruntime.quant")
    convolutions = [node.name for node in program.graph.node if node.op_type == "Conv"]
    with TemporaryDirectory() as folder:
        out = Path(folder) / "int8.onnx"
        quantize_static(
            program,
            out,
            SimpleNamespace(get_next=lambda: next(batches, None)),
            quant_format=QuantFormat.QDQ,
            # The clipping after a convolution too: without it, eight bits would be spread over what is clipped.
            op_types_to_quantize=["Conv", "Clip", "Relu"],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=[
                *convolutions[: max(1, len(convolutions) // KEEP_FLOAT_FRACTION)],
                *_convolutions_after_pooling(program),
            ],
            calibrate_method=CalibrationMethod.MinMax,
        )
        return onnx.load(out)


def _convolutions_after_pooling(program: Any) -> list[str]:
    """The convolutions that read an average pooling.

    Between two int8 tensors ONNX Runtime (1.31) fuses such a pooling into one of its own that computes other numbers: a
    small network then changed six predictions of eleven, and one where nothing was fused.
    """
    pooled = {output for node in program.graph.node if node.op_type == "AveragePool" for output in node.output}
    return [node.name for node in program.graph.node if node.op_type == "Conv" and node.input[0] in pooled]
