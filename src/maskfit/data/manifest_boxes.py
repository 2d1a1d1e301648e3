"""Boxes in the rows of a manifest: reads them, and counts those that leave their photo, are empty or are very small."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from maskfit.data.boxes import Box
from maskfit.data.data_problems import DataProblem
from maskfit.data.face_boxes import BOX_COLUMNS, MIN_BOX_SIDE, BoxColumns, clip_to_photo, name_with_box
from maskfit.data.image_header import read_upright_size
from maskfit.data.photo_dataset import Photo
from maskfit.errors import DataError, PhotoError, format_list
from maskfit.text import format_count

MAX_LISTED_BOXES = 20
"""Empty boxes that are listed; more are counted."""


class BoxReader:
    """Reads the box of each row; opens the header of each photo once, for its size.

    Args:
        columns: The box columns; None for a manifest without boxes.
    """

    def __init__(self, columns: BoxColumns | None) -> None:
        self._columns = columns
        self._sizes: dict[Path, tuple[int, int] | None] = {}
        self._num_boxes = self._num_clipped = self._num_tiny = 0
        self._largest_edge = 0.0
        self._set_aside: list[str] = []

    def read(self, number: int, row: Mapping[str, str], file: Path, mistakes: list[tuple[str, str]]) -> Box | None:
        """Reads the box of a row.

        Args:
            number: Number of the row.
            row: Its cells.
            file: Its photo.
            mistakes: Receives (message, hint) where the cells are no box.

        Returns:
            The box as written; None for the whole photo.

        Raises:
            EmptyBoxError: The box is empty, or nothing of it is on the photo; the row is to be set aside.
        """
        if self._columns is None:
            return None
        try:
            box = self._columns.read(row)
        except DataError as error:
            mistakes.append((error.message, error.hint or ""))
            return None
        if box is None:
            return None
        self._num_boxes += 1
        self._largest_edge = max(self._largest_edge, *map(abs, box))
        size = self._size(file)
        clipped = clip_to_photo(box, *(size or (float("inf"), float("inf"))))
        if clipped is None:
            shape = f" of {size[0]} x {size[1]} pixels" if size else ""
            reason = "is empty" if box[2] <= box[0] or box[3] <= box[1] else f"lies outside of its photo{shape}"
            self._set_aside.append(f"row {number}: {name_with_box(file.name, box)} {reason}")
            raise EmptyBoxError
        self._num_clipped += clipped != box
        self._num_tiny += min(clipped[2] - clipped[0], clipped[3] - clipped[1]) < MIN_BOX_SIDE
        return box

    def notes(self) -> list[DataProblem]:
        """Returns what was clipped, set aside or is doubtful, with counts."""
        if not self._num_boxes:
            return []
        # A little more than 1: fractions of a box that leaves its photo.
        if self._largest_edge <= 1.5:
            message = f"every box lies in 0 to 1 ({self._num_boxes:,}), which looks like fractions of the photos' sizes"
            return [DataProblem("fatal", "boxes", "box columns", message, f"write {', '.join(BOX_COLUMNS)} in pixels")]
        notes = []
        if self._num_clipped:
            message = f"boxes that leave their photo, clipped to it: {self._num_clipped:,} of {self._num_boxes:,}"
            hint = "none needed for edges cut by the photo; boxes are in pixels of the upright photo"
            notes.append(DataProblem("note", "boxes", "box columns", message, hint))
        if self._set_aside:
            listed = format_list(self._set_aside, shown=MAX_LISTED_BOXES)
            rows = format_count(len(self._set_aside), "row is", "rows are")
            message = f"{rows} set aside, because the box is empty or not on the photo:\n{listed}"
            hint = "correct these boxes, or delete the rows"
            notes.append(DataProblem("warning", "empty boxes", "box columns", message, hint))
        if self._num_tiny:
            message = (
                f"boxes with a side below {MIN_BOX_SIDE:.0f} pixels, too little to show a face, but used: "
                f"{self._num_tiny:,} of {self._num_boxes:,}"
            )
            notes.append(DataProblem("note", "tiny boxes", "box columns", message, "delete these rows if they harm"))
        return notes

    def _size(self, file: Path) -> tuple[int, int] | None:
        """The upright size of a photo; None where it cannot be read, which reading its pixels will report."""
        if file not in self._sizes:
            try:
                self._sizes[file] = read_upright_size(file)
            except (PhotoError, OSError):
                self._sizes[file] = None
        return self._sizes[file]


class EmptyBoxError(Exception):
    """A row whose box shows nothing; `BoxReader.notes` lists it."""


def describe_faces(photos: Iterable[Photo]) -> list[DataProblem]:
    """Describes how the faces of a photo with several rows are kept together in a split.

    Args:
        photos: The rows of a dataset.

    Returns:
        A warning where faces of one photo belong to different persons, so that a split can put the photo on both sides;
        a note where faces without a person are kept together by their photo.
    """
    persons: dict[Path, set[str]] = {}
    num_faces: dict[Path, int] = {}
    unnamed = 0
    for photo in photos:
        if photo.box is not None:
            persons.setdefault(photo.path, set()).add(photo.person)
            num_faces[photo.path] = num_faces.get(photo.path, 0) + 1
            unnamed += photo.person == photo.file_name
    found = []
    shared = sum(len(names) > 1 for names in persons.values())
    if shared:
        message = (
            f"photos with faces of different persons, whom a split can separate: {shared:,} of {len(persons):,}; parts "
            "of one photo may then be in training and in validation"
        )
        hint = "none needed if crops do not overlap; leave the column person empty to keep each photo together"
        found.append(DataProblem("warning", "shared photos", "person", message, hint))
    several = sum(count > 1 for count in num_faces.values())
    if unnamed and several:
        message = (
            f"{format_count(sum(num_faces.values()), 'face')} on {format_count(len(num_faces), 'photo')}, {several:,} "
            "with several; without a person, the faces of one photo stay on one side of a split"
        )
        found.append(DataProblem("note", "faces", "person", message, "add a column person if it is known"))
    return found
