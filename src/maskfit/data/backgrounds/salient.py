"""The salient object kept, by a network; what else there is, erased."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from maskfit.data.backgrounds.fill import IMAGENET_MEAN_COLOR, validate_color, fill_background
from maskfit.data.boxes import CropBox
from maskfit.data.image_decoding import Pixels
from maskfit.data.saliency import SaliencyBased


@dataclass(frozen=True)
class SaliencyBackground(SaliencyBased):
    """Keeps what a saliency network takes for the subject, of the whole photo.

    Args:
        net: A name of `saliency.NETS`.
        weights: Its ONNX file; left out, the published one from the cache, or fetched once.
        sha256: Of the weights, as model files say it.
        colour: What the background becomes.
    """

    colour: Sequence[int] = IMAGENET_MEAN_COLOR

    def __post_init__(self) -> None:
        super().__post_init__()
        validate_color(self.colour)

    def remove_background(self, photo: Pixels, cut: CropBox) -> Pixels:
        shares = self.saliency_map(photo)
        return photo if shares is None else fill_background(photo, shares, self.colour)
