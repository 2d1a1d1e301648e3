"""Rows of formats with boxes: brings boxes into pixels of the upright photo, and counts what had to be done for it."""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from maskfit.data.boxes import SAME_FACE_IOU, find_same_faces
from maskfit.data.face_boxes import MIN_BOX_SIDE, clip_to_photo
from maskfit.data.image_header import read_size_and_orientation
from maskfit.data.image_opening import FIRST_SIDEWAYS
from maskfit.data.importers.interface import Box, LeftOut, RawImport, RawRow
from maskfit.data.importers.photo_finder import AMBIGUOUS, NOT_FOUND
from maskfit.data.importers.photo_folders import is_elsewhere
from maskfit.errors import PhotoError
from maskfit.text import format_count

EMPTY_BOX = "the box is empty"
OUTSIDE = "the box lies outside of the photo"
UNREADABLE = "the photo cannot be read"
NO_FACE = "the photo has no box"
NO_BOX = "the object has no box"
NOT_A_BOX = "the cells are no box"
NO_CLASS = "the box has no class"
OTHER_SHAPE = "the shape is no box"
NO_NAME = "the entry names no photo"
DAMAGED = "the JSON cannot be read"
DAMAGED_LINE = "the line is no JSON object"
OTHER_FILE = "the JSON is of another format"

ONE_CELL_BOX = "the row has a box in one cell, whose numbers may be corners or sides; write them in four columns"

BOX_KEYS = frozenset(
    {
        *("bbox", "bboxes", "box", "boxes", "bounding_box", "bounding_boxes", "boundingbox", "boundingboxes"),
        *("objects", "annotations"),
    }
)
"""Keys of boxes whose numbers may mean corners or sides, so that no label of theirs is one of the photo."""

_NUMBER = re.compile(r"\d+(?:\.\d*)?(?:e-?\d+)?", re.IGNORECASE)
FRACTIONS_AMONG_PIXELS = "the box lies within 0 and 1, as fractions of the photo do, and others are in pixels"

MAX_FRACTION = 1.5
"""Largest edge of a box in fractions of the photo, which it may leave a little; no box in pixels is so small."""

ASPECT_TOLERANCE = 0.02
"""Relative difference of width / height up to which boxes were drawn on a resized copy of the photo."""

NEUTRAL_WORDS = frozenset({"face", "faces", "head", "person", "people", "human", "object"})
"""Names of boxes that say nothing about labels where the box has attributes that do."""


