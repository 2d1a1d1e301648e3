"""A CSV whose photos are named without suffix and folder (`id,mask`), by URLs, or by paths of another computer.

An id is read as the photo of that name where there is exactly one, whatever its suffix and folder; one that is a number
also where only zeros in front, or a decimal `.0`, differ. A column that names another photo in the same row is an
error: the ids may be numbers of rows. A URL is read as the downloaded photo with the name at the end of its path, or in
its query; nothing is downloaded. An absolute path that is not there is read like a URL.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import ClassVar, NamedTuple

from maskfit.data.face_boxes import BoxColumns, find_box_columns
from maskfit.data.importers.box_rows import NOT_A_BOX, ONE_CELL_BOX, BoxRows, has_one_cell_box
from maskfit.data.importers.box_table import SHOWN_ROWS
from maskfit.data.importers.declared_size import are_sizes_of_boxes, find_size_columns, read_size
from maskfit.data.importers.interface import (
    Confidence,
    ImportOptions,
    ImportSource,
    LeftOut,
    RawImport,
    RawRow,
)
from maskfit.data.importers.photo_finder import NOT_DOWNLOADED, NOT_FOUND, PhotoFinder, paths_in_url
from maskfit.data.importers.table_columns import (
    add_crowd_columns,
    find_label_columns,
    find_word_columns,
    fold_columns,
)
from maskfit.data.importers.word_reader import WordReader
from maskfit.data.manifest_columns import ID_COLUMNS, PATH_COLUMNS, PERSON_COLUMNS
from maskfit.data.manifest_files import find_file, is_url
from maskfit.data.photo_dataset import is_photo_name
from maskfit.errors import DataError
from maskfit.file_io import iter_csv
from maskfit.text import format_count

STATUS_COLUMNS = ("assignmentstatus", "assignment:status", "assignment_status", "status")
"""Columns, in lower case, that say what became of an answer, as of Amazon Mechanical Turk and Toloka."""

REJECT_COLUMN = "reject"
"""Column, in lower case, in which whoever asked writes why an answer is rejected, beside Mechanical Turk's status."""

REJECTED = "the answer was rejected"
SEVERAL = "several photos have this name; give the folder that is meant with --images, or write their suffix"


class IdTableImporter:
    """A CSV of ids and labels."""

    title: ClassVar[str] = "a CSV that names photos by ids, URLs or paths of another computer"
    codes: ClassVar[Mapping[str, Mapping[str, str]]] = {}

    def detect(self, source: ImportSource, words: WordReader) -> Confidence:
        """Says how sure it is that a source has such a CSV.

        Args:
            source: The source.
            words: What the user says that words mean.

        Returns:
            `SURE` where some of its ids are photos of the source; `POSSIBLE` where the photos may be in another folder:
            where a column of paths has ids, where there are URLs, and where there is no photo here.
        """
        found = [item for name in _tables(source) if (item := _find_columns(source, name, words))]
        if any(_find(source.photo_finder, cell)[0] for item in found for cell in item.shown):
            return Confidence.SURE
        elsewhere = any(item.has_paths for item in found) or (found and not source.photo_finder.names)
        return Confidence.POSSIBLE if elsewhere else Confidence.NO

    def read(self, source: ImportSource, options: ImportOptions) -> RawImport:
        """Reads all such tables.

        Args:
            source: The source.
            options: Options of the import.

        Returns:
            A row per row.

        Raises:
            DataError: There is no such table, it cannot be read, or another of its columns names other photos.
        """
        result = RawImport()
        boxed = BoxRows(result)
        finder = options.photo_finder(source)
        example, names = "", set[str]()
        number_example, numbers = "", set[str]()
        url_of: dict[str, str] = {}
        for name in _tables(source):
            columns = _find_columns(source, name, options.words)
            if columns is None:
                continue
            result.files.append(name)
            boxes = find_box_columns({column.casefold(): column for column in columns.unread})
            if boxes is not None and not boxes.is_standard:
                result.notes.append(f"{name}: {boxes.describe()}")
            taken, size = _find_box_and_size(source, name, columns, boxes)
            for number, row in enumerate(iter_csv(source.root / name, (columns.id,)), start=2):
                cell, location = row[columns.id], f"{name} row {number}"
                if reason := columns.find_reason(row, boxes):
                    result.left_out.append(LeftOut(f"{location}: {cell}", reason))
                    continue
                found, is_number = _find(finder, cell)
                if len(found) == 1:
                    _check_no_other_photo(row, columns, found[0], finder, name, number)
                    if is_number:
                        others = [column for column in columns.unread if column not in taken]
                        _check_no_other_name(row, columns.id, others, found[0], finder, name, number)
                    if _is_elsewhere(cell):
                        _check_one_url(cell, url_of.setdefault(found[0], cell), found[0], name, number)
                    example = example or f"{cell} as {found[0]}"
                    names.add(cell)
                    if is_number:
                        number_example = number_example or f"{cell} as {found[0]}"
                        numbers.add(cell)
                    words = [(key, row[column]) for key, column in columns.labels if row[column]]
                    person = row[columns.person] if columns.person else ""
                    try:
                        box = boxes.read(row) if boxes else None
                    except DataError as error:
                        result.left_out.append(LeftOut(f"{location}: {error.message}", NOT_A_BOX))
                        continue
                    if box is None:
                        result.rows.append(RawRow(finder.folder / found[0], location, words, person))
                    else:
                        boxed.add(finder.folder / found[0], location, words, box, read_size(row, size), person)
                elif found:
                    result.left_out.append(LeftOut(f"{location}: {cell} may be {', '.join(found[:4])}", SEVERAL))
                else:
                    reason = NOT_DOWNLOADED if is_url(cell) else NOT_FOUND
                    result.left_out.append(LeftOut(f"{location}: {cell}", reason))
            if unread := [column for column in columns.unread if column not in taken]:
                result.notes.append(f"{name}: columns that are not imported: {', '.join(unread)}")
        if not result.files:
            hint = "name the columns id and mask; a table of paths is read as a manifest, without an import"
            raise DataError("no CSV here names photos without a suffix", location=source.path, hint=hint)
        result.notes += _note_names(len(names), example, len(numbers), number_example)
        boxed.finish()
        result.note_photos_without_row(finder)
        return result


