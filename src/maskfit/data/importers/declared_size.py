"""Columns and keys that say the size of the photo that boxes were drawn on: `width,height` of TensorFlow's tables."""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Mapping
from typing import Any

from maskfit.data.face_boxes import BoxColumns
from maskfit.data.importers.interface import Box
from maskfit.errors import DataError

SIZE_COLUMNS = (
    ("image_width", "image_height"),
    ("img_width", "img_height"),
    ("photo_width", "photo_height"),
    ("original_width", "original_height"),
    ("imagewidth", "imageheight"),
    ("width", "height"),
)
"""Names of columns or keys, in lower case."""

ROUNDING = 1.5
"""Pixels by which a box's own width may differ from its edges, whose last pixel counts or not."""


def find_size_columns(columns: Mapping[str, str], taken: Container[str] = ()) -> tuple[str, str] | None:
    """Finds the columns of the photo's size.

    Args:
        columns: Names in lower case -> the column or key as it is spelled.
        taken: Columns that mean something else, such as the width of a box.

    Returns:
        The columns of width and height; None where there are none.
    """
    for width, height in SIZE_COLUMNS:
        if width in columns and height in columns and columns[width] not in taken and columns[height] not in taken:
            return columns[width], columns[height]
    return None


def read_size(row: Mapping[str, Any], names: tuple[str, str] | None) -> tuple[float, float] | None:
    """Reads the size in a row.

    Args:
        row: The cells by column.
        names: What `find_size_columns` found.

    Returns:
        Width and height in pixels; None where they are no numbers, or where there are no such columns.
    """
    if names is None:
        return None
    try:
        width, height = (float(row[name]) for name in names)
    except (KeyError, OverflowError, TypeError, ValueError):
        return None
    return (width, height) if math.isfinite(width) and math.isfinite(height) else None


def is_size_of_box(size: tuple[float, float] | None, box: Box | None) -> bool:
    """Returns whether a size is the box's own, and not the photo's.

    Args:
        size: Width and height.
        box: Left, upper, right, lower.

    Returns:
        Whether the box is as large, and does not begin in the photo's corner.
    """
    if size is None or box is None or box[:2] == (0, 0):
        return False
    return abs(box[2] - box[0] - size[0]) <= ROUNDING and abs(box[3] - box[1] - size[1]) <= ROUNDING


def are_sizes_of_boxes(rows: Iterable[Mapping[str, str]], names: tuple[str, str], boxes: BoxColumns) -> bool:
    """Returns whether the columns of a size hold those of the boxes.

    Args:
        rows: Rows of a table, the first ones at least.
        names: What `find_size_columns` found.
        boxes: The columns of the boxes.

    Returns:
        Whether the sizes of most rows are those of their boxes.
    """
    own = total = 0
    for row in rows:
        size = read_size(row, names)
        try:
            box = boxes.read(row)
        except DataError:
            continue
        if size is not None and box is not None:
            total += 1
            own += is_size_of_box(size, box)
    return 2 * own > total
