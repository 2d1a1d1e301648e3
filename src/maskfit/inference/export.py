"""Export: a trained network as a file that runs without torch, its facts in the metadata."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from maskfit.errors import MaskfitError, MissingExtraError, ModelFileError
from maskfit.files import replacing
from maskfit.inference.engines import INPUT, Batch, OnnxEngine
from maskfit.labels import answer
from maskfit.modelfile import ModelFacts, load_network


@dataclass(frozen=True)
class Exported:
    """An exported file, and how far it is from the network it came from.

    Attributes:
        path: The file.
        bytes: Its size.
        difference: The largest difference of a probability on the photos tried.
        photos: How many those were.
    """

    path: Path
    bytes: int
    difference: float
    photos: int


def export_onnx(model: Path, out: Path) -> Exported:
    """Writes a `.safetensors` model as ONNX: normalised photos in, one output for each head, any batch size.

    The file is tried before it takes its place: on noise of every brightness it must answer as torch does.

    Raises:
        ModelFileError: `model` is no such model.
        MissingExtraError: The exporter is not installed.
        MaskfitError: The exported network answers otherwise.
    """
    if out.suffix != ".onnx":
        raise ModelFileError(f"an ONNX file ends in .onnx, not in '{out.suffix}'", where=out, fix="--out model.onnx")
    try:
        import onnx
        import onnxscript  # noqa: F401 (torch's exporter fails late and unclearly without it)
        import torch
    except ImportError:
        raise MissingExtraError("'maskfit export'", "train") from None
    network, facts = load_network(model)
    photos = _noise(facts, 4)
    program = torch.onnx.export(
        network,
        (torch.from_numpy(photos),),
        input_names=[INPUT],
        output_names=list(facts.heads),
        dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=65536)},),
        dynamo=True,
        verbose=False,
    )
    if program is None:
        raise MaskfitError("torch gave no ONNX program", where=model, fix="try another version of torch")
    proto = program.model_proto
    for key, value in facts.to_metadata().items():
        proto.metadata_props.add(key=key, value=value)
    onnx.checker.check_model(proto)
    with replacing(out) as temporary:
        temporary.write_bytes(proto.SerializeToString())
        with torch.inference_mode():
            wanted = {head: values.numpy() for head, values in network(torch.from_numpy(photos)).items()}
        found = _try(temporary, photos)
        difference = float(np.abs(answer(facts.scheme, wanted) - answer(facts.scheme, found)).max())
        if not difference < 1e-4:
            raise MaskfitError(
                f"the exported network's probabilities differ by {difference:.2g}",
                where=out,
                fix="report this as a fault",
            )
    return Exported(out, out.stat().st_size, difference, len(photos))


def _noise(facts: ModelFacts, count: int) -> Batch:
    """Frames of noise from dark to bright, normalised."""
    height, width = facts.preprocessing.framing.size
    drawn = np.random.default_rng(0).integers(0, 256, (count, height, width, 3))
    bright = np.linspace(0.2, 1, count)[:, None, None, None]
    return facts.preprocessing.normalising.normalise((drawn * bright).astype(np.uint8))


def _try(path: Path, photos: Batch) -> dict[str, NDArray[np.float32]]:
    """What the file answers: one photo at a time, so that its batch size is seen to be free."""
    engine = OnnxEngine(path)
    rows = [engine.logits(photos[place : place + 1]) for place in range(len(photos))]
    return {head: np.concatenate([row[head] for row in rows]) for head in rows[0]}