class BoxRows:
    """Adds rows with boxes to an import.

    Args:
        result: Receives the rows, what is left out, and the notes.
        may_be_fractions: Whether boxes within 0 and 1 are fractions of the photo; a format that defines the unit of its
            boxes has none.
    """

    def __init__(self, result: RawImport, may_be_fractions: bool = True) -> None:
        self.result = result
        self._may_be_fractions = may_be_fractions
        self._fractions: list[tuple[int, Box, tuple[float, float] | None]] = []
        self._photos: dict[Path, tuple[int, int, int] | None] = {}
        self._counts: Counter[str] = Counter()
        self._unclear: list[tuple[int, Box]] = []

    def add(
        self,
        photo: Path,
        location: str,
        labels: Sequence[tuple[str, str]],
        box: Box,
        declared: tuple[float, float] | None = None,
        person: str = "",
        extra: Mapping[str, str] | None = None,
    ) -> None:
        """Adds a face.

        Args:
            photo: The photo's file.
            location: The file or line that says so.
            labels: Its labels, as in `RawRow`.
            box: Left, upper, right, lower in pixels of the size that the source declares.
            declared: (width, height) of the photo as the source has it; None where it does not say.
            person: Whose face it is; empty where the source does not say.
            extra: As in `RawRow`.
        """
        size = self.size(photo)
        if size is None:
            self.result.left_out.append(LeftOut(location, UNREADABLE))
            return
        row = RawRow(photo, location, labels, person, box, extra or {})
        is_empty = box[2] <= box[0] or box[3] <= box[1]
        if self._may_be_fractions and not is_empty and max(map(abs, box)) <= MAX_FRACTION:
            self._fractions.append((len(self.result.rows), box, declared))
            self.result.rows.append(row)
            return
        self._counts["pixels"] += not is_empty
        placed = self._place(row, box, declared, len(self.result.rows))
        if placed is not None:
            self.result.rows.append(placed)

    def _place(self, row: RawRow, box: Box, declared: tuple[float, float] | None, number: int) -> RawRow | None:
        """A row, with the number that it has or gets, with its box in the upright photo; None where it is left out."""
        width, height = self.size(row.photo) or (0, 0)
        box, turned = self._to_upright(row.photo, box, declared)
        clipped = clip_to_photo(box, width, height)
        if clipped is None:
            is_empty = box[2] <= box[0] or box[3] <= box[1]
            self.result.left_out.append(LeftOut(row.location, EMPTY_BOX if is_empty else OUTSIDE))
            return None
        self._counts["boxes"] += 1
        self._counts["clipped"] += clipped != box
        self._counts["tiny"] += min(clipped[2] - clipped[0], clipped[3] - clipped[1]) < MIN_BOX_SIDE
        if turned is not None:
            self._unclear.append((number, _round(clip_to_photo(turned, width, height) or clipped)))
        return replace(row, box=_round(clipped))

    def _place_fractions(self) -> set[int]:
        """Brings boxes within 0 and 1 into pixels where all boxes are so; returns the numbers of rows to leave out."""
        gone: set[int] = set()
        for number, box, declared in self._fractions:
            row = self.result.rows[number]
            if self._counts["pixels"]:
                self.result.left_out.append(LeftOut(row.location, FRACTIONS_AMONG_PIXELS))
                gone.add(number)
                continue
            is_size = declared is not None and all(0 < side < math.inf for side in declared)
            size = declared if declared is not None and is_size else self.size(row.photo) or (0, 0)
            placed = self._place(row, _scale(box, (1, 1), size), size, number)
            if placed is None:
                gone.add(number)
            else:
                self.result.rows[number] = placed
                self._counts["fractions"] += 1
                self._counts["scaled"] = 0  # that fractions are scaled is said already
        return gone

    def size(self, photo: Path) -> tuple[int, int] | None:
        """Returns the size of a photo.

        Args:
            photo: The file.

        Returns:
            (width, height) in pixels of the upright photo; None where it cannot be read.
        """
        if photo not in self._photos:
            try:
                self._photos[photo] = read_size_and_orientation(photo)
            except (PhotoError, OSError):
                self._photos[photo] = None
        known = self._photos[photo]
        return known and known[:2]

    def finish(self) -> None:
        """Turns boxes of which only the others tell how they were drawn; adds a note for each kind of change."""
        gone = self._place_fractions()
        if self._counts["turned"] and not self._counts["upright"]:
            for number, box in self._unclear:
                self.result.rows[number] = replace(self.result.rows[number], box=box)
            self._counts["turned"] += len(self._unclear)
        elif self._counts["turned"] or not self._counts["upright"]:
            self._counts["unclear"] = len(self._unclear)
        if gone:
            self.result.rows[:] = [row for number, row in enumerate(self.result.rows) if number not in gone]
        total = self._counts["boxes"]
        notes = {
            "fractions": "boxes within 0 and 1, read as fractions of the photo: {}",
            "clipped": f"boxes that leave their photo, clipped to it: {{}} of {total:,}",
            "tiny": f"boxes with a side below {MIN_BOX_SIDE:.0f} pixels, too little to show a face: {{}} of {total:,}",
            "turned": "boxes drawn on a photo as it is stored, turned with its EXIF orientation: {}",
            "scaled": "boxes drawn on a copy of the photo of another size, scaled to the photo's: {}",
            "unclear": "boxes on photos that EXIF turns without another size (by 180 degrees, mirrored, square), taken "
            "as drawn on the upright photo; look at one: {}",
            "other size": "boxes of photos whose size in the source has another shape, taken as they are: {}",
        }
        self.result.notes += [
            text.format(f"{self._counts[kind]:,}") for kind, text in notes.items() if self._counts[kind]
        ]

    def _to_upright(self, photo: Path, box: Box, declared: tuple[float, float] | None) -> tuple[Box, Box | None]:
        """The box in pixels of the upright photo, where the source's own size of the photo says that it is not.

        Where the size is the same for the photo as it is stored, also the box as it would be if it was drawn on that.
        """
        known = self._photos[photo]
        # Of NaN and zero, min() may give NaN, which is not <= 0.
        if known is None or declared is None or not all(0 < side < math.inf for side in declared):
            return box, None
        width, height, orientation = known
        is_sideways = orientation >= FIRST_SIDEWAYS
        size, stored = (width, height), (height, width) if is_sideways else (width, height)
        is_upright, is_stored = declared == size, declared == stored
        if not is_upright and not is_stored:
            is_upright, is_stored = _has_shape(declared, size), _has_shape(declared, stored)
        if not is_upright and not is_stored:
            self._counts["other size"] += 1
            return box, None
        turned = turn_box(_scale(box, declared, stored), orientation, stored) if is_stored and orientation > 1 else None
        self._counts["scaled"] += declared not in (size, stored)
        if not is_upright and turned is not None:
            self._counts["turned"] += 1
            return turned, None
        self._counts["upright"] += is_sideways and not is_stored
        return _scale(box, declared, size), turned


