"""Inspects a model: gradients of its layers, graphs of its modules, and Grad-CAM on faces. Needs torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

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
"""Called with (photos done, photos in total)."""

Pixels = NDArray[np.uint8]

BATCH = 32
"""Maximum number of photos in the batch of the gradient check."""


@dataclass(frozen=True)
class GradCamResult:
    """Grad-CAM of one face.

    Attributes:
        name: Name of the photo.
        image: Input of the model before normalization, (height, width, 3).
        predictions: By attribute, the predicted value with its probability, as text.
        overlays: By attribute, the image under the Grad-CAM map of the predicted value, (height, width, 3).
    """

    name: str
    image: Pixels
    predictions: dict[str, str]
    overlays: dict[str, Pixels]


@dataclass(frozen=True)
class ModelInspection:
    """Result of an inspection.

    Attributes:
        metadata: Metadata of the model file.
        layers: Gradient of each layer, from the input to the heads.
        num_photos: Number of photos in the batch of the gradient check.
        num_labeled: How many of these have a label; for the others the model's own prediction is the target.
        graphs: Drawings by graph, or the reason why there is none.
        grad_cams: Faces with Grad-CAM.
        unreadable: Photos that were skipped, by name, and why.
    """

    metadata: ModelMetadata
    layers: tuple[LayerGradient, ...]
    num_photos: int
    num_labeled: int
    graphs: dict[str, Path | str]
    grad_cams: tuple[GradCamResult, ...]
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
    """Inspects a model.

    Args:
        model: A `.safetensors` model.
        photos: Inputs; their labels, where known, are the targets of the gradient check.
        graphs: Prefix of the graphs' file names: `x` gives `x-modules.svg`; None draws none.
        depth: Depth to which the graph of modules is expanded.
        faces: Number of photos to compute Grad-CAM for; 0 for none.
        progress: Called during the decoding of the photos.

    Returns:
        The inspection.

    Raises:
        ModelFileError: The file is not a model.
        DataError: Fewer than two photos can be read.
        MissingExtraError: torch, or the extra `inspect`, is not installed.
    """
    network, metadata = load_model(model)
    readable, images, unreadable = _read_images(metadata, photos[: max(BATCH, faces)], progress)
    inputs = metadata.preprocessing.normalization(images)[:BATCH]
    schema = metadata.label_schema
    codes = schema.encode_batch([photo.labels for photo in readable[:BATCH]])
    codes_of_heads = schema.to_class_index(codes)[:, None] if metadata.heads == (JOINT_HEAD,) else codes
    predictions = {head: values.argmax(axis=1) for head, values in _logits(network, inputs).items()}
    targets = target_mask(codes_of_heads, metadata.head_sizes, predictions)
    return ModelInspection(
        metadata=metadata,
        layers=tuple(check_gradients(network, inputs, targets)),
        num_photos=len(inputs),
        num_labeled=int((codes_of_heads >= 0).any(axis=1).sum()),
        graphs={} if graphs is None else _draw_graphs(network, metadata, graphs, depth),
        grad_cams=_grad_cams(network, metadata, readable[:faces], images[:faces]) if faces else (),
        unreadable=unreadable,
    )


def write_layers(path: Path, layers: Sequence[LayerGradient]) -> Path:
    """Writes the gradient check as CSV, a row for each layer.

    Args:
        path: Where to write; an existing file is replaced.
        layers: The layers.

    Returns:
        `path`.
    """
    header = ["layer", "kind", "weights", "norm", "root_mean_square", "verdict"]
    rows = (
        [layer.name, layer.layer_type, layer.num_parameters, f"{layer.norm:.6g}", f"{layer.rms:.6g}", layer.verdict]
        for layer in layers
    )
    return write_csv(path, header, rows)


def _read_images(
    metadata: ModelMetadata, photos: Sequence[Photo], progress: Progress | None
) -> tuple[list[Photo], Pixels, dict[str, str]]:
    """The readable photos, their images (photos, height, width, 3), and why the others cannot be read."""
    readable, images, unreadable = [], [], {}
    for done, photo in enumerate(photos, start=1):
        try:
            images.append(metadata.preprocessing.crop_resize.read(photo))
            readable.append(photo)
        except PhotoError as error:
            unreadable[photo.name] = error.message
        if progress:
            progress(done, len(photos))
    if len(images) < 2:
        raise DataError(
            f"at least 2 readable photos are needed, got {len(images)}", hint="name more photos with --images"
        )
    return readable, np.stack(images), unreadable


def _logits(network: Network, inputs: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    import torch

    with torch.inference_mode():
        return {head: values.float().numpy() for head, values in network(torch.from_numpy(inputs)).items()}


def _draw_graphs(network: Network, metadata: ModelMetadata, prefix: Path, depth: int) -> dict[str, Path | str]:
    """Both graphs; where one cannot be drawn, the error message in its place."""
    size = metadata.preprocessing.crop_resize.size
    graphs: dict[str, Path | str] = {}
    makers: dict[str, Callable[[], str]] = {
        "modules": lambda: module_graph(network, size, depth),
        "backward": lambda: backward_graph(network, size),
    }
    for name, make in makers.items():
        try:
            graphs[name] = draw_graph_file(make(), prefix.with_name(f"{prefix.name}-{name}.svg"))
        except MaskfitError as error:
            graphs[name] = str(error)
    return graphs


def _grad_cams(
    network: Network, metadata: ModelMetadata, photos: Sequence[Photo], images: Pixels
) -> tuple[GradCamResult, ...]:
    inputs = metadata.preprocessing.normalization(images)
    scored = metadata.label_schema.scored_schema()
    probabilities = metadata.calibration.apply_temperature(
        scored, logits_to_probabilities(metadata.label_schema, _logits(network, inputs))
    )
    marginals = scored.marginals(probabilities)
    maps = {name: _predicted_maps(network, metadata, name, rows, inputs) for name, rows in marginals.items()}
    return tuple(
        GradCamResult(
            photo.name,
            images[index],
            {name: _prediction_text(scored, name, rows[index]) for name, rows in marginals.items()},
            {name: overlay(images[index], heat[index]) for name, heat in maps.items()},
        )
        for index, photo in enumerate(photos)
    )


def _predicted_maps(
    network: Network, metadata: ModelMetadata, name: str, marginals: FloatArray, inputs: NDArray[np.float32]
) -> FloatArray:
    """Grad-CAM of each photo's predicted value of an attribute, (photos, height, width)."""
    predicted = marginals.argmax(axis=1)
    heat = np.zeros((len(inputs), *inputs.shape[2:]))
    for code in np.unique(predicted).tolist():
        head, logits = logits_for(metadata.label_schema, metadata.heads, name, code)
        heat[predicted == code] = grad_cam(network, inputs[predicted == code], head, logits)
    return heat


def _prediction_text(schema: LabelSchema, name: str, probabilities: FloatArray) -> str:
    code = int(probabilities.argmax())
    return f"{schema[name].display_name(code)} {probabilities[code]:.0%}"