def _note_names(names: int, example: str, numbers: int, number_example: str) -> list[str]:
    """How many names were read as a photo's, and of these, how many as numbers, with an example of each."""
    notes = []
    if names:
        what = format_count(names, "name is read as the only photo", "names are each read as the only photo")
        notes.append(f"{what} of that name, such as {example}")
    if numbers:
        what = format_count(numbers, "of these names differs", "of these names differ")
        notes.append(f"{what} from the photo's in zeros, as spreadsheets drop and add them: {number_example}")
    return notes


def _find(finder: PhotoFinder, cell: str) -> tuple[list[str], bool]:
    """The photos that an id may mean, and whether zeros in its number differ from theirs."""
    if _is_elsewhere(cell):
        return _find_url(finder, cell), False
    if found := finder.find_by_stem(cell):
        return found, False
    found = finder.find_by_number(cell)
    return found, bool(found)


def _find_url(finder: PhotoFinder, url: str) -> list[str]:
    """The photos that a URL or path may mean: those with most of its folders, and its suffix where one has it."""
    for text in _paths(url):
        parts = [part for part in text.replace("\\", "/").split("/") if part]
        name = parts[-1] if parts else ""
        stem = name.rpartition(".")[0] if is_photo_name(name) else name
        for start in range(len(parts)):
            found = finder.find_by_stem("/".join((*parts[start:-1], stem)))
            if found := [path for path in found if not finder.is_elsewhere(url, path)]:
                same = [path for path in found if path.rpartition("/")[2].casefold() == name.casefold()]
                return same or found
    return []


def _is_elsewhere(cell: str) -> bool:
    """Whether a photo is named by a URL, or by an absolute path that is not there: that of another computer."""
    is_absolute = cell.startswith(("/", "\\")) or (cell[1:2] == ":" and cell[2:3] in ("/", "\\"))
    return is_url(cell) or (is_absolute and not Path(cell).exists())


def _paths(name: str) -> tuple[str, ...]:
    return paths_in_url(name) if is_url(name) else (name,)


class _Columns(NamedTuple):
    """Columns of a table: the id, whether it may be a path or URL, labels, the person or "", others, first ids.

    Those that say what became of an answer come last: of its status, and of the reason why it was rejected.
    """

    id: str
    has_paths: bool
    labels: Sequence[tuple[str, str]]
    person: str
    unread: Sequence[str]
    shown: Sequence[str]
    status: Sequence[str]
    rejection: str

    def find_reason(self, row: Mapping[str, str], boxes: BoxColumns | None) -> str:
        """The reason to leave a row out: that whoever asked refused the answer, or a box that is not read; else ""."""
        refused = any(row[column].strip().casefold() == "rejected" for column in self.status)
        if refused or (self.rejection and row[self.rejection].strip()):
            return REJECTED
        return ONE_CELL_BOX if boxes is None and has_one_cell_box(row, self.unread) else ""


