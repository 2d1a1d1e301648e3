"""Sights: photos as they are named to the predictor, read, and as the networks see them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from maskfit.data.boxes import CropBox
from maskfit.data.image_decoding import Pixels, decode
from maskfit.data.photo_dataset import Photo
from maskfit.errors import DataError, PhotoError, format_list


class RemotePhoto(NamedTuple):
    """A photo that lies elsewhere, and is fetched when it is its turn.

    Attributes:
        name: Its name in every table.
        read: Gives the bytes of its file, or raises PhotoError.
    """

    name: str
    read: Callable[[], bytes]


ImageSource = Photo | Path | str | bytes | NDArray[np.uint8] | RemotePhoto
"""A photo, its path, the bytes of its file, its pixels (height, width, 3), upright RGB, or how to fetch it."""
NamedImage = tuple[str, ImageSource]
"""A photo with its name in every table."""


class ModelInput(NamedTuple):
    """A photo, or a face on it, as the networks see it.

    Attributes:
        seen: By framing and view, pixels (height, width, 3).
        cuts: What each framing cut out.
    """

    tta_views: Sequence[Sequence[Pixels]]
    crops: tuple[CropBox, ...]


def image_name(photo: ImageSource, place: int) -> str:
    """What a photo is called: its own name, its path as it was given, or by its place where it has neither."""
    if isinstance(photo, Photo | RemotePhoto):
        return photo.name
    return f"photo {place}" if isinstance(photo, np.ndarray | bytes) else str(photo)


def check_unique_names(photos: Sequence[ImageSource]) -> None:
    """Stops where two photos would bear one name in the tables.

    Raises:
        DataError: There is no photo, or two have one name.
    """
    if not len(photos):
        raise DataError("there are no photos to look at", hint="check the folder or the list")
    counts = Counter(image_name(photo, place) for place, photo in enumerate(photos))
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        raise DataError(f"a photo is named twice:\n{format_list(twice)}", hint="name each photo once")


def load_image(photo: ImageSource) -> Pixels:
    """A photo's pixels (height, width, 3), upright RGB.

    Raises:
        PhotoError: It cannot be read.
    """
    if isinstance(photo, np.ndarray):
        return _checked(photo)
    if isinstance(photo, bytes):
        return decode(photo)
    if isinstance(photo, RemotePhoto):
        return decode(photo.read(), name=photo.name)
    return decode(photo.path if isinstance(photo, Photo) else Path(photo))


def _checked(pixels: NDArray[np.uint8]) -> Pixels:
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or not pixels.size:
        raise PhotoError(f"pixels are (height, width, 3) in uint8, not {pixels.shape} in {pixels.dtype}")
    return pixels
