"""GrabCut (Rother, Kolmogorov, Blake: GrabCut, SIGGRAPH 2004; seed s2 tried it), told where a face is.

Two mixtures of colours, one for the subject and one for its background, and the cheapest edge between them, in turns. A
rectangle alone, as it is mostly used, eats dark hair before dark walls and white masks before white ones. Here the crop
says where the face is: its inside is the subject for certain, the upper corners of its surroundings are background for
certain, and what is between is decided by colour.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor
from typing import Any

import numpy as np
from PIL import Image

from maskfit.data.backgrounds.fill import IMAGENET_MEAN_COLOR, Region, validate_color, fill_background
from maskfit.data.boxes import Box, CropBox
from maskfit.data.image_decoding import Pixels
from maskfit.data.mask_regions import ForegroundMap, Mask, import_cv2, connected_region

CONTEXT = 0.5
"""How much of what lies round the crop is looked at, on each side, in its longer sides."""

MIN_SIDE = 8
"""Pixels; a photo or region with a shorter side has no background worth speaking of."""

SURE_FOREGROUND = (0.50, 0.78, -0.03)
"""The ellipse that is the subject for certain: width and height in those of the crop, and how far below its middle.
It is the inside of a face with the roots of its hair, whose colour must be known to keep it, both under `centre` on the
competition's photos and under `face` with its margins."""

PROBABLE_FOREGROUND = (0.85, 1.10, -0.05)
"""The ellipse that is rather the subject: the head with its hair."""

POSSIBLE_FOREGROUND = (1.25, 1.45, 0.0)
"""The ellipse outside of which, above the face's middle, nothing is the subject."""

BODY_HALF_WIDTH, BODY_WIDENING = 0.22, 0.35
"""Below the face's middle half the width of what is rather the subject, in the crop's, and how it widens downwards."""


@dataclass(frozen=True)
class GrabCut:
    """Keeps a head and what hangs together with it; about 50 ms a photo, once.

    Args:
        side: The longer side in pixels at which the edge is looked for. More follows hair more finely and takes longer.
        iterations: How often colours and edge are fitted in turns.
        colour: What the background becomes.
    """

    side: int = 128
    iterations: int = 3
    colour: Sequence[int] = IMAGENET_MEAN_COLOR

    def __post_init__(self) -> None:
        if not 32 <= self.side <= 1024:
            raise ValueError(f"side={self.side} must lie in 32 to 1024")
        if not 1 <= self.iterations <= 20:
            raise ValueError(f"iterations={self.iterations} must lie in 1 to 20")
        validate_color(self.colour)

    def pinned(self) -> dict[str, Any]:
        """Nothing to say, but that the extra is here.

        Raises:
            MissingExtraError: It is not.
        """
        import_cv2("the background 'grabcut'")
        return {}

    def remove_background(self, photo: Pixels, cut: CropBox) -> Pixels:
        region = _surroundings(cut.box, photo.shape[1], photo.shape[0])
        left, upper, right, lower = region
        wide, high = right - left, lower - upper
        scale = min(self.side / max(wide, high), 1.0)
        size = max(round(wide * scale), 1), max(round(high * scale), 1)
        if min(size) < MIN_SIDE:
            return photo
        small = Image.fromarray(photo).resize(size, Image.Resampling.BOX, box=region)
        across, down = size[0] / wide, size[1] / high
        box = cut.box
        inside = ((box[0] - left) * across, (box[1] - upper) * down, (box[2] - left) * across, (box[3] - upper) * down)
        shares = self._shares(np.asarray(small), inside)
        return photo if shares is None else fill_background(photo, shares, self.colour, region)

    def _shares(self, pixels: Pixels, box: Box) -> ForegroundMap | None:
        """Where the subject is, (height, width); None where nothing can be told."""
        cv2 = import_cv2("the background 'grabcut'")
        kinds = initial_mask(pixels.shape[0], pixels.shape[1], box)
        rows, columns = np.nonzero(kinds == cv2.GC_FGD)
        if not len(rows) or not (kinds == cv2.GC_PR_BGD).any():
            return None
        # OpenCV draws its first centres of colours; each thread has a generator of its own.
        cv2.setRNGSeed(0)
        models = np.zeros((1, 65)), np.zeros((1, 65))
        try:
            cv2.grabCut(np.ascontiguousarray(pixels), kinds, None, *models, self.iterations, cv2.GC_INIT_WITH_MASK)
        except cv2.error:  # Colours that no mixture can be fitted to, as those of a photo of one colour.
            return None
        kept = (kinds == cv2.GC_FGD) | (kinds == cv2.GC_PR_FGD)
        middle = len(rows) // 2
        subject = connected_region(cv2, kept, int(rows[middle]), int(columns[middle]))
        return subject.astype(np.uint8) * np.uint8(255)


def _surroundings(box: Box, width: int, height: int) -> Region:
    """The crop with what lies round it, inside the photo."""
    left, upper, right, lower = box
    more = CONTEXT * max(right - left, lower - upper)
    # A turned box may lie beyond the photo's edge; a pixel stays all the same.
    first_column = min(max(floor(left - more), 0), width - 1)
    first_row = min(max(floor(upper - more), 0), height - 1)
    last_column, last_row = min(ceil(right + more), width), min(ceil(lower + more), height)
    return first_column, first_row, max(last_column, first_column + 1), max(last_row, first_row + 1)


def initial_mask(height: int, width: int, box: Box) -> ForegroundMap:
    """What GrabCut starts from, (height, width): OpenCV's GC_BGD 0, GC_FGD 1, GC_PR_BGD 2, GC_PR_FGD 3.

    Args:
        height: Of the region.
        width: The same.
        box: The crop, in the region's pixels.
    """
    rows, columns = np.mgrid[:height, :width] + 0.5
    wide, high = box[2] - box[0], box[3] - box[1]
    x, y = (columns - (box[0] + box[2]) / 2) / wide, (rows - (box[1] + box[3]) / 2) / high

    def ellipse(across: float, down: float, lower: float) -> Mask:
        return np.asarray((2 * x / across) ** 2 + (2 * (y - lower) / down) ** 2 < 1)

    kinds = np.full((height, width), 2, dtype=np.uint8)
    kinds[ellipse(*PROBABLE_FOREGROUND) | ((y > 0) & (np.abs(x) < BODY_HALF_WIDTH + BODY_WIDENING * y * high / wide))] = 3
    kinds[~ellipse(*POSSIBLE_FOREGROUND) & (y < 0)] = 0
    kinds[ellipse(*SURE_FOREGROUND)] = 1
    return kinds
