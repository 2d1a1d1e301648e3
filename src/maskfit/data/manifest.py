"""CSV manifest of a dataset: `path,person,mask,gender,age`, one row per photo, or per face where it has boxes.

Only the path is required. Each attribute of the label schema can be a column; a photo may have all, some or no labels.
Column names are case-insensitive:

- path: one of `PATH_COLUMNS`, relative to the manifest's folder, or absolute;
- `person` (or `person_id`): who is on the photo. Where it is empty, a photo in a folder of the competition's pattern
  belongs to that folder, a photo whose name begins with such a folder's name to that person, and any other photo, with
  all its faces, is a person of its own; `a|b` means both;
- `persons`: instead of a person, a CSV relative to the manifest's folder whose column `person` lists all persons, for
  photos that were made of hundreds;
- an attribute's name (`mask`, `gender`, `age`): a value; for age the years, or a band such as `25-32`;
- an attribute's name with `_band` or `_group` (`age_band`, `agegroup`), where it has bins: a band by name or index
  0, 1, 2. A number in the column `age` itself is years; a column `age` of nothing but 0, 1 and 2 is an error;
- `class`, `ans` or `label`: the class index of the schema (0 to 17), which gives all attributes at once, or a value of
  one attribute;
- `left`, `upper`, `right`, `lower`: the box of a face in pixels of the upright photo, which the crop uses in place of a
  detector; a photo may then have a row for each of its faces (`data.face_boxes`, `data.manifest_boxes`);
- `times`: how often a photo occurs in one training epoch, an integer; once where it is empty.

Codes may be written as `2` or `2.0`, and other words for values, columns and bands are read as well: see
`labels.spellings`, `manifest_columns` and `label_codes`. A column without a name is ignored.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from maskfit.data.boxes import Box
from maskfit.data.competition_layout import FOLDER_REGEX, find_person
from maskfit.data.data_problems import DataProblem, raise_if_fatal
from maskfit.data.face_boxes import name_with_box
from maskfit.data.label_codes import CLASS_COLUMNS, CodesOption, LabelCodes
from maskfit.data.manifest_boxes import BoxReader, EmptyBoxError, describe_faces
from maskfit.data.manifest_columns import (
    PATH_COLUMNS,
    PERSON_COLUMNS,
    PERSONS_COLUMN,
    REPEAT_COLUMN,
    ManifestColumns,
    check_codes,
    find_columns,
    find_likely_columns,
    read_label_cells,
)
from maskfit.data.manifest_files import PhotoFiles, find_likely_path, is_url
from maskfit.data.photo_dataset import PERSON_SEPARATOR, Photo, PhotoDataset, find_conflicting_attributes
from maskfit.data.unused_codes import find_unused_codes
from maskfit.errors import DataError, LabelError
from maskfit.file_io import read_csv
from maskfit.labels.attribute import as_number
from maskfit.labels.schema import UNKNOWN, Attribute, LabelSchema
from maskfit.labels.spellings import as_integer
from maskfit.text import format_count

__all__ = [
    "CLASS_COLUMNS",
    "PATH_COLUMNS",
    "PERSONS_COLUMN",
    "PERSON_COLUMNS",
    "REPEAT_COLUMN",
    "read_manifest",
    "read_rows",
    "scan_manifest",
]

MAX_REPEAT = 100
"""Maximum of the column `times`."""

MAX_EQUAL = 3
"""Rows with the same problem that are listed one by one; more are one problem with a count."""

SHOWN_ROWS = 8
"""Row numbers that a problem of many rows lists."""


@dataclass(slots=True)
class _Mistake:
    """A problem of one row; those of one `kind` are counted together."""

    row: int
    message: str
    hint: str
    kind: str


def read_manifest(
    path: Path,
    schema: LabelSchema,
    codes: CodesOption | None = None,
    *,
    must_exist: bool = True,
    must_use_codes: bool = True,
) -> PhotoDataset:
    """Reads a CSV manifest.

    Args:
        path: The CSV.
        schema: The label schema.
        codes: Meanings of codes by column, as in `LabelCodes`; the schema's order by default.
        must_exist: Whether a photo that does not exist is an error. Scores need names and labels only.
        must_use_codes: As for `find_unused_codes`.

    Returns:
        The photos in the order of the rows.

    Raises:
        DataError: The file is not such a CSV, or rows are invalid; one error lists all of them with their row numbers.
    """
    dataset, problems = scan_manifest(path, schema, codes, must_exist=must_exist, must_use_codes=must_use_codes)
    raise_if_fatal(problems, path)
    return dataset


def scan_manifest(
    path: Path,
    schema: LabelSchema,
    codes: CodesOption | None = None,
    *,
    must_exist: bool = True,
    must_use_codes: bool = True,
) -> tuple[PhotoDataset, list[DataProblem]]:
    """Reads the valid rows of a CSV manifest and collects the problems of the others.

    Args:
        path: The CSV; its folder is the root of the dataset.
        schema: The label schema, whose attributes are the label columns.
        codes: Meanings of codes by column, as in `LabelCodes`; the schema's order by default.
        must_exist: Whether a photo that does not exist is a problem.
        must_use_codes: As for `find_unused_codes`.

    Returns:
        The photos of the valid rows, and the problems.
    """
    root = path.parent
    try:
        label_codes = LabelCodes(schema, codes)
        rows = read_csv(path, ())
        columns, problems = find_columns(list(rows[0]) if rows else [], schema)
    except DataError as error:
        problem = DataProblem(
            "fatal", "manifest", error.location or str(path), error.message, error.hint or "correct the file"
        )
        return PhotoDataset(root, ()), [problem]
    if columns is None:
        return PhotoDataset(root, ()), problems
    notes = check_codes(rows, columns, label_codes) + find_likely_columns(rows, columns, schema)
    years = {name.casefold() for name in columns.labels}
    notes += find_unused_codes(codes, read_label_cells(rows, columns), years, must_use=must_use_codes)
    reader = _RowReader(root, columns, label_codes, must_exist)
    photos = [photo for number, row in enumerate(rows, start=2) if (photo := reader.read(number, row)) is not None]
    notes += reader.notes() + describe_faces(photos)
    problems += notes + _group(reader.mistakes)
    shown = tuple(note for note in notes if note.severity != "fatal")
    return PhotoDataset(root, tuple(photos), shown), problems


def read_rows(path: Path, schema: LabelSchema) -> dict[str, dict[str, str]]:
    """Reads all cells of a CSV manifest, also those of other columns than labels.

    Args:
        path: The CSV.
        schema: The label schema.

    Returns:
        Photo name to the cells of its row; rows whose photo does not exist are omitted.

    Raises:
        DataError: The file is not such a CSV, or has no path column.
    """
    rows = read_csv(path, ())
    columns, problems = find_columns(list(rows[0]) if rows else [], schema)
    if columns is None:
        raise_if_fatal(problems, path)
        return {}
    cells = {}
    files = PhotoFiles(path.parent)
    for row in rows:
        if found := files.find(row[columns.path]):
            cells[name_with_box(found.name, _read_box(columns, row))] = row
    return cells


def _read_box(columns: ManifestColumns, row: dict[str, str]) -> Box | None:
    """The box of a row; None where it has none or an invalid one."""
    try:
        return columns.box.read(row) if columns.box else None
    except DataError:
        return None


@dataclass(slots=True)
class _RowLabels:
    """What the label cells of a row mean."""

    labels: dict[str, str | float] = field(default_factory=dict)
    mistakes: list[tuple[str, str]] = field(default_factory=list)
    missing_words: list[tuple[str, str]] = field(default_factory=list)
    straddling: list[tuple[str, str]] = field(default_factory=list)


NO_PERSON = frozenset({"nan", "none", "null", "n/a", "na", "#n/a", "<na>"})
"""Cells of the column `person` that name nobody."""

WHOLE_FLOAT = re.compile(r"\d+\.0+")


class _RowReader:
    """Reads rows into photos, and collects their problems."""

    def __init__(self, root: Path, columns: ManifestColumns, codes: LabelCodes, must_exist: bool) -> None:
        self.root = root
        self.columns = columns
        self.codes = codes
        self.mistakes: list[_Mistake] = []
        self._person_lists = _PersonLists(root)
        self._boxes = BoxReader(columns.box)
        self._first_rows: dict[str, tuple[int, dict[str, str | float]]] = {}
        self._missing_words: Counter[tuple[str, str]] = Counter()
        self._straddling: Counter[tuple[str, str]] = Counter()
        self._file_persons: Counter[str] = Counter()
        self._missing_persons: Counter[str] = Counter()
        self._label_columns = tuple(
            column for column in (*columns.labels.values(), *columns.bands.values(), columns.number) if column
        )
        self._known: dict[tuple[str, ...], _RowLabels] = {}
        self._persons: dict[str, str] = {}
        self._missing_hint = ""
        self._files = PhotoFiles(root, must_exist)

    def read(self, number: int, row: dict[str, str]) -> Photo | None:
        """Returns the photo of a row; None where the row has problems."""
        columns = self.columns
        cell = row[columns.path]
        mistakes: list[tuple[str, str]] = []
        found = self._files.find(cell)
        if found is None:
            self._add_missing_file(number, cell)
        labels = self._read_labels(row, mistakes)
        persons = row[columns.persons] if columns.persons else ""
        person = self._person_lists.resolve(self._read_person(row), persons, mistakes)
        times = _read_times(row[columns.times] if columns.times else "", mistakes)
        box = None
        if found is not None:
            try:
                box = self._boxes.read(number, row, found.path, mistakes) if columns.box else None
            except EmptyBoxError:
                found = None
            else:
                first, known = self._first_rows.setdefault(name_with_box(found.absolute, box), (number, labels))
                if first != number:
                    self._add_repeated(number, f"{name_with_box(cell, box)} is already in row {first}", [known, labels])
                    found = None
        if mistakes:
            self.mistakes += [_Mistake(number, message, hint, message) for message, hint in mistakes]
        if found is None or mistakes:
            return None
        person = person or self._find_person(found.path) or found.name
        return Photo(found.path, name_with_box(found.name, box), person, labels, times, box)

    def _add_repeated(self, number: int, message: str, labels: list[dict[str, str | float]]) -> None:
        """Adds a row whose photo, with the same box, is in an earlier row; those that contradict it are of one kind."""
        hint, kind = "keep one of the two rows", "repeated"
        if conflicting := find_conflicting_attributes(labels, self.codes.schema):
            kind = f"the labels disagree about {' and '.join(conflicting)}"
            message += f", and {kind}"
            hint += "; if they are votes of several annotators, maskfit data majority makes one row for each photo"
        if self.columns.box:
            hint += "; maskfit data import merges rows of one box, where labels that disagree stay empty and are listed"
        self.mistakes.append(_Mistake(number, message, hint, kind))

    def notes(self) -> list[DataProblem]:
        """Returns how cells and file names were read that need not be meant so."""
        notes = [
            DataProblem(
                "note",
                "no label",
                f"column {column}",
                f"{column}: '{word}' is read as no label ({count:,} cells)",
                "none needed; add an alias to the label schema if it is a value",
            )
            for (column, word), count in self._missing_words.items()
        ]
        for (column, band), count in self._straddling.items():
            message = f"{column}: '{band}' overlaps several values, which all stay possible ({count:,} cells)"
            hint = "none needed; such photos are trained on and not scored for this attribute"
            notes.append(DataProblem("note", "no single value", f"column {column}", message, hint))
        for word, count in self._missing_persons.items():
            message = f"{self.columns.person}: '{word}' is read as nobody named ({format_count(count, 'cell')})"
            hint = "none needed; if it is somebody's name, write it with a letter more, such as 'nan-1'"
            notes.append(DataProblem("warning", "persons", f"column {self.columns.person}", message, hint))
        if self._file_persons:
            message = (
                f"persons are read from the names of {format_count(self._file_persons.total(), 'file')}: "
                f"{format_count(len(self._file_persons), 'person')}, such as {next(iter(self._file_persons))}"
            )
            notes.append(DataProblem("note", "persons", "file names", message, "add a column person if that is wrong"))
        if missing := self._files.num_missing:
            message = f"{format_count(missing, 'photo is', 'photos are')} not here: only names and labels are used"
            notes.append(DataProblem("note", "photos", f"column {self.columns.path}", message, "none needed to score"))
        return notes + self._boxes.notes()

    def _read_person(self, row: dict[str, str]) -> str:
        """The cell of the person; empty for a word by which spreadsheets and pandas write an empty cell."""
        cell = row[self.columns.person] if self.columns.person else ""
        person = self._persons.get(cell)
        if person is None:
            # pandas writes numbers as floats in a column with empty cells: 1.0 is the person 1 of other files.
            person = cell.partition(".")[0] if WHOLE_FLOAT.fullmatch(cell) else cell
            # As one person, strangers would stand on the same side of every split, and be pooled in predictions.
            person = self._persons[cell] = "" if cell.casefold() in NO_PERSON else person
        if cell and not person:
            self._missing_persons[cell] += 1
        return person

    def _find_person(self, file: Path) -> str:
        """The person of a photo without one: its folder, or the beginning of its name, where these have the pattern."""
        # Otherwise the seven photos of one person would be seven persons and leak across a split.
        if FOLDER_REGEX.fullmatch(file.parent.name):
            return file.parent.name
        person = find_person(file.stem)
        if person:
            self._file_persons[person] += 1
        return person

    def _read_labels(self, row: dict[str, str], mistakes: list[tuple[str, str]]) -> dict[str, str | float]:
        """The labels of a row; rows with the same label cells, of which a table has few kinds, are decoded once."""
        cells = tuple([row[column] for column in self._label_columns])
        known = self._known.get(cells)
        if known is None:
            known = self._known[cells] = _RowLabels()
            known.labels = self._decode_labels(row, known)
        if known.mistakes or known.missing_words or known.straddling:
            mistakes += known.mistakes
            self._missing_words.update(known.missing_words)
            self._straddling.update(known.straddling)
        return dict(known.labels)

    def _decode_labels(self, row: dict[str, str], found: _RowLabels) -> dict[str, str | float]:
        """The labels of a row; years take precedence over the band, an attribute's column over the class index."""
        labels: dict[str, str | float] = {}
        mistakes = found.mistakes
        for attribute in self.codes.schema.attributes:
            candidates: list[str | float] = []
            try:
                for of_attribute, is_band in ((self.columns.labels, False), (self.columns.bands, True)):
                    column = of_attribute.get(attribute.name, "")
                    if text := row[column] if column else "":
                        value = self.codes.read(attribute, text, is_band=is_band)
                        if value is None:
                            found.missing_words.append((column, text))
                        else:
                            candidates.append(value)
                            if isinstance(value, str) and _to_scored(attribute, value) == UNKNOWN:
                                found.straddling.append((column, text))
            except LabelError as error:
                mistakes.append((str(error), _hint_for_cell(attribute, attribute.name, text)))
                continue
            if candidates:
                labels[attribute.name] = candidates[0]
                _compare(attribute, candidates, mistakes)
        if text := row[self.columns.number] if self.columns.number else "":
            try:
                decoded = self.codes.read_class(self.columns.number, text)
            except LabelError as error:
                mistakes.append((str(error), _hint_for_cell(None, self.columns.number, text)))
                return labels
            if decoded is None:
                found.missing_words.append((self.columns.number, text))
            for name, value in (decoded or {}).items():
                _compare(self.codes.schema[name], [labels.setdefault(name, value), value], mistakes)
        return labels

    def _add_missing_file(self, number: int, cell: str) -> None:
        if not cell:
            message, hint, kind = "the path is empty", "give the photo, or delete the row", "empty"
        elif os.path.isdir(self.root / cell):
            message, kind = f"{cell} is a folder", "folder"
            hint = "give one photo per row, or give the folder instead of this CSV"
        elif is_url(cell):
            message, kind = f"{cell} is a URL, and photos of a table are read from folders", "url"
            hint = "download the photos, then: maskfit data import TABLE --images DIR --out FILE"
        else:
            message, kind = f"{cell} does not exist", "missing"
            # One hint for all rows, which are counted together.
            self._missing_hint = self._missing_hint or self._hint_for_missing(cell)
            hint = self._missing_hint
        self.mistakes.append(_Mistake(number, message, hint, kind))

    def _hint_for_missing(self, cell: str) -> str:
        hint = f"paths are absolute, or relative to {self.root.resolve()}: "
        if likely := find_likely_path(cell, self.root):
            return f"{hint}write {likely} in place of {cell}, and the others alike"
        return f"{hint}move the table to the photos, or correct the paths"


