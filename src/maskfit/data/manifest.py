"""The CSV manifest: `path,person,mask,gender,age`, one row for each photo.

Only the path is required. A label column is any attribute of the scheme; a photo may know all of its labels, some or
none. Names of columns are the same in upper and lower case:

- the path: one of `PATH_COLUMNS`, relative to the manifest's folder, or absolute;
- `person` (or `person_id`): whoever is on it. Where it is empty, a photo that lies in a folder of the competition's
  pattern belongs to that folder, any other photo stands for itself; `a|b` stands for both;
- `persons`: in its place a CSV, relative to the manifest's folder, whose column `person` lists everybody: for photos
  that were made of hundreds;
- an attribute's name (`mask`, `gender`, `age`): a value; for age the years;
- an attribute's name with `_band` or `_group` (`age_band`, `agegroup`), where it has bands: a band by name or code
  0, 1, 2. A number in the column `age` itself is always years: 2 is a child, never a band;
- `class`, `ans` or `label`: the class number of the scheme (0 to 17), which gives every attribute at once;
- `times`: how often a photo counts in training, a whole number; once where it is empty.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from maskfit.data.competition_layout import FOLDER_REGEX
from maskfit.data.data_problems import DataProblem, raise_if_fatal
from maskfit.data.photo_dataset import PERSON_SEPARATOR, Photo, PhotoDataset, read_band, read_label
from maskfit.errors import DataError, LabelError
from maskfit.file_io import read_csv
from maskfit.labels.schema import UNKNOWN, Attribute, LabelSchema

PATH_COLUMNS = (
    "path",
    "img_path",
    "image_path",
    "file_path",
    "filepath",
    "imageid",
    "image_id",
    "filename",
    "file_name",
    "image",
    "img",
    "file",
    "photo",
)
PERSON_COLUMNS = ("person", "person_id")
PERSONS_COLUMN = "persons"
"""Names, in place of a person, a CSV whose column `person` lists everybody that a made photo was learned from."""

REPEAT_COLUMN = "times"
"""How often a photo counts in training, so that few photos of the right kind weigh as much as many of another."""

MAX_REPEAT = 100

CLASS_COLUMNS = ("class", "ans", "label")
BAND_SUFFIXES = ("_band", "band", "_group", "group")


@dataclass(frozen=True, slots=True)
class _Columns:
    """Which column of the file, by its own spelling, holds what; empty where none does."""

    path: str
    person: str
    persons: str
    times: str
    number: str
    labels: dict[str, str]
    bands: dict[str, str]


def read_manifest(path: Path, scheme: LabelSchema) -> PhotoDataset:
    """The photos of a CSV manifest in the order of its rows.

    Raises:
        DataError: It is no such CSV, or rows are wrong; one error names all of them with their row numbers.
    """
    found, problems = scan_manifest(path, scheme)
    raise_if_fatal(problems, path)
    return found


def scan_manifest(path: Path, scheme: LabelSchema) -> tuple[PhotoDataset, list[DataProblem]]:
    """The photos of the good rows and everything that is wrong with the others.

    Args:
        path: The CSV; its folder is the root of the set.
        scheme: Its attributes are the label columns that are read.
    """
    root = path.parent
    try:
        rows = read_csv(path, ())
        columns, problems = _find_columns(list(rows[0]) if rows else [], scheme)
    except DataError as error:
        problem = DataProblem(
            "fatal", "manifest", error.location or str(path), error.message, error.hint or "mend the file"
        )
        return PhotoDataset(root, ()), [problem]
    if columns is None:
        return PhotoDataset(root, ()), problems
    photos: list[Photo] = []
    everybody = _Everybody(root)
    first_rows: dict[str, int] = {}
    for number, row in enumerate(rows, start=2):
        mistakes: list[tuple[str, str]] = []
        file = _find_file(row[columns.path], root, mistakes)
        labels = _read_labels(row, columns, scheme, mistakes)
        person = everybody.find(row.get(columns.person, ""), row.get(columns.persons, ""), mistakes)
        times = _read_times(row.get(columns.times, ""), mistakes)
        if file is not None:
            key = os.path.abspath(file)
            first = first_rows.setdefault(key, number)
            if first != number:
                mistakes.append((f"{row[columns.path]} stands in row {first} already", "keep one of the two rows"))
        problems += [DataProblem("fatal", "manifest row", f"row {number}", what, fix) for what, fix in mistakes]
        if file is not None and not mistakes:
            photos.append(replace(_make_photo(file, row[columns.path], root, person, labels), repeat=times))
    return PhotoDataset(root, tuple(photos)), problems


def read_rows(path: Path, scheme: LabelSchema) -> dict[str, dict[str, str]]:
    """Every cell of a photo's row, labels or not, by the photo's name; rows whose photo is not there are left out.

    Raises:
        DataError: It is no such CSV, or has no path column.
    """
    rows = read_csv(path, ())
    columns, problems = _find_columns(list(rows[0]) if rows else [], scheme)
    if columns is None:
        raise_if_fatal(problems, path)
        return {}
    cells = {}
    for row in rows:
        file = _find_file(row[columns.path], path.parent, [])
        if file is not None:
            cells[_make_photo(file, row[columns.path], path.parent, "", {}).name] = row
    return cells


def _find_columns(header: list[str], scheme: LabelSchema) -> tuple[_Columns | None, list[DataProblem]]:
    """What each column is for; None, and a fatal problem, where there are no rows or no path column."""
    given = {name.casefold(): name for name in header}
    path = next((given[name] for name in PATH_COLUMNS if name in given), None)
    problem = None
    if not header:
        problem = ("there are no rows", "write a header and one row for each photo")
    elif len(given) < len(header):
        problem = ("two columns differ only in upper and lower case", "rename one of them")
    elif path is None:
        problem = (f"no column holds the path; there are {', '.join(header[:12])}", "call the column `path`")
    if problem or path is None:
        return None, [DataProblem("fatal", "manifest", "row 1", *(problem or ("", "")))]
    labels = {name: given[name.casefold()] for name in scheme.names if name.casefold() in given}
    bands = {
        attribute.name: given[attribute.name.casefold() + ending]
        for attribute in scheme.attributes
        for ending in BAND_SUFFIXES
        if attribute.bin_edges and attribute.name.casefold() + ending in given
    }
    taken = {path, *labels.values(), *bands.values()}
    # A scheme may have an attribute called "label"; then that column is the attribute, not a class number.
    number = next((given[name] for name in CLASS_COLUMNS if name in given and given[name] not in taken), "")
    person = next((given[name] for name in PERSON_COLUMNS if name in given and given[name] not in taken), "")
    persons = given.get(PERSONS_COLUMN, "")
    times = given.get(REPEAT_COLUMN, "")
    unread = [name for name in header if name not in {*taken, number, person, persons, times}]
    notes = []
    if unread:
        what = f"not read: {', '.join(unread)}; label columns of this scheme are {', '.join(scheme.names)}"
        notes.append(DataProblem("note", "columns", "row 1", what, "rename a column that was meant as a label"))
    return _Columns(path, person, persons, times, number, labels, bands), notes


class _Everybody:
    """Reads the lists of persons that rows name, each once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.known: dict[str, str] = {}

    def find(self, person: str, cell: str, mistakes: list[tuple[str, str]]) -> str:
        """Who is on the photo of a row; a mistake noted where its list cannot be read, or a person stands beside it."""
        if not cell:
            return person
        if person:
            mistakes.append((f"the row names a person and a list of persons, {cell}", "empty one of the two"))
            return person
        if cell not in self.known:
            try:
                names = [row["person"] for row in read_csv(self.root / cell, ("person",))]
            except DataError as error:
                mistakes.append((f"the list of persons {cell}: {error.message}", "restore the file, or mend the cell"))
                return ""
            # Never read as nobody: such a photo would be trained on in every fold.
            if not names or not all(names):
                mistakes.append((f"the list of persons {cell} has an empty row, or none", "restore the file"))
                return ""
            # One text for all rows that name the list, however many persons it has.
            self.known[cell] = PERSON_SEPARATOR.join(names)
        return self.known[cell]


