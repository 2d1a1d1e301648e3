"""Fills the background of a photo with a flat color."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from maskfit.data.image_decoding import Pixels
from maskfit.data.mask_regions import ForegroundMap

Region = tuple[int, int, int, int]
"""Left, upper, right, lower in whole pixels of the photo."""

IMAGENET_MEAN_COLOR = (124, 116, 104)
"""ImageNet's mean color, which normalizes to about 0 for a network trained on it."""


def validate_color(color: Sequence[int]) -> None:
    """Checks that a color is red, green and blue in 0 to 255.

    Args:
        color: The color.

    Raises:
        ValueError: It is not.
    """
    if len(color) != 3 or not all(isinstance(level, int) and 0 <= level <= 255 for level in color):
        raise ValueError(f"color={list(color)} must be red, green, blue, each in 0 to 255")


def fill_background(
    photo: Pixels, foreground: ForegroundMap, color: Sequence[int], region: Region | None = None
) -> Pixels:
    """Composites a photo over a flat color.

    Args:
        photo: Image of shape (height, width, 3).
        foreground: Opacity of the subject, 0 to 255, of any resolution; it is resized bilinearly to the region.
        color: Red, green, blue.
        region: The part of the photo that `foreground` covers; everything else is background. By default the whole
            photo.

    Returns:
        The composited image, same shape as `photo`.
    """
    size = photo.shape[1], photo.shape[0]
    left, upper, right, lower = region or (0, 0, *size)
    alpha = Image.new("L", size)
    resized = Image.fromarray(foreground).resize((right - left, lower - upper), Image.Resampling.BILINEAR)
    alpha.paste(resized, (left, upper))
    red, green, blue = color
    flat = Image.new("RGB", size, (red, green, blue))
    return np.asarray(Image.composite(Image.fromarray(photo), flat, alpha), dtype=np.uint8)
