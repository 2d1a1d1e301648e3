"""Landmarks for faces that get masks: how they are found, made of ten numbers, or read from a CSV."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maskfit.data.detectors import DETECTORS, check_detector, load_detector, pin_detector_weights
from maskfit.data.detectors.interface import Pixels
from maskfit.errors import DataError, format_list
from maskfit.file_io import read_csv
from maskfit.registry import ComponentSpec
from maskfit.synthesis.landmarks import Landmarks

LandmarkDetector = Callable[[NDArray[np.uint8]], "Landmarks | None"]
"""Gives the landmarks of the largest face on an RGB photo of shape (height, width, 3), or None where there is none."""

_COLUMNS = tuple(
    f"{name}_{axis}" for name in ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right") for axis in "xy"
)


def from_five_points(points: ArrayLike) -> Landmarks:
    """Landmarks from ten numbers, x and y of each, in the order that MTCNN, YuNet and RetinaFace share."""
    five = [(float(x), float(y)) for x, y in np.asarray(points, dtype=np.float64).reshape(5, 2)]
    return Landmarks(*five)


def read_landmarks(path: Path) -> dict[str, Landmarks]:
    """Landmarks by the photo's path, from a CSV such as `maskfit data synthesize` writes.

    Paths in it are relative to its folder, or absolute; those given back are absolute.
    Columns: `path`, `left_eye_x`, `left_eye_y`, the same of `right_eye`, `nose`, `mouth_left`, `mouth_right`, and
    `chin`, which may be missing or empty.

    Raises:
        DataError: It is no such CSV, or a cell is no number; one error names all rows.
    """
    found: dict[str, Landmarks] = {}
    problems = []
    for number, row in enumerate(read_csv(path, ("path", *_COLUMNS)), start=2):
        try:
            values = [float(row[name]) for name in _COLUMNS]
            ends = [row.get("chin_x", ""), row.get("chin_y", "")]
            chin = (float(ends[0]), float(ends[1])) if all(ends) else None
        except ValueError as error:
            problems.append(f"row {number}: {error}")
            continue
        found[os.path.abspath(path.parent / row["path"])] = replace(from_five_points(values), chin=chin)
    if problems:
        raise DataError(
            f"landmarks that are no numbers:\n{format_list(problems)}", location=path, hint="mend these rows"
        )
    return found


LANDMARK_DETECTORS = ("yunet", "mtcnn")
"""Detectors that find eyes, nose and mouth, not only boxes."""


def landmark_detector(name: str, weights: str | None = None) -> LandmarkDetector:
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
    if name in DETECTORS and name not in LANDMARK_DETECTORS:
        raise DataError(
            f"the detector '{name}' finds no eyes and mouths", hint=f"take {' or '.join(LANDMARK_DETECTORS)}"
        )
    check_detector(part)
    detector = load_detector(part, pin_detector_weights(part, weights, None))

    def find(photo: Pixels) -> Landmarks | None:
        faces = [face for face in detector.detect_one(photo) if face.landmarks is not None]
        if not faces:
            return None
        largest = max(faces, key=lambda face: (face.box[2] - face.box[0]) * (face.box[3] - face.box[1]))
        return from_five_points(np.array(largest.landmarks))

    return find
