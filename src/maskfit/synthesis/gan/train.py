"""Trains a GAN into a folder, for so many steps or minutes; what is there can be gone on with to the bit.

FOLDER/
  last.safetensors  for going on only
  gan.safetensors   the generator, its average over the steps
  losses.csv        what every so many steps lost
  sheet.png         the same noise drawn as every class, anew every so many steps
"""

from __future__ import annotations

import math
import time
from pathlib import Path

import numpy as np

from maskfit.data.image_cache.cache import CachedImages
from maskfit.data.preprocessing import CropResize
from maskfit.errors import DataError
from maskfit.file_io import read_csv, write_csv
from maskfit.labels.schema import IntArray
from maskfit.registry import ComponentSpec
from maskfit.synthesis.gan.checkpoint import GanFacts, read_gan_facts
from maskfit.synthesis.gan.dataset import GanDataset, Progress
from maskfit.synthesis.gan.networks import SIZES
from maskfit.synthesis.gan.sample_grid import Row, write_sheet
from maskfit.synthesis.gan.sampling import draw_faces
from maskfit.synthesis.gan.trainer import GanTrainer, Losses

CHECKPOINT, GENERATOR, LOSSES, SHEET = "last.safetensors", "gan.safetensors", "losses.csv", "sheet.png"

LOG_EVERY, SAVE_EVERY = 25, 500
"""Steps between two rows of the losses, and between two checkpoints and sheets."""

ON_SHEET = 12
"""Faces of each class on the sheet."""

COLUMNS = ("step", "seconds", *Losses._fields)


def check_place(source: Path, out: Path, *, resume: bool) -> None:
    """Looks whether a GAN can be trained into a folder, before any work is done.

    Raises:
        DataError: The folder holds something that is not to be gone on with, or lies among the photos.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        if not resume:
            raise DataError(
                "this folder is not empty", location=out, hint="name a new one, or go on with it by --resume"
            )
        if not (out / CHECKPOINT).is_file():
            raise DataError("nothing to go on with: no GAN was begun here", location=out, hint="name a new folder")
    if source.is_dir() and source.resolve() in (out.resolve(), *out.resolve().parents):
        what = "this folder lies among the photos, and would be read as one of them"
        raise DataError(what, location=out, hint="name one elsewhere")


def make_facts(material: GanDataset, crop: ComponentSpec, size: int, *, width: int, batch: int, seed: int) -> GanFacts:
    """What a GAN that learns from this material says of itself before its first step.

    Raises:
        RecipeError: The crop is unknown, or an option is refused.
        DataError: There are no faces of this size, or the crop's detector has no weights here.
        MissingExtraError: The crop needs an extra.
    """
    if size not in SIZES:
        known = ", ".join(map(str, SIZES))
        raise DataError(f"faces of {size} pixels are none of {known}", hint="take one of these sizes")
    return GanFacts(
        label_schema=material.scheme,
        framing=CropResize(crop=crop, size=(size, size)).pinned(),
        width=width,
        batch=batch,
        seed=seed,
        photos=len(material.learned),
        persons=material.persons,
    )


def train_gan(
    facts: GanFacts,
    frames: CachedImages,
    codes: IntArray,
    out: Path,
    *,
    steps: int,
    minutes: float | None = None,
    progress: Progress | None = None,
) -> Path:
    """Trains up to a number of steps or for so many minutes, from the last checkpoint if there is one.

    Args:
        facts: Of `make_facts`.
        frames: The photos to learn from, in the facts' framing.
        codes: (photos, attributes) their codes.
        out: The folder, looked at by `check_place`.
        steps: Steps in all, those before an interruption included.
        minutes: How long to go on for, this time.
        progress: Called with (steps done, steps there will be at this speed).

    Returns:
        The generator's file.

    Raises:
        DataError: What was begun in the folder is something else.
        RunError: The losses are no longer numbers; the folder keeps what was learned before.
    """
    learning = GanTrainer(facts, frames, codes)
    begun = (out / CHECKPOINT).is_file()
    rows = _resume(learning, out) if begun else []
    if not begun:
        _keep(learning, rows, out)
    clock = _Clock(float(str(rows[-1][1])) if rows else 0.0, learning.done, minutes)
    kept = learning.done
    try:
        while learning.done < steps and not clock.over:
            losses = learning.step()
            if learning.done % LOG_EVERY == 0:
                rows.append([learning.done, f"{clock.seconds:.1f}", *(f"{value:.4f}" for value in losses)])
            if progress:
                progress(learning.done, clock.expect(learning.done, steps))
            if learning.done % SAVE_EVERY == 0:
                _keep(learning, rows, out)
                kept = learning.done
    finally:
        # Also where the user stops it. What is no longer numbers is not kept.
        if learning.done > kept and learning.sound:
            _keep(learning, rows, out)
    return out / GENERATOR


class _Clock:
    """How long training took, and when it is over.

    Args:
        before: Seconds of earlier trainings into the same folder.
        first: The step that it begins with.
        minutes: For how long to go on; None for ever.
    """

    def __init__(self, before: float, first: int, minutes: float | None) -> None:
        self.before = before
        self.first = first
        self.most = math.inf if minutes is None else 60 * minutes
        self.began = time.perf_counter()

    @property
    def seconds(self) -> float:
        return self.before + time.perf_counter() - self.began

    @property
    def over(self) -> bool:
        return time.perf_counter() - self.began >= self.most

    def expect(self, done: int, steps: int) -> int:
        """How many steps there will be."""
        speed = (done - self.first) / max(time.perf_counter() - self.began, 1e-9)
        return max(done, steps if math.isinf(self.most) else min(steps, self.first + round(speed * self.most)))


def _resume(learning: GanTrainer, out: Path) -> list[list[object]]:
    """Takes up the last checkpoint; gives the rows of losses up to it."""
    found, asked = read_gan_facts(out / CHECKPOINT), learning.facts
    differing = [
        name
        for name in type(asked).model_fields
        if name not in ("steps", "maskfit") and getattr(found, name) != getattr(asked, name)
    ]
    if differing:
        raise DataError(
            f"what was begun here differs in: {', '.join(differing)}",
            location=out / CHECKPOINT,
            hint="give what was given then, or name a new folder",
        )
    learning.read(out / CHECKPOINT, found.steps)
    if not (out / LOSSES).is_file():
        return []
    kept = [row for row in read_csv(out / LOSSES, COLUMNS) if int(row["step"]) <= found.steps]
    return [[row[name] for name in COLUMNS] for row in kept]


def _keep(learning: GanTrainer, rows: list[list[object]], out: Path) -> None:
    """Writes what the folder holds; the checkpoint last, so that the rest is never behind it."""
    write_csv(out / LOSSES, COLUMNS, rows)
    draw_sheet(learning, out / SHEET)
    learning.write(out / CHECKPOINT, out / GENERATOR)


def draw_sheet(learning: GanTrainer, path: Path) -> None:
    """A row for each class, a column for each noise."""
    scheme, latent = learning.facts.label_schema, learning.facts.latent
    noise = np.random.default_rng([learning.facts.seed, 1]).standard_normal((ON_SHEET, latent))
    network = learning.ema_generator.eval()
    rows: list[Row] = []
    for number in range(scheme.classes):
        faces = draw_faces(network, noise, np.repeat(scheme.to_attribute_indices([number]), ON_SHEET, axis=0))
        rows.append((scheme.describe(number), [], list(faces)))
    write_sheet(path, f"after {learning.done:,} steps", rows)
