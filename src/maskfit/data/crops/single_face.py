"""One face of a photo as a crop would have framed it, had the photo been of that face alone."""

from __future__ import annotations

from dataclasses import replace
from math import ceil, floor
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from maskfit.data.boxes import Box, CropBox
from maskfit.data.crops.face import FaceCrop
from maskfit.data.detectors import Face

FACE_WIDTH, FACE_HEIGHT = 0.53, 0.51
"""What of a portrait's width and height a face takes; so it is, on average, on photos in the competition's layout."""

PORTRAIT_ASPECT = 3 / 4
"""Width over height of the competition's photos."""


class HasBox(Protocol):
    """Any of `crops.CROPS`."""

    def box(self, photo: NDArray[np.uint8], aspect: float) -> Box | CropBox: ...


def crop_single_face(crop: HasBox, photo: NDArray[np.uint8], face: Face, aspect: float) -> CropBox:
    """What a crop cuts for one of perhaps many faces on a photo.

    A crop that looks for faces is told which to take. Any other was trained on portraits, so it gets one: the part of
    the photo in which the face is as large and as central as on the competition's photos.

    Args:
        crop: Any of `crops.CROPS`.
        photo: (height, width, 3).
        face: What a detector found on it.
        aspect: Width over height of what the network sees.
    """
    if isinstance(crop, FaceCrop):
        return crop.box_from_faces([face], photo, aspect)
    left, upper, right, lower = _portrait(face.box, photo.shape[1], photo.shape[0])
    found = crop.box(photo[upper:lower, left:right], aspect)
    cut = found if isinstance(found, CropBox) else CropBox(found)
    box = (cut.box[0] + left, cut.box[1] + upper, cut.box[2] + left, cut.box[3] + upper)
    return replace(cut, box=box)


def _portrait(box: Box, width: int, height: int) -> tuple[int, int, int, int]:
    """The part of a photo round a face, in whole pixels, clipped at the photo's edge."""
    high = max((box[3] - box[1]) / FACE_HEIGHT, (box[2] - box[0]) / FACE_WIDTH / PORTRAIT_ASPECT)
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    left, right = (min(max(x + side * high * PORTRAIT_ASPECT / 2, 0.0), float(width)) for side in (-1, 1))
    upper, lower = (min(max(y + side * high / 2, 0.0), float(height)) for side in (-1, 1))
    # A face that a detector sees half outside may have its middle beyond the edge; a pixel stays all the same.
    first_column, first_row = min(floor(left), width - 1), min(floor(upper), height - 1)
    return first_column, first_row, max(ceil(right), first_column + 1), max(ceil(lower), first_row + 1)
