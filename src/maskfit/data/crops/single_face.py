"""Crop of one face in a group photo, framed as the crop would frame a portrait of that face."""

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
"""Mean width and height of a face as fractions of the photo, measured on photos in the competition's layout."""

PORTRAIT_ASPECT = 3 / 4
"""Width / height of the competition's photos."""


class HasBox(Protocol):
    """Interface of `crops.Crop`, repeated here because `crops` imports this package's modules."""

    def box(self, photo: NDArray[np.uint8], aspect: float) -> Box | CropBox:
        """Returns the region of a photo to crop; see `crops.Crop.box`.

        Args:
            photo: Image of shape (height, width, 3).
            aspect: Width / height of the network's input.

        Returns:
            The box.
        """
        ...


def crop_single_face(crop: HasBox, photo: NDArray[np.uint8], face: Face, aspect: float) -> CropBox:
    """Returns the crop box for one of possibly several faces on a photo.

    A face crop uses the given face. Any other crop was trained on portraits, so it is applied to a portrait: the part
    of the photo in which the face is as large and as central as on the competition's photos.

    Args:
        crop: A crop of `crops.CROPS`.
        photo: Image of shape (height, width, 3).
        face: A face that a detector found on it.
        aspect: Width / height of the network's input.

    Returns:
        The crop box in pixels of the photo.
    """
    if isinstance(crop, FaceCrop):
        return crop.box_from_faces([face], photo, aspect)
    left, upper, right, lower = _portrait_around(face.box, photo.shape[1], photo.shape[0])
    found = crop.box(photo[upper:lower, left:right], aspect)
    crop_box = found if isinstance(found, CropBox) else CropBox(found)
    box = crop_box.box
    return replace(crop_box, box=(box[0] + left, box[1] + upper, box[2] + left, box[3] + upper))


def _portrait_around(box: Box, width: int, height: int) -> tuple[int, int, int, int]:
    """The part of a photo around a face, in whole pixels, clipped to the photo."""
    portrait_height = max((box[3] - box[1]) / FACE_HEIGHT, (box[2] - box[0]) / FACE_WIDTH / PORTRAIT_ASPECT)
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    left, right = (min(max(x + side * portrait_height * PORTRAIT_ASPECT / 2, 0.0), float(width)) for side in (-1, 1))
    upper, lower = (min(max(y + side * portrait_height / 2, 0.0), float(height)) for side in (-1, 1))
    # The center of a face that is partly outside may lie beyond the edge; at least one pixel is kept.
    first_column, first_row = min(floor(left), width - 1), min(floor(upper), height - 1)
    return first_column, first_row, max(ceil(right), first_column + 1), max(ceil(lower), first_row + 1)
