"""Statistics, perceptual hash and thumbnail of every photo, from one downscaled decoding each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps

from maskfit.data.face_boxes import open_picture_of
from maskfit.data.image_decoding import Pixels
from maskfit.data.image_opening import content_hash, read_bytes, sniff_format
from maskfit.data.photo_dataset import Photo, PhotoDataset
from maskfit.data.validation import ImageInfo, Progress, unreadable_problem
from maskfit.errors import PhotoError
from maskfit.exploration.perceptual_hash import SIDE, hash_gray

THUMBNAIL_SIZE = (96, 128)
"""Width and height of thumbnails: 3:4, as the competition's photos are; others are cropped to it."""

CHUNK = 128
"""Photos submitted to the threads at a time; bounds the memory for any size of the dataset."""


@dataclass(frozen=True, slots=True)
class ImageStats:
    """Statistics of one photo.

    Attributes:
        info: Content hash, format and size, or why the photo cannot be read; in that case all else is 0. The size of
            a row with a box is that of the portrait around it, on which everything else is measured too.
        bytes: Size of the file.
        brightness: Mean of the luma, 0 to 255.
        contrast: Standard deviation of the luma.
        chroma: Mean over the pixels of the largest minus the smallest channel; 0 for a gray photo.
        hash: Perceptual hash; see `perceptual_hash.hash_gray`.
    """

    info: ImageInfo
    bytes: int = 0
    brightness: float = 0.0
    contrast: float = 0.0
    chroma: float = 0.0
    hash: int = 0

    @property
    def readable(self) -> bool:
        """Whether the file can be decoded."""
        return self.info.error is None


def collect_all_image_stats(
    photos: PhotoDataset, progress: Progress | None = None
) -> Iterator[tuple[ImageStats, Pixels | None]]:
    """Collects statistics and thumbnails of all photos, in threads: Pillow decodes without holding the GIL.

    Args:
        photos: The dataset.
        progress: Called with (photos done, photos in total).

    Yields:
        For each photo in order its statistics, and its thumbnail (128, 96, 3) or None where it cannot be read.
    """
    pool = ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1))
    try:
        done = 0
        for start in range(0, len(photos), CHUNK):
            for result in pool.map(collect_image_stats, photos.photos[start : start + CHUNK]):
                yield result
                done += 1
                if progress:
                    progress(done, len(photos))
    finally:
        pool.shutdown(cancel_futures=True)


def collect_image_stats(photo: Photo) -> tuple[ImageStats, Pixels | None]:
    """Collects the statistics and the thumbnail of one photo.

    Args:
        photo: The photo.

    Returns:
        Statistics, and the thumbnail (128, 96, 3) or None where the photo cannot be read.
    """
    try:
        content = read_bytes(photo.path, name=photo.name)
        image, size = open_picture_of(photo, THUMBNAIL_SIZE, content)
    except PhotoError as error:
        return ImageStats(ImageInfo(error=unreadable_problem(photo, error))), None
    # Measured on the whole photo; the thumbnail is cropped where the photo is not 3:4.
    small = np.asarray(image.resize(THUMBNAIL_SIZE, Image.Resampling.BOX, reducing_gap=2.0), dtype=np.float32)
    gray = image.convert("L")
    luma = np.asarray(gray.resize(THUMBNAIL_SIZE, Image.Resampling.BOX, reducing_gap=2.0), dtype=np.float32)
    stats = ImageStats(
        info=ImageInfo(content_hash(content), sniff_format(content), size),
        bytes=len(content),
        brightness=float(luma.mean()),
        contrast=float(luma.std()),
        chroma=float((small.max(axis=2) - small.min(axis=2)).mean()),
        hash=hash_gray(np.asarray(gray.resize((SIDE, SIDE), Image.Resampling.BOX))),
    )
    return stats, np.asarray(ImageOps.fit(image, THUMBNAIL_SIZE, Image.Resampling.BILINEAR))
