"""ONNX: frames in, normalised inside, each head's logits and the probabilities out, any batch size, one file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from maskfit.data.preprocessing import MIN_STD
from maskfit.errors import MaskfitError, MissingExtraError, ModelFileError
from maskfit.inference.engines.engine import FRAMES, PROBABILITIES
from maskfit.model_file import ModelMetadata, load_model

if TYPE_CHECKING:
    from maskfit.models.export_module import ExportModule
    from maskfit.models.network import Network

Compress = Callable[[Any, ModelMetadata], Any]
"""Makes an ONNX program (`onnx.ModelProto`) smaller: `halving.halve`, or `quantising.quantise` with photos."""


def write_onnx(model: Path, out: Path, shrink: Compress | None = None) -> None:
    """Writes a model as ONNX, its numbers made smaller if wanted.

    Raises:
        ModelFileError: `model` is no such model, or an attribute has the name of an input or output.
        DataError: There is nothing to shrink it by.
        MissingExtraError: The exporter is not installed.
    """
    program, facts = to_onnx(model, shrink)
    for key, value in facts.to_metadata().items():
        program.metadata_props.add(key=key, value=value)
    out.write_bytes(program.SerializeToString())


def to_onnx(model: Path, shrink: Compress | None = None) -> tuple[Any, ModelMetadata]:
    """A model as an ONNX program (`onnx.ModelProto`) without metadata, made smaller if wanted, and its facts.

    Raises:
        ModelFileError: `model` is no such model, or an attribute has the name of an input or output.
        DataError: There is nothing to shrink it by.
        MissingExtraError: The exporter is not installed.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401 (torch's exporter fails late and unclearly without it)
        import torch
    except ImportError:
        raise MissingExtraError("'maskfit export'", "train") from None
    network, facts = load_model(model)
    taken = {FRAMES, PROBABILITIES} & set(facts.heads)
    if taken:
        raise ModelFileError(
            f"an attribute called '{taken.pop()}' cannot be exported: an input or output has that name", location=model
        )
    served = _serve(network, facts)
    program = torch.onnx.export(
        served,
        # Two: of one, a batch of any size would be taken for a batch of one.
        (torch.zeros((2, *facts.preprocessing.crop_resize.size, 3), dtype=torch.uint8),),
        input_names=[FRAMES],
        output_names=[*facts.heads, PROBABILITIES],
        dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=65536)},),
        dynamo=True,
        verbose=False,
    )
    if program is None:
        raise MaskfitError("torch gave no ONNX program", location=model, hint="try another version of torch")
    proto = program.model_proto if shrink is None else shrink(program.model_proto, facts)
    _forget(proto)
    onnx.checker.check_model(proto)
    return proto, facts


def _forget(program: Any) -> None:
    """Takes out what torch's exporter notes: of every layer where it stands in the code, by paths of this machine."""
    graph = program.graph
    for noted in (program, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        del noted.metadata_props[:]
        noted.doc_string = ""


def _serve(network: Network, facts: ModelMetadata) -> ExportModule:
    from maskfit.models.export_module import DatasetNormalize, ExportModule, InstanceNormalize

    normalising = facts.preprocessing.normalization
    scale, shift = (np.asarray(numbers).tolist() for numbers in normalising.scale_and_shift())
    inside = InstanceNormalize(MIN_STD) if normalising.mode == "per_image" else DatasetNormalize(scale, shift)
    folding: Mapping[str, list[int]] = {
        attribute.name: attribute.to_scored_index().tolist()
        for attribute in facts.label_schema.attributes
        if attribute.parent_of
    }
    return ExportModule(network, inside, facts.label_schema.sizes, folding, facts.calibration.temperatures).eval()
