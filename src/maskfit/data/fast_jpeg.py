"""JPEGs decoded straight into an array: the pixels that Pillow gives, to the bit, in about half the time.

Pillow decodes in strips into an image of its own, four bytes a pixel, which is then copied out. simplejpeg (the extra
`fast`) hands the whole file to libjpeg-turbo, which both are built on, and takes the array. Only what is plain goes
this way; whatever it refuses, or so much as warns of, Pillow decodes or refuses, so that no pixel and no error depends
on what is installed.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL.JpegImagePlugin import JpegImageFile

SIMPLE_MODES = ("L", "RGB")
"""Modes that go this way: CMYK does not, whose inversion and conversion are Pillow's own."""

_END = b"\xff\xd9"


def decode_simple_jpeg(content: bytes, image: JpegImageFile) -> NDArray[np.uint8] | None:
    """The pixels of a plain JPEG as they lie in the file, or None where Pillow is to decode it.

    Args:
        content: The file.
        image: The same, with its header read and found fair by Pillow.

    Returns:
        RGB of shape (height, width, 3), writable and in one piece.
    """
    # Without its end a file may be cut off in a way that nothing warns of.
    if image.mode not in SIMPLE_MODES or _END not in content[-64:]:
        return None
    decoder = _decoder()
    if decoder is None:
        return None
    try:
        pixels: NDArray[np.uint8] = decoder.decode_jpeg(content, "RGB", strict=True)
    except ValueError:
        return None
    width, height = image.size
    return pixels if pixels.shape == (height, width, 3) else None


@cache
def _decoder() -> Any:
    """simplejpeg, where it is installed."""
    if find_spec("simplejpeg") is None:
        return None
    import simplejpeg

    return simplejpeg
