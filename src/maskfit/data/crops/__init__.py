"""Registry of crops, which select the region of a photo that the network receives.

A crop takes a decoded photo and returns a box, or a `CropBox` where the box is rotated or a fallback. Training,
validation and prediction use the same crops through `preprocessing.CropResize`. Boxes are relative to the photo's size
or follow from its content; none assumes the format of one camera.
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
    """Interface of crops."""

    def box(self, photo: NDArray[np.uint8], aspect: float) -> Box | CropBox:
        """Returns the region of a photo to crop; thread-safe.

        Args:
            photo: Upright RGB image of shape (height, width, 3).
            aspect: Width / height of the network's input.

        Returns:
            A box inside the photo, or a `CropBox`, which may be rotated.
        """
        ...


@dataclass(frozen=True)
class FullImage:
    """The whole photo, resized to the network's input without preserving the aspect ratio."""

    def box(self, photo: NDArray[np.uint8], aspect: float) -> Box:
        """Returns the box of the whole photo.

        Args:
            photo: Image of shape (height, width, 3).
            aspect: Not used.

        Returns:
            The box.
        """
        height, width = photo.shape[:2]
        return (0.0, 0.0, float(width), float(height))


@dataclass(frozen=True)
class CenterCrop:
    """The largest centered rectangle with the aspect ratio of the network's input.

    On the competition's 384 x 512 photos with a square input this equals torchvision's `CenterCrop(384)`, which the
    source projects use.

    Args:
        scale: Fraction of that rectangle's sides to keep, in (0, 1].
        shift: Downward shift of the center as a fraction of the photo's height, in -0.5 to 0.5; the box stays inside
            the photo.
        squeeze: How the aspect ratio is matched: 0 by cropping alone, as in the source projects; 1 by non-uniform
            resizing alone, as `FullImage`; values in between mix both, so that less of a tall portrait is lost while
            a face is distorted little.

    Raises:
        ValueError: An option is out of range.
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
        """Returns the centered box.

        Args:
            photo: Image of shape (height, width, 3).
            aspect: Width / height of the network's input.

        Returns:
            The box inside the photo.
        """
        height, width = photo.shape[:2]
        # Geometric interpolation of the two aspect ratios, so that wide and tall photos are treated alike.
        aspect *= (width / height / aspect) ** self.squeeze
        crop_width = self.scale * min(width, height * aspect)
        crop_height = crop_width / aspect
        left = (width - crop_width) / 2
        upper = min(max((height - crop_height) / 2 + self.shift * height, 0.0), height - crop_height)
        # Rounding can move an edge slightly outside of the photo, which Pillow rejects.
        return (
            max(left, 0.0),
            max(upper, 0.0),
            min(left + crop_width, float(width)),
            min(upper + crop_height, float(height)),
        )


CROPS: dict[str, Callable[..., Crop]] = {
    "center": CenterCrop,
    "resize": FullImage,
    "face": FaceCrop,
    "level1_06": level1_06,
    "variance": VarianceCrop,
    "saliency": SaliencyCrop,
}
"""Crops by their name in recipes (`data.crop`)."""
