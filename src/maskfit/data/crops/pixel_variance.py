"""Crop by pixel variation, without a detector (project iloveslowfood): the person is where the pixels vary."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from maskfit.data.boxes import CropBox, fit_to_aspect

ANALYSIS_SIDE = 96
"""Longer side in pixels to which a photo is downscaled before its gradients are summed."""


@dataclass(frozen=True)
class VarianceCrop:
    """A box around the part of a photo with the most gradient, with its top near the head.

    The absolute differences of neighboring pixels are summed by columns and rows, so a plain background counts
    nothing. The box spans the columns between two quantiles of the sum, and starts at a quantile of its rows.

    Args:
        tail: Fraction of the gradient sum that may lie left of the box, and again right of it, in [0, 0.5).
        top: Fraction of the gradient sum that may lie above the box, in [0, 0.5).
        ratio: Height / width of the box before it is widened to the network's aspect ratio, in 0.2 to 5.

    Raises:
        ValueError: An option is out of range.
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
        """Returns the box around the part with the most gradient.

        Args:
            photo: Image of shape (height, width, 3).
            aspect: Width / height of the network's input.

        Returns:
            The crop box; the center of the photo, marked as a fallback, where all pixels are equal.
        """
        height, width = photo.shape[:2]
        scale = min(ANALYSIS_SIDE / max(height, width), 1.0)
        size = max(round(width * scale), 1), max(round(height * scale), 1)
        gray = np.asarray(Image.fromarray(photo).resize(size, Image.Resampling.BOX).convert("L"), dtype=np.int64)
        # Differences to the next pixel, in integers so that every machine gives the same sums.
        gradient = np.zeros_like(gray)
        gradient[:, 1:] += np.abs(np.diff(gray, axis=1))
        gradient[1:] += np.abs(np.diff(gray, axis=0))
        if not gradient.any():
            return CropBox(fit_to_aspect((0.0, 0.0, float(width), float(height)), aspect, width, height), fallback=True)
        left, right = _quantile(gradient.sum(axis=0), self.tail), _quantile(gradient.sum(axis=0), 1 - self.tail)
        columns = gradient[:, int(left * size[0]) : max(int(right * size[0]), int(left * size[0]) + 1)]
        upper = _quantile(columns.sum(axis=1), self.top) if columns.any() else 0.0
        box_width = max((right - left) * width, 1.0)
        box = (left * width, upper * height, left * width + box_width, upper * height + box_width * self.ratio)
        return CropBox(fit_to_aspect(box, aspect, width, height))


def _quantile(counts: NDArray[np.int64], fraction: float) -> float:
    """The position in 0 to 1 along `counts` below which `fraction` of their sum lies."""
    return float(np.searchsorted(np.cumsum(counts), fraction * counts.sum()) / len(counts))
