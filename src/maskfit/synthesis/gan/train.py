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
from maskfit.synthesis.gan.checkpoint import GanMetadata, read_gan_metadata
from maskfit.synthesis.gan.dataset import GanDataset, Progress
from maskfit.synthesis.gan.networks import SIZES
from maskfit.synthesis.gan.sample_grid import Row, write_sample_grid
from maskfit.synthesis.gan.sampling import sample_faces
from maskfit.synthesis.gan.trainer import GanTrainer, Losses

CHECKPOINT, GENERATOR, LOSSES, SHEET = "last.safetensors", "gan.safetensors", "losses.csv", "sheet.png"

LOG_EVERY, SAVE_EVERY = 25, 500
"""Steps between two rows of the losses, and between two checkpoints and sheets."""

ON_SHEET = 12
"""Faces of each class on the sheet."""

COLUMNS = ("step", "seconds", *Losses._fields)


def check_output_dir(source: Path, out: Path, *, resume: bool) -> None:
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


def build_metadata(
    dataset: GanDataset, crop: ComponentSpec, size: int, *, width: int, batch: int, seed: int
) -> GanMetadata:
    """What a GAN that learns from this material says of itself before its first step.

    Raises:
        RecipeError: The crop is unknown, or an option is refused.
        DataError: There are no faces of this size, or the crop's detector has no weights here.
        MissingExtraError: The crop needs an extra.
    """
    if size not in SIZES:
        known = ", ".join(map(str, SIZES))
        raise DataError(f"faces of {size} pixels are none of {known}", hint="take one of these sizes")
    return GanMetadata(
        label_schema=dataset.label_schema,
        framing=CropResize(crop=crop, size=(size, size)).pinned(),
        width=width,
        batch=batch,
        seed=seed,
        photos=len(dataset.train),
        persons=dataset.persons,
    )


def train_gan(
    metadata: GanMetadata,
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
    trainer = GanTrainer(metadata, frames, codes)
    begun = (out / CHECKPOINT).is_file()
    rows = _resume(trainer, out) if begun else []
    if not begun:
        _save(trainer, rows, out)
    clock = _Clock(float(str(rows[-1][1])) if rows else 0.0, trainer.steps_done, minutes)
    kept = trainer.steps_done
    try:
        while trainer.steps_done < steps and not clock.over:
            losses = trainer.step()
            if trainer.steps_done % LOG_EVERY == 0:
                rows.append([trainer.steps_done, f"{clock.seconds:.1f}", *(f"{value:.4f}" for value in losses)])
            if progress:
                progress(trainer.steps_done, clock.expect(trainer.steps_done, steps))
            if trainer.steps_done % SAVE_EVERY == 0:
                _save(trainer, rows, out)
                kept = trainer.steps_done
    finally:
        # Also where the user stops it. What is no longer numbers is not kept.
        if trainer.steps_done > kept and trainer.is_finite:
            _save(trainer, rows, out)
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
        self.max_shift = math.inf if minutes is None else 60 * minutes
        self.began = time.perf_counter()

    @property
    def seconds(self) -> float:
        return self.before + time.perf_counter() - self.began

    @property
    def over(self) -> bool:
        return time.perf_counter() - self.began >= self.max_shift

    def expect(self, steps_done: int, steps: int) -> int:
        """How many steps there will be."""
        speed = (steps_done - self.first) / max(time.perf_counter() - self.began, 1e-9)
        return max(
            steps_done, steps if math.isinf(self.max_shift) else min(steps, self.first + round(speed * self.max_shift))
        )


def _resume(trainer: GanTrainer, out: Path) -> list[list[object]]:
    """Takes up the last checkpoint; gives the rows of losses up to it."""
    found, asked = read_gan_metadata(out / CHECKPOINT), trainer.metadata
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
    trainer.read(out / CHECKPOINT, found.steps)
    if not (out / LOSSES).is_file():
        return []
    kept = [row for row in read_csv(out / LOSSES, COLUMNS) if int(row["step"]) <= found.steps]
    return [[row[name] for name in COLUMNS] for row in kept]


def _save(trainer: GanTrainer, rows: list[list[object]], out: Path) -> None:
    """Writes what the folder holds; the checkpoint last, so that the rest is never behind it."""
    write_csv(out / LOSSES, COLUMNS, rows)
    write_class_grid(trainer, out / SHEET)
    trainer.write(out / CHECKPOINT, out / GENERATOR)


def write_class_grid(trainer: GanTrainer, path: Path) -> None:
    """A row for each class, a column for each noise."""
    label_schema, latent = trainer.metadata.label_schema, trainer.metadata.latent
    noise = np.random.default_rng([trainer.metadata.seed, 1]).standard_normal((ON_SHEET, latent))
    network = trainer.ema_generator.eval()
    rows: list[Row] = []
    for number in range(label_schema.num_classes):
        faces = sample_faces(network, noise, np.repeat(label_schema.to_attribute_indices([number]), ON_SHEET, axis=0))
        rows.append((label_schema.describe(number), [], list(faces)))
    write_sample_grid(path, f"after {trainer.steps_done:,} steps", rows)
