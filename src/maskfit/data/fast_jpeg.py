"""Fast JPEG decoding into an array: bitwise the pixels that Pillow gives, in about half the time.

Pillow decodes in strips into its own image with four bytes per pixel, which is then copied. simplejpeg (the extra
`fast`) passes the whole file to libjpeg-turbo, which both use, and gets the array. Only simple JPEGs are decoded this
way; whatever simplejpeg rejects or warns about is left to Pillow, so no pixel and no error depends on what is
installed.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL.JpegImagePlugin import JpegImageFile

SIMPLE_MODES = ("L", "RGB")
"""Pillow modes that are decoded this way; CMYK is not, because its inversion and conversion are Pillow's own."""

_END_OF_IMAGE = b"\xff\xd9"


def decode_simple_jpeg(content: bytes, image: JpegImageFile) -> NDArray[np.uint8] | None:
    """Decodes a simple JPEG without applying its EXIF orientation.

    Args:
        content: The file.
        image: The same file, opened and size-checked by Pillow.

    Returns:
        RGB of shape (height, width, 3), writable and contiguous; None where Pillow has to decode it.
    """
    # A file without its end marker may be truncated without a warning.
    if image.mode not in SIMPLE_MODES or _END_OF_IMAGE not in content[-64:]:
        return None
    decoder = _import_simplejpeg()
    if decoder is None:
        return None
    try:
        pixels: NDArray[np.uint8] = decoder.decode_jpeg(content, "RGB", strict=True)
    except ValueError:
        return None
    width, height = image.size
    return pixels if pixels.shape == (height, width, 3) else None


@cache
def _import_simplejpeg() -> Any:
    """The module simplejpeg; None where it is not installed."""
    if find_spec("simplejpeg") is None:
        return None
    import simplejpeg

    return simplejpeg
