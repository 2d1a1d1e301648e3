"""What came out, for people and scripts: `gan.json` and the sheet of real beside made faces."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from maskfit.data.image_cache.cache import open_image_cache
from maskfit.file_io import write_json
from maskfit.synthesis.gan.checkpoint import GanFacts
from maskfit.synthesis.gan.dataset import GanDataset
from maskfit.synthesis.gan.evaluation import GanEvaluation
from maskfit.synthesis.gan.sample_grid import write_sheet
from maskfit.synthesis.gan.sampling import SamplingResult, draw_class

OUTCOME, BESIDE = "gan.json", "real-and-made.png"

REAL, MADE = 4, 12
"""Faces of each class on the sheet."""


def result_to_dict(facts: GanFacts, drawn: SamplingResult, judgement: GanEvaluation | None) -> dict[str, Any]:
    """The outcome as JSON has it."""
    return {
        "manifest": str(drawn.manifest),
        "steps": facts.steps,
        "size": facts.size,
        "seed": facts.seed,
        "photos": facts.photos,
        "persons": len(facts.persons),
        "classes": [
            {
                "class": number,
                "words": facts.label_schema.describe(number),
                "photos": count,
                "made": drawn.made.get(number, 0),
            }
            for number, count in drawn.before.items()
        ],
        "judgement": None if judgement is None else asdict(judgement),
    }


def write_outcome(
    out: Path,
    generator: nn.Module,
    facts: GanFacts,
    material: GanDataset,
    drawn: SamplingResult,
    judgement: GanEvaluation | None,
    *,
    seed: int = 0,
    store: Path | None = None,
) -> dict[str, Any]:
    """Writes `gan.json` and a sheet: of each class photos that were learned from, and the first of its faces.

    Args:
        out: The folder.
        generator, facts, material, drawn, judgement: What came out.
        seed: As for the faces.
        store: The folder for decoded photos; in the user's cache where left out.
    """
    classes = material.scheme.to_class_index(material.learned.codes(material.scheme))
    rows = []
    for number, count in drawn.before.items():
        places = np.flatnonzero(classes == number)
        # Spread over the set: neighbours are the same person.
        some = places[np.linspace(0, len(places) - 1, min(REAL, len(places))).astype(int)]
        photos = material.learned.select(some)
        real = open_image_cache(photos.photos, facts.framing, folder=store).gather(np.arange(len(photos)))
        words = f"{facts.label_schema.describe(number)}\n{count} photos, {drawn.made.get(number, 0)} faces"
        rows.append(
            (
                words + _agreed(facts, judgement, number),
                list(real),
                list(draw_class(generator, facts, number, MADE, seed)),
            )
        )
    title = f"left: photos it learned from; right: made after {facts.steps:,} steps, none picked out"
    write_sheet(out / BESIDE, title, rows)
    outcome = result_to_dict(facts, drawn, judgement)
    write_json(out / OUTCOME, outcome)
    return outcome


def _agreed(facts: GanFacts, judgement: GanEvaluation | None, number: int) -> str:
    found = judgement.agreement if judgement else ()
    shares = next(
        ((item.made[0], item.strangers[0]) for item in found if item.words == facts.label_schema.describe(number)), ()
    )
    said = ["-" if share is None else f"{share:.0%}" for share in shares]
    return f"\njudge agrees: {said[0]} of made,\n{said[1]} of real strangers" if said else ""
