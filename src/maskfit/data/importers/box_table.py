"""A CSV with a row per face: a path, the four columns of a box, and labels.

`maskfit` reads such a table as a manifest as well; an import is for words that need `--map`, for photos in another
folder, and for `--crop`. A column `label`, `class`, `name` or `category` holds words of any attribute.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

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
from maskfit.data.manifest_columns import PATH_COLUMNS
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
            path, boxes, labels = found
            result.files.append(name)
            result.notes.append(f"{name}: {boxes.describe()}")
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
                    result.rows.append(RawRow(photo, location, words))
                else:
                    rows.add(photo, location, words, box)
        if not result.files:
            hint = "name the columns path, left, upper, right, lower and mask"
            raise DataError("no CSV here has a path, a box and a label", location=source.path, hint=hint)
        rows.finish()
        return result


def _tables(source: ImportSource) -> tuple[str, ...]:
    return source.with_suffix(".csv", ".tsv")


def _find_columns(
    source: ImportSource, name: str, schema: LabelSchema
) -> tuple[str, BoxColumns, Sequence[tuple[str, str]]] | None:
    """Columns of the path, the box and the labels, the latter with their keys; None where one of these is missing."""
    try:
        first = next(iter_csv(source.root / name, ()), None)
        columns = {column.casefold(): column for column in first or ()}
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
    return (path, boxes, labels) if path and boxes and labels else None
