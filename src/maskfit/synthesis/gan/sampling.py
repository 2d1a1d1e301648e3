"""Sampling faces from a generator: number per class, and the manifest for training on them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from maskfit.data.manifest import PERSONS_COLUMN
from maskfit.data.preprocessing import ImageBatch
from maskfit.errors import DataError
from maskfit.file_io import atomic_write, save_image, write_csv
from maskfit.labels.schema import IntArray, LabelSchema
from maskfit.synthesis.gan.checkpoint import GanMetadata
from maskfit.synthesis.gan.dataset import Progress

MANIFEST, PERSONS = "manifest.csv", "persons.csv"
"""Files in the output folder: the manifest of the samples, and the persons that the generator was trained on."""

BATCH_SIZE = 64
"""Faces per forward pass."""


@dataclass(frozen=True)
class SamplingResult:
    """Result of `write_faces`.

    Attributes:
        manifest: CSV that lists the faces, for `data.extra_train`.
        train_counts: Number of training photos by class index.
        generated: Number of generated faces by class index.
    """

    manifest: Path
    train_counts: dict[int, int]
    generated: dict[int, int]


def select_classes(selection: str, train_counts: Mapping[int, int], target_count: int | None) -> dict[int, int]:
    """Determines the number of faces to generate for each class.

    Args:
        selection: `thin` for classes smaller than the average, `all`, or class indices such as `2,5,8`.
        train_counts: Number of photos of each class.
        target_count: Photos per class including the generated faces; None for the average class size.

    Returns:
        Number of faces by class index, without classes that need none.

    Raises:
        DataError: The selection is invalid, an index is no class, or no class needs a face.
    """
    average = sum(train_counts.values()) / len(train_counts)
    if selection in ("thin", "all"):
        chosen = [class_index for class_index, count in train_counts.items() if selection == "all" or count < average]
    else:
        try:
            chosen = sorted({int(item) for item in selection.split(",")})
        except ValueError:
            raise DataError(
                f"classes must be thin, all or class indices, got '{selection}'", hint="write for example 2,5,8"
            ) from None
        unknown = [class_index for class_index in chosen if class_index not in train_counts]
        if unknown:
            message = f"class index must be 0 to {len(train_counts) - 1}, got {unknown[0]}"
            raise DataError(message, hint="use the class indices of the label schema")
    counts = {
        class_index: max(0, (target_count or round(average)) - train_counts[class_index]) for class_index in chosen
    }
    counts = {class_index: count for class_index, count in counts.items() if count}
    if not counts:
        raise DataError("no class needs faces", hint="raise --target-count, or select other classes")
    return counts


def sample_class(generator: nn.Module, metadata: GanMetadata, class_index: int, count: int, seed: int) -> ImageBatch:
    """Samples faces of a class; the first ones do not depend on the count.

    Args:
        generator: The generator, in evaluation mode.
        metadata: Its metadata.
        class_index: Index of the class in the label schema.
        count: Number of faces.
        seed: Seed of the noise.

    Returns:
        RGB faces, uint8 of shape (count, size, size, 3).
    """
    codes = np.repeat(metadata.label_schema.to_attribute_indices([class_index]), count, axis=0)
    noise = np.random.default_rng([seed, class_index]).standard_normal((count, metadata.latent_dim))
    return sample_faces(generator, noise, codes)


def sample_faces(
    generator: nn.Module, noise: np.ndarray[tuple[int, ...], np.dtype[np.float64]], codes: IntArray
) -> ImageBatch:
    """Samples faces from given noise and attributes.

    Args:
        generator: The generator, in evaluation mode.
        noise: Shape (faces, latent).
        codes: Attribute indices, shape (faces, attributes).

    Returns:
        RGB faces, uint8 of shape (faces, size, size, 3).
    """
    device = next(generator.parameters()).device
    faces = []
    with torch.inference_mode():
        for start in range(0, len(noise), BATCH_SIZE):
            batch = torch.from_numpy(noise[start : start + BATCH_SIZE]).float().to(device)
            made = generator(batch, torch.from_numpy(codes[start : start + BATCH_SIZE]).to(device))
            faces.append(made.add(1).mul(127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy())
    return np.concatenate(faces)


def write_faces(
    generator: nn.Module,
    metadata: GanMetadata,
    out: Path,
    train_counts: Mapping[int, int],
    counts: Mapping[int, int],
    *,
    seed: int = 0,
    progress: Progress | None = None,
) -> SamplingResult:
    """Writes faces as PNG, the list of training persons, and last the manifest.

    Where the manifest exists, the output is complete.

    The manifest lists every person that the generator was trained on for each face: training excludes a face wherever
    one of
    them is held out.

    Args:
        generator: The generator, in evaluation mode.
        metadata: Its metadata.
        out: Output folder; the faces go into a subfolder named by the training steps.
        train_counts: Number of training photos by class index.
        counts: Number of faces to sample by class index.
        seed: Seed of the noise.
        progress: Called with (faces written, faces in total).

    Returns:
        The manifest's path and the counts.
    """
    rows: list[list[object]] = []
    total = sum(counts.values())
    write_csv(out / PERSONS, ["person"], [[person] for person in metadata.persons])
    for class_index, count in counts.items():
        labels = _label_values(metadata.label_schema, class_index)
        for name, face in _named(
            out, metadata, class_index, sample_class(generator, metadata, class_index, count, seed)
        ):
            with atomic_write(out / name) as temporary:
                save_image(Image.fromarray(face), temporary, "PNG")
            rows.append([name, PERSONS, *labels])
            if progress:
                progress(len(rows), total)
    manifest = write_csv(out / MANIFEST, ["path", PERSONS_COLUMN, *metadata.label_schema.names], rows)
    return SamplingResult(manifest, dict(train_counts), dict(counts))


def _named(out: Path, metadata: GanMetadata, class_index: int, faces: ImageBatch) -> Iterator[tuple[str, ImageBatch]]:
    for index, face in enumerate(faces):
        yield f"faces-{metadata.steps:06d}/{class_index:02d}-{index:05d}.png", face


def _label_values(label_schema: LabelSchema, class_index: int) -> list[str]:
    codes = label_schema.to_attribute_indices([class_index])[0]
    return [attribute.values[code] for attribute, code in zip(label_schema.attributes, codes, strict=True)]
