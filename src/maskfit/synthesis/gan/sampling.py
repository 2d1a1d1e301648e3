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
from maskfit.data.preprocessing import Frames
from maskfit.errors import DataError
from maskfit.file_io import atomic_write, write_csv
from maskfit.labels.schema import IntArray, LabelSchema
from maskfit.synthesis.gan.checkpoint import GanFacts
from maskfit.synthesis.gan.dataset import Progress

MANIFEST, PERSONS = "manifest.csv", "persons.csv"

AT_ONCE = 64
"""Faces made at a time."""


@dataclass(frozen=True)
class SamplingResult:
    """What was drawn.

    Attributes:
        manifest: The CSV that lists it, for `data.extra_train`.
        before: How many photos of each class were learned from.
        made: How many faces each class got.
    """

    manifest: Path
    before: dict[int, int]
    made: dict[int, int]


def choose_classes(word: str, before: Mapping[int, int], upto: int | None) -> dict[int, int]:
    """How many faces each class is to get.

    Args:
        word: `thin` for classes with fewer photos than a class has on average, `all`, or numbers as in `2,5,8`.
        before: How many photos each class has.
        upto: How many it is to have together with its faces; the average where left out.

    Raises:
        DataError: The word is none of these, a number is no class, or no class would get any.
    """
    average = sum(before.values()) / len(before)
    if word in ("thin", "all"):
        chosen = [number for number, count in before.items() if word == "all" or count < average]
    else:
        try:
            chosen = sorted({int(item) for item in word.split(",")})
        except ValueError:
            raise DataError(f"'{word}' are no classes", hint="write thin, all, or numbers as in 2,5,8") from None
        strange = [number for number in chosen if number not in before]
        if strange:
            raise DataError(f"there is no class {strange[0]}", hint=f"the classes are 0 to {len(before) - 1}")
    wanted = {number: max(0, (upto or round(average)) - before[number]) for number in chosen}
    wanted = {number: count for number, count in wanted.items() if count}
    if not wanted:
        raise DataError("no class would get a face", hint="ask for more by --upto, or for other classes")
    return wanted


def draw_class(generator: nn.Module, facts: GanFacts, number: int, count: int, seed: int) -> Frames:
    """Faces of a class, (count, size, size, 3); the first ones are the same whatever the count."""
    codes = np.repeat(facts.label_schema.to_attribute_indices([number]), count, axis=0)
    noise = np.random.default_rng([seed, number]).standard_normal((count, facts.latent))
    return draw_faces(generator, noise, codes)


def draw_faces(
    generator: nn.Module, noise: np.ndarray[tuple[int, ...], np.dtype[np.float64]], codes: IntArray
) -> Frames:
    """Faces from noise (faces, latent) and codes (faces, attributes), by a generator in evaluation mode."""
    device = next(generator.parameters()).device
    faces = []
    with torch.inference_mode():
        for start in range(0, len(noise), AT_ONCE):
            some = torch.from_numpy(noise[start : start + AT_ONCE]).float().to(device)
            made = generator(some, torch.from_numpy(codes[start : start + AT_ONCE]).to(device))
            faces.append(made.add(1).mul(127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy())
    return np.concatenate(faces)


def write_faces(
    generator: nn.Module,
    facts: GanFacts,
    out: Path,
    before: Mapping[int, int],
    wanted: Mapping[int, int],
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
        before: How many photos each class has.
        wanted: How many faces to draw of which class.
        seed: Another seed, other faces.
        progress: Called with (faces written, faces).
    """
    rows: list[list[object]] = []
    total = sum(wanted.values())
    write_csv(out / PERSONS, ["person"], [[person] for person in facts.persons])
    for number, count in wanted.items():
        words = _words(facts.label_schema, number)
        for name, face in _named(out, facts, number, draw_class(generator, facts, number, count, seed)):
            with atomic_write(out / name) as temporary:
                Image.fromarray(face).save(temporary, "PNG")
            rows.append([name, PERSONS, *words])
            if progress:
                progress(len(rows), total)
    manifest = write_csv(out / MANIFEST, ["path", PERSONS_COLUMN, *facts.label_schema.names], rows)
    return SamplingResult(manifest, dict(before), dict(wanted))


def _named(out: Path, facts: GanFacts, number: int, faces: Frames) -> Iterator[tuple[str, Frames]]:
    for place, face in enumerate(faces):
        yield f"faces-{facts.steps:06d}/{number:02d}-{place:05d}.png", face


def _words(scheme: LabelSchema, number: int) -> list[str]:
    codes = scheme.to_attribute_indices([number])[0]
    return [attribute.values[code] for attribute, code in zip(scheme.attributes, codes, strict=True)]
