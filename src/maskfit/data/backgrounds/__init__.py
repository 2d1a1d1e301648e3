"""What becomes of a photo's background: one small interface, one table; alike in training, validation and prediction.

A background is erased on the decoded photo, before it is cut and shrunk: so the larger frames that augmentation crops
from and the frames of the evaluation transform are erased along the same edge. The store keeps the result; the training
step never does any of this.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from maskfit.data.backgrounds.grabcut import GrabCut
from maskfit.data.backgrounds.salient import SaliencyBackground
from maskfit.data.boxes import CropBox
from maskfit.data.image_decoding import Pixels

__all__ = ["BACKGROUNDS", "Background", "GrabCut", "KeepBackground", "SaliencyBackground"]


class Background(Protocol):
    """Replaces what is not the subject. One that needs weights or an extra is a `settling.Settling` too."""

    def remove_background(self, photo: Pixels, cut: CropBox) -> Pixels:
        """The photo, (height, width, 3) uint8, with a flat colour in the place of its background.

        Where no subject can be told from its background, the photo as it is. May be called from many threads at once.

        Args:
            photo: (height, width, 3), upright RGB; it is not written to.
            cut: What the crop shows of it, which says where the subject is.
        """
        ...


@dataclass(frozen=True)
class KeepBackground:
    """The photo as it is."""

    def remove_background(self, photo: Pixels, cut: CropBox) -> Pixels:
        return photo


BACKGROUNDS: dict[str, Callable[..., Background]] = {
    "none": KeepBackground,
    "grabcut": GrabCut,
    "saliency": SaliencyBackground,
}
