"""Where a face's features lie on a photo: five points, as detectors give them, and the chin where somebody knows it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maskfit.errors import DataError, several
from maskfit.files import read_csv

Point = tuple[float, float]
Finder = Callable[[NDArray[np.uint8]], "Landmarks | None"]
"""Gives the landmarks of the largest face on an RGB photo of shape (height, width, 3), or None where there is none."""

_COLUMNS = tuple(
    f"{name}_{axis}" for name in ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right") for axis in "xy"
)


@dataclass(frozen=True, slots=True)
class Landmarks:
    """Features in pixels of the photo; left and right are those of the picture, not of the person.

    Args:
        left_eye: Middle of the eye on the left.
        right_eye: Middle of the eye on the right.
        nose: Tip of the nose.
        mouth_left: Corner of the mouth on the left.
        mouth_right: Corner of the mouth on the right.
        chin: Lowest point of the chin; None where it is to be estimated.
    """

    left_eye: Point
    right_eye: Point
    nose: Point
    mouth_left: Point
    mouth_right: Point
    chin: Point | None = None

    @property
    def points(self) -> NDArray[np.float64]:
        """The five points in the order of the fields, and the chin where it is known: shape (5 or 6, 2)."""
        five = [self.left_eye, self.right_eye, self.nose, self.mouth_left, self.mouth_right]
        return np.array([*five, self.chin] if self.chin is not None else five, dtype=np.float64)

    @property
    def fault(self) -> str:
        """What makes these no face's landmarks, such as a mouth above the eyes; "" where they can be one's."""
        left, right, nose, mouth_left, mouth_right = self.points[:5]
        if not np.isfinite(self.points).all():
            return "a landmark is no number"
        across, down = right - left, (mouth_left + mouth_right - left - right) / 2
        eyes, drop = float(np.hypot(*across)), float(np.hypot(*down))
        if eyes < 8:
            return f"the eyes are {eyes:.0f} pixels apart, too few to put a mask on"
        if across[0] * down[1] - across[1] * down[0] <= 0 or drop < 0.4 * eyes:
            return "the mouth does not lie below the eyes"
        if drop > 3.2 * eyes:
            return "the face is turned away too far"
        along = float((nose - (left + right) / 2) @ down) / drop**2
        return "" if 0 < along < 1.1 else "the nose does not lie between eyes and mouth"


def from_five(points: ArrayLike) -> Landmarks:
    """Landmarks from ten numbers, x and y of each, in the order that MTCNN, YuNet and RetinaFace share."""
    five = [(float(x), float(y)) for x, y in np.asarray(points, dtype=np.float64).reshape(5, 2)]
    return Landmarks(*five)


def read_landmarks(path: Path) -> dict[str, Landmarks]:
    """Landmarks by the photo's path, from a CSV such as `maskfit data draw` writes.

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
        found[os.path.abspath(path.parent / row["path"])] = replace(from_five(values), chin=chin)
    if problems:
        raise DataError(f"landmarks that are no numbers:\n{several(problems)}", where=path, fix="mend these rows")
    return found