def _find_box_and_size(
    source: ImportSource, name: str, columns: _Columns, boxes: BoxColumns | None
) -> tuple[set[str], tuple[str, str] | None]:
    """The columns of a table that are read as boxes and the photo's size, and those of the size."""
    if boxes is None:
        return set(), None
    size = find_size_columns({column.casefold(): column for column in columns.unread}, boxes.names)
    if size and are_sizes_of_boxes(islice(iter_csv(source.root / name, ()), SHOWN_ROWS), size, boxes):
        size = None
    return {*boxes.names, *(size or ())}, size


def _check_no_other_photo(
    row: Mapping[str, str], columns: _Columns, photo: str, finder: PhotoFinder, name: str, number: int
) -> None:
    """Checks that no other column of a row names another photo of the folder."""
    for column in columns.unread:
        if is_photo_name(row[column]):
            other, _ = finder.find(row[column], name)
            if other is not None and other != finder.folder / photo:
                raise _other_photo(number, f"{columns.id} means {photo}", f"{column} means {row[column]}", name)


def _check_no_other_name(
    row: Mapping[str, str], id: str, others: Sequence[str], photo: str, finder: PhotoFinder, name: str, number: int
) -> None:
    """Checks that no other column of a row has another photo's very name, where the id's differs in zeros."""
    for column in others:
        named = finder.find_by_stem(row[column])
        if named and photo not in named:
            raise _other_photo(number, f"{id} means {photo}", f"{column} means {named[0]}", name)


def _check_one_url(url: str, first: str, photo: str, name: str, number: int) -> None:
    """Checks that a photo is not meant by two URLs or paths; servers and signatures in the query may differ."""
    if _paths(url) != _paths(first):
        raise DataError(
            f"row {number}: {photo} would be the photo of two {'URLs' if is_url(url) else 'paths'}, {first} and {url}",
            location=name,
            hint="download the photos into folders named as in the URLs, or give them names of their own"
            if is_url(url)
            else "keep the photos in folders named as in the paths, or give them names of their own",
        )


def _other_photo(number: int, meant: str, other: str, name: str) -> DataError:
    return DataError(
        f"row {number}: column {meant}, and column {other}",
        location=name,
        hint="name the column that says which photo it is `path`, and leave out the other",
    )


def _tables(source: ImportSource) -> tuple[str, ...]:
    return source.with_suffix(".csv", ".tsv")


def _is_path(cell: str, folder: Path) -> bool:
    return not _is_elsewhere(cell) and (is_photo_name(cell) or find_file(cell, folder) is not None)


def _find_columns(source: ImportSource, name: str, words: WordReader) -> _Columns | None:
    """The columns of a table; None without labels, or where the names are paths or have a suffix and are no URLs."""
    try:
        rows = list(islice(iter_csv(source.root / name, ()), SHOWN_ROWS))
    except DataError:
        return None
    columns = fold_columns(rows[0] if rows else ())
    add_crowd_columns(columns)
    own = next((columns[key] for key in (*PATH_COLUMNS, *ID_COLUMNS) if key in columns), None)
    if own is None:
        return None
    labels = [*find_label_columns(columns.values(), words), *find_word_columns(columns, rows, words)]
    labels = [(key, column) for key, column in labels if column != own]
    shown = [row[own] for row in rows if row[own]]
    folder = (source.root / name).parent
    if not labels or not shown or any(_is_path(cell, folder) for cell in shown):
        return None
    if any(map(_is_elsewhere, shown)) and find_box_columns(columns) is not None:
        return None  # the format `boxes` reads URLs and paths too
    person = next((columns[key] for key in PERSON_COLUMNS if key in columns and columns[key] != own), "")
    status = [columns[key] for key in STATUS_COLUMNS if key in columns]
    rejection = columns.get(REJECT_COLUMN, "") if "assignmentstatus" in columns else ""
    used = {own, person, rejection, *status, *(column for _, column in labels)}
    unread = [column for column in dict.fromkeys(columns.values()) if column not in used]
    has_paths = own.casefold() in PATH_COLUMNS or any(map(_is_elsewhere, shown))
    return _Columns(own, has_paths, labels, person, unread, shown, status, rejection)
