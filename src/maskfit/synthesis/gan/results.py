"""Results of the GAN pipeline: `gan.json` and an image grid of real and generated faces."""

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
from maskfit.text import format_count

RESULTS_FILE, COMPARISON_FILE = "gan.json", "real-and-made.png"
"""Files written next to the samples."""

REAL, MADE = 4, 12
"""Faces of each class in the grid: real and generated."""


def result_to_dict(metadata: GanMetadata, samples: SamplingResult, evaluation: GanEvaluation | None) -> dict[str, Any]:
    """Converts the result to the mapping that is written to `gan.json`.

    Args:
        metadata: Metadata of the generator.
        samples: The generated faces.
        evaluation: Evaluation of the generator; None without one.

    Returns:
        A JSON-serializable mapping.
    """
    return {
        "manifest": str(samples.manifest),
        "steps": metadata.steps,
        "size": metadata.size,
        "seed": metadata.seed,
        "photos": metadata.photos,
        "persons": len(metadata.persons),
        "classes": [
            {
                "class": class_index,
                "words": metadata.label_schema.describe(class_index),
                "photos": count,
                "made": samples.generated.get(class_index, 0),
            }
            for class_index, count in samples.train_counts.items()
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
    """Writes `gan.json` and an image grid: per class some training photos and the first generated faces.

    Args:
        out: Output folder.
        generator: The generator, in evaluation mode.
        metadata: Its metadata.
        dataset: Its training photos.
        samples: The generated faces.
        evaluation: Evaluation of the generator; None without one.
        seed: Seed of the sampling.
        cache_dir: Folder of the image cache; None for the user's cache.

    Returns:
        The mapping written to `gan.json`.
    """
    classes = dataset.label_schema.to_class_index(dataset.train.attribute_indices(dataset.label_schema))
    rows = []
    for class_index, count in samples.train_counts.items():
        indices = np.flatnonzero(classes == class_index)
        # Evenly spread over the dataset: neighbors show the same person.
        chosen = indices[np.linspace(0, len(indices) - 1, min(REAL, len(indices))).astype(int)]
        photos = dataset.train.select(chosen)
        real = open_image_cache(photos.photos, metadata.crop_resize, folder=cache_dir).gather(np.arange(len(photos)))
        name, generated = metadata.label_schema.describe(class_index), samples.generated.get(class_index, 0)
        text = f"{name}\n{format_count(count, 'photo')}, {format_count(generated, 'face')}"
        rows.append(
            (
                text + _describe_agreement(metadata, evaluation, class_index),
                list(real),
                list(sample_class(generator, metadata, class_index, MADE, seed)),
            )
        )
    title = f"left: training photos; right: generated after {format_count(metadata.steps, 'step')}, not cherry-picked"
    write_sample_grid(out / COMPARISON_FILE, title, rows)
    outcome = result_to_dict(metadata, samples, evaluation)
    write_json(out / RESULTS_FILE, outcome)
    return outcome


def _describe_agreement(metadata: GanMetadata, evaluation: GanEvaluation | None, class_index: int) -> str:
    """Formats the agreement of a class as two lines of text; "" without an evaluation."""
    found = evaluation.agreement if evaluation else ()
    fractions = next(
        (
            (item.made[0], item.strangers[0])
            for item in found
            if item.words == metadata.label_schema.describe(class_index)
        ),
        (),
    )
    texts = ["-" if fraction is None else f"{fraction:.0%}" for fraction in fractions]
    return f"\njudge agrees: {texts[0]} of generated,\n{texts[1]} of held-out photos" if texts else ""
