"""A CSV with a row per face: a path, the four columns of a box, and labels.

`maskfit` reads such a table as a manifest as well; an import is for words that need `--map`, for photos in another
folder, and for `--crop`. A column `label`, `class`, `name` or `category` holds words of any attribute.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import ClassVar, NamedTuple

from maskfit.data.face_boxes import BoxColumns, find_box_columns
from maskfit.data.importers.box_rows import NOT_A_BOX, BoxRows
from maskfit.data.importers.declared_size import are_sizes_of_boxes, find_size_columns, read_size
from maskfit.data.importers.interface import (
    ANY,
    Confidence,
    ImportOptions,
    ImportSource,
    LeftOut,
    RawImport,
    RawRow,
)
from maskfit.data.importers.photo_finder import strip_url
from maskfit.data.importers.table_columns import WORD_COLUMNS, find_label_columns, fold_columns
from maskfit.data.importers.word_reader import WordReader
from maskfit.data.manifest_columns import PATH_COLUMNS, PERSON_COLUMNS, PERSONS_COLUMN, REPEAT_COLUMN
from maskfit.data.manifest_files import find_file
from maskfit.data.photo_dataset import is_photo_name
from maskfit.errors import DataError
from maskfit.file_io import iter_csv

SHOWN_ROWS = 200
"""Rows from which a table is recognized."""

NAME_COLUMN = "name"
"""A column of words, or where its cells are names of photos the path."""


class BoxTableImporter:
    """A CSV with boxes."""

    title: ClassVar[str] = "a CSV with a box per row"
    codes: ClassVar[Mapping[str, Mapping[str, str]]] = {}

    def detect(self, source: ImportSource, words: WordReader) -> Confidence:
        """Says how sure it is that a source has a CSV with boxes.

        Args:
            source: The source.
            words: What the user says that words mean.

        Returns:
            `SURE` where a CSV has a path, the four columns of a box, and a column of labels; `NO` where its photos are
            named without suffix and folder, which the format `ids` reads, with boxes.
        """
        try:
            found = any(
                not _names_ids(source, name, columns.path)
                for name in _tables(source)
                if (columns := _find_columns(source, name, words))
            )
        except DataError:
            # Its columns of a box cannot be read; `read` says why.
            return Confidence.POSSIBLE
        return Confidence.SURE if found else Confidence.NO

    def read(self, source: ImportSource, options: ImportOptions) -> RawImport:
        """Reads all such tables.

        Args:
            source: The source.
            options: Options of the import.

        Returns:
            A row per row.

        Raises:
            DataError: A table cannot be read, has no such columns, or those of a box have two meanings.
        """
        result = RawImport()
        rows = BoxRows(result)
        finder = options.photo_finder(source)
        for name in _tables(source):
            found = _find_columns(source, name, options.words)
            if found is None:
                continue
            path, boxes, labels, person, extra_columns, size, unread = found
            folder = (source.root / name).parent
            result.files.append(name)
            if not boxes.is_standard:
                result.notes.append(f"{name}: {boxes.describe()}")
            if unread:
                result.notes.append(f"{name}: columns that are not imported: {', '.join(unread)}")
            for number, row in enumerate(iter_csv(source.root / name, (path,)), start=2):
                location = f"{name} row {number}"
                photo, reason = finder.find(row[path], name)
                if photo is None:
                    result.left_out.append(LeftOut(location, reason))
                    continue
                words = [(key, row[column]) for key, column in labels if row[column]]
                extra = {key: row[column] for key, column in extra_columns.items() if row[column]}
                if PERSONS_COLUMN in extra:
                    extra[PERSONS_COLUMN] = os.path.join(folder, extra[PERSONS_COLUMN])
                named = row[person] if person else ""
                try:
                    box = boxes.read(row)
                except DataError as error:
                    result.left_out.append(LeftOut(f"{location}: {error.message}", NOT_A_BOX))
                    continue
                if box is None:
                    result.rows.append(RawRow(photo, location, words, named, extra=extra))
                else:
                    rows.add(photo, location, words, box, read_size(row, size), named, extra)
        if not result.files:
            hint = "name the columns path, left, upper, right, lower and mask"
            raise DataError("no CSV here has a path, a box and a label", location=source.path, hint=hint)
        rows.finish()
        return result


def _tables(source: ImportSource) -> tuple[str, ...]:
    return source.with_suffix(".csv", ".tsv")


class _Columns(NamedTuple):
    """Columns of a table: path, box, labels with their keys, person or "", those copied, the photo's size, others."""

    path: str
    box: BoxColumns
    labels: Sequence[tuple[str, str]]
    person: str
    extra: Mapping[str, str]
    size: tuple[str, str] | None
    unread: Sequence[str]


def _names_ids(source: ImportSource, name: str, path: str) -> bool:
    """Whether the first rows of a table name no photo as a file, neither by its suffix nor by its place."""
    cells = [row[path] for row in islice(iter_csv(source.root / name, ()), SHOWN_ROWS) if row[path]]
    folder = (source.root / name).parent
    return bool(cells) and not any(is_photo_name(strip_url(cell)) or find_file(cell, folder) for cell in cells)


def _find_columns(source: ImportSource, name: str, words: WordReader) -> _Columns | None:
    """The columns of a table; None where path, box or labels are missing.

    Raises:
        DataError: The columns of the box are incomplete, or have two meanings.
    """
    try:
        first = next(iter_csv(source.root / name, ()), None) or {}
    except DataError:
        return None
    columns = fold_columns(first)
    path = next((columns[key] for key in PATH_COLUMNS if key in columns), None)
    if path is None and is_photo_name(first.get(columns.get(NAME_COLUMN, ""), "")):
        path = columns[NAME_COLUMN]
    labels = find_label_columns(columns.values(), words)
    labels += [(ANY, columns[key]) for key in WORD_COLUMNS if key in columns and columns[key] != path]
    if not path or not labels:
        return None
    try:
        boxes = find_box_columns(columns)
    except DataError as error:
        raise DataError(error.message, location=source.describe(name), hint=error.hint) from None
    if not boxes:
        return None
    person = next((columns[key] for key in PERSON_COLUMNS if key in columns), "")
    extra = {key: columns[key] for key in (REPEAT_COLUMN, PERSONS_COLUMN) if key in columns}
    size = find_size_columns(columns, boxes.names)
    if size and are_sizes_of_boxes(islice(iter_csv(source.root / name, ()), SHOWN_ROWS), size, boxes):
        size = None
    read = {path, person, *boxes.names, *(column for _, column in labels), *extra.values(), *(size or ())}
    unread = [column for column in columns.values() if column not in read]
    return _Columns(path, boxes, labels, person, extra, size, unread)
