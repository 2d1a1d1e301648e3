"""Registry of background removals, used alike in training, validation and prediction.

The background is removed from the decoded photo before it is cropped and resized, so the larger images from which
augmentation crops and the images of the evaluation preprocessing have the same edge. The image cache stores the result;
training steps never run a removal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from maskfit.data.backgrounds.grabcut import GrabCut
from maskfit.data.backgrounds.saliency import SaliencyBackground
from maskfit.data.boxes import CropBox
from maskfit.data.image_decoding import Pixels

__all__ = ["BACKGROUNDS", "Background", "GrabCut", "KeepBackground", "SaliencyBackground"]


class Background(Protocol):
    """Interface of background removals; one that needs weights or an extra also implements `NeedsWeights`."""

    def remove_background(self, photo: Pixels, crop_box: CropBox) -> Pixels:
        """Fills the background of a photo with a flat color; thread-safe.

        Args:
            photo: Upright RGB image, uint8 of shape (height, width, 3); it is not modified.
            crop_box: The crop of the photo, which tells where the subject is.

        Returns:
            The photo at its original size; unchanged where no subject can be separated from the background.
        """
        ...


@dataclass(frozen=True)
class KeepBackground:
    """Keeps the background."""

    def remove_background(self, photo: Pixels, crop_box: CropBox) -> Pixels:
        """Returns the photo unchanged.

        Args:
            photo: Image of shape (height, width, 3).
            crop_box: Not used.

        Returns:
            The photo itself.
        """
        return photo


BACKGROUNDS: dict[str, Callable[..., Background]] = {
    "none": KeepBackground,
    "grabcut": GrabCut,
    "saliency": SaliencyBackground,
}
"""Background removals by their name in recipes (`data.background_removal`)."""
