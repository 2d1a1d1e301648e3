"""Mean faces as running sums, contact sheets as samples, and both as JPEG; memory does not grow with the dataset."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from maskfit.data.face_boxes import open_picture_of
from maskfit.data.image_decoding import Pixels
from maskfit.data.photo_dataset import Photo, PhotoDataset
from maskfit.labels.schema import UNKNOWN, IntArray, LabelSchema

MAX_CLASSES = 80
"""Maximum number of classes that get a mean face and a contact sheet each."""

MAX_SHEET_PHOTOS = 200
"""Maximum number of photos on a contact sheet: a JPEG is at most 65,535 pixels wide."""


class MeanFaces:
    """Mean thumbnail of each class and of each value of an attribute.

    Args:
        schema: Label schema of the photos.
    """

    def __init__(self, schema: LabelSchema) -> None:
        self._num_classes = schema.num_classes
        self._names = schema.names
        self._sums: dict[tuple[str, int], NDArray[np.uint32]] = {}
        self._counts: dict[tuple[str, int], int] = {}

    def add(self, thumbnail: Pixels, class_index: int, codes: Sequence[int]) -> None:
        """Adds a photo.

        Args:
            thumbnail: (128, 96, 3).
            class_index: Class of the photo, or `UNKNOWN`.
            codes: Value code of each attribute, or `UNKNOWN`.
        """
        keys = list(zip(self._names, codes, strict=True))
        if self._num_classes <= MAX_CLASSES:
            keys.append(("", class_index))
        for key in keys:
            if key[1] != UNKNOWN:
                # 32 bits hold the sums of 16 million photos.
                self._sums.setdefault(key, np.zeros(thumbnail.shape, dtype=np.uint32))[...] += thumbnail
                self._counts[key] = self._counts.get(key, 0) + 1

    def of_class(self, class_index: int) -> tuple[bytes, int] | None:
        """Returns the mean face of a class.

        Args:
            class_index: The class.

        Returns:
            JPEG and number of photos; None where there are none.
        """
        return self._mean(("", class_index))

    def of_value(self, name: str, code: int) -> tuple[bytes, int] | None:
        """Returns the mean face of all photos with a value of an attribute.

        Args:
            name: Name of the attribute.
            code: Code of the value.

        Returns:
            JPEG and number of photos; None where there are none.
        """
        return self._mean((name, code))

    def _mean(self, key: tuple[str, int]) -> tuple[bytes, int] | None:
        if key not in self._sums:
            return None
        mean = np.rint(self._sums[key] / self._counts[key]).astype(np.uint8)
        return to_jpeg(Image.fromarray(mean), 88), self._counts[key]


def choose_sheets(photos: PhotoDataset, classes: IntArray, limit: int, seed: int) -> dict[int, tuple[int, ...]]:
    """Samples the photos of the contact sheets: one of each person before a second one of any.

    Args:
        photos: The dataset.
        classes: (photos,) class indices, `UNKNOWN` where a label is missing; such photos get a sheet of their own.
        limit: Maximum number of photos per sheet.
        seed: Seed of the sample.

    Returns:
        Class index to indices of photos; classes ascending, `UNKNOWN` last, at most `MAX_CLASSES` of them.
    """
    order = np.random.default_rng(seed).permutation(len(photos)).tolist()
    seen: dict[tuple[int, str], int] = {}
    rounds: dict[int, list[tuple[int, int]]] = {}
    for index in order:
        key = int(classes[index]), photos[index].person
        seen[key] = seen.get(key, 0) + 1
        rounds.setdefault(key[0], []).append((seen[key], index))
    # A stable sort by the round alone keeps the random order within a round.
    kept = sorted(rounds, key=lambda number: (number == UNKNOWN, number))[:MAX_CLASSES]
    return {n: tuple(index for _, index in sorted(rounds[n], key=lambda item: item[0])[:limit]) for n in kept}


def image_strip(thumbnails: Iterable[Pixels]) -> bytes:
    """Joins thumbnails side by side.

    Args:
        thumbnails: (height, width, 3) each, of one height.

    Returns:
        A JPEG.
    """
    return to_jpeg(Image.fromarray(np.concatenate(list(thumbnails), axis=1)), 72)


def open_pictures(photos: PhotoDataset, indices: Iterable[int], height: int) -> Mapping[int, bytes]:
    """Opens uncropped photos as small JPEGs.

    Args:
        photos: The dataset.
        indices: Which photos.
        height: Height of the pictures in pixels.

    Returns:
        JPEG by index.

    Raises:
        PhotoError: A photo cannot be read any more.
    """
    return {index: open_picture(photos[index], height) for index in dict.fromkeys(indices)}


def open_picture(photo: Photo, height: int) -> bytes:
    """Opens an uncropped photo as a small JPEG.

    Args:
        photo: The photo.
        height: Maximum height in pixels; the width is at most twice that.

    Returns:
        A JPEG.

    Raises:
        PhotoError: The photo cannot be read.
    """
    image, _ = open_picture_of(photo, (height, height))
    scale = min(2 * height / image.width, height / image.height)
    # Not ImageOps.contain, which rounds the side of a very narrow photo to 0.
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return to_jpeg(image.resize(size, Image.Resampling.BOX), 78)


def to_jpeg(image: Image.Image, quality: int) -> bytes:
    """Encodes an image as JPEG.

    Args:
        image: The image.
        quality: 1 to 95.

    Returns:
        The JPEG.
    """
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality, optimize=True)
    return stream.getvalue()
