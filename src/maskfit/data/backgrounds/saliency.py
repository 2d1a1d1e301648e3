"""Background removal by a saliency network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from maskfit.data.backgrounds.fill import IMAGENET_MEAN_COLOR, fill_background, validate_color
from maskfit.data.boxes import CropBox
from maskfit.data.image_decoding import Pixels
from maskfit.data.saliency import SaliencyBased


@dataclass(frozen=True)
class SaliencyBackground(SaliencyBased):
    """Keeps the salient object of the whole photo.

    Args:
        net: A name of `saliency.NETWORKS`.
        weights: Its ONNX file; by default the published weights from the cache, downloaded once.
        sha256: SHA-256 of the weights, as model files store it.
        color: Color of the background: red, green, blue in 0 to 255.

    Raises:
        ValueError: The network is unknown, or the color is invalid.
    """

    color: Sequence[int] = IMAGENET_MEAN_COLOR

    def __post_init__(self) -> None:
        super().__post_init__()
        validate_color(self.color)

    def remove_background(self, photo: Pixels, crop_box: CropBox) -> Pixels:
        """Fills everything but the salient object with the color; see `Background.remove_background`.

        Args:
            photo: Image of shape (height, width, 3).
            crop_box: Not used.

        Returns:
            The image; `photo` itself where nothing is salient.
        """
        foreground = self.saliency_map(photo)
        return photo if foreground is None else fill_background(photo, foreground, self.color)
