"""Landmarks for faces that get masks: how they are found, made of ten numbers, or read from a CSV."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maskfit.errors import DataError, format_list
from maskfit.file_io import read_csv
from maskfit.synthesis.landmarks import Landmarks

Finder = Callable[[NDArray[np.uint8]], "Landmarks | None"]
"""Gives the landmarks of the largest face on an RGB photo of shape (height, width, 3), or None where there is none."""

_COLUMNS = tuple(
    f"{name}_{axis}" for name in ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right") for axis in "xy"
)


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
        raise DataError(
            f"landmarks that are no numbers:\n{format_list(problems)}", location=path, hint="mend these rows"
        )
    return found
