"""Faces drawn from a generator: which classes, how many, and the manifest that training reads them by."""

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
from maskfit.file_io import atomic_write, write_csv
from maskfit.labels.schema import IntArray, LabelSchema
from maskfit.synthesis.gan.checkpoint import GanMetadata
from maskfit.synthesis.gan.dataset import Progress

MANIFEST, PERSONS = "manifest.csv", "persons.csv"

BATCH_SIZE = 64
"""Faces made at a time."""


@dataclass(frozen=True)
class SamplingResult:
    """What was drawn.

    Attributes:
        manifest: The CSV that lists it, for `data.extra_train`.
        train_counts: How many photos of each class were learned from.
        made: How many faces each class got.
    """

    manifest: Path
    train_counts: dict[int, int]
    generated: dict[int, int]


def select_classes(selection: str, train_counts: Mapping[int, int], target_count: int | None) -> dict[int, int]:
    """How many faces each class is to get.

    Args:
        word: `thin` for classes with fewer photos than a class has on average, `all`, or numbers as in `2,5,8`.
        train_counts: How many photos each class has.
        upto: How many it is to have together with its faces; the average where left out.

    Raises:
        DataError: The word is none of these, a number is no class, or no class would get any.
    """
    average = sum(train_counts.values()) / len(train_counts)
    if selection in ("thin", "all"):
        chosen = [number for number, count in train_counts.items() if selection == "all" or count < average]
    else:
        try:
            chosen = sorted({int(item) for item in selection.split(",")})
        except ValueError:
            raise DataError(f"'{selection}' are no classes", hint="write thin, all, or numbers as in 2,5,8") from None
        strange = [number for number in chosen if number not in train_counts]
        if strange:
            raise DataError(f"there is no class {strange[0]}", hint=f"the classes are 0 to {len(train_counts) - 1}")
    counts = {number: max(0, (target_count or round(average)) - train_counts[number]) for number in chosen}
    counts = {number: count for number, count in counts.items() if count}
    if not counts:
        raise DataError("no class would get a face", hint="ask for more by --target-count, or for other classes")
    return counts


def sample_class(generator: nn.Module, metadata: GanMetadata, number: int, count: int, seed: int) -> ImageBatch:
    """Faces of a class, (count, size, size, 3); the first ones are the same whatever the count."""
    codes = np.repeat(metadata.label_schema.to_attribute_indices([number]), count, axis=0)
    noise = np.random.default_rng([seed, number]).standard_normal((count, metadata.latent))
    return sample_faces(generator, noise, codes)


def sample_faces(
    generator: nn.Module, noise: np.ndarray[tuple[int, ...], np.dtype[np.float64]], codes: IntArray
) -> ImageBatch:
    """Faces from noise (faces, latent) and codes (faces, attributes), by a generator in evaluation mode."""
    device = next(generator.parameters()).device
    faces = []
    with torch.inference_mode():
        for start in range(0, len(noise), BATCH_SIZE):
            some = torch.from_numpy(noise[start : start + BATCH_SIZE]).float().to(device)
            made = generator(some, torch.from_numpy(codes[start : start + BATCH_SIZE]).to(device))
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
    """Writes faces as PNG, who was learned from, and last the manifest, so that where it is, everything is.

    The manifest says of each face that everybody the generator learned from is on it: training leaves it out wherever
    one of them is held out.

    Args:
        generator: In evaluation mode.
        facts: Its facts.
        out: The folder; faces go into one of their own beneath it, named by the steps of training.
        train_counts: How many photos each class has.
        wanted: How many faces to draw of which class.
        seed: Another seed, other faces.
        progress: Called with (faces written, faces).
    """
    rows: list[list[object]] = []
    total = sum(counts.values())
    write_csv(out / PERSONS, ["person"], [[person] for person in metadata.persons])
    for number, count in counts.items():
        words = _words(metadata.label_schema, number)
        for name, face in _named(out, metadata, number, sample_class(generator, metadata, number, count, seed)):
            with atomic_write(out / name) as temporary:
                Image.fromarray(face).save(temporary, "PNG")
            rows.append([name, PERSONS, *words])
            if progress:
                progress(len(rows), total)
    manifest = write_csv(out / MANIFEST, ["path", PERSONS_COLUMN, *metadata.label_schema.names], rows)
    return SamplingResult(manifest, dict(train_counts), dict(counts))


def _named(out: Path, metadata: GanMetadata, number: int, faces: ImageBatch) -> Iterator[tuple[str, ImageBatch]]:
    for place, face in enumerate(faces):
        yield f"faces-{metadata.steps:06d}/{number:02d}-{place:05d}.png", face


def _words(label_schema: LabelSchema, number: int) -> list[str]:
    codes = label_schema.to_attribute_indices([number])[0]
    return [attribute.values[code] for attribute, code in zip(label_schema.attributes, codes, strict=True)]
