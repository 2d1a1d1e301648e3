"""A CSV with a column of 0 and 1 for each class, such as Roboflow's multi-label export `_classes.csv`.

A column that is named like an attribute (`mask`) is a class only beside other values of it (`mask`, `no_mask`). Else
its 0 and 1 are codes, of which nobody knows what they mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import PurePosixPath
from typing import ClassVar, NamedTuple

from maskfit.data.importers.box_rows import ONE_CELL_BOX, has_one_cell_box
from maskfit.data.importers.interface import (
    ANY,
    Confidence,
    ImportOptions,
    ImportSource,
    LeftOut,
    RawImport,
    RawRow,
)
from maskfit.data.importers.table_columns import fold_columns
from maskfit.data.importers.word_reader import WordReader
from maskfit.data.manifest_columns import PATH_COLUMNS, PERSON_COLUMNS
from maskfit.errors import DataError
from maskfit.file_io import iter_csv

ROBOFLOW_NAME = "_classes.csv"
NO_CLASS = "no class is set"
NOT_ONE_HOT = "a cell of a class is neither 0 nor 1"

SHOWN_ROWS = 200
"""Rows from which the columns of classes are recognized."""

_SET, _UNSET = frozenset({"1", "1.0", "True", "true"}), frozenset({"0", "0.0", "False", "false", ""})


class OneHotImporter:
    """A CSV with a column per class."""

    title: ClassVar[str] = "a CSV with a column of 0 and 1 per class"
    codes: ClassVar[Mapping[str, Mapping[str, str]]] = {}

    def detect(self, source: ImportSource, words: WordReader) -> Confidence:
        """Says how sure it is that a source has such a CSV.

        Args:
            source: The source.
            words: What the user says that words mean.

        Returns:
            `SURE` where it is called as Roboflow's, or two of its columns of 0 and 1 have names that are labels.
        """
        for name in source.with_suffix(".csv"):
            found = _find_columns(source, name)
            if found is None:
                continue
            codes = _find_codes(found.classes, words)
            known = sum(words.knows(ANY, column) for column in found.classes if column not in codes)
            if (known and known + len(codes) >= 2) or PurePosixPath(name).name == ROBOFLOW_NAME:
                return Confidence.SURE
        return Confidence.NO

    def read(self, source: ImportSource, options: ImportOptions) -> RawImport:
        """Reads all such tables.

        Args:
            source: The source.
            options: Options of the import.

        Returns:
            A row per photo with a class.

        Raises:
            DataError: There is no such table, or it cannot be read.
        """
        result = RawImport()
        finder = options.photo_finder(source)
        for name in source.with_suffix(".csv"):
            found = _find_columns(source, name)
            if found is None:
                continue
            result.files.append(name)
            codes = _find_codes(found.classes, options.words)
            if found.unread:
                result.notes.append(f"{name}: columns that are not imported: {', '.join(found.unread)}")
            for number, row in enumerate(iter_csv(source.root / name, (found.path,)), start=2):
                location = f"{name} row {number}"
                photo, reason = finder.find(row[found.path], name)
                words = [(ANY, column) for column in found.classes if column not in codes and row[column] in _SET]
                words += [(key, row[column]) for column, key in codes.items() if row[column]]
                if photo is not None and any(row[column] not in _SET | _UNSET for column in found.classes):
                    photo, reason = None, NOT_ONE_HOT
                if photo is not None and has_one_cell_box(row, found.unread):
                    photo, reason = None, ONE_CELL_BOX
                if photo is None or not words:
                    result.left_out.append(LeftOut(location, reason or NO_CLASS))
                else:
                    result.rows.append(RawRow(photo, location, words, row[found.person] if found.person else ""))
        if not result.files:
            hint = "name a column path, and one column of 0 and 1 for each class"
            raise DataError("no CSV here has a column of 0 and 1 per class", location=source.path, hint=hint)
        result.note_photos_without_row(finder)
        return result


def _find_codes(classes: Sequence[str], words: WordReader) -> dict[str, str]:
    """The columns whose 0 and 1 are codes of an attribute, with its key."""
    codes = {}
    for column in classes:
        key = words.find_key(column)
        reading = words.peek(ANY, column)
        others = (words.peek(ANY, other).labels for other in classes if other != column)
        is_class = reading.how == "--map" or (reading.labels and any(reading.labels.keys() & of for of in others))
        if key is not None and not is_class:
            codes[column] = key
    return codes


class _Columns(NamedTuple):
    """Columns of a table: the path, the classes, the person or "", and all others."""

    path: str
    classes: Sequence[str]
    person: str
    unread: Sequence[str]


def _find_columns(source: ImportSource, name: str) -> _Columns | None:
    """The columns of a table; None without a path or with fewer than two columns of 0 and 1."""
    try:
        rows = list(islice(iter_csv(source.root / name, ()), SHOWN_ROWS))
    except DataError:
        return None
    columns = fold_columns(rows[0] if rows else ())
    path = next((columns[key] for key in PATH_COLUMNS if key in columns), None)
    person = next((columns[key] for key in PERSON_COLUMNS if key in columns), "")
    if path is None:
        return None
    classes = [
        column
        for column in rows[0]
        if column
        and column not in (path, person)
        and any(row[column] for row in rows)
        and all(row[column] in _SET | _UNSET for row in rows)
    ]
    if len(classes) < 2:
        return None
    return _Columns(path, classes, person, [name for name in rows[0] if name and name not in (path, person, *classes)])
