"""Background removal by GrabCut, initialized from the crop (project nlp09 tried GrabCut).

GrabCut (Rother, Kolmogorov, Blake: "GrabCut": Interactive Foreground Extraction using Iterated Graph Cuts, SIGGRAPH
2004) alternates between fitting color mixtures of foreground and background and a minimum cut between them. Initialized
with a rectangle alone, as usual, it removes dark hair before dark walls and white masks before white ones. Here the
crop locates the face: its inside is certain foreground, the upper corners of its surroundings are certain background,
and color decides in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor
from typing import Any

import numpy as np
from PIL import Image

from maskfit.data.backgrounds.fill import IMAGENET_MEAN_COLOR, Region, fill_background, validate_color
from maskfit.data.boxes import Box, CropBox
from maskfit.data.image_decoding import Pixels
from maskfit.data.mask_regions import ForegroundMap, Mask, connected_region, import_cv2

CONTEXT = 0.5
"""Margin around the crop that is processed, on each side, as a fraction of the crop's longer side."""

MIN_SIDE = 8
"""Minimum shorter side in pixels; a smaller photo or region is returned unchanged."""

SURE_FOREGROUND = (0.50, 0.78, -0.03)
"""Ellipse of certain foreground: width and height as fractions of the crop's, and how far it lies below the center.
It covers the face with the roots of its hair, whose color must be known to keep the hair, both for the crop `center`
on the competition's photos and for the crop `face` with its default margins."""

PROBABLE_FOREGROUND = (0.85, 1.10, -0.05)
"""Ellipse of probable foreground: the head with its hair."""

POSSIBLE_FOREGROUND = (1.25, 1.45, 0.0)
"""Ellipse outside of which everything above the center is certain background."""

BODY_HALF_WIDTH, BODY_WIDENING = 0.22, 0.35
"""Half width of the probable foreground below the center as a fraction of the crop's, and how it widens downwards."""


@dataclass(frozen=True)
class GrabCut:
    """Keeps the head and what is connected to it; takes about 50 ms per photo.

    Args:
        side: Longer side in pixels at which the edge is computed, in 32 to 1024. More follows hair more finely and
            takes longer.
        iterations: Iterations of GrabCut, in 1 to 20.
        color: Color of the background: red, green, blue in 0 to 255.

    Raises:
        ValueError: An option is out of range.
    """

    side: int = 128
    iterations: int = 3
    color: Sequence[int] = IMAGENET_MEAN_COLOR

    def __post_init__(self) -> None:
        if not 32 <= self.side <= 1024:
            raise ValueError(f"side={self.side} must lie in 32 to 1024")
        if not 1 <= self.iterations <= 20:
            raise ValueError(f"iterations={self.iterations} must lie in 1 to 20")
        validate_color(self.color)

    def pinned(self) -> dict[str, Any]:
        """Checks that OpenCV is installed; GrabCut has no weights to pin.

        Returns:
            An empty mapping.

        Raises:
            MissingExtraError: OpenCV is missing.
        """
        import_cv2("the background 'grabcut'")
        return {}

    def remove_background(self, photo: Pixels, crop_box: CropBox) -> Pixels:
        """Fills everything but the person with the color; see `Background.remove_background`.

        Args:
            photo: Image of shape (height, width, 3).
            crop_box: The crop, which locates the face.

        Returns:
            The image; `photo` itself where no subject can be separated.
        """
        region = _region_around(crop_box.box, photo.shape[1], photo.shape[0])
        left, upper, right, lower = region
        width, height = right - left, lower - upper
        scale = min(self.side / max(width, height), 1.0)
        size = max(round(width * scale), 1), max(round(height * scale), 1)
        if min(size) < MIN_SIDE:
            return photo
        small = Image.fromarray(photo).resize(size, Image.Resampling.BOX, box=region)
        scale_x, scale_y = size[0] / width, size[1] / height
        box = crop_box.box
        scaled_box = (
            (box[0] - left) * scale_x,
            (box[1] - upper) * scale_y,
            (box[2] - left) * scale_x,
            (box[3] - upper) * scale_y,
        )
        foreground = self._segment(np.asarray(small), scaled_box)
        return photo if foreground is None else fill_background(photo, foreground, self.color, region)

    def _segment(self, pixels: Pixels, box: Box) -> ForegroundMap | None:
        """The foreground, (height, width); None where it cannot be separated."""
        cv2 = import_cv2("the background 'grabcut'")
        mask = initial_mask(pixels.shape[0], pixels.shape[1], box)
        rows, columns = np.nonzero(mask == cv2.GC_FGD)
        if not len(rows) or not (mask == cv2.GC_PR_BGD).any():
            return None
        # OpenCV initializes its color clusters at random; the generator is per thread.
        cv2.setRNGSeed(0)
        models = np.zeros((1, 65)), np.zeros((1, 65))
        try:
            cv2.grabCut(np.ascontiguousarray(pixels), mask, None, *models, self.iterations, cv2.GC_INIT_WITH_MASK)
        except cv2.error:  # Colors to which no mixture can be fitted, such as a single one.
            return None
        foreground = (mask == cv2.GC_FGD) | (mask == cv2.GC_PR_FGD)
        middle = len(rows) // 2
        subject = connected_region(cv2, foreground, int(rows[middle]), int(columns[middle]))
        return subject.astype(np.uint8) * np.uint8(255)


def _region_around(box: Box, width: int, height: int) -> Region:
    """The crop with its context, clipped to the photo."""
    left, upper, right, lower = box
    context = CONTEXT * max(right - left, lower - upper)
    # A rotated box may lie beyond the photo; at least one pixel is kept.
    first_column = min(max(floor(left - context), 0), width - 1)
    first_row = min(max(floor(upper - context), 0), height - 1)
    last_column, last_row = min(ceil(right + context), width), min(ceil(lower + context), height)
    return first_column, first_row, max(last_column, first_column + 1), max(last_row, first_row + 1)


def initial_mask(height: int, width: int, box: Box) -> ForegroundMap:
    """Returns GrabCut's initial mask for a face crop.

    Args:
        height: Height of the region in pixels.
        width: Width of the region in pixels.
        box: The crop in pixels of the region.

    Returns:
        OpenCV's labels GC_BGD 0, GC_FGD 1, GC_PR_BGD 2, GC_PR_FGD 3, uint8 of shape (height, width).
    """
    rows, columns = np.mgrid[:height, :width] + 0.5
    crop_width, crop_height = box[2] - box[0], box[3] - box[1]
    x, y = (columns - (box[0] + box[2]) / 2) / crop_width, (rows - (box[1] + box[3]) / 2) / crop_height

    def ellipse(axis_x: float, axis_y: float, center_y: float) -> Mask:
        return np.asarray((2 * x / axis_x) ** 2 + (2 * (y - center_y) / axis_y) ** 2 < 1)

    mask = np.full((height, width), 2, dtype=np.uint8)
    body = (y > 0) & (np.abs(x) < BODY_HALF_WIDTH + BODY_WIDENING * y * crop_height / crop_width)
    mask[ellipse(*PROBABLE_FOREGROUND) | body] = 3
    mask[~ellipse(*POSSIBLE_FOREGROUND) & (y < 0)] = 0
    mask[ellipse(*SURE_FOREGROUND)] = 1
    return mask
