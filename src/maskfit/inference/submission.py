"""Submission files: one class index for each photo, in the order of the given list."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from maskfit.data.face_boxes import find_box_columns, name_with_box
from maskfit.data.image_lists import find_id_column
from maskfit.data.label_codes import CLASS_COLUMNS, CodesOption
from maskfit.data.manifest import read_manifest
from maskfit.data.manifest_columns import BAND_SUFFIXES, COLUMN_SYNONYMS, PATH_COLUMNS
from maskfit.data.read_dataset import read_photos
from maskfit.errors import DataError, MaskfitError, format_list
from maskfit.file_io import find_repeated_rows, iter_csv, read_csv, write_csv
from maskfit.labels.age_distribution import age_column_names, find_age_attribute
from maskfit.labels.schema import LABEL_SCHEMAS, UNKNOWN, IntArray, LabelSchema
from maskfit.labels.spellings import as_integer
from maskfit.text import format_count

ID_COLUMN = "ImageID"
"""Column of the photo's name, as in the competition's info.csv."""

CLASS_COLUMN = "ans"
"""Column of the class index."""

YES_OR_NO = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
"""What a column `mask_sure` may hold, in lower case; a spreadsheet writes TRUE."""

MAX_AGE = 130
"""Largest predicted age in years that is no mistake."""


def write_submission(path: Path, names: Sequence[str], classes: ArrayLike) -> Path:
    """Writes `ImageID,ans`, a row for each photo in the given order.

    Args:
        path: The file to write; an existing one is replaced.
        names: The photos' names, in the order of the list they came from.
        classes: (photos,) scored class indices, row `i` for `names[i]`.

    Returns:
        `path`.

    Raises:
        DataError: The lengths differ, a photo is listed twice, or a value is no class index.
    """
    indices = _check_pairs(names, classes)
    return write_csv(path, [ID_COLUMN, CLASS_COLUMN], zip(names, indices.tolist(), strict=True))


def read_submission(path: Path, num_classes: int = LABEL_SCHEMAS["mask-gender-age"].num_classes) -> dict[str, int]:
    """Reads `ImageID,ans`, and perhaps the box of a face, which then belongs to the name (`data.face_boxes`).

    Args:
        path: The CSV.
        num_classes: How many classes there are.

    Returns:
        The class index by photo name, in the order of the rows.

    Raises:
        DataError: The file or a column is missing, there are other columns, or rows are invalid; all of these are
            listed with their row numbers.
    """
    path = Path(path)
    rows = read_csv(path, [ID_COLUMN, CLASS_COLUMN])
    header = list(rows[0]) if rows else []
    boxes = find_box_columns({name.casefold(): name for name in header})
    # A column without a name is the index that pandas writes.
    known = {"", ID_COLUMN, CLASS_COLUMN, *(boxes.names if boxes else ())}
    extra = [name for name in header if name not in known]
    if extra:
        raise DataError(
            f"column {', '.join(map(repr, extra))} does not belong into a submission",
            location=path,
            hint=f"leave only the columns {ID_COLUMN},{CLASS_COLUMN}",
        )
    predictions: dict[str, int] = {}
    first_rows: dict[str, int] = {}
    problems = []
    is_beyond = False
    for number, row in enumerate(rows, start=2):
        name, text = row[ID_COLUMN], row[CLASS_COLUMN]
        try:
            name = name_with_box(name, boxes.read(row) if boxes and name else None)
        except DataError as error:
            problems.append(f"row {number}: {error.message}")
            continue
        if not name:
            problems.append(f"row {number}: {ID_COLUMN} is empty")
        elif name in first_rows:
            problems.append(f"row {number}: duplicate of row {first_rows[name]}, {name}")
        first_rows.setdefault(name, number)
        # A whole number with plain digits; pandas writes 3 as 3.0 in a column with gaps.
        index = as_integer(text)
        if index is None or index < 0:
            problems.append(f"row {number}: {CLASS_COLUMN} {text!r} is no whole number")
        elif index >= num_classes:
            is_beyond = True
            problems.append(f"row {number}: {CLASS_COLUMN} {text} is not in 0 to {num_classes - 1}")
        else:
            predictions[name] = index
    if problems:
        hint = "correct these rows"
        if is_beyond:
            hint += "; where a model has more attributes than are scored, give what predict --attributes-csv writes"
        raise DataError(f"invalid rows:\n{format_list(problems)}", location=path, hint=hint)
    return predictions


def read_predictions(path: Path, schema: LabelSchema) -> dict[str, int]:
    """Reads predictions: `ImageID,ans`, or a table with a column for each attribute, of which there may be more.

    Args:
        path: A submission, or what `maskfit predict --attributes-csv` wrote.
        schema: The label schema that is scored.

    Returns:
        The class index by photo name, in the order of the rows.

    Raises:
        DataError: As `read_submission` and `data.manifest.read_manifest`, or a row lacks a value.
    """
    header = _read_header(path)
    if CLASS_COLUMN in header or not {name.casefold() for name in schema.names} <= header:
        return read_submission(path, schema.num_classes)
    photos = read_manifest(path, schema, must_exist=False)
    classes = schema.to_class_index(photos.attribute_indices(schema)).tolist()
    names = [photo.name for photo in photos]
    problems = find_repeated_rows(names)
    problems += [
        f"row {number}: {name} lacks a value"
        for number, (name, index) in enumerate(zip(names, classes, strict=True), start=2)
        if index == UNKNOWN
    ]
    if problems:
        raise DataError(f"invalid rows:\n{format_list(problems)}", location=path, hint="predict these photos again")
    return dict(zip(names, classes, strict=True))


@dataclass(frozen=True)
class Truth:
    """What predictions are scored against.

    Attributes:
        classes: Class index by photo name, in the order of the rows.
        unlabeled: Names of rows that lack a label; they take no part.
        notes: How the labels were read where they could be meant otherwise, a line each.
        guessed_codes: Attributes whose codes were read in the order of the label schema's values, for want of better.
    """

    classes: dict[str, int]
    unlabeled: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()
    guessed_codes: frozenset[str] = frozenset()

    @property
    def names(self) -> tuple[str, ...]:
        """All photos, those without a label last."""
        return (*self.classes, *self.unlabeled)


def read_truth(path: Path, schema: LabelSchema, codes: CodesOption | None = None) -> Truth:
    """Reads the truth: `ImageID,ans`, or a dataset (a manifest, a folder with labels in its names), whose labels count.

    Args:
        path: The CSV or folder.
        schema: The label schema.
        codes: Meanings of codes and words by column, as in `data.label_codes`; the schema's order by default.

    Returns:
        The truth.

    Raises:
        DataError: As `read_submission` and `data.read_dataset.read_photos`, no photo has all labels of the schema, or
            `codes` are given for a table of class indices.
    """
    if path.is_dir():
        photos = read_photos(path, schema, codes)
    else:
        if is_submission(path) or not _read_header(path) & {*PATH_COLUMNS}:
            if codes:
                raise DataError(
                    f"meanings of codes were given, but column {CLASS_COLUMN} of this truth holds class indices",
                    location=path,
                    hint="leave them out, or give a manifest or folder with the labels",
                )
            if not is_submission(path):
                find_id_column(path)  # raises where the photos are named by ids or URLs
            return Truth(read_submission(path, schema.num_classes))
        photos = read_manifest(path, schema, codes, must_exist=False)
    classes = schema.to_class_index(photos.attribute_indices(schema)).tolist()
    truth = {photo.name: index for photo, index in zip(photos, classes, strict=True) if index != UNKNOWN}
    if not truth:
        names = ", ".join(schema.names)
        known = tuple(name for name in schema.names if any(name in photo.labels for photo in photos))
        fitting = next((name for name, other in LABEL_SCHEMAS.items() if other.names == known), None)
        hint = f"add --schema {fitting}" if fitting else "name the label schema with --schema"
        hint += "; for a model of other attributes --schema RUN, its run, model file or recipe"
        raise DataError(f"no photo has all of {names}", location=path, hint=hint)
    unlabeled = frozenset(photo.name for photo in photos if photo.name not in truth)
    # A wrong meaning of codes makes the scores wrong, so that its line says how to set another.
    lines = tuple(
        f"{note.message}; {note.hint}" if note.kind == "codes" and not codes else note.to_line()
        for note in photos.notes
    )
    coded = {note.message.partition(":")[0] for note in photos.notes if note.kind == "codes"} if not codes else set()
    return Truth(truth, unlabeled, lines, frozenset(coded.intersection(schema.names)))


def read_sure(path: Path, schema: LabelSchema) -> dict[str, dict[str, bool]]:
    """Reads of which predictions a model is sure: the columns `mask_sure` of what `predict --attributes-csv` wrote.

    Args:
        path: The predictions.
        schema: The label schema that is scored.

    Returns:
        Attribute -> whether the model is sure, by photo name; without attributes that have no such column.

    Raises:
        DataError: A cell is neither true nor false.
    """
    rows = list(iter_csv(path, ()))
    header = set(rows[0]) if rows else set()
    if ID_COLUMN not in header or CLASS_COLUMN in header:
        return {}
    sure: dict[str, dict[str, bool]] = {}
    for name in schema.names:
        column = f"{name}_sure"
        if column not in header:
            continue
        problems = []
        sure[name] = {}
        for number, row in enumerate(rows, start=2):
            word = row[column].strip().casefold()
            if word not in YES_OR_NO:
                problems.append(f"row {number}: {column} {row[column]!r} is neither true nor false")
            sure[name][row[ID_COLUMN]] = YES_OR_NO.get(word, False)
        if problems:
            raise DataError(f"invalid rows:\n{format_list(problems)}", location=path, hint="correct these rows")
    return sure


def may_be_truth(path: Path, schema: LabelSchema) -> bool:
    """Whether a CSV can hold a truth: a list of photos that says nothing of any attribute cannot.

    Args:
        path: The CSV.
        schema: The label schema.

    Returns:
        False for a table with a photo column and no label; True for every other file, also an unreadable one.
    """
    try:
        header = _read_header(path)
    except MaskfitError:
        return True
    labels = {name.casefold() for name in schema.names}
    known = labels | {*CLASS_COLUMNS, CLASS_COLUMN} | {label + ending for label in labels for ending in BAND_SUFFIXES}
    known |= {synonym for synonym, name in COLUMN_SYNONYMS.items() if name in known}
    return not header & {*PATH_COLUMNS} or bool(header & known)


def is_submission(path: Path) -> bool:
    """Whether a CSV has the columns of a submission, which a truth of the competition has too.

    Args:
        path: The CSV.

    Returns:
        True for `ImageID,ans`, with other columns or without.

    Raises:
        DataError: The file cannot be read.
    """
    return {ID_COLUMN.casefold(), CLASS_COLUMN} <= _read_header(path)


def read_true_ages(path: Path, schema: LabelSchema, codes: CodesOption | None = None) -> dict[str, float]:
    """Reads the ages in years of a dataset that is the truth.

    Args:
        path: A manifest, or a folder with labels in its names.
        schema: The label schema.
        codes: As for `read_truth`.

    Returns:
        The age by photo name, of the photos whose age is known as a number.

    Raises:
        DataError: The dataset cannot be read, or holds no age in years.
    """
    attribute = find_age_attribute(schema)
    photos = () if attribute is None else read_photos(path, schema, codes, must_exist=False)
    labels = {} if attribute is None else {photo.name: photo.labels.get(attribute.name) for photo in photos}
    ages = {name: float(value) for name, value in labels.items() if isinstance(value, int | float)}
    if not ages:
        raise DataError(
            "the truth holds no age in years",
            location=path,
            hint="name a dataset: a manifest with a column age, or the folder of the photos",
        )
    return ages


def read_predicted_ages(path: Path, schema: LabelSchema) -> dict[str, tuple[float, ...]]:
    """Reads the ages that `maskfit predict --attributes-csv` wrote.

    Args:
        path: The CSV.
        schema: The label schema.

    Returns:
        The quantiles by photo name.

    Raises:
        DataError: The file has no ages, or rows are invalid: a photo has two rows, an age is no number of 0 to 130, or
            the quantiles do not ascend; these rows are listed.
    """
    attribute = find_age_attribute(schema)
    columns = () if attribute is None else age_column_names(attribute.name)[1:]
    rows = read_csv(path, [ID_COLUMN])
    if not rows or not columns or any(name not in rows[0] for name in columns):
        raise DataError(
            f"this file has no ages in years ({', '.join(columns) or 'the schema has no ages'})",
            location=path,
            hint="write it with maskfit predict --attributes-csv, by a model with narrow age bands",
        )
    ages: dict[str, tuple[float, ...]] = {}
    problems = find_repeated_rows(row[ID_COLUMN] for row in rows)
    for number, row in enumerate(rows, start=2):
        try:
            ages[row[ID_COLUMN]] = _parse_quantiles([row[name] for name in columns], columns)
        except DataError as error:
            problems.append(f"row {number}, {row[ID_COLUMN]}: {error.message}")
    if problems:
        raise DataError(
            f"invalid ages:\n{format_list(problems)}",
            location=path,
            hint="give each photo one row, or predict them again",
        )
    return ages


def _parse_quantiles(cells: Sequence[str], columns: Sequence[str]) -> tuple[float, ...]:
    """The ages of one row, if they are possible and ascend."""
    ages = []
    for cell, column in zip(cells, columns, strict=True):
        try:
            age = float(cell)
        except ValueError:
            age = math.nan
        # False for NaN as well.
        if not 0 <= age <= MAX_AGE:
            raise DataError(f"{column} {cell!r} is no age of 0 to {MAX_AGE} years")
        ages.append(age)
    if ages != sorted(ages):
        raise DataError(f"{', '.join(columns)} do not ascend: {', '.join(cells)}")
    return tuple(ages)


def _read_header(path: Path) -> set[str]:
    """The column names in lower case; none of a file without rows."""
    return {name.casefold() for name in next(iter_csv(path, ()), {})}


def _check_pairs(names: Sequence[str], classes: ArrayLike) -> IntArray:
    """The class indices, if there is exactly one for each photo."""
    indices = np.asarray(classes)
    if indices.shape != (len(names),):
        raise DataError(
            f"{format_count(len(names), 'photo')}, but classes of shape {indices.shape}", hint="give one class for each"
        )
    if len(names) and not np.issubdtype(indices.dtype, np.integer):
        raise DataError(f"classes are {indices.dtype}, not integers", hint="take the argmax of the probabilities")
    if (indices < 0).any():
        photo = names[int((indices < 0).argmax())]
        raise DataError(f"{photo} has the class {indices.min()}, which is none", hint="predict every photo")
    duplicates = [name for name, count in Counter(names).items() if count > 1]
    if duplicates:
        raise DataError(f"duplicate photos in the list:\n{format_list(duplicates)}", hint="list each photo once")
    return indices.astype(np.int64)
