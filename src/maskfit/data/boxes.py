"""Boxes on photos: where a crop lies, how it is fitted into a photo, and how a turned one is cut out."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, cos, floor, radians, sin

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Box = tuple[float, float, float, float]
"""Left, upper, right, lower in pixels of the photo; left and upper are inside, right and lower just outside."""

ROUNDING_STEP = 0.25
"""Pixels to which found boxes are rounded, so that the last bits of a network's numbers, in which machines differ,
reach no pixel."""

MAX_SAMPLES = 8
"""A turned box is sampled at most this often for each pixel and direction; beyond, only huge photos would gain."""


@dataclass(frozen=True)
class CropBox:
    """What a crop decided for one photo.

    Attributes:
        box: What to look at. Turned, it may reach beyond the photo.
        angle: How far the box is turned clockwise about its middle, in degrees.
        fallback: Whether nothing was found, and the box is only a guess.
    """

    box: Box
    angle: float = 0.0
    fallback: bool = False


def fit_to_aspect(box: Box, aspect: float, width: float, height: float) -> Box:
    """The box widened to an aspect about its middle, moved into the photo, and made smaller where it does not fit.

    Args:
        box: May reach beyond the photo.
        aspect: Width over height of the result.
        width: Of the photo.
        height: Of the photo.
    """
    left, upper, right, lower = box
    wide = min(max(right - left, (lower - upper) * aspect), width, height * aspect)
    high = wide / aspect
    return clip_box(
        (
            min(max((left + right - wide) / 2, 0.0), width - wide),
            min(max((upper + lower - high) / 2, 0.0), height - high),
            min(max((left + right - wide) / 2, 0.0), width - wide) + wide,
            min(max((upper + lower - high) / 2, 0.0), height - high) + high,
        ),
        width,
        height,
    )


def clip_box(box: Box, width: float, height: float) -> Box:
    """What of a box lies in a photo of 1 pixel or more each way, rounded to `STEP`; never less than a pixel."""
    left, right = _span(box[0], box[2], width)
    upper, lower = _span(box[1], box[3], height)
    return (left, upper, right, lower)


def _span(low: float, high: float, most: float) -> tuple[float, float]:
    low = min(max(round(low / ROUNDING_STEP) * ROUNDING_STEP, 0.0), most - 1)
    return low, min(max(round(high / ROUNDING_STEP) * ROUNDING_STEP, low + 1), most)


def crop_rotated(
    photo: NDArray[np.uint8], cut: CropBox, size: tuple[int, int], resample: Image.Resampling
) -> NDArray[np.uint8]:
    """The pixels of a turned box, shrunk or enlarged to a size; beyond the photo its edge goes on.

    Every pixel of the result is the mean of points that lie no farther apart than the photo's pixels, each read with
    `resample`: one step from photo to frame, and shrinking does not alias.

    Args:
        photo: (height, width, 3).
        cut: The box and how far it is turned.
        size: (height, width) of the result.
        resample: Nearest, bilinear or bicubic.
    """
    left, upper, right, lower = cut.box
    height, width = size
    often = min(max(ceil((right - left) / width), ceil((lower - upper) / height), 1), MAX_SAMPLES)
    across, down = (right - left) / (width * often), (lower - upper) / (height * often)
    turn = radians(cut.angle)
    # Columns of a turn: where a step to the right and a step down in the result lead in the photo.
    a, d = cos(turn) * across, sin(turn) * across
    b, e = -sin(turn) * down, cos(turn) * down
    x = (left + right) / 2 - (a * width + b * height) * often / 2
    y = (upper + lower) / 2 - (d * width + e * height) * often / 2
    part, (first_column, first_row) = _surroundings(photo, cut)
    image = Image.fromarray(part).transform(
        (width * often, height * often), Image.Transform.AFFINE, (a, b, x - first_column, d, e, y - first_row), resample
    )
    return np.asarray(image.reduce(often) if often > 1 else image, dtype=np.uint8)


def _surroundings(photo: NDArray[np.uint8], cut: CropBox) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """The upright part of a photo that holds a turned box, its edge repeated beyond it, and where that part begins."""
    left, upper, right, lower = cut.box
    turn = radians(cut.angle)
    reach = [
        (abs(cos(turn)) * (right - left) + abs(sin(turn)) * (lower - upper)) / 2,
        (abs(sin(turn)) * (right - left) + abs(cos(turn)) * (lower - upper)) / 2,
    ]
    middle = [(left + right) / 2, (upper + lower) / 2]
    # Two pixels more are what a bicubic filter looks at around its point.
    columns, rows = (
        np.arange(floor(centre - half) - 2, ceil(centre + half) + 2) for centre, half in zip(middle, reach, strict=True)
    )
    part = photo[np.clip(rows, 0, photo.shape[0] - 1)][:, np.clip(columns, 0, photo.shape[1] - 1)]
    return part, (int(columns[0]), int(rows[0]))
