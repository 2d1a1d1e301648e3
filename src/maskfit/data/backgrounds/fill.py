"""A flat colour laid where the subject is not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from maskfit.data.image_decoding import Pixels
from maskfit.data.mask_regions import ForegroundMap

Region = tuple[int, int, int, int]
"""Left, upper, right, lower in whole pixels of the photo."""

IMAGENET_MEAN_COLOR = (124, 116, 104)
"""ImageNet's mean colour, which is nothing to a network trained on it."""


def validate_color(colour: Sequence[int]) -> None:
    """Refuses what is no colour.

    Raises:
        ValueError: It is not red, green and blue in 0 to 255.
    """
    if len(colour) != 3 or not all(isinstance(level, int) and 0 <= level <= 255 for level in colour):
        raise ValueError(f"colour={list(colour)} must be red, green, blue, each in 0 to 255")


def fill_background(
    photo: Pixels, shares: ForegroundMap, colour: Sequence[int], region: Region | None = None
) -> Pixels:
    """The photo with a colour where the subject is not; at the subject's edge both are mixed.

    Args:
        photo: (height, width, 3).
        shares: Of the subject, smoothly enlarged to the region's size.
        colour: Red, green, blue.
        region: What the shares are about; all else is background. The whole photo where left out.
    """
    size = photo.shape[1], photo.shape[0]
    left, upper, right, lower = region or (0, 0, *size)
    alpha = Image.new("L", size)
    part = Image.fromarray(shares).resize((right - left, lower - upper), Image.Resampling.BILINEAR)
    alpha.paste(part, (left, upper))
    red, green, blue = colour
    flat = Image.new("RGB", size, (red, green, blue))
    return np.asarray(Image.composite(Image.fromarray(photo), flat, alpha), dtype=np.uint8)
