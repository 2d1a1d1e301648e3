"""What engines have in common: what goes into a network and comes out of it, checked against its facts, and errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from maskfit.data.preprocessing import ImageBatch
from maskfit.errors import ModelFileError
from maskfit.model_file import ModelMetadata

FRAMES = "frames"
"""The input of an exported network: uint8 (batch, height, width, 3), normalised inside."""
BATCH_AXIS = "photos"
"""The input of networks that maskfit exported before: float32 (batch, 3, height, width), normalised outside."""
PROBABILITIES = "probabilities"
"""The output beside the heads' logits that plain programs read: (batch, official classes)."""

Logits = dict[str, NDArray[np.float32]]
Precision = Literal["f32", "bf16", "auto", "checked"]
"""How finely an engine computes. `checked` is bf16 with an exact twin, of which close answers are asked again."""


PRECISION_TEXT = {"f32": "f32", "bf16": "bf16", "auto": "its own precision", "checked": "bf16, close answers again in f32"}
"""Precisions in words."""

Values = Mapping[str, tuple[str, Sequence[object]]]
"""Inputs or outputs of a network: type and shape by name."""

_TYPES = {"f32": "float", "float32": "float", "u8": "uint8"}
"""OpenVINO's words for types as ONNX Runtime's."""


def find_input(inputs: Values, outputs: Values, facts: ModelMetadata, path: Path) -> str:
    """The input's name: of a network that takes frames, or of an older one that takes normalised photos.

    Raises:
        ModelFileError: The network is neither.
    """
    height, width = facts.preprocessing.crop_resize.size
    heads: dict[str, tuple[str, Sequence[object]]] = {
        head: ("float", (None, own)) for head, own in facts.head_sizes.items()
    }
    answers = {PROBABILITIES: ("float", (None, facts.label_schema.scored_schema().num_classes))}
    wanted = _describe({FRAMES: ("uint8", (None, height, width, 3))}, {**heads, **answers})
    older = _describe({BATCH_AXIS: ("float", (None, 3, height, width))}, heads)
    found = _describe(inputs, outputs)
    # Widths too: heads of (2, 3) values where (3, 2) are meant would multiply to the same number of classes.
    if found not in (wanted, older):
        raise ModelFileError(
            f"its network goes from {found:.300}, and its facts say from {wanted:.300}",
            location=path,
            hint="export it anew with maskfit export",
        )
    return FRAMES if found == wanted else BATCH_AXIS


def _describe(inputs: Values, outputs: Values) -> str:
    """Names with types and shapes; a side that is free, as a batch must be, is `any`."""
    sides = []
    for values in (inputs, outputs):
        said = []
        for name, (kind, shape) in values.items():
            free = [str(side) if isinstance(side, int) else "any" for side in shape]
            said.append(f"{name} ({' x '.join(free)}, {_TYPES.get(kind, kind)})")
        sides.append(", ".join(said) or "nothing")
    return " to ".join(sides)


def static_shape(item: Any) -> list[object]:
    """The shape of an OpenVINO input or output, None where a side is free."""
    shape = item.get_partial_shape()
    return [None if side.is_dynamic else side.get_length() for side in shape] if shape.rank.is_static else [None]


def prepare_input(name: str, frames: ImageBatch, facts: ModelMetadata) -> NDArray[Any]:
    """What goes into the input of that name."""
    return frames if name == FRAMES else facts.preprocessing.normalization(frames)


def run_in_chunks(
    frames: ImageBatch, at_once: int | None, ask: Callable[[ImageBatch], Logits], *, filled: bool = False
) -> Logits:
    """What a network says of a batch that it takes part by part; `filled` fills the last part up with black frames."""
    count = len(frames)
    if at_once is None or (count <= at_once and not filled):
        return ask(frames)
    if filled and (rest := -count % at_once):
        frames = np.concatenate([frames, np.zeros((rest, *frames.shape[1:]), np.uint8)])
    parts = [ask(frames[start : start + at_once]) for start in range(0, count, at_once)]
    return {head: np.concatenate([part[head] for part in parts])[:count] for head in parts[0]}


def reject_chunk_option(at_once: int | None) -> None:
    if at_once is not None and at_once < 1:
        raise ValueError(f"at_once={at_once} must be 1 or more")


def check_precision(precision: str) -> None:
    if precision not in get_args(Precision):
        raise ValueError(f"precision={precision} must be one of {', '.join(get_args(Precision))}")


def engine_error(error: Exception, path: Path) -> ModelFileError:
    return ModelFileError(f"its network cannot run: {first_error_line(error)}", location=path, hint="export it anew")


def first_error_line(error: Exception) -> str:
    """The first line of an engine's error that says something; OpenVINO's begin with its own files and lines."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if not line.startswith(("Exception from", "Check '"))]
    return f"{(telling or lines or [type(error).__name__])[0]:.300}"
