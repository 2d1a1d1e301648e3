"""Boxes of faces that a table gives for its photos: which columns hold them, how they are named, and what they show.

A box is left, upper, right, lower in pixels of the photo as it stands upright, after its EXIF orientation was applied:
what an annotation tool shows. One photo may stand in several rows, one per face. Each row is then named
`photo.jpg[left,upper,right,lower]`, which is its identity in every table, cache, correction and submission.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import PurePosixPath
from typing import Protocol

from PIL import Image

from maskfit.data.boxes import Box
from maskfit.data.crops.face import portrait_around
from maskfit.data.detectors import Face
from maskfit.data.image_decoding import open_downscaled, open_rgb
from maskfit.data.photo_dataset import Photo
from maskfit.errors import DataError, PhotoError
from maskfit.text import explain_number

BOX_COLUMNS = ("left", "upper", "right", "lower")
"""Standard names of the box columns."""

MIN_BOX_SIDE = 12.0
"""Side in pixels below which a box shows too little of a face; such boxes are counted, and used."""

_EDGE_NAMES: tuple[tuple[str, str, str, str], ...] = (
    BOX_COLUMNS,
    ("left", "top", "right", "bottom"),
    ("xmin", "ymin", "xmax", "ymax"),
    ("x_min", "y_min", "x_max", "y_max"),
    ("x1", "y1", "x2", "y2"),
    ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2"),
    ("bbox_xmin", "bbox_ymin", "bbox_xmax", "bbox_ymax"),
    ("bbox_left", "bbox_top", "bbox_right", "bbox_bottom"),
)
_SIZE_NAMES: tuple[tuple[str, str, str, str], ...] = (
    ("x", "y", "w", "h"),
    ("x", "y", "width", "height"),
    ("left", "top", "width", "height"),
    ("left", "upper", "width", "height"),
    ("bbox_x", "bbox_y", "bbox_w", "bbox_h"),
    ("bbox_x", "bbox_y", "bbox_width", "bbox_height"),
    ("bbox_left", "bbox_top", "bbox_width", "bbox_height"),
)
_CENTER_NAMES = (
    ("x_center", "y_center", "width", "height"),
    ("xc", "yc", "w", "h"),
    ("cx", "cy", "w", "h"),
    ("cx", "cy", "width", "height"),
)
_CORNERS_OR_SIDES = ("x1", "x2", "y1", "y2")
"""Columns that, in this order, hold x twice and y twice in some tables and two corners in others: the table of the set
'Face Mask Detection Dataset' of Wobot names left, upper, right, lower so. By their names most boxes would be wrong."""

_NOT_ALONE = frozenset({"width", "height", "w", "h", "x", "y"})
"""Names that mean a box only where the whole set is there: they may be the size of the photo, or a point."""

_NAME_REGEX = re.compile(r"(?P<file>.+)\[(?P<edges>-?[\d.]+(?:,-?[\d.]+){3})\]", re.DOTALL)


class HasBox(Protocol):
    """Anything with a name and perhaps a box: a row of a dataset or of a list."""

    @property
    def name(self) -> str:
        """Its name in every table."""
        ...

    @property
    def box(self) -> Box | None:
        """Left, upper, right, lower in pixels; None for the whole photo."""
        ...


@dataclass(frozen=True, slots=True)
class BoxColumns:
    """The four columns of a table that hold a box.

    Attributes:
        names: The columns as spelled in the file.
        is_size: Whether the last two are width and height rather than right and lower edge.
    """

    names: tuple[str, str, str, str]
    is_size: bool = False

    @property
    def is_standard(self) -> bool:
        """Whether the columns have the standard names, which mean nothing else."""
        return tuple(name.casefold() for name in self.names) == BOX_COLUMNS and not self.is_size

    def describe(self) -> str:
        """Returns how the columns are read, as one sentence."""
        meaning = "left, upper, width, height" if self.is_size else "left, upper, right, lower"
        return (
            f"columns {', '.join(self.names)} are read as the box of a face: {meaning} in pixels of the upright photo"
        )

    def read(self, row: Mapping[str, str]) -> Box | None:
        """Reads the box of a row.

        Args:
            row: The cells by column.

        Returns:
            Left, upper, right, lower; right <= left or lower <= upper where the box is empty. None where all four cells
            are empty.

        Raises:
            DataError: Some of the cells are empty, or one is not a finite number.
        """
        cells = [row[name] for name in self.names]
        if not any(cells):
            return None
        missing = [name for name, cell in zip(self.names, cells, strict=True) if not cell]
        if missing:
            raise DataError(
                f"the box lacks {', '.join(missing)}", hint="give all four edges, or none for the whole photo"
            )
        values = []
        for name, cell in zip(self.names, cells, strict=True):
            try:
                value = float(cell)
            except ValueError:
                value = float("nan")
            if not isfinite(value):
                raise DataError(
                    f"{name} is not a number: '{cell}'{explain_number(cell)}", hint="give pixels, such as 120 or 120.5"
                )
            values.append(value)
        x, y, third, fourth = values
        return (x, y, x + third, y + fourth) if self.is_size else (x, y, third, fourth)


def find_box_columns(column_of_name: Mapping[str, str]) -> BoxColumns | None:
    """Finds the columns that hold a box.

    Args:
        column_of_name: Names in lower case -> the column as spelled in the file.

    Returns:
        The columns; None where there are none.

    Raises:
        DataError: Some of the four are missing, the order of the columns has two meanings, or the columns hold a
            center, which is not read.
    """
    if {"kind", "way", "bottom"} <= column_of_name.keys():
        # `data add-masks` of earlier versions: the box is that of the mask.
        return None
    if tuple(name for name in column_of_name if name in _CORNERS_OR_SIDES) == _CORNERS_OR_SIDES:
        raise DataError(
            "columns x1, x2, y1, y2 in this order are left, right, upper, lower in some tables and left, upper, right, "
            "lower in others",
            hint="look at a box on its photo, and rename the four columns to what they hold: left, upper, right, lower",
        )
    for names, is_size in (*((names, False) for names in _EDGE_NAMES), *((names, True) for names in _SIZE_NAMES)):
        if all(name in column_of_name for name in names):
            first, second, third, fourth = (column_of_name[name] for name in names)
            return BoxColumns((first, second, third, fourth), is_size)
    for names in _CENTER_NAMES:
        if all(name in column_of_name for name in names):
            raise DataError(
                f"columns {', '.join(column_of_name[name] for name in names)} look like the center and size of a box",
                hint=f"write {', '.join(BOX_COLUMNS)} in pixels, or import YOLO text files: maskfit data import --help",
            )
    for names in (*_EDGE_NAMES, *_SIZE_NAMES):
        found = [name for name in names if name in column_of_name]
        if len(found) >= 2 and len({*found} - _NOT_ALONE) >= 2:
            missing = [name for name in names if name not in column_of_name]
            raise DataError(
                f"the box columns {', '.join(column_of_name[name] for name in found)} lack {', '.join(missing)}",
                hint=f"give all four of {', '.join(names)}, or rename these columns if they are no box",
            )
    return None


def clip_to_photo(box: Box, width: float, height: float) -> Box | None:
    """Clips a box to a photo.

    Args:
        box: Left, upper, right, lower in pixels.
        width: Width of the upright photo in pixels.
        height: Height of the upright photo in pixels.

    Returns:
        The part inside the photo; None where the box is empty, or nothing of it is inside.
    """
    left, upper, right, lower = box
    if right <= left or lower <= upper:
        return None
    inside = max(left, 0.0), max(upper, 0.0), min(right, float(width)), min(lower, float(height))
    return inside if inside[0] < inside[2] and inside[1] < inside[3] else None


def format_edge(edge: float) -> str:
    """Formats an edge of a box for tables and names.

    Args:
        edge: Pixels.

    Returns:
        At most two decimals, without trailing zeros.
    """
    text = f"{edge:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def name_with_box(name: str, box: Box | None) -> str:
    """Returns the name of a row: `photo.jpg[left,upper,right,lower]`.

    Args:
        name: Name of the photo.
        box: Its box; None for the whole photo.

    Returns:
        The name, the photo's own without a box.
    """
    return name if box is None else f"{name}[{','.join(map(format_edge, box))}]"


def split_name(name: str) -> tuple[str, Box | None]:
    """Splits the name of a row into photo and box, the inverse of `name_with_box`.

    Args:
        name: A name.

    Returns:
        The photo's name, and the box; None where the name has none.
    """
    match = _NAME_REGEX.fullmatch(name)
    if not match:
        return name, None
    try:
        left, upper, right, lower = (float(edge) for edge in match["edges"].split(","))
    except ValueError:
        return name, None
    return match["file"], (left, upper, right, lower)


def file_name_with_box(name: str) -> str:
    """Returns a file name for the face of a row: `photo_left_upper_right_lower.jpg` for `photo.jpg[...]`.

    Args:
        name: Name of a row.

    Returns:
        The name without brackets and commas; the photo's own where it has no box.
    """
    file, box = split_name(name)
    if box is None:
        return name
    path = PurePosixPath(file)
    return str(path.with_name(f"{path.stem}_{'_'.join(map(format_edge, box))}{path.suffix}"))


def face_of(photo: HasBox, width: int, height: int) -> Face | None:
    """Returns the face that a row is about, in place of one that a detector finds.

    Args:
        photo: A row.
        width: Width of the upright photo in pixels.
        height: Height of the upright photo in pixels.

    Returns:
        The face, with its box clipped to the photo, without landmarks; None for a row about the whole photo.

    Raises:
        PhotoError: Nothing of the box is on the photo.
    """
    if photo.box is None:
        return None
    box = clip_to_photo(photo.box, width, height)
    if box is None:
        raise PhotoError(
            f"nothing of the box is on the photo, which has {width} x {height} pixels",
            location=photo.name,
            hint="correct the box; it is in pixels of the upright photo",
        )
    return Face(box, 1.0)


def open_picture_of(
    photo: Photo, min_size: tuple[int, int] | None = None, content: bytes | None = None
) -> tuple[Image.Image, tuple[int, int]]:
    """Decodes what a row shows, for people and for comparing rows: the whole photo, or the portrait around its box.

    Args:
        photo: The row.
        min_size: Minimum (width, height) of the result, where the photo is that large; whole JPEGs may be downscaled to
            it. None keeps the size.
        content: Bytes of the file, where they are known.

    Returns:
        The picture, and its (width, height) in pixels of the photo.

    Raises:
        PhotoError: The photo cannot be read, or nothing of the box is on it.
    """
    source = photo.path if content is None else content
    if photo.box is None and min_size is not None:
        return open_downscaled(source, min_size, name=photo.name)
    image = open_rgb(source, name=photo.name)
    face = face_of(photo, *image.size)
    if face is None:
        return image, image.size
    region = portrait_around(face.box, *image.size)
    return image.crop(region), (region[2] - region[0], region[3] - region[1])
