"""The crop without a detector (seed s1): where on a photo the pixels vary is where somebody stands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from maskfit.data.boxes import CropBox, fit_to_aspect

ANALYSIS_SIDE = 96
"""The longer side in pixels at which a photo is looked at."""


@dataclass(frozen=True)
class VarianceCrop:
    """A box round the middle of what is busy in a photo, moved up towards the head.

    Busy is what differs from its surroundings, counted by rows and columns; a plain background counts nothing. The box
    holds the columns between two quantiles of that, and begins at the row where the busy part begins.

    Args:
        tail: The share of all that is busy which may lie left of the box, and again right of it.
        top: The share of it that may lie above.
        ratio: Height over width of the box, before it is widened to the network's aspect.
    """

    tail: float = 0.15
    top: float = 0.04
    ratio: float = 1.25

    def __post_init__(self) -> None:
        if not 0 <= self.tail < 0.5 or not 0 <= self.top < 0.5:
            raise ValueError(f"tail={self.tail} and top={self.top} must lie in [0, 0.5)")
        if not 0.2 <= self.ratio <= 5:
            raise ValueError(f"ratio={self.ratio} must lie in 0.2 to 5")

    def box(self, photo: NDArray[np.uint8], aspect: float) -> CropBox:
        height, width = photo.shape[:2]
        scale = min(ANALYSIS_SIDE / max(height, width), 1.0)
        size = max(round(width * scale), 1), max(round(height * scale), 1)
        grey = np.asarray(Image.fromarray(photo).resize(size, Image.Resampling.BOX).convert("L"), dtype=np.int64)
        # Steps to the next pixel; whole numbers, so that every machine counts alike.
        busy = np.zeros_like(grey)
        busy[:, 1:] += np.abs(np.diff(grey, axis=1))
        busy[1:] += np.abs(np.diff(grey, axis=0))
        if not busy.any():
            return CropBox(fit_to_aspect((0.0, 0.0, float(width), float(height)), aspect, width, height), fallback=True)
        left, right = _quantile(busy.sum(axis=0), self.tail), _quantile(busy.sum(axis=0), 1 - self.tail)
        columns = busy[:, int(left * size[0]) : max(int(right * size[0]), int(left * size[0]) + 1)]
        upper = _quantile(columns.sum(axis=1), self.top) if columns.any() else 0.0
        wide = max((right - left) * width, 1.0)
        box = (left * width, upper * height, left * width + wide, upper * height + wide * self.ratio)
        return CropBox(fit_to_aspect(box, aspect, width, height))


def _quantile(counts: NDArray[np.int64], share: float) -> float:
    """Where along a row of counts, 0 to 1, `share` of their sum lies behind."""
    return float(np.searchsorted(np.cumsum(counts), share * counts.sum()) / len(counts))
