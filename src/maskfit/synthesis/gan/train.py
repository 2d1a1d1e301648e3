"""Trains a GAN into a folder, up to a number of steps or minutes; resuming is bit-exact.

FOLDER/
  last.safetensors  checkpoint for resuming
  gan.safetensors   the generator: exponential moving average of its weights
  losses.csv        losses at regular steps
  sheet.png         the same noise sampled as every class, updated with the checkpoint
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
from maskfit.file_locks import is_occupied
from maskfit.labels.schema import IntArray
from maskfit.registry import ComponentSpec
from maskfit.synthesis.gan.checkpoint import GanMetadata, read_gan_metadata
from maskfit.synthesis.gan.dataset import GanDataset, Progress
from maskfit.synthesis.gan.networks import SIZES
from maskfit.synthesis.gan.sample_grid import Row, write_sample_grid
from maskfit.synthesis.gan.sampling import sample_faces
from maskfit.synthesis.gan.trainer import GanTrainer, Losses
from maskfit.text import format_count

CHECKPOINT, GENERATOR, LOSSES, SHEET = "last.safetensors", "gan.safetensors", "losses.csv", "sheet.png"
"""Files in the folder."""

LOG_EVERY, SAVE_EVERY = 25, 500
"""Steps between two rows of the losses, and between two checkpoints and grids."""

ON_SHEET = 12
"""Faces of each class in the grid."""

COLUMNS = ("step", "seconds", *Losses._fields)
"""Columns of `losses.csv`."""


def check_output_dir(source: Path, out: Path, *, resume: bool) -> None:
    """Checks that a GAN can be trained into a folder, before any work is done.

    Args:
        source: Dataset of the photos.
        out: Output folder.
        resume: Whether a training in `out` is to be continued.

    Raises:
        DataError: `out` is not empty and not resumable, has no training to resume, or lies within the source.
    """
    if is_occupied(out):
        if not resume:
            raise DataError(
                "the output folder is not empty", location=out, hint="choose a new folder, or continue with --resume"
            )
        if not (out / CHECKPOINT).is_file():
            raise DataError("nothing to resume: no GAN checkpoint here", location=out, hint="choose a new folder")
    if source.is_dir() and source.resolve() in (out.resolve(), *out.resolve().parents):
        what = "the output folder lies among the photos and would be read as one of them"
        raise DataError(what, location=out, hint="choose a folder outside the source")


def build_metadata(
    dataset: GanDataset, crop: ComponentSpec, size: int, *, width: int, batch_size: int, seed: int
) -> GanMetadata:
    """Builds the metadata of a GAN before its first step.

    Args:
        dataset: Training photos.
        crop: Crop of the photos.
        size: Side of a face in pixels, a key of `SIZES`.
        width: Channels of the largest feature map.
        batch_size: Photos per step.
        seed: Seed of the training.

    Returns:
        The metadata, with 0 steps.

    Raises:
        RecipeError: The crop is unknown, or an option is invalid.
        DataError: The size is not supported, or the weights of the crop's detector are missing.
        MissingExtraError: The crop needs an extra.
    """
    if size not in SIZES:
        known = ", ".join(map(str, SIZES))
        raise DataError(f"size must be one of {known}, got {size}", hint="choose one of these sizes")
    return GanMetadata(
        label_schema=dataset.label_schema,
        crop_resize=CropResize(crop=crop, size=(size, size)).pinned(),
        width=width,
        batch_size=batch_size,
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
    """Trains up to a number of steps or minutes, from the last checkpoint if there is one.

    Args:
        metadata: Metadata from `build_metadata`.
        frames: Training photos, cropped and resized as in the metadata.
        codes: Their attribute indices, shape (photos, attributes).
        out: Output folder, checked by `check_output_dir`.
        steps: Number of steps in total, those before an interruption included.
        minutes: Time limit of this call; None for none.
        progress: Called with (steps done, steps expected at this speed).

    Returns:
        Path of the generator's file.

    Raises:
        DataError: The checkpoint in the folder is of another training.
        RunError: The losses became non-finite; the folder keeps the last finite state.
    """
    trainer = GanTrainer(metadata, frames, codes)
    resuming = (out / CHECKPOINT).is_file()
    rows = _resume(trainer, out) if resuming else []
    if not resuming:
        _save(trainer, rows, out)
    clock = _TrainingClock(float(str(rows[-1][1])) if rows else 0.0, trainer.steps_done, minutes)
    last_saved = trainer.steps_done
    try:
        while trainer.steps_done < steps and not clock.over:
            losses = trainer.step()
            if trainer.steps_done % LOG_EVERY == 0:
                rows.append([trainer.steps_done, f"{clock.seconds:.1f}", *(f"{value:.4f}" for value in losses)])
            if progress:
                progress(trainer.steps_done, clock.expect(trainer.steps_done, steps))
            if trainer.steps_done % SAVE_EVERY == 0:
                _save(trainer, rows, out)
                last_saved = trainer.steps_done
    finally:
        # Also after Ctrl-C. A non-finite state is not saved.
        if trainer.steps_done > last_saved and trainer.is_finite:
            _save(trainer, rows, out)
    return out / GENERATOR


class _TrainingClock:
    """Training time and time limit.

    Args:
        before: Seconds of earlier trainings into the same folder.
        first: Step that this training starts with.
        minutes: Time limit; None for none.
    """

    def __init__(self, before: float, first: int, minutes: float | None) -> None:
        self.before = before
        self.first = first
        self.limit = math.inf if minutes is None else 60 * minutes
        self.start = time.perf_counter()

    @property
    def seconds(self) -> float:
        return self.before + time.perf_counter() - self.start

    @property
    def over(self) -> bool:
        return time.perf_counter() - self.start >= self.limit

    def expect(self, steps_done: int, steps: int) -> int:
        """Estimates the number of steps at the end."""
        speed = (steps_done - self.first) / max(time.perf_counter() - self.start, 1e-9)
        return max(steps_done, steps if math.isinf(self.limit) else min(steps, self.first + round(speed * self.limit)))


def _resume(trainer: GanTrainer, out: Path) -> list[list[object]]:
    """Loads the last checkpoint; returns the rows of losses up to it."""
    found, expected = read_gan_metadata(out / CHECKPOINT), trainer.metadata
    differing = [
        name
        for name in type(expected).model_fields
        if name not in ("steps", "maskfit") and getattr(found, name) != getattr(expected, name)
    ]
    if differing:
        raise DataError(
            f"the checkpoint differs in: {', '.join(differing)}",
            location=out / CHECKPOINT,
            hint="repeat the original options, or choose a new folder",
        )
    trainer.load(out / CHECKPOINT, found.steps)
    if not (out / LOSSES).is_file():
        return []
    last_saved = [row for row in read_csv(out / LOSSES, COLUMNS) if int(row["step"]) <= found.steps]
    return [[row[name] for name in COLUMNS] for row in last_saved]


def _save(trainer: GanTrainer, rows: list[list[object]], out: Path) -> None:
    """Writes the folder's files; the checkpoint last, so that the others are never behind it."""
    write_csv(out / LOSSES, COLUMNS, rows)
    write_class_grid(trainer, out / SHEET)
    trainer.save(out / CHECKPOINT, out / GENERATOR)


def write_class_grid(trainer: GanTrainer, path: Path) -> None:
    """Writes an image grid with a row for each class and a column for each noise vector.

    Args:
        trainer: The trainer.
        path: PNG to write.
    """
    label_schema, latent_dim = trainer.metadata.label_schema, trainer.metadata.latent_dim
    noise = np.random.default_rng([trainer.metadata.seed, 1]).standard_normal((ON_SHEET, latent_dim))
    network = trainer.ema_generator.eval()
    rows: list[Row] = []
    for class_index in range(label_schema.num_classes):
        faces = sample_faces(
            network, noise, np.repeat(label_schema.to_attribute_indices([class_index]), ON_SHEET, axis=0)
        )
        rows.append((label_schema.describe(class_index), [], list(faces)))
    write_sample_grid(path, f"after {format_count(trainer.steps_done, 'step')}", rows)
