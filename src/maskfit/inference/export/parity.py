"""Parity: how far an exported network's answers are from those of the network it came from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from maskfit.data.image_decoding import decode
from maskfit.data.photo_dataset import Photo
from maskfit.data.preprocessing import CropResize, ImageBatch
from maskfit.errors import DataError, PhotoError
from maskfit.inference.engines.engine import Engine, TorchEngine
from maskfit.labels.schema import logits_to_probabilities
from maskfit.model_file import ModelMetadata

Progress = Callable[[int, int], None]

BATCH_SIZE = 32
"""Photos that are compared at once."""


@dataclass(frozen=True)
class Parity:
    """How far one engine is from the reference.

    Attributes:
        photos: On how many photos.
        difference: The largest difference of a probability, 0 to 1.
        changed: How many photos it answers with another class.
    """

    num_images: int
    max_difference: float
    num_changed: int


def compare(engines: Sequence[Engine], batches: Iterable[ImageBatch]) -> tuple[Parity, ...]:
    """How far each engine after the first is from the first, all of one scheme and framing.

    Args:
        engines: The reference, and what is compared with it.
        batches: Frames (batch, height, width, 3). The first photo is looked at alone, so that a batch is seen to be of
            any size.

    Raises:
        DataError: There are no frames.
        ModelFileError: An engine cannot run.
    """
    photos, difference, changed = 0, np.zeros(len(engines) - 1), np.zeros(len(engines) - 1, dtype=np.int64)
    for frames in batches:
        for part in (frames[:1], frames[1:]) if photos == 0 and len(frames) > 1 else (frames,):
            first, *others = (
                logits_to_probabilities(engine.metadata.label_schema, engine.logits(part)) for engine in engines
            )
            # Not fmax or max(): a difference that is no number must stay.
            difference = np.maximum(difference, [np.abs(other - first).max() for other in others])
            changed += [int((other.argmax(1) != first.argmax(1)).sum()) for other in others]
            photos += len(part)
    if not photos:
        raise DataError("there is no photo to compare on that can be read", hint="check the folder")
    return tuple(Parity(photos, float(most), int(count)) for most, count in zip(difference, changed, strict=True))


def f32_rounding_error(engine: TorchEngine, frames: ImageBatch) -> float:
    """The largest difference that 32 bits make to the engine's own probabilities of these frames, 0 to 1.

    On noise, which no network was trained on, logits can be in the hundreds, and their last bits worth a ten-thousandth
    of a probability. Another program that rounds in another order is as far off, and no worse for it.
    """
    scheme = engine.metadata.label_schema
    return float(
        np.abs(
            logits_to_probabilities(scheme, engine.logits(frames))
            - logits_to_probabilities(scheme, engine.logits_f64(frames))
        ).max()
    )


def random_inputs(facts: ModelMetadata, count: int = 4) -> ImageBatch:
    """Frames of noise from dark to bright, (count, height, width, 3)."""
    height, width = facts.preprocessing.crop_resize.size
    drawn = np.random.default_rng(0).integers(0, 256, (count, height, width, 3))
    bright = np.linspace(0.2, 1, count)[:, None, None, None]
    return np.asarray((drawn * bright).astype(np.uint8))


def read_frames(framing: CropResize, photos: Sequence[Photo], progress: Progress | None = None) -> Iterator[ImageBatch]:
    """Photos as a network sees them, in batches (batch, height, width, 3); those that cannot be read are left out.

    Raises:
        DataError: The weights of a detector that the framing crops with are not here.
    """
    framing.pinned()

    def read(photo: Photo) -> ImageBatch | None:
        try:
            return framing(decode(photo.path))
        except PhotoError:
            return None

    with ThreadPoolExecutor() as pool:
        for start in range(0, len(photos), BATCH_SIZE):
            batch = photos[start : start + BATCH_SIZE]
            frames = [frame for frame in pool.map(read, batch) if frame is not None]
            if frames:
                yield np.stack(frames)
            if progress:
                progress(start + len(batch), len(photos))
