"""Decodes image files to upright 8-bit RGB pixels, or raises an error with the reason.

The format follows from the content, not from the file name. Nothing is decoded before the size in the header is
checked, and Pillow's process-wide settings are neither used nor changed.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from maskfit.data.image_opening import (
    FIRST_SIDEWAYS,
    MAX_BYTES,
    MAX_PIXELS,
    check_size,
    damaged_error,
    open_checked,
    read_orientation,
)
from maskfit.data.rgb_conversion import to_rgb
from maskfit.errors import PhotoError, PhotoWarning

Pixels = NDArray[np.uint8]
"""RGB image, (height, width, 3)."""

SIMPLE_MODES = ("L", "RGB")
"""Pillow modes that are decoded this way; CMYK is not, because its inversion and conversion are Pillow's own."""

_END_OF_IMAGE = b"\xff\xd9"
"""Marker at the end of a JPEG."""

_FILLINGS = (b"", b"\x00" * 64, b"\x55" * 64, b"\xaa" * 64)
"""Bytes in place of those that a JPEG without its end marker may lack."""

_TRANSPOSES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

_ARRAY_TRANSPOSES: dict[int, Callable[[Pixels], Pixels]] = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: pixels.swapaxes(0, 1)[:, ::-1],
    7: lambda pixels: pixels.swapaxes(0, 1)[::-1, ::-1],
    8: lambda pixels: pixels.swapaxes(0, 1)[::-1],
}
"""The same transposes for arrays (height, width, 3), by EXIF orientation."""


def decode(source: Path | bytes, *, name: str = "", max_pixels: int = MAX_PIXELS, max_bytes: int = MAX_BYTES) -> Pixels:
    """Decodes a photo to upright RGB pixels; see `open_rgb` for conversions.

    Args:
        source: Path of a file, or its bytes.
        name: Name of the photo in errors; by default the path.
        max_pixels: Maximum width x height; larger photos are rejected before they are decoded.
        max_bytes: Maximum size of the file.

    Returns:
        Pixels, uint8 of shape (height, width, 3), writable and contiguous.

    Raises:
        PhotoError: The photo is missing, empty, truncated, damaged, too large, or not a JPEG, PNG, WebP, BMP or HEIC.
    """
    content, image, label = open_checked(source, name, max_pixels, max_bytes)
    pixels = decode_simple_jpeg(content, image) if isinstance(image, JpegImageFile) else None
    if pixels is None:
        return np.array(load_image(content, image, label, None)[0])
    transpose = _ARRAY_TRANSPOSES.get(read_orientation(image))
    return pixels if transpose is None else np.ascontiguousarray(transpose(pixels))


def convert_image(image: Image.Image, *, name: str = "a Pillow image") -> Pixels:
    """Converts a Pillow image to what `decode` returns of its file: upright by its EXIF orientation, RGB.

    Args:
        image: The image; it is not changed.
        name: Name of the photo in errors.

    Returns:
        Pixels, uint8 of shape (height, width, 3), writable and contiguous.

    Raises:
        PhotoError: Its pixels cannot be read, it is empty, or larger than `MAX_PIXELS`.
    """
    check_size(image, name)
    if not all(image.size):
        raise PhotoError("the image has no pixels", location=name, hint="check how it was cropped")
    try:
        return np.array(_turn_upright(to_rgb(image)))
    except MemoryError:
        raise
    except Exception as error:  # An opened file is decoded only here.
        raise damaged_error(error, name) from error


def open_rgb(
    source: Path | bytes, *, name: str = "", max_pixels: int = MAX_PIXELS, max_bytes: int = MAX_BYTES
) -> Image.Image:
    """Decodes a photo to an upright Pillow image of mode RGB.

    Of an animation the first frame is used. 16-bit values are scaled to 8 bits. Transparency is composited over white:
    cut-out portraits are made for light pages, and dropping the alpha channel, as Pillow does, shows whatever color
    the editor left under it. Color profiles are not applied.

    Args:
        source: Path of a file, or its bytes.
        name: Name of the photo in errors; by default the path.
        max_pixels: As for `decode`.
        max_bytes: As for `decode`.

    Returns:
        The image.

    Raises:
        PhotoError: As for `decode`.
    """
    content, image, label = open_checked(source, name, max_pixels, max_bytes)
    return load_image(content, image, label, None)[0]


def open_downscaled(
    source: Path | bytes, min_size: tuple[int, int], *, name: str = ""
) -> tuple[Image.Image, tuple[int, int]]:
    """Decodes like `open_rgb`, but a JPEG possibly at 1/2, 1/4 or 1/8 of its size, which is several times faster.

    Args:
        source: Path of a file, or its bytes.
        min_size: Minimum (width, height) of the result, where the photo is that large.
        name: Name of the photo in errors; by default the path.

    Returns:
        The image, and the photo's full upright (width, height).

    Raises:
        PhotoError: As for `decode`.
    """
    content, image, label = open_checked(source, name, MAX_PIXELS, MAX_BYTES)
    return load_image(content, image, label, min_size)


