"""What came out, for people and scripts: `gan.json` and the sheet of real beside made faces."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from maskfit.data.image_cache.cache import open_image_cache
from maskfit.file_io import write_json
from maskfit.synthesis.gan.checkpoint import GanMetadata
from maskfit.synthesis.gan.dataset import GanDataset
from maskfit.synthesis.gan.evaluation import GanEvaluation
from maskfit.synthesis.gan.sample_grid import write_sample_grid
from maskfit.synthesis.gan.sampling import SamplingResult, sample_class

RESULTS_FILE, COMPARISON_FILE = "gan.json", "real-and-made.png"

REAL, MADE = 4, 12
"""Faces of each class on the sheet."""


def result_to_dict(metadata: GanMetadata, samples: SamplingResult, evaluation: GanEvaluation | None) -> dict[str, Any]:
    """The outcome as JSON has it."""
    return {
        "manifest": str(samples.manifest),
        "steps": metadata.steps,
        "size": metadata.size,
        "seed": metadata.seed,
        "photos": metadata.photos,
        "persons": len(metadata.persons),
        "classes": [
            {
                "class": number,
                "words": metadata.label_schema.describe(number),
                "photos": count,
                "made": samples.generated.get(number, 0),
            }
            for number, count in samples.train_counts.items()
        ],
        "judgement": None if evaluation is None else asdict(evaluation),
    }


def write_results(
    out: Path,
    generator: nn.Module,
    metadata: GanMetadata,
    dataset: GanDataset,
    samples: SamplingResult,
    evaluation: GanEvaluation | None,
    *,
    seed: int = 0,
    cache_dir: Path | None = None,
) -> dict[str, Any]:
    """Writes `gan.json` and a sheet: of each class photos that were learned from, and the first of its faces.

    Args:
        out: The folder.
        generator, facts, material, drawn, judgement: What came out.
        seed: As for the faces.
        store: The folder for decoded photos; in the user's cache where left out.
    """
    classes = dataset.label_schema.to_class_index(dataset.train.attribute_indices(dataset.label_schema))
    rows = []
    for number, count in samples.train_counts.items():
        places = np.flatnonzero(classes == number)
        # Spread over the set: neighbours are the same person.
        some = places[np.linspace(0, len(places) - 1, min(REAL, len(places))).astype(int)]
        photos = dataset.train.select(some)
        real = open_image_cache(photos.photos, metadata.framing, folder=cache_dir).gather(np.arange(len(photos)))
        words = f"{metadata.label_schema.describe(number)}\n{count} photos, {samples.generated.get(number, 0)} faces"
        rows.append(
            (
                words + _describe_agreement(metadata, evaluation, number),
                list(real),
                list(sample_class(generator, metadata, number, MADE, seed)),
            )
        )
    title = f"left: photos it learned from; right: made after {metadata.steps:,} steps, none picked out"
    write_sample_grid(out / COMPARISON_FILE, title, rows)
    outcome = result_to_dict(metadata, samples, evaluation)
    write_json(out / RESULTS_FILE, outcome)
    return outcome


def _describe_agreement(metadata: GanMetadata, evaluation: GanEvaluation | None, number: int) -> str:
    found = evaluation.agreement if evaluation else ()
    shares = next(
        ((item.made[0], item.strangers[0]) for item in found if item.words == metadata.label_schema.describe(number)),
        (),
    )
    predicted = ["-" if share is None else f"{share:.0%}" for share in shares]
    return f"\njudge agrees: {predicted[0]} of made,\n{predicted[1]} of real strangers" if predicted else ""
