"""CSV manifest of a dataset: `path,person,mask,gender,age`, one row per photo.

Only the path is required. Each attribute of the label schema can be a column; a photo may have all, some or no labels.
Column names are case-insensitive:

- path: one of `PATH_COLUMNS`, relative to the manifest's folder, or absolute;
- `person` (or `person_id`): who is on the photo. Where it is empty, a photo in a folder of the competition's pattern
  belongs to that folder, and any other photo is a person of its own; `a|b` means both;
- `persons`: instead of a person, a CSV relative to the manifest's folder whose column `person` lists all persons, for
  photos that were made of hundreds;
- an attribute's name (`mask`, `gender`, `age`): a value; for age the years;
- an attribute's name with `_band` or `_group` (`age_band`, `agegroup`), where it has bins: a band by name or index
  0, 1, 2. A number in the column `age` itself is always years: 2 is a child, never a band;
- `class`, `ans` or `label`: the class index of the schema (0 to 17), which gives all attributes at once;
- `times`: how often a photo occurs in one training epoch, an integer; once where it is empty.
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
"""Column with a CSV whose column `person` lists all persons that a generated photo was made of."""

REPEAT_COLUMN = "times"
"""Column with the number of repetitions per training epoch, for giving rare photos more weight."""

MAX_REPEAT = 100
"""Maximum of the column `times`."""

CLASS_COLUMNS = ("class", "ans", "label")
BAND_SUFFIXES = ("_band", "band", "_group", "group")


@dataclass(frozen=True, slots=True)
class _Columns:
    """Names of the columns as spelled in the file; empty where there is none."""

    path: str
    person: str
    persons: str
    times: str
    number: str
    labels: dict[str, str]
    bands: dict[str, str]


def read_manifest(path: Path, schema: LabelSchema) -> PhotoDataset:
    """Reads a CSV manifest.

    Args:
        path: The CSV.
        schema: The label schema.

    Returns:
        The photos in the order of the rows.

    Raises:
        DataError: The file is not such a CSV, or rows are invalid; one error lists all of them with their row numbers.
    """
    dataset, problems = scan_manifest(path, schema)
    raise_if_fatal(problems, path)
    return dataset


def scan_manifest(path: Path, schema: LabelSchema) -> tuple[PhotoDataset, list[DataProblem]]:
    """Reads the valid rows of a CSV manifest and collects the problems of the others.

    Args:
        path: The CSV; its folder is the root of the dataset.
        schema: The label schema, whose attributes are the label columns.

    Returns:
        The photos of the valid rows, and the problems.
    """
    root = path.parent
    try:
        rows = read_csv(path, ())
        columns, problems = _find_columns(list(rows[0]) if rows else [], schema)
    except DataError as error:
        problem = DataProblem(
            "fatal", "manifest", error.location or str(path), error.message, error.hint or "correct the file"
        )
        return PhotoDataset(root, ()), [problem]
    if columns is None:
        return PhotoDataset(root, ()), problems
    photos: list[Photo] = []
    person_lists = _PersonLists(root)
    first_rows: dict[str, int] = {}
    for number, row in enumerate(rows, start=2):
        mistakes: list[tuple[str, str]] = []
        file = _find_file(row[columns.path], root, mistakes)
        labels = _read_labels(row, columns, schema, mistakes)
        person = person_lists.resolve(row.get(columns.person, ""), row.get(columns.persons, ""), mistakes)
        times = _read_times(row.get(columns.times, ""), mistakes)
        if file is not None:
            key = os.path.abspath(file)
            first = first_rows.setdefault(key, number)
            if first != number:
                mistakes.append((f"{row[columns.path]} is already in row {first}", "keep one of the two rows"))
        problems += [DataProblem("fatal", "manifest row", f"row {number}", message, hint) for message, hint in mistakes]
        if file is not None and not mistakes:
            photos.append(replace(_make_photo(file, row[columns.path], root, person, labels), repeat=times))
    return PhotoDataset(root, tuple(photos)), problems


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
    columns, problems = _find_columns(list(rows[0]) if rows else [], schema)
    if columns is None:
        raise_if_fatal(problems, path)
        return {}
    cells = {}
    for row in rows:
        file = _find_file(row[columns.path], path.parent, [])
        if file is not None:
            cells[_make_photo(file, row[columns.path], path.parent, "", {}).name] = row
    return cells


def _find_columns(header: list[str], schema: LabelSchema) -> tuple[_Columns | None, list[DataProblem]]:
    """The role of each column; None, and a fatal problem, where there are no rows or no path column."""
    column_of_name = {name.casefold(): name for name in header}
    path = next((column_of_name[name] for name in PATH_COLUMNS if name in column_of_name), None)
    problem = None
    if not header:
        problem = ("the manifest has no rows", "write a header and one row per photo")
    elif len(column_of_name) < len(header):
        problem = ("two columns differ only in upper and lower case", "rename one of them")
    elif path is None:
        problem = (
            f"the manifest has no path column; its columns are {', '.join(header[:12])}",
            "name the column `path`",
        )
    if problem or path is None:
        return None, [DataProblem("fatal", "manifest", "row 1", *(problem or ("", "")))]
    labels = {name: column_of_name[name.casefold()] for name in schema.names if name.casefold() in column_of_name}
    bands = {
        attribute.name: column_of_name[attribute.name.casefold() + ending]
        for attribute in schema.attributes
        for ending in BAND_SUFFIXES
        if attribute.bin_edges and attribute.name.casefold() + ending in column_of_name
    }
    taken = {path, *labels.values(), *bands.values()}
    # A schema may have an attribute named "label"; then that column is the attribute, not a class index.
    number = next(
        (
            column_of_name[name]
            for name in CLASS_COLUMNS
            if name in column_of_name and column_of_name[name] not in taken
        ),
        "",
    )
    person = next(
        (
            column_of_name[name]
            for name in PERSON_COLUMNS
            if name in column_of_name and column_of_name[name] not in taken
        ),
        "",
    )
    persons = column_of_name.get(PERSONS_COLUMN, "")
    times = column_of_name.get(REPEAT_COLUMN, "")
    unread = [name for name in header if name not in {*taken, number, person, persons, times}]
    notes = []
    if unread:
        message = f"ignored columns: {', '.join(unread)}; label columns of this schema are {', '.join(schema.names)}"
        notes.append(DataProblem("note", "columns", "row 1", message, "rename a column that is meant as a label"))
    return _Columns(path, person, persons, times, number, labels, bands), notes


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


def _find_file(cell: str, root: Path, mistakes: list[tuple[str, str]]) -> Path | None:
    """The file of a path cell; None where it does not exist, which adds a mistake."""
    if not cell:
        mistakes.append(("the path is empty", "give the photo, or delete the row"))
        return None
    # A table written on Windows has backslashes; a file with a backslash in its name is found first.
    for text in (cell, cell.replace("\\", "/")):
        file = root / text
        if os.path.isfile(file):
            return file
    if os.path.isdir(root / cell):
        mistakes.append((f"{cell} is a folder", "give one photo per row, or give the folder instead of this CSV"))
    else:
        mistakes.append((f"{cell} does not exist", f"paths are absolute, or relative to {root.resolve()}"))
    return None


def _read_times(cell: str, mistakes: list[tuple[str, str]]) -> int:
    """The number of repetitions; 1 where the cell is invalid, which adds a mistake."""
    if cell and not (cell.isdecimal() and 1 <= int(cell) <= MAX_REPEAT):
        mistakes.append(
            (
                f"times must be an integer in 1 to {MAX_REPEAT}, got '{cell}'",
                "correct the cell, or leave it empty for once",
            )
        )
        return 1
    return int(cell or 1)


def _read_labels(
    row: dict[str, str], columns: _Columns, schema: LabelSchema, mistakes: list[tuple[str, str]]
) -> dict[str, str | float]:
    """The labels of a row; years take precedence over the band, an attribute's column over the class index."""
    labels: dict[str, str | float] = {}
    for attribute in schema.attributes:
        candidates: list[str | float] = []
        try:
            if text := row.get(columns.labels.get(attribute.name, ""), ""):
                candidates.append(read_label(attribute, text))
            if text := row.get(columns.bands.get(attribute.name, ""), ""):
                candidates.append(read_band(attribute, text))
        except LabelError as error:
            mistakes.append((str(error), "correct the cell, or leave it empty"))
            continue
        if candidates:
            labels[attribute.name] = candidates[0]
            _compare(attribute, candidates, mistakes)
    if text := row.get(columns.number, ""):
        try:
            decoded = _read_class(text, schema.scored_schema())
        except LabelError as error:
            mistakes.append((str(error), "correct the cell, or leave it empty"))
            return labels
        for name, value in decoded.items():
            _compare(schema[name], [labels.setdefault(name, value), value], mistakes)
    return labels


