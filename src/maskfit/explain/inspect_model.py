"""A look inside a model: what its layers learn, how it is built, and where on a face it looks. Needs torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from maskfit.data.image_decoding import decode
from maskfit.data.photo_dataset import Photo
from maskfit.errors import DataError, MaskfitError, PhotoError
from maskfit.explain.gradcam import grad_cam, logits_for, overlay
from maskfit.explain.gradient_check import LayerGradient, check_gradients, target_mask
from maskfit.explain.model_graph import backward_graph, draw_graph_file, module_graph
from maskfit.file_io import write_csv
from maskfit.labels.schema import JOINT_HEAD, FloatArray, LabelSchema, logits_to_probabilities
from maskfit.model_file import ModelMetadata, load_model

if TYPE_CHECKING:
    from maskfit.models.network import Network

Progress = Callable[[int, int], None]
Pixels = NDArray[np.uint8]

BATCH = 32
"""Photos that the gradients are taken of at once, at most."""


@dataclass(frozen=True)
class GradCamResult:
    """One face, and where the model looked.

    Attributes:
        name: The photo's name.
        frame: What the model saw, (height, width, 3).
        answers: By attribute, the answer in words with its probability.
        heats: By attribute, the frame under its heat, (height, width, 3).
    """

    name: str
    frame: Pixels
    answers: dict[str, str]
    heats: dict[str, Pixels]


@dataclass(frozen=True)
class ModelInspection:
    """What was seen.

    Attributes:
        facts: Of the model file.
        layers: Each layer with its gradient, from the photo to the heads.
        photos: Of how many photos the gradients are.
        labelled: Of how many of these a label was known; of the others the model's own answer was taken.
        graphs: Pictures by what they show, or why there is none.
        looks: Faces with Grad-CAM.
        unreadable: Photos that were set aside, by name, and why.
    """

    facts: ModelMetadata
    layers: tuple[LayerGradient, ...]
    photos: int
    labelled: int
    graphs: dict[str, Path | str]
    looks: tuple[GradCamResult, ...]
    unreadable: dict[str, str]


def inspect_model(
    model: Path,
    photos: Sequence[Photo],
    *,
    graphs: Path | None = None,
    depth: int = 3,
    faces: int = 8,
    progress: Progress | None = None,
) -> ModelInspection:
    """Looks inside a model.

    Args:
        model: A `.safetensors` model.
        photos: What it is shown; their labels, where known, are what is learnt from in the gradient check.
        graphs: The start of the graphs' file names: `x` gives `x-modules.svg`; none are drawn where left out.
        depth: How far the graph of modules is opened.
        faces: Of how many photos to show where the model looks; 0 for none.
        progress: Called with (photos done, photos).

    Raises:
        ModelFileError: It is no such model.
        DataError: Fewer than two photos can be read.
        MissingExtraError: torch, or the extra `inspect`, is not installed.
    """
    network, facts = load_model(model)
    seen, frames, unreadable = _frames(facts, photos[: max(BATCH, faces)], progress)
    planes = facts.preprocessing.normalization(frames)
    logits = _logits(network, planes[:BATCH])
    codes = facts.label_schema.encode_batch([photo.labels for photo in seen[:BATCH]])
    heads = facts.label_schema.to_class_index(codes)[:, None] if facts.heads == (JOINT_HEAD,) else codes
    allowed = target_mask(heads, facts.head_sizes, {head: values.argmax(axis=1) for head, values in logits.items()})
    return ModelInspection(
        facts=facts,
        layers=tuple(check_gradients(network, planes[:BATCH], allowed)),
        photos=len(planes[:BATCH]),
        labelled=int((heads >= 0).any(axis=1).sum()),
        graphs={} if graphs is None else _graphs(network, facts, graphs, depth),
        looks=_looks(network, facts, seen[:faces], frames[:faces]) if faces else (),
        unreadable=unreadable,
    )


def write_layers(path: Path, layers: Sequence[LayerGradient]) -> Path:
    """The gradient check as a table, a row for each layer."""
    header = ["layer", "kind", "weights", "norm", "root_mean_square", "verdict"]
    rows = ([own.name, own.kind, own.weights, f"{own.norm:.6g}", f"{own.mean:.6g}", own.verdict] for own in layers)
    return write_csv(path, header, rows)


def _frames(
    facts: ModelMetadata, photos: Sequence[Photo], progress: Progress | None
) -> tuple[list[Photo], Pixels, dict[str, str]]:
    seen, frames, unreadable = [], [], {}
    for place, photo in enumerate(photos, start=1):
        try:
            frames.append(facts.preprocessing.crop_resize(decode(photo.path)))
            seen.append(photo)
        except PhotoError as error:
            unreadable[photo.name] = error.message
        if progress:
            progress(place, len(photos))
    if len(frames) < 2:
        raise DataError(f"{len(frames)} photos can be read, and two are needed", hint="name more photos with --images")
    return seen, np.stack(frames), unreadable


def _logits(network: Network, planes: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    import torch

    with torch.inference_mode():
        return {head: values.float().numpy() for head, values in network(torch.from_numpy(planes)).items()}


def _graphs(network: Network, facts: ModelMetadata, start: Path, depth: int) -> dict[str, Path | str]:
    """Both graphs; one that cannot be drawn says why and stops nothing."""
    size = facts.preprocessing.crop_resize.size
    made: dict[str, Path | str] = {}
    makers: dict[str, Callable[[], str]] = {
        "modules": lambda: module_graph(network, size, depth),
        "backward": lambda: backward_graph(network, size),
    }
    for name, make in makers.items():
        try:
            made[name] = draw_graph_file(make(), start.with_name(f"{start.name}-{name}.svg"))
        except MaskfitError as error:
            made[name] = str(error)
    return made


def _looks(
    network: Network, facts: ModelMetadata, photos: Sequence[Photo], frames: Pixels
) -> tuple[GradCamResult, ...]:
    planes = facts.preprocessing.normalization(frames)
    official = facts.label_schema.scored_schema()
    said = facts.calibration.apply_temperature(
        official, logits_to_probabilities(facts.label_schema, _logits(network, planes))
    )
    marginals = official.marginals(said)
    maps = {name: _heat(network, facts, name, shares, planes) for name, shares in marginals.items()}
    return tuple(
        GradCamResult(
            photo.name,
            frames[place],
            {name: _words(official, name, shares[place]) for name, shares in marginals.items()},
            {name: overlay(frames[place], heat[place]) for name, heat in maps.items()},
        )
        for place, photo in enumerate(photos)
    )


def _heat(
    network: Network, facts: ModelMetadata, name: str, shares: FloatArray, planes: NDArray[np.float32]
) -> FloatArray:
    """Where each face speaks for its own answer to an attribute, (photos, height, width)."""
    best = shares.argmax(axis=1)
    heat = np.zeros((len(planes), *planes.shape[2:]))
    for code in np.unique(best).tolist():
        head, logits = logits_for(facts.label_schema, facts.heads, name, code)
        heat[best == code] = grad_cam(network, planes[best == code], head, logits)
    return heat


def _words(scheme: LabelSchema, name: str, shares: FloatArray) -> str:
    code = int(shares.argmax())
    return f"{scheme[name].display_name(code)} {shares[code]:.0%}"
