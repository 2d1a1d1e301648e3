"""Landmarks from a detector of `data.detectors`."""

from __future__ import annotations

import numpy as np

from maskfit.data.detectors import DETECTORS, check_detector, load_detector, pin_detector_weights
from maskfit.data.detectors.interface import Pixels
from maskfit.errors import DataError
from maskfit.registry import ComponentSpec
from maskfit.synthesis.landmarks import Landmarks
from maskfit.synthesis.masks.landmark_sources import Finder, from_five

KNOWING = ("yunet", "mtcnn")
"""Detectors that find eyes, nose and mouth, not only boxes."""


def landmark_detector(name: str, weights: str | None = None) -> Finder:
    """A detector as a finder of landmarks: those of the largest face on a photo.

    Args:
        name: One of `KNOWING`.
        weights: A file of weights in place of the published ones.

    Raises:
        DataError: The detector knows no landmarks, or its weights cannot be found.
        MissingExtraError: It needs an extra.
        RecipeError: There is no such detector.
    """
    part = ComponentSpec.create(name)
    if name in DETECTORS and name not in KNOWING:
        raise DataError(f"the detector '{name}' finds no eyes and mouths", hint=f"take {' or '.join(KNOWING)}")
    check_detector(part)
    detector = load_detector(part, pin_detector_weights(part, weights, None))

    def find(photo: Pixels) -> Landmarks | None:
        faces = [face for face in detector.find(photo) if face.landmarks is not None]
        if not faces:
            return None
        largest = max(faces, key=lambda face: (face.box[2] - face.box[0]) * (face.box[3] - face.box[1]))
        return from_five(np.array(largest.landmarks))

    return find
