"""ONNX export: frames in, normalized inside, each head's logits and the probabilities out, any batch size, one file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from maskfit.data.preprocessing import MIN_STD
from maskfit.errors import MaskfitError, MissingExtraError, ModelFileError
from maskfit.inference.engines.engine import FRAMES, PROBABILITIES
from maskfit.inference.engines.int8_origin import INT8_KEY
from maskfit.model_file import ModelMetadata, load_model

if TYPE_CHECKING:
    from maskfit.models.export_module import ExportModule
    from maskfit.models.network import Network

Compress = Callable[[Any, ModelMetadata], Any]
"""Makes an ONNX program (`onnx.ModelProto`) smaller: `convert_weights_to_fp16`, or `quantize_static` with photos."""


def write_onnx(model: Path, out: Path, compress: Compress | None = None) -> None:
    """Writes a model as ONNX.

    Args:
        model: A `.safetensors` model.
        out: The file to write.
        compress: Makes the program smaller; None leaves it in fp32.

    Raises:
        ModelFileError: `model` is no such model, or an attribute has the name of an input or output.
        DataError: There are no photos to quantize with.
        MissingExtraError: The exporter is not installed.
    """
    program, metadata = to_onnx(model, compress)
    for key, value in metadata.to_metadata().items():
        program.metadata_props.add(key=key, value=value)
    out.write_bytes(program.SerializeToString())


def to_onnx(model: Path, compress: Compress | None = None) -> tuple[Any, ModelMetadata]:
    """Converts a model to an ONNX program without metadata.

    Args:
        model: A `.safetensors` model.
        compress: Makes the program smaller; None leaves it in fp32.

    Returns:
        The program (`onnx.ModelProto`) and the model's metadata.

    Raises:
        ModelFileError: `model` is no such model, or an attribute has the name of an input or output.
        DataError: There are no photos to quantize with.
        MissingExtraError: The exporter is not installed.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401 (torch's exporter fails late and unclearly without it)
        import torch
    except ImportError:
        raise MissingExtraError("'maskfit export'", "train") from None
    network, metadata = load_model(model)
    taken = {FRAMES, PROBABILITIES} & set(metadata.heads)
    if taken:
        raise ModelFileError(
            f"an attribute called '{taken.pop()}' cannot be exported: an input or output has that name", location=model
        )
    program = torch.onnx.export(
        _make_export_module(network, metadata),
        # Two images: with one, the exporter would fix the batch size to 1.
        (torch.zeros((2, *metadata.preprocessing.crop_resize.size, 3), dtype=torch.uint8),),
        input_names=[FRAMES],
        output_names=[*metadata.heads, PROBABILITIES],
        dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=65536)},),
        dynamo=True,
        verbose=False,
    )
    if program is None:
        raise MaskfitError("torch returned no ONNX program", location=model, hint="try another version of torch")
    proto = program.model_proto if compress is None else compress(program.model_proto, metadata)
    _strip_debug_info(proto)
    onnx.checker.check_model(proto)
    return proto, metadata


def _strip_debug_info(program: Any) -> None:
    """Removes what torch's exporter records of every layer: its place in the code, with paths of this machine."""
    graph = program.graph
    kept = [(item.key, item.value) for item in program.metadata_props if item.key == INT8_KEY]
    for item in (program, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        del item.metadata_props[:]
        item.doc_string = ""
    for key, value in kept:
        program.metadata_props.add(key=key, value=value)


def _make_export_module(network: Network, metadata: ModelMetadata) -> ExportModule:
    from maskfit.models.export_module import DatasetNormalize, ExportModule, InstanceNormalize

    normalization = metadata.preprocessing.normalization
    scale, shift = (np.asarray(numbers).tolist() for numbers in normalization.scale_and_shift())
    normalize = InstanceNormalize(MIN_STD) if normalization.mode == "per_image" else DatasetNormalize(scale, shift)
    to_scored: Mapping[str, list[int]] = {
        attribute.name: attribute.to_scored_index().tolist()
        for attribute in metadata.label_schema.attributes
        if attribute.parent_of
    }
    sizes, temperatures = metadata.label_schema.sizes, metadata.calibration.temperatures
    return ExportModule(network, normalize, sizes, to_scored, temperatures).eval()
