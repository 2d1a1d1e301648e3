"""The network inputs of one image or face: its pixels by crop and TTA view, exact or, for a fast first pass, nearly so.

Where a precision cascade checks predictions, photos may first be downscaled approximately (`data.fast_downscale`).
Such an input knows how to get its photo again, and `ModelInput.exact` makes the pixels that training saw of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from maskfit.data.boxes import CropBox
from maskfit.data.image_decoding import Pixels
from maskfit.data.preprocessing import CropResize, ImageBatch
from maskfit.inference.tta import TestTimeAugmentation


class ModelInput(NamedTuple):
    """An image, or one face of it, as the networks take it.

    Attributes:
        tta_views: Pixels (height, width, 3), by crop_resize and TTA view.
        crops: What each crop_resize cut out of the image.
        reload: Returns the decoded image again, where the views are approximate; None where they are exact.
    """

    tta_views: Sequence[Sequence[Pixels]]
    crops: tuple[CropBox, ...]
    reload: Callable[[], Pixels] | None = None

    def exact(self, crop_resizes: Sequence[CropResize], tta: TestTimeAugmentation) -> ModelInput:
        """Returns the input with the exact pixels.

        Args:
            crop_resizes: Those that the input was made with.
            tta: The same.

        Returns:
            Itself where it is exact.

        Raises:
            PhotoError: The photo can no longer be read.
        """
        return self if self.reload is None else make_input(crop_resizes, tta, self.reload(), self.crops)


def make_input(
    crop_resizes: Sequence[CropResize],
    tta: TestTimeAugmentation,
    pixels: Pixels,
    crops: tuple[CropBox, ...],
    reload: Callable[[], Pixels] | None = None,
) -> ModelInput:
    """Crops, resizes and makes the TTA views.

    Args:
        crop_resizes: How to crop and resize.
        tta: Makes the views.
        pixels: (height, width, 3), uint8, upright RGB.
        crops: What each of `crop_resizes` cuts out.
        reload: Returns `pixels` again; downscaling may then be approximate.

    Returns:
        The input.
    """
    frames, is_approximate = [], False
    for crop_resize, crop in zip(crop_resizes, crops, strict=True):
        frame = crop_resize.approximate(pixels, crop) if reload else None
        is_approximate |= frame is not None
        frames.append(crop_resize(pixels, crop) if frame is None else frame)
    return ModelInput([tta(frame) for frame in frames], crops, reload if is_approximate else None)


def stack_views(inputs: Sequence[ModelInput]) -> list[list[ImageBatch]]:
    """Stacks the views of inputs to batches.

    Args:
        inputs: At least one.

    Returns:
        The batch of each crop_resize and TTA view.
    """
    by_crop = zip(*(item.tta_views for item in inputs), strict=True)
    return [[np.stack(view) for view in zip(*views, strict=True)] for views in by_crop]
