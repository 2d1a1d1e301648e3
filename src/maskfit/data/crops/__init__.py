"""Which part of a photo is the face: one table of crops, the same in training, validation and prediction.

A crop gets a decoded photo and answers with a box, or with a `Cut` where there is more to say: how far the box is
turned, whether it is only a guess. `transforms.Framing` cuts and shrinks it in one step. Boxes are shares of the photo
or follow from its content, never pixels of one camera's format.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from maskfit.data.boxes import Box, CropBox
from maskfit.data.crops.face import FaceCrop, level1_06
from maskfit.data.crops.pixel_variance import VarianceCrop
from maskfit.data.crops.saliency import SaliencyCrop

__all__ = ["CROPS", "Box", "CenterCrop", "Crop", "CropBox", "FaceCrop", "FullImage", "SaliencyCrop", "VarianceCrop"]


class Crop(Protocol):
    """Finds the part of a photo to look at."""

    def box(self, photo: NDArray[np.uint8], aspect: float) -> Box | CropBox:
        """The box for a photo; may be called from many threads at once.

        Args:
            photo: (height, width, 3), upright RGB.
            aspect: Width over height of what the network sees.
        """
        ...


@dataclass(frozen=True)
class FullImage:
    """The whole photo, squeezed into the network's format where that has another aspect."""

    def box(self, photo: NDArray[np.uint8], aspect: float) -> Box:
        height, width = photo.shape[:2]
        return (0.0, 0.0, float(width), float(height))


@dataclass(frozen=True)
class CenterCrop:
    """The largest rectangle of the network's aspect in the middle of the photo.

    On the competition's photos, 384 wide and 512 high, and a square network this is the seeds' `CenterCrop(384)`.

    Args:
        scale: How much of that rectangle to keep, in (0, 1].
        shift: How far to move its centre down, in shares of the photo's height; it stays inside the photo.
        squeeze: How much of a difference in aspect is squeezed in place of being cut off: 0 cuts all of it, as the
            seeds do, and 1 none, as `Whole` does. In between less is lost of a tall portrait, and a face stays a face.
    """

    scale: float = 1.0
    shift: float = 0.0
    squeeze: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.scale <= 1:
            raise ValueError(f"scale={self.scale} must lie in (0, 1]")
        if not -0.5 <= self.shift <= 0.5:
            raise ValueError(f"shift={self.shift} must lie in -0.5 to 0.5")
        if not 0 <= self.squeeze <= 1:
            raise ValueError(f"squeeze={self.squeeze} must lie in 0 to 1")

    def box(self, photo: NDArray[np.uint8], aspect: float) -> Box:
        height, width = photo.shape[:2]
        # Between the two aspects as shares are between: a photo twice as wide and one twice as high fare alike.
        aspect *= (width / height / aspect) ** self.squeeze
        wide = self.scale * min(width, height * aspect)
        high = wide / aspect
        left = (width - wide) / 2
        upper = min(max((height - high) / 2 + self.shift * height, 0.0), height - high)
        # Rounding can put an edge a hair outside, which Pillow refuses.
        return (max(left, 0.0), max(upper, 0.0), min(left + wide, float(width)), min(upper + high, float(height)))


CROPS: dict[str, Callable[..., Crop]] = {
    "center": CenterCrop,
    "resize": FullImage,
    "face": FaceCrop,
    "level1_06": level1_06,
    "variance": VarianceCrop,
    "saliency": SaliencyCrop,
}
