"""keras-retinanet's CSV: a row per face, `path,x1,y1,x2,y2,class`, without a header row."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import ClassVar

from maskfit.data.face_boxes import BoxColumns
from maskfit.data.importers.box_rows import NO_BOX, NO_CLASS, NO_FACE, NOT_A_BOX, BoxRows
from maskfit.data.importers.interface import ANY, Confidence, ImportOptions, ImportSource, LeftOut, RawImport
from maskfit.data.importers.word_reader import WordReader
from maskfit.data.photo_dataset import is_photo_name
from maskfit.errors import DataError
from maskfit.file_io import iter_csv
from maskfit.labels.spellings import as_integer

COLUMNS = ("path", "x1", "y1", "x2", "y2", "class")
"""Columns in their order: the photo, the edges left, upper, right, lower in pixels, and the class."""

EDGES = BoxColumns(("x1", "y1", "x2", "y2"))
"""The box of a row."""

SHOWN_ROWS = 200
"""Rows from which a table is recognized."""


class RetinanetImporter:
    """A CSV of keras-retinanet."""

    title: ClassVar[str] = "keras-retinanet's CSV without a header row: path,x1,y1,x2,y2,class"
    codes: ClassVar[Mapping[str, Mapping[str, str]]] = {}

    def detect(self, source: ImportSource, words: WordReader) -> Confidence:
        """Says how sure it is that a source has such a CSV.

        Args:
            source: The source.
            words: What the user says that words mean.

        Returns:
            `SURE` where more than half of the rows of a CSV have a photo and a box with a class; a number that cannot
            be read in another row is named by `read`.
        """
        return Confidence.SURE if _tables(source) else Confidence.NO

    def read(self, source: ImportSource, options: ImportOptions) -> RawImport:
        """Reads all such tables.

        Args:
            source: The source.
            options: Options of the import.

        Returns:
            A row per face.

        Raises:
            DataError: There is no such table, or it cannot be read.
        """
        tables = _tables(source)
        if not tables:
            hint = "each row has path,x1,y1,x2,y2,class; a table with a header row is read without --format"
            raise DataError("no CSV here has such rows", location=source.path, hint=hint)
        class_lists = [name for name in source.with_suffix(".csv") if _is_class_list(source, name)]
        result = RawImport(files=[*tables, *class_lists])
        result.notes.append("the columns are read as path, left, upper, right, lower, class; there is no header row")
        rows = BoxRows(result)
        finder = options.photo_finder(source)
        for name in tables:
            for number, row in enumerate(iter_csv(source.root / name, (), COLUMNS), start=1):
                location = f"{name} row {number}"
                photo, reason = finder.find(row["path"], name)
                if photo is None:
                    result.left_out.append(LeftOut(location, reason))
                    continue
                try:
                    box = EDGES.read(row)
                except DataError as error:
                    result.left_out.append(LeftOut(f"{location}: {error.message}", NOT_A_BOX))
                    continue
                if box is None:
                    result.left_out.append(LeftOut(location, NO_BOX if row["class"] else NO_FACE))
                elif not row["class"]:
                    result.left_out.append(LeftOut(location, NO_CLASS))
                else:
                    rows.add(photo, location, [(ANY, row["class"])], box)
        rows.finish()
        result.note_photos_without_row(finder)
        return result


def _tables(source: ImportSource) -> list[str]:
    return [name for name in source.with_suffix(".csv") if _is_table(source, name)]


def _is_table(source: ImportSource, name: str) -> bool:
    try:
        rows = list(islice(iter_csv(source.root / name, (), COLUMNS), SHOWN_ROWS))
    except DataError:
        return False
    with_box = [row for row in rows if any(row[column] for column in COLUMNS[1:])]
    good = [row for row in with_box if is_photo_name(row["path"]) and row["class"] and _has_box(row)]
    # The first row may be a header. Of the others most tell: each may have a typing error, which is named in `read`.
    return bool(good) and is_photo_name(rows[0]["path"]) and len(good) > len(with_box) / 2


def _is_class_list(source: ImportSource, name: str) -> bool:
    """Whether a file numbers the classes, `with_mask,0`: the tables have their names, and the numbers say nothing."""
    try:
        rows = list(islice(iter_csv(source.root / name, (), ("class", "number")), SHOWN_ROWS))
    except DataError:
        return False
    return bool(rows) and all(row["class"] and as_integer(row["number"]) is not None for row in rows)


def _has_box(row: Mapping[str, str]) -> bool:
    try:
        return EDGES.read(row) is not None
    except DataError:
        return False
