"""Sources of facial landmarks for mask synthesis: a face detector, ten numbers, or a CSV."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maskfit.data.detectors import DETECTORS, check_detector, load_detector, pin_detector_weights
from maskfit.data.detectors.interface import Pixels
from maskfit.data.detectors.recognition import recognize_detector
from maskfit.errors import DataError, format_list
from maskfit.file_io import find_repeated_rows, read_csv
from maskfit.registry import ComponentSpec
from maskfit.synthesis.landmarks import Landmarks
from maskfit.text import explain_number

LandmarkDetector = Callable[[NDArray[np.uint8]], "Landmarks | None"]
"""Returns the landmarks of the largest face on an RGB photo, uint8 (height, width, 3); None without a face."""

_COLUMNS = tuple(
    f"{name}_{axis}" for name in ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right") for axis in "xy"
)


def from_five_points(points: ArrayLike) -> Landmarks:
    """Builds landmarks from five points in the order that MTCNN, YuNet and RetinaFace share.

    Args:
        points: Ten numbers, x and y of left eye, right eye, nose, left and right corner of the mouth, any shape.

    Returns:
        The landmarks, without a chin.
    """
    five = [(float(x), float(y)) for x, y in np.asarray(points, dtype=np.float64).reshape(5, 2)]
    return Landmarks(*five)


def read_landmarks(path: Path) -> dict[str, Landmarks]:
    """Reads landmarks by the photo's path from a CSV such as `maskfit data synthesize` writes.

    Columns: `path`, `left_eye_x`, `left_eye_y`, the same for `right_eye`, `nose`, `mouth_left`, `mouth_right` and
    `chin`,
    which may be missing or empty. Paths are absolute or relative to the CSV's folder.

    Args:
        path: The CSV.

    Returns:
        Landmarks by absolute path.

    Raises:
        DataError: A column is missing, a cell is not a number, or a photo has two rows; one error lists all such rows.
    """
    found: dict[str, Landmarks] = {}
    rows = read_csv(path, ("path", *_COLUMNS))
    photos = [os.path.abspath(path.parent / row["path"]) for row in rows]
    problems = find_repeated_rows(photos)
    for number, (photo, row) in enumerate(zip(photos, rows, strict=True), start=2):
        try:
            values = [float(row[name]) for name in _COLUMNS]
            ends = [row.get("chin_x", ""), row.get("chin_y", "")]
            chin = (float(ends[0]), float(ends[1])) if all(ends) else None
        except ValueError as error:
            commas = [text for cell in row.values() if (text := explain_number(cell))]
            problems.append(f"row {number}: {error}{commas[0] if commas else ''}")
            continue
        found[photo] = replace(from_five_points(values), chin=chin)
    if problems:
        raise DataError(f"landmarks cannot be used:\n{format_list(problems)}", location=path, hint="fix these rows")
    return found


LANDMARK_DETECTORS = ("bundled", "yunet", "centerface", "mtcnn")
"""Detectors that return landmarks, not only boxes; the first is the default."""


def landmark_detector(name: str | None = None, weights: Path | None = None) -> LandmarkDetector:
    """Loads a face detector as a function that returns the landmarks of the largest face on a photo.

    Args:
        name: One of `LANDMARK_DETECTORS`; None for the kind of `weights`, or the first of them.
        weights: File of weights; None for the published ones.

    Returns:
        The function, safe to call from several threads.

    Raises:
        DataError: The detector returns no landmarks, or its weights cannot be found or are those of no detector.
        MissingExtraError: The detector needs an extra.
        RecipeError: No detector has this name.
    """
    name = name or (recognize_detector(weights) if weights else LANDMARK_DETECTORS[0])
    part = ComponentSpec.create(name)
    if name in DETECTORS and name not in LANDMARK_DETECTORS:
        raise DataError(f"detector '{name}' returns no landmarks", hint=f"use {' or '.join(LANDMARK_DETECTORS)}")
    check_detector(part)
    detector = load_detector(part, pin_detector_weights(part, None if weights is None else str(weights), None))

    def find(photo: Pixels) -> Landmarks | None:
        faces = [face for face in detector.detect_one(photo) if face.landmarks is not None]
        if not faces:
            return None
        largest = max(faces, key=lambda face: (face.box[2] - face.box[0]) * (face.box[3] - face.box[1]))
        return from_five_points(np.array(largest.landmarks))

    return find
