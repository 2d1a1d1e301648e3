"""Crop around the salient object (project cv-08: box of the largest contour of TRACER's mask at 352 x 352)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskfit.data.boxes import CropBox, fit_to_aspect
from maskfit.data.mask_regions import import_cv2, largest_region_box
from maskfit.data.saliency import SaliencyBased

MASK_LEVEL = 128
"""Saliency, of 255, from which on a pixel belongs to the object."""


@dataclass(frozen=True)
class SaliencyCrop(SaliencyBased):
    """The box of the largest salient region, widened to the network's aspect ratio; a fallback where there is none.

    Args:
        net: A name of `saliency.NETWORKS`.
        weights: Its ONNX file; by default the published weights from the cache, downloaded once.
        sha256: SHA-256 of the weights, as model files store it.
        margin: Margin on each side as a fraction of the box's longer side, in 0 to 1.

    Raises:
        ValueError: The network is unknown, or the margin is out of range.
    """

    margin: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.margin <= 1:
            raise ValueError(f"margin={self.margin} must lie in 0 to 1")

    def pinned(self) -> dict[str, Any]:
        """Returns the options that name the weights by their SHA-256; see `SaliencyBased.pinned`.

        Returns:
            `weights` (file name) and `sha256`.

        Raises:
            DataError: The weights are missing and cannot be downloaded, or are not a saliency network.
            MissingExtraError: OpenCV is missing.
        """
        import_cv2("the crop 'saliency'")
        return super().pinned()

    def box(self, photo: NDArray[np.uint8], aspect: float) -> CropBox:
        """Returns the box of the largest salient region.

        Args:
            photo: Image of shape (height, width, 3).
            aspect: Width / height of the network's input.

        Returns:
            The crop box; the center of the photo, marked as a fallback, where nothing is salient.
        """
        height, width = photo.shape[:2]
        saliency = self.saliency_map(photo)
        region = (
            None if saliency is None else largest_region_box(import_cv2("the crop 'saliency'"), saliency >= MASK_LEVEL)
        )
        if saliency is None or region is None:
            return CropBox(fit_to_aspect((0, 0, width, height), aspect, width, height), fallback=True)
        scale_x, scale_y = width / saliency.shape[1], height / saliency.shape[0]
        left, upper, right, lower = region[0] * scale_x, region[1] * scale_y, region[2] * scale_x, region[3] * scale_y
        margin = self.margin * max(right - left, lower - upper)
        return CropBox(
            fit_to_aspect((left - margin, upper - margin, right + margin, lower + margin), aspect, width, height)
        )
