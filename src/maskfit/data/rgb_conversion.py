"""Converts Pillow images of any mode to 8-bit RGB."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

STRIP_PIXELS = 2**18
"""Pixels of a 16-bit photo that are converted at a time."""

WHITE = (255, 255, 255, 255)
"""Behind transparent pixels."""


def to_rgb(image: Image.Image) -> Image.Image:
    """Converts an image of any mode to RGB; see `image_decoding.open_rgb`.

    Args:
        image: The image.

    Returns:
        The converted image; an RGB image itself.
    """
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = _to_eight_bits(image)
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, WHITE)
        result = Image.alpha_composite(white, layer).convert("RGB")
        result.info = image.info
        return result
    return image if image.mode == "RGB" else image.convert("RGB")


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """Scales 16-bit gray to mode L, 65535 to 255; Pillow's own conversion clips everything above 255."""
    width, height = image.size
    rows = max(1, STRIP_PIXELS // max(width, 1))
    strips = [(top, min(top + rows, height)) for top in range(0, height, rows)]

    def read(top: int, bottom: int) -> NDArray[Any]:
        return np.asarray(image.crop((0, top, width, bottom)))

    # Modes I and F have no fixed range: values up to 255 are taken as 8-bit.
    wide = image.mode.startswith("I;16") or max((read(*strip).max(initial=0) for strip in strips), default=0) > 255
    pixels = np.empty((height, width), np.uint8)
    for top, bottom in strips:
        # Doubles of a whole photo would take eight times the memory of its 8-bit pixels, several times over.
        values = read(top, bottom).astype(np.float64)
        pixels[top:bottom] = np.clip(np.rint(values / 257 if wide else values), 0, 255)
    result = Image.fromarray(pixels)
    result.info = {key: value for key, value in image.info.items() if key != "transparency"}
    return result