def load_image(
    content: bytes, image: Image.Image, label: str, min_size: tuple[int, int] | None
) -> tuple[Image.Image, tuple[int, int]]:
    """Decodes a photo that `open_checked` opened, and turns it upright.

    Args:
        content: The file.
        image: The same, opened.
        label: Name of the photo in errors.
        min_size: Smallest (width, height) that is needed, which Pillow's draft mode decodes faster; None for all of it.

    Returns:
        The image in RGB, and its full upright (width, height).

    Raises:
        PhotoError: The photo is damaged.
    """
    width, height = image.size
    try:
        try:
            _load_pixels(image, min_size)
        except OSError:
            completed = _add_end_marker(content) if isinstance(image, JpegImageFile) else None
            if completed is None:
                raise
            message = f"{label} lacks the end marker of a JPEG and nothing else: it is read, as image viewers do"
            warnings.warn(PhotoWarning(message), stacklevel=2)
            image = JpegImageFile(BytesIO(completed))
            _load_pixels(image, min_size)
        # After decoding: a PNG's EXIF may follow its pixels, and reading it would decode them.
        size = (height, width) if read_orientation(image) >= FIRST_SIDEWAYS else (width, height)
        return _turn_upright(to_rgb(image)), size
    except MemoryError:
        raise
    except Exception as error:  # Pillow's plugins raise many exception types on a damaged file.
        raise damaged_error(error, label) from error


def _load_pixels(image: Image.Image, min_size: tuple[int, int] | None) -> None:
    if min_size is not None and isinstance(image, JpegImageFile):
        # Without a mode Pillow keeps the photo's own, so that gray and CMYK are converted as without draft mode.
        image.draft(None, min_size[::-1] if read_orientation(image) >= FIRST_SIDEWAYS else min_size)
    image.load()


def _add_end_marker(content: bytes) -> bytes | None:
    """Returns a JPEG with the end marker that it lacks; None where it lacks more than that.

    A decoder fills up what is missing without a word, so it is asked with several fillings: the pixels of a file whose
    data is whole do not depend on them.
    """
    data = content.removesuffix(_END_OF_IMAGE[:1])
    if content.endswith(_END_OF_IMAGE):
        return None
    versions = (data + filling + _END_OF_IMAGE for filling in _FILLINGS)
    first, *others = (np.asarray(JpegImageFile(BytesIO(version))) for version in versions)
    return data + _END_OF_IMAGE if all(np.array_equal(first, other) for other in others) else None


def _turn_upright(image: Image.Image) -> Image.Image:
    method = _TRANSPOSES.get(read_orientation(image))
    return image if method is None else image.transpose(method)


def decode_simple_jpeg(content: bytes, image: JpegImageFile) -> NDArray[np.uint8] | None:
    """Decodes a simple JPEG with simplejpeg, without applying its EXIF orientation.

    Pillow decodes in strips into its own image with four bytes per pixel, which is then copied. simplejpeg (the extra
    `fast`) passes the whole file to libjpeg-turbo, which both use, and gets the array: bitwise the same pixels in about
    half the time. Whatever simplejpeg rejects or warns about is left to Pillow, so no pixel and no error depends on
    what is installed.

    Args:
        content: The file.
        image: The same file, opened and size-checked by Pillow.

    Returns:
        RGB of shape (height, width, 3), writable and contiguous; None where Pillow has to decode it.
    """
    if image.mode not in SIMPLE_MODES or not has_end_marker(content):
        return None
    decoder = import_simplejpeg()
    if decoder is None:
        return None
    try:
        pixels: NDArray[np.uint8] = decoder.decode_jpeg(content, "RGB", strict=True)
    except ValueError:
        return None
    width, height = image.size
    return pixels if pixels.shape == (height, width, 3) else None


def has_end_marker(content: bytes) -> bool:
    """Returns whether a JPEG ends with its marker; without, it may be truncated although no decoder warns.

    Args:
        content: The file.

    Returns:
        Whether the marker is among the last bytes.
    """
    return _END_OF_IMAGE in content[-64:]


@cache
def import_simplejpeg() -> Any:
    """Imports simplejpeg.

    Returns:
        The module; None where it is not installed.
    """
    if importlib.util.find_spec("simplejpeg") is None:
        return None
    import simplejpeg

    return simplejpeg


def rotate(pixels: Pixels, degrees: int) -> Pixels:
    """Turns an image by quarters.

    Args:
        pixels: Of shape (height, width, channels).
        degrees: Degrees clockwise: 0, 90, 180 or 270.

    Returns:
        The image, contiguous; without a copy where nothing changes.
    """
    # NumPy turns counterclockwise.
    return np.ascontiguousarray(np.rot90(pixels, -degrees // 90))