def _hint_for_cell(attribute: Attribute | None, name: str, text: str) -> str:
    """What to do about a cell that is no value: words of other languages or datasets can be given a meaning."""
    if attribute is not None and attribute.bin_edges:
        return "correct the cell, or leave it empty"
    values = f"; its values are {', '.join(attribute.values)}" if attribute else ""
    if as_number(text) is not None:
        meaning = f"say what every code means: data.codes={{{name}: {{CODE: VALUE, ...}}}}"
        return f"correct the cell, leave it empty, or {meaning} (as an option: --codes){values}"
    word = "'" + text.replace("'", "''") + "'"
    return (
        f"correct the cell, leave it empty, or say what the word means with data.codes={{{name}: {{{word}: VALUE}}}} "
        f"(as an option: --codes){values}"
    )


def _group(mistakes: list[_Mistake]) -> list[DataProblem]:
    """One problem per row, or one with a count where more than `MAX_EQUAL` rows have the same."""
    groups: dict[tuple[str, str], list[_Mistake]] = {}
    for mistake in mistakes:
        groups.setdefault((mistake.kind, mistake.hint), []).append(mistake)
    problems = []
    for mistake in mistakes:
        group = groups[mistake.kind, mistake.hint]
        message, location = mistake.message, f"row {mistake.row}"
        if len(group) > MAX_EQUAL:
            if mistake is not group[0]:
                continue
            numbers = ", ".join(str(item.row) for item in group[:SHOWN_ROWS])
            more = ", ..." if len(group) > SHOWN_ROWS else ""
            message = f"{message}; {format_count(len(group), 'row has', 'rows have')} this problem: {numbers}{more}"
        problems.append(DataProblem("fatal", "manifest row", location, message, mistake.hint))
    return problems