def _read_class(text: str, schema: LabelSchema) -> dict[str, str | float]:
    """All attributes' values from a class index. `3.0` is valid too: pandas writes a column with gaps like that."""
    try:
        number = float(text)
    except ValueError:
        number = -0.5
    if not number.is_integer() or not 0 <= number < schema.num_classes:
        raise LabelError(f"'{text}' is not a class index in 0 to {schema.num_classes - 1}")
    codes = schema.to_attribute_indices([int(number)])[0]
    return {item.name: item.values[code] for item, code in zip(schema.attributes, codes, strict=True)}


def _compare(attribute: Attribute, candidates: list[str | float], mistakes: list[tuple[str, str]]) -> None:
    """Adds a mistake where two cells of a row give different scored values of one attribute."""
    if len({_to_scored(attribute, candidate) for candidate in candidates} - {UNKNOWN}) > 1:
        values = " and ".join(str(candidate) for candidate in candidates)
        mistakes.append((f"two cells disagree about {attribute.name}: {values}", "empty the wrong one"))


def _to_scored(attribute: Attribute, value: str | float) -> int:
    """The scored index of a value, which may be the attribute's own (a decade) or a scored one (a band of three)."""
    code = attribute.encode(value)
    return attribute.scored_attribute().encode(value) if code == UNKNOWN else int(attribute.to_scored_index()[code])


def _make_photo(file: Path, cell: str, root: Path, person: str, labels: dict[str, str | float]) -> Photo:
    name = PurePosixPath(os.path.relpath(file, root)).as_posix()
    if os.path.isabs(cell) and name.startswith("../"):
        name = file.as_posix()
    if not person:
        # Otherwise the seven photos of one person would be seven persons and leak across a split.
        folder = file.parent.name
        person = folder if FOLDER_REGEX.fullmatch(folder) else name
    return Photo(file, name, person, labels)
