"""Mean faces as running sums, contact sheets as samples, and both as JPEG: what is kept does not grow with the set."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from maskfit.data.image_decoding import Pixels, open_downscaled
from maskfit.data.photo_dataset import Photo, PhotoDataset
from maskfit.labels.schema import UNKNOWN, IntArray, LabelSchema

MOST_CLASSES = 80
"""The most classes that get a mean face and a contact sheet of their own."""

MOST_ON_SHEET = 200
"""The most photos of a contact sheet: a JPEG is at most 65,535 pixels wide."""


class MeanFaces:
    """The mean of all thumbnails of each class and of each attribute's value.

    Args:
        scheme: What classes and values there are.
    """

    def __init__(self, scheme: LabelSchema) -> None:
        self._classes = scheme.classes
        self._names = scheme.names
        self._sums: dict[tuple[str, int], NDArray[np.uint32]] = {}
        self._counts: dict[tuple[str, int], int] = {}

    def add(self, thumbnail: Pixels, number: int, codes: Sequence[int]) -> None:
        """Adds a photo.

        Args:
            thumbnail: (128, 96, 3).
            number: Its class, or `UNKNOWN`.
            codes: The code of each attribute, or `UNKNOWN`.
        """
        keys = list(zip(self._names, codes, strict=True))
        if self._classes <= MOST_CLASSES:
            keys.append(("", number))
        for key in keys:
            if key[1] != UNKNOWN:
                # 32 bits hold the sums of 16 million photos.
                self._sums.setdefault(key, np.zeros(thumbnail.shape, dtype=np.uint32))[...] += thumbnail
                self._counts[key] = self._counts.get(key, 0) + 1

    def of_class(self, number: int) -> tuple[bytes, int] | None:
        """The mean face of a class as JPEG, and of how many photos; None where there are none."""
        return self._mean(("", number))

    def of_value(self, name: str, code: int) -> tuple[bytes, int] | None:
        """The same of all photos with one value of an attribute."""
        return self._mean((name, code))

    def _mean(self, key: tuple[str, int]) -> tuple[bytes, int] | None:
        if key not in self._sums:
            return None
        mean = np.rint(self._sums[key] / self._counts[key]).astype(np.uint8)
        return to_jpeg(Image.fromarray(mean), 88), self._counts[key]


def choose_sheets(photos: PhotoDataset, classes: IntArray, limit: int, seed: int) -> dict[int, tuple[int, ...]]:
    """Up to `limit` photos of each class, drawn by lot: one of each person before a second one of any.

    Args:
        photos: The set.
        classes: (photos,) with `UNKNOWN` where the class is not fully known; such photos make a sheet of their own.
        limit: How many of each class.
        seed: Another seed, other photos.

    Returns:
        Class number to numbers of photos; the classes in order, `UNKNOWN` last, at most `MOST_CLASSES` of them.
    """
    order = np.random.default_rng(seed).permutation(len(photos)).tolist()
    seen: dict[tuple[int, str], int] = {}
    rounds: dict[int, list[tuple[int, int]]] = {}
    for number in order:
        key = int(classes[number]), photos[number].person
        seen[key] = seen.get(key, 0) + 1
        rounds.setdefault(key[0], []).append((seen[key], number))
    # A stable sort by the round alone: within a round the lot decides.
    names = sorted(rounds, key=lambda number: (number == UNKNOWN, number))[:MOST_CLASSES]
    return {n: tuple(number for _, number in sorted(rounds[n], key=lambda item: item[0])[:limit]) for n in names}


def image_strip(thumbnails: Iterable[Pixels]) -> bytes:
    """Thumbnails side by side as one JPEG."""
    return to_jpeg(Image.fromarray(np.concatenate(list(thumbnails), axis=1)), 72)


def open_pictures(photos: PhotoDataset, numbers: Iterable[int], height: int) -> Mapping[int, bytes]:
    """Photos as small JPEGs of one height, whole, by their number: those few that the page shows by themselves."""
    return {number: open_picture(photos[number], height) for number in dict.fromkeys(numbers)}


def open_picture(photo: Photo, height: int) -> bytes:
    """One photo as a small JPEG, at most twice as wide as high."""
    image, _ = open_downscaled(photo.path, (height, height), name=photo.name)
    scale = min(2 * height / image.width, height / image.height)
    # Not ImageOps.contain, which shrinks a strip of ten pixels to none.
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return to_jpeg(image.resize(size, Image.Resampling.BOX), 78)


def to_jpeg(image: Image.Image, quality: int) -> bytes:
    """The image as JPEG."""
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality, optimize=True)
    return stream.getvalue()