def _has_shape(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return abs(one[0] / one[1] / (other[0] / other[1]) - 1) <= ASPECT_TOLERANCE


def _scale(box: Box, size: tuple[float, float], target: tuple[float, float]) -> Box:
    """A box of a photo of a size, on the photo of another size."""
    if size == target:
        return box
    x, y = target[0] / size[0], target[1] / size[1]
    return (box[0] * x, box[1] * y, box[2] * x, box[3] * y)


def _round(box: Box) -> Box:
    left, upper, right, lower = (round(edge, 2) for edge in box)
    return (left, upper, right, lower)


def turn_box(box: Box, orientation: int, size: tuple[float, float]) -> Box:
    """Turns a box with its photo.

    Args:
        box: Left, upper, right, lower in pixels of the photo as it is stored.
        orientation: EXIF orientation of a photo that is not stored upright, 2 to 8.
        size: (width, height) as it is stored.

    Returns:
        The box in pixels of the upright photo.
    """
    width, height = size
    corners = [(box[0], box[1]), (box[2], box[3])]
    turned = {
        2: [(width - x, y) for x, y in corners],
        3: [(width - x, height - y) for x, y in corners],
        4: [(x, height - y) for x, y in corners],
        5: [(y, x) for x, y in corners],
        6: [(height - y, x) for x, y in corners],
        7: [(height - y, width - x) for x, y in corners],
        8: [(y, width - x) for x, y in corners],
    }[orientation]
    (x0, y0), (x1, y1) = turned
    return (min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))


def turned_extent(box: Box, angle: float) -> Box:
    """Returns the upright box around a box that is rotated around its center.

    Args:
        box: Left, upper, right, lower before the rotation.
        angle: The angle in radians; its sign makes no difference.

    Returns:
        Left, upper, right, lower.
    """
    left, upper, right, lower = box
    cosine, sine = abs(math.cos(angle)) / 2, abs(math.sin(angle)) / 2
    half_width = cosine * (right - left) + sine * (lower - upper)
    half_height = cosine * (lower - upper) + sine * (right - left)
    x, y = (left + right) / 2, (upper + lower) / 2
    return (x - half_width, y - half_height, x + half_width, y + half_height)


def extent(points: Sequence[tuple[float, float]]) -> Box:
    """Returns the upright box around points.

    Args:
        points: (x, y) of each, one or more.

    Returns:
        Left, upper, right, lower.
    """
    xs, ys = [x for x, _ in points], [y for _, y in points]
    return (min(xs), min(ys), max(xs), max(ys))


def to_float(value: Any) -> float:
    """Converts a value of a JSON file to a number.

    Args:
        value: Any value.

    Returns:
        The number; 0 for what is no finite number.
    """
    numbers = to_numbers([value])
    return numbers[0] if numbers else 0.0


