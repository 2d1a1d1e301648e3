"""A CSV with a row per face: a path, the four columns of a box, and labels.

`maskfit` reads such a table as a manifest as well; an import is for words that need `--map`, for photos in another
folder, and for `--crop`. A column `label`, `class`, `name` or `category` holds words of any attribute.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple

from maskfit.data.face_boxes import BoxColumns, find_box_columns
from maskfit.data.importers.box_rows import BoxRows
from maskfit.data.importers.interface import (
    ANY,
    BAND_SUFFIX,
    Confidence,
    ImportOptions,
    ImportSource,
    LeftOut,
    RawImport,
    RawRow,
)
from maskfit.data.importers.word_reader import WordReader
from maskfit.data.manifest_columns import PATH_COLUMNS, PERSON_COLUMNS
from maskfit.errors import DataError
from maskfit.file_io import iter_csv
from maskfit.labels.schema import LabelSchema

WORD_COLUMNS = ("label", "class", "class_name", "name", "category", "state")
"""Columns whose words may be of any attribute."""

NOT_A_BOX = "the cells are no box"


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
            `SURE` where a CSV has a path, the four columns of a box, and a column of labels.
        """
        return (
            Confidence.SURE
            if any(_find_columns(source, name, words.schema) for name in _tables(source))
            else (Confidence.NO)
        )

    def read(self, source: ImportSource, options: ImportOptions) -> RawImport:
        """Reads all such tables.

        Args:
            source: The source.
            options: Options of the import.

        Returns:
            A row per row.

        Raises:
            DataError: A table cannot be read, or has no such columns.
        """
        result = RawImport()
        rows = BoxRows(result)
        finder = options.photo_finder(source)
        for name in _tables(source):
            found = _find_columns(source, name, options.words.schema)
            if found is None:
                continue
            path, boxes, labels, person, unread = found
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
                try:
                    box = boxes.read(row)
                except DataError:
                    result.left_out.append(LeftOut(location, NOT_A_BOX))
                    continue
                if box is None:
                    result.rows.append(RawRow(photo, location, words, row[person] if person else ""))
                else:
                    rows.add(photo, location, words, box, person=row[person] if person else "")
        if not result.files:
            hint = "name the columns path, left, upper, right, lower and mask"
            raise DataError("no CSV here has a path, a box and a label", location=source.path, hint=hint)
        rows.finish()
        return result


def _tables(source: ImportSource) -> tuple[str, ...]:
    return source.with_suffix(".csv", ".tsv")


class _Columns(NamedTuple):
    """Columns of a table: the path, the box, the labels with their keys, the person or "", and all others."""

    path: str
    box: BoxColumns
    labels: Sequence[tuple[str, str]]
    person: str
    unread: Sequence[str]


def _find_columns(source: ImportSource, name: str, schema: LabelSchema) -> _Columns | None:
    """The columns of a table; None where path, box or labels are missing."""
    try:
        first = next(iter_csv(source.root / name, ()), None)
        columns = {column.casefold(): column for column in first or () if column}
        boxes = find_box_columns(columns)
    except DataError:
        return None
    path = next((columns[key] for key in PATH_COLUMNS if key in columns), None)
    labels = [(key, columns[key.casefold()]) for key in schema.names if key.casefold() in columns]
    labels += [
        (item.name + BAND_SUFFIX, columns[item.name.casefold() + BAND_SUFFIX])
        for item in schema.attributes
        if item.bin_edges and item.name.casefold() + BAND_SUFFIX in columns
    ]
    labels += [(ANY, columns[key]) for key in WORD_COLUMNS if key in columns and columns[key] != path]
    if not path or not boxes or not labels:
        return None
    person = next((columns[key] for key in PERSON_COLUMNS if key in columns), "")
    read = {path, person, *boxes.names, *(column for _, column in labels)}
    return _Columns(path, boxes, labels, person, [column for column in columns.values() if column not in read])
