"""One look into every photo: a small decoding gives its measures, its hash and a thumbnail; nothing large is kept."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps

from maskfit.data.image_decoding import Pixels, content_hash, open_downscaled, read_bytes, sniff_format
from maskfit.data.photo_dataset import Photo, PhotoDataset
from maskfit.data.validation import ImageInfo, Progress, unreadable
from maskfit.errors import PhotoError
from maskfit.exploration.perceptual_hash import SIDE, hash_grey

THUMBNAIL = (96, 128)
"""Width and height of the small picture of a photo: 3:4, as the competition's photos are; others are cropped to it."""

BATCH = 128
"""Photos that are under way at a time: what bounds the memory, whatever the set's size."""


@dataclass(frozen=True, slots=True)
class ImageStats:
    """What one look into a photo gives.

    Attributes:
        facts: Key, format, size, or why it cannot be read; in that case all else is 0.
        bytes: The file's size.
        brightness: Mean of the luma, 0 to 255.
        contrast: Standard deviation of the luma.
        colour: Mean over the pixels of the strongest channel less the weakest; 0 for a grey photo.
        hash: See `hashes.hash_grey`.
    """

    facts: ImageInfo
    bytes: int = 0
    brightness: float = 0.0
    contrast: float = 0.0
    colour: float = 0.0
    hash: int = 0

    @property
    def readable(self) -> bool:
        """Whether there is a photo in the file."""
        return self.facts.error is None


def collect_all_image_stats(
    photos: PhotoDataset, progress: Progress | None = None
) -> Iterator[tuple[ImageStats, Pixels | None]]:
    """A look and a thumbnail of every photo, in order; the thumbnail is None where the photo cannot be read.

    Threads suffice: Pillow decodes outside of Python's lock.
    """
    pool = ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1))
    try:
        done = 0
        for start in range(0, len(photos), BATCH):
            for seen in pool.map(collect_image_stats, photos.photos[start : start + BATCH]):
                yield seen
                done += 1
                if progress:
                    progress(done, len(photos))
    finally:
        pool.shutdown(cancel_futures=True)


def collect_image_stats(photo: Photo) -> tuple[ImageStats, Pixels | None]:
    """A look at one photo, and its thumbnail (128, 96, 3)."""
    try:
        content = read_bytes(photo.path, name=photo.name)
        image, size = open_downscaled(content, THUMBNAIL, name=photo.name)
    except PhotoError as error:
        return ImageStats(ImageInfo(error=unreadable(photo, error))), None
    # Measured on the whole photo and not on the thumbnail, which is cropped where the photo is not 3:4.
    small = np.asarray(image.resize(THUMBNAIL, Image.Resampling.BOX, reducing_gap=2.0), dtype=np.float32)
    grey = image.convert("L")
    luma = np.asarray(grey.resize(THUMBNAIL, Image.Resampling.BOX, reducing_gap=2.0), dtype=np.float32)
    look = ImageStats(
        facts=ImageInfo(content_hash(content), sniff_format(content), size),
        bytes=len(content),
        brightness=float(luma.mean()),
        contrast=float(luma.std()),
        colour=float((small.max(axis=2) - small.min(axis=2)).mean()),
        hash=hash_grey(np.asarray(grey.resize((SIDE, SIDE), Image.Resampling.BOX))),
    )
    return look, np.asarray(ImageOps.fit(image, THUMBNAIL, Image.Resampling.BILINEAR))
