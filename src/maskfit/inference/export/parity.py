"""Parity: how far the predictions of an exported network are from those of the network it came from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskfit.data.photo_dataset import Photo
from maskfit.data.preprocessing import CropResize, ImageBatch
from maskfit.errors import DataError, PhotoError
from maskfit.inference.engines.engine import Engine, TorchEngine
from maskfit.labels.schema import logits_to_probabilities
from maskfit.model_file import ModelMetadata
from maskfit.thread_pool import thread_pool

Progress = Callable[[int, int], None]
"""Called with (images done, images)."""

HeadLogits = Mapping[str, NDArray[np.floating]]
"""Head name to logits, (images, values)."""

BATCH_SIZE = 32
"""Images that are compared at once."""


@dataclass(frozen=True)
class Parity:
    """How far one engine is from the reference.

    Attributes:
        num_images: Images compared.
        max_difference: The largest difference of a probability, 0 to 1.
        num_changed: Images for which it predicts another class.
        logit_difference: The largest difference of a logit, relative to the largest logit of its head in the same
            images, or to 1 where that is less. Unlike a probability near 0 or 1, a logit shows every difference.
    """

    num_images: int
    max_difference: float
    num_changed: int
    logit_difference: float = 0.0


def compare(engines: Sequence[Engine], batches: Iterable[ImageBatch]) -> tuple[Parity, ...]:
    """Compares engines with a reference.

    Args:
        engines: The reference, and the engines that are compared with it, all of one schema and input size.
        batches: Frames (batch, height, width, 3). The first image is run alone, so that two batch sizes are tried.

    Returns:
        How far each engine after the first is from the first.

    Raises:
        DataError: There are no frames.
        ModelFileError: An engine cannot run.
    """
    count = 0
    max_difference, num_changed = np.zeros(len(engines) - 1), np.zeros(len(engines) - 1, dtype=np.int64)
    logit_difference = np.zeros(len(engines) - 1)
    for frames in batches:
        for part in (frames[:1], frames[1:]) if count == 0 and len(frames) > 1 else (frames,):
            logits = [engine.logits(part) for engine in engines]
            reference, *others = (
                logits_to_probabilities(engine.metadata.label_schema, values)
                for engine, values in zip(engines, logits, strict=True)
            )
            logit_difference = np.maximum(
                logit_difference, [_relative_difference(logits[0], other) for other in logits[1:]]
            )
            # Not fmax or max(): a NaN must stay.
            max_difference = np.maximum(max_difference, [np.abs(other - reference).max() for other in others])
            num_changed += [int((other.argmax(1) != reference.argmax(1)).sum()) for other in others]
            count += len(part)
    if not count:
        raise DataError("there is no photo to compare on that can be read", hint="check the folder")
    return tuple(
        Parity(count, float(largest), int(changed), float(of_logits))
        for largest, changed, of_logits in zip(max_difference, num_changed, logit_difference, strict=True)
    )


def _relative_difference(reference: HeadLogits, other: HeadLogits) -> float:
    return max(
        float(np.abs(other[head] - values).max() / max(1.0, np.abs(values).max())) for head, values in reference.items()
    )


def f32_rounding_error(engine: TorchEngine, frames: ImageBatch) -> float:
    """Measures how much float32 rounding changes an engine's own probabilities, against float64.

    On random images, which no network was trained on, logits can be in the hundreds, and their last bits worth 1e-4 of
    a probability. Another program that rounds in another order is as far off, and no worse for it.

    Args:
        engine: The engine.
        frames: uint8 (batch, height, width, 3).

    Returns:
        The largest difference of a probability, 0 to 1.
    """
    schema = engine.metadata.label_schema
    return float(
        np.abs(
            logits_to_probabilities(schema, engine.logits(frames))
            - logits_to_probabilities(schema, engine.logits_f64(frames))
        ).max()
    )


def random_inputs(metadata: ModelMetadata, count: int = 4) -> ImageBatch:
    """Draws frames of noise from dark to bright; always the same ones.

    Args:
        metadata: Says how large they are.
        count: How many.

    Returns:
        uint8 (count, height, width, 3).
    """
    height, width = metadata.preprocessing.crop_resize.size
    noise = np.random.default_rng(0).integers(0, 256, (count, height, width, 3))
    brightness = np.linspace(0.2, 1, count)[:, None, None, None]
    return np.asarray((noise * brightness).astype(np.uint8))


def read_frames(
    crop_resize: CropResize, photos: Sequence[Photo], progress: Progress | None = None
) -> Iterator[ImageBatch]:
    """Reads photos as network inputs; those that cannot be read are left out.

    Args:
        crop_resize: How the network's inputs are cropped and resized.
        photos: The photos.
        progress: Called with (photos done, photos).

    Yields:
        Batches (batch, height, width, 3).

    Raises:
        DataError: The weights of a detector that the crop needs are missing.
    """
    crop_resize.pinned()

    def read(photo: Photo) -> ImageBatch | None:
        try:
            return crop_resize.read(photo)
        except PhotoError:
            return None

    with thread_pool() as pool:
        for start in range(0, len(photos), BATCH_SIZE):
            batch = photos[start : start + BATCH_SIZE]
            frames = [frame for frame in pool.map(read, batch) if frame is not None]
            if frames:
                yield np.stack(frames)
            if progress:
                progress(start + len(batch), len(photos))
