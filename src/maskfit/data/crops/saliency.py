"""The crop round the salient object (seed s4: TRACER's mask at 352 x 352, its largest contour, the box of that)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskfit.data.boxes import CropBox, fit_to_aspect
from maskfit.data.mask_regions import import_cv2, largest_region_box
from maskfit.data.saliency import SaliencyBased

MASK_LEVEL = 128
"""The share of a pixel, of 255, from which on it belongs to the object."""


@dataclass(frozen=True)
class SaliencyCrop(SaliencyBased):
    """The box of the largest region that a saliency network takes for the subject, widened to the network's aspect.

    Without one the whole photo, as a guess.

    Args:
        net: A name of `saliency.NETS`.
        weights: Its ONNX file; left out, the published one from the cache, or fetched once.
        sha256: Of the weights, as model files say it.
        margin: Round the box on each side, in shares of its longer side.
    """

    margin: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.margin <= 1:
            raise ValueError(f"margin={self.margin} must lie in 0 to 1")

    def pinned(self) -> dict[str, Any]:
        """As `Looking.settled`.

        Raises:
            DataError: The weights are not here and cannot be fetched, or are no saliency network.
            MissingExtraError: OpenCV is missing.
        """
        import_cv2("the crop 'salient'")
        return super().pinned()

    def box(self, photo: NDArray[np.uint8], aspect: float) -> CropBox:
        height, width = photo.shape[:2]
        shares = self.saliency_map(photo)
        found = None if shares is None else largest_region_box(import_cv2("the crop 'salient'"), shares >= MASK_LEVEL)
        if shares is None or found is None:
            return CropBox(fit_to_aspect((0, 0, width, height), aspect, width, height), fallback=True)
        across, down = width / shares.shape[1], height / shares.shape[0]
        left, upper, right, lower = found[0] * across, found[1] * down, found[2] * across, found[3] * down
        more = self.margin * max(right - left, lower - upper)
        return CropBox(fit_to_aspect((left - more, upper - more, right + more, lower + more), aspect, width, height))