def _find_file(cell: str, root: Path, mistakes: list[tuple[str, str]]) -> Path | None:
    """The file of a path cell; None, and a mistake noted, where there is none."""
    if not cell:
        mistakes.append(("the path is empty", "name the photo, or delete the row"))
        return None
    # A table written on Windows has backslashes; a file that really has one in its name is found first.
    for text in (cell, cell.replace("\\", "/")):
        file = root / text
        if os.path.isfile(file):
            return file
    if os.path.isdir(root / cell):
        mistakes.append((f"{cell} is a folder", "name one photo a row, or give the folder in place of this CSV"))
    else:
        mistakes.append((f"{cell} does not exist", f"paths are absolute, or relative to {root.resolve()}"))
    return None


def _read_times(cell: str, mistakes: list[tuple[str, str]]) -> int:
    """How often a photo counts; 1, and a mistake noted, where the cell is no such number."""
    if cell and not (cell.isdecimal() and 1 <= int(cell) <= MAX_REPEAT):
        mistakes.append((f"times is '{cell}'", f"a photo counts 1 to {MAX_REPEAT} times; empty is once"))
        return 1
    return int(cell or 1)


def _read_labels(
    row: dict[str, str], columns: _Columns, scheme: LabelSchema, mistakes: list[tuple[str, str]]
) -> dict[str, str | float]:
    """The labels of a row: the number of years before the band, the attribute's own column before the class number."""
    labels: dict[str, str | float] = {}
    for attribute in scheme.attributes:
        claims: list[str | float] = []
        try:
            if text := row.get(columns.labels.get(attribute.name, ""), ""):
                claims.append(read_label(attribute, text))
            if text := row.get(columns.bands.get(attribute.name, ""), ""):
                claims.append(read_band(attribute, text))
        except LabelError as error:
            mistakes.append((str(error), "correct the cell, or leave it empty"))
            continue
        if claims:
            labels[attribute.name] = claims[0]
            _compare(attribute, claims, mistakes)
    if text := row.get(columns.number, ""):
        try:
            decoded = _read_class(text, scheme.scored_schema())
        except LabelError as error:
            mistakes.append((str(error), "correct the cell, or leave it empty"))
            return labels
        for name, value in decoded.items():
            _compare(scheme[name], [labels.setdefault(name, value), value], mistakes)
    return labels