class _PersonLists:
    """Reads the person lists that rows refer to, each once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.known: dict[str, str] = {}

    def resolve(self, person: str, cell: str, mistakes: list[tuple[str, str]]) -> str:
        """The person of a row; adds a mistake where the list cannot be read, or a person is given too."""
        if not cell:
            return person
        if person:
            mistakes.append((f"the row has both a person and a list of persons, {cell}", "empty one of the two"))
            return person
        if cell not in self.known:
            try:
                names = [row["person"] for row in read_csv(self.root / cell, ("person",))]
            except DataError as error:
                mistakes.append(
                    (f"the list of persons {cell}: {error.message}", "restore the file, or correct the cell")
                )
                return ""
            # Never read as no person: such a photo would be in the training set of every fold.
            if not names or not all(names):
                mistakes.append((f"the list of persons {cell} has an empty row, or none", "restore the file"))
                return ""
            # All rows that refer to the list share one string, which may be long.
            self.known[cell] = PERSON_SEPARATOR.join(names)
        return self.known[cell]


def _read_times(cell: str, mistakes: list[tuple[str, str]]) -> int:
    """The number of repetitions; 1 where the cell is invalid, which adds a mistake."""
    if not cell:
        return 1
    times = as_integer(cell)
    if times is None or not 1 <= times <= MAX_REPEAT:
        mistakes.append(
            (
                f"times must be an integer in 1 to {MAX_REPEAT}, got '{cell}'",
                "correct the cell, or leave it empty for once",
            )
        )
        return 1
    return times


def _compare(attribute: Attribute, candidates: list[str | float], mistakes: list[tuple[str, str]]) -> None:
    """Adds a mistake where two cells of a row give different scored values of one attribute."""
    if len({_to_scored(attribute, candidate) for candidate in candidates} - {UNKNOWN}) > 1:
        values = " and ".join(str(candidate) for candidate in candidates)
        mistakes.append((f"two cells disagree about {attribute.name}: {values}", "empty the wrong one"))


def _to_scored(attribute: Attribute, value: str | float) -> int:
    """The scored index of a value, which may be the attribute's own (a decade) or a scored one (a band of three)."""
    code = attribute.encode(value)
    return attribute.scored_attribute().encode(value) if code == UNKNOWN else int(attribute.to_scored_index()[code])
