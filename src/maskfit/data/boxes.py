"""Box geometry: fits a box to an aspect ratio, clips it to an image, and extracts a rotated box."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import ceil, cos, floor, radians, sin

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Box = tuple[float, float, float, float]
"""Left, upper, right, lower in pixels of the photo; left and upper are inclusive, right and lower exclusive."""

ROUNDING_STEP = 0.25
"""Pixels to which detected boxes are rounded, so that floating-point differences between machines change no pixel."""

MAX_SAMPLES = 8
"""Maximum samples per output pixel and direction of a rotated box; only very large photos would gain from more."""


SAME_FACE_IOU = 0.6
"""Overlap (intersection over union) from which two boxes on a photo are one face.

Two annotators agree better than that, and the faces of two people do not overlap so much."""


@dataclass(frozen=True)
class CropBox:
    """The box that a crop selected on one photo.

    Attributes:
        box: The box in pixels of the photo. Rotated, it may extend beyond the photo.
        angle: Clockwise rotation of the box about its center, in degrees.
        fallback: Whether nothing was detected, so that the crop's fallback box is used.
    """

    box: Box
    angle: float = 0.0
    fallback: bool = False


def fit_to_aspect(box: Box, aspect: float, width: float, height: float) -> Box:
    """Widens a box to an aspect ratio about its center, moves it into the photo, and shrinks it if it does not fit.

    Args:
        box: The box; it may extend beyond the photo.
        aspect: Width / height of the result.
        width: Width of the photo in pixels.
        height: Height of the photo in pixels.

    Returns:
        The fitted box inside the photo, rounded to `ROUNDING_STEP`.
    """
    left, upper, right, lower = box
    new_width = min(max(right - left, (lower - upper) * aspect), width, height * aspect)
    new_height = new_width / aspect
    return clip_box(
        (
            min(max((left + right - new_width) / 2, 0.0), width - new_width),
            min(max((upper + lower - new_height) / 2, 0.0), height - new_height),
            min(max((left + right - new_width) / 2, 0.0), width - new_width) + new_width,
            min(max((upper + lower - new_height) / 2, 0.0), height - new_height) + new_height,
        ),
        width,
        height,
    )


def clip_box(box: Box, width: float, height: float) -> Box:
    """Clips a box to the photo and rounds it to `ROUNDING_STEP`.

    Args:
        box: The box; it may extend beyond the photo.
        width: Width of the photo in pixels, >= 1.
        height: Height of the photo in pixels, >= 1.

    Returns:
        The part of the box inside the photo; at least one pixel in each direction.
    """
    left, right = _clip_interval(box[0], box[2], width)
    upper, lower = _clip_interval(box[1], box[3], height)
    return (left, upper, right, lower)


def intersection_over_union(first: Box, second: Box) -> float:
    """Computes how much two boxes overlap; of many pairs at once, `evaluation.scenes` does, which `data` cannot import.

    Args:
        first: A box.
        second: Another box.

    Returns:
        Their intersection divided by their union, in 0 to 1; 0 where both are empty.
    """
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    common = max(width, 0.0) * max(height, 0.0)
    union = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)) - common
    return common / union if union > 0 else 0.0


def find_same_faces(boxes: Sequence[Box]) -> list[tuple[int, int]]:
    """Finds boxes of one photo that show the same face, as those of two annotators do.

    Args:
        boxes: The boxes.

    Returns:
        Positions of each two boxes that overlap by `SAME_FACE_IOU` or more.
    """
    pairs = combinations(range(len(boxes)), 2)
    return [(one, two) for one, two in pairs if intersection_over_union(boxes[one], boxes[two]) >= SAME_FACE_IOU]


def _clip_interval(low: float, high: float, length: float) -> tuple[float, float]:
    low = min(max(round(low / ROUNDING_STEP) * ROUNDING_STEP, 0.0), length - 1)
    return low, min(max(round(high / ROUNDING_STEP) * ROUNDING_STEP, low + 1), length)


def crop_rotated(
    photo: NDArray[np.uint8], crop_box: CropBox, size: tuple[int, int], resample: Image.Resampling
) -> NDArray[np.uint8]:
    """Extracts a rotated box, resized; beyond the photo its edge pixels are repeated.

    Each output pixel is the mean of samples that lie no farther apart than the photo's pixels, so the photo is
    resampled only once and downscaling does not alias.

    Args:
        photo: Image of shape (height, width, 3).
        crop_box: The box and its rotation.
        size: (height, width) of the result in pixels.
        resample: Interpolation of each sample: nearest, bilinear or bicubic.

    Returns:
        The pixels, uint8 of shape (*size, 3).
    """
    left, upper, right, lower = crop_box.box
    height, width = size
    samples = min(max(ceil((right - left) / width), ceil((lower - upper) / height), 1), MAX_SAMPLES)
    step_x, step_y = (right - left) / (width * samples), (lower - upper) / (height * samples)
    angle = radians(crop_box.angle)
    # Columns of the affine matrix: the photo offsets of one step to the right and one step down in the result.
    a, d = cos(angle) * step_x, sin(angle) * step_x
    b, e = -sin(angle) * step_y, cos(angle) * step_y
    x = (left + right) / 2 - (a * width + b * height) * samples / 2
    y = (upper + lower) / 2 - (d * width + e * height) * samples / 2
    patch, (first_column, first_row) = _bounding_patch(photo, crop_box)
    image = Image.fromarray(patch).transform(
        (width * samples, height * samples),
        Image.Transform.AFFINE,
        (a, b, x - first_column, d, e, y - first_row),
        resample,
    )
    return np.asarray(image.reduce(samples) if samples > 1 else image, dtype=np.uint8)


def _bounding_patch(photo: NDArray[np.uint8], crop_box: CropBox) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """The axis-aligned patch around a rotated box, padded by edge repetition, and its first (column, row)."""
    left, upper, right, lower = crop_box.box
    angle = radians(crop_box.angle)
    half_extents = [
        (abs(cos(angle)) * (right - left) + abs(sin(angle)) * (lower - upper)) / 2,
        (abs(sin(angle)) * (right - left) + abs(cos(angle)) * (lower - upper)) / 2,
    ]
    centers = [(left + right) / 2, (upper + lower) / 2]
    # Two more pixels: the support of the bicubic filter around a sample.
    columns, rows = (
        np.arange(floor(center - half) - 2, ceil(center + half) + 2)
        for center, half in zip(centers, half_extents, strict=True)
    )
    patch = photo[np.clip(rows, 0, photo.shape[0] - 1)][:, np.clip(columns, 0, photo.shape[1] - 1)]
    return patch, (int(columns[0]), int(rows[0]))