def _read_class(text: str, scheme: LabelSchema) -> dict[str, str | float]:
    """Every attribute's value from a class number. `3.0` is read too: so pandas writes a column with gaps."""
    try:
        number = float(text)
    except ValueError:
        number = -0.5
    if not number.is_integer() or not 0 <= number < scheme.num_classes:
        raise LabelError(f"'{text}' is no class number 0 to {scheme.num_classes - 1}")
    codes = scheme.to_attribute_indices([int(number)])[0]
    return {item.name: item.values[code] for item, code in zip(scheme.attributes, codes, strict=True)}


def _compare(attribute: Attribute, claims: list[str | float], mistakes: list[tuple[str, str]]) -> None:
    """Notes a mistake where two cells of a row say different things of one attribute, judged by its official values."""
    if len({_to_official(attribute, claim) for claim in claims} - {UNKNOWN}) > 1:
        said = " and ".join(str(claim) for claim in claims)
        mistakes.append((f"two cells disagree about {attribute.name}: {said}", "empty the wrong one"))


def _to_official(attribute: Attribute, value: str | float) -> int:
    """The official code of a value that may be the attribute's own (a decade) or an official one (a band of three)."""
    code = attribute.encode(value)
    return attribute.scored_attribute().encode(value) if code == UNKNOWN else int(attribute.to_scored_index()[code])


def _make_photo(file: Path, cell: str, root: Path, person: str, labels: dict[str, str | float]) -> Photo:
    name = PurePosixPath(os.path.relpath(file, root)).as_posix()
    if os.path.isabs(cell) and name.startswith("../"):
        name = file.as_posix()
    if not person:
        # Without this, the seven photos of one person would count as seven people and leak across a split.
        folder = file.parent.name
        person = folder if FOLDER_REGEX.fullmatch(folder) else name
    return Photo(file, name, person, labels)