def to_numbers(values: Any) -> list[float] | None:
    """Converts a list of a JSON file to numbers.

    Args:
        values: Any value.

    Returns:
        The numbers; None where it is no list, or where one of its values is no finite number.
    """
    if not isinstance(values, list) or not all(isinstance(value, int | float) for value in values):
        return None
    try:
        numbers = [float(value) for value in values]
    except OverflowError:  # JSON has integers of any length.
        return None
    return numbers if all(map(math.isfinite, numbers)) else None


def to_points(values: Any) -> list[tuple[float, float]] | None:
    """Converts a list of points of a JSON file.

    Args:
        values: Any value.

    Returns:
        (x, y) of each, two or more; None for anything else.
    """
    points = [to_numbers(value) for value in values] if isinstance(values, list) else []
    found = [(point[0], point[1]) for point in points if point is not None and len(point) >= 2]
    return found if len(found) == len(points) >= 2 else None


def has_one_cell_box(row: Mapping[str, str], columns: Iterable[str]) -> bool:
    """Returns whether a row of a table is about a face whose box is in one cell, such as `[10, 20, 30, 40]`.

    Args:
        row: The row.
        columns: Its columns that are not read.

    Returns:
        Whether a column of boxes has a cell with four numbers or more.
    """
    names = {column: re.split("[.:]", column)[-1].casefold().replace(" ", "_") for column in columns}
    cells = (row[column] for column, name in names.items() if name in BOX_KEYS)
    return any(len(_NUMBER.findall(cell)) >= 4 for cell in cells)


def note_faces_boxed_twice(faces: Iterable[tuple[Path, Box | None]]) -> list[str]:
    """Counts faces with two boxes that differ, which are not merged.

    Args:
        faces: Photo and box of each row.

    Returns:
        A note; none where there is no such face.
    """
    boxes: dict[str, list[Box]] = {}
    for photo, box in faces:
        if box is not None:
            boxes.setdefault(os.fspath(photo), []).append(box)
    count = sum(len(find_same_faces(same)) for same in boxes.values())
    if not count:
        return []
    pairs = format_count(count, "pair")
    return [
        f"faces boxed twice, by boxes that overlap by {SAME_FACE_IOU:g} (intersection over union) or more: {pairs} of "
        "boxes, which are not merged; maskfit data check names them"
    ]


class StemIndex:
    """Finds the photo of a label file that has the same name but for its suffix, beside it or in a parallel tree.

    Args:
        folder: The folder of the photos.
        photos: POSIX paths of the photos relative to it.
    """

    def __init__(self, folder: Path, photos: Iterable[str]) -> None:
        self._folder = folder
        self._by_stem: dict[str, list[str]] = {}
        for name in photos:
            self._by_stem.setdefault(PurePosixPath(name).stem.casefold(), []).append(name)
        self._known_folders = frozenset(part for names in self._by_stem.values() for n in names for part in _folders(n))

    def find(self, label_file: str) -> tuple[Path | None, str]:
        """Finds the photo of a label file.

        Args:
            label_file: POSIX path of the label file, relative to the source.

        Returns:
            The photo and ""; None and the reason where there is none, or where several are equally likely.
        """
        path = PurePosixPath(label_file)
        found = self._by_stem.get(path.stem.casefold(), [])
        own = _folders(label_file)
        found = [name for name in found if not is_elsewhere(own, _folders(name), self._known_folders)]
        if not found:
            return None, NOT_FOUND
        if len(found) > 1:
            # train/labels/1.txt belongs to train/images/1.jpg, and labels/val/1.txt to images/val/1.jpg.
            common = [len({*PurePosixPath(name).parts[:-1]} & {*path.parts[:-1]}) for name in found]
            best = max(common)
            found = [name for name, count in zip(found, common, strict=True) if count == best]
        return (self._folder / found[0], "") if len(found) == 1 else (None, AMBIGUOUS)


def _folders(path: str) -> list[str]:
    return path.casefold().split("/")[:-1]


def without_neutral(label: str, attributes: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Returns the labels of a box, without its name where that says only that there is a face.

    Args:
        label: Name of the box.
        attributes: Its attributes, as pairs of key and word.

    Returns:
        Pairs of key and word, as in `RawRow.labels`.
    """
    if attributes and label.casefold() in NEUTRAL_WORDS:
        return list(attributes)
    return [*attributes, ("", label)]
