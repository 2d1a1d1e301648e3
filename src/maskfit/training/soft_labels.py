"""Soft labels: a table with a distribution over values for each photo, to train on beside or in place of its label.

Two sources are usual: another model (knowledge distillation, Hinton et al. 2015, arXiv:1503.02531) and several
annotators who do not agree. The table is one of three kinds:

- class probabilities, `ImageID,p0,...`, as `maskfit predict --probabilities`, an ensemble and a run's folds write them;
- one column for each value, `path,mask=wear,mask=incorrect,...`, with probabilities that sum to 1 for each attribute,
  or with the number of annotators who chose the value. An attribute whose cells are all empty is not known. An age may
  have columns for single years (`age=27`) or for bands;
- one row for each photo and annotator, `path,annotator,mask`, as annotation tools write them: rows are counted.
"""

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from maskfit.data.data_problems import MAX_LISTED
from maskfit.data.manifest_columns import find_columns, look_like_bands
from maskfit.data.photo_dataset import Photo
from maskfit.errors import DataError, LabelError, did_you_mean, format_list
from maskfit.evaluation.probability_table import read_table
from maskfit.file_io import iter_csv
from maskfit.labels.schema import FloatArray, Labels, LabelSchema
from maskfit.labels.spellings import as_integer
from maskfit.text import explain_number, format_count
from maskfit.training.table_rows import find_rows

SUM_TOLERANCE = 0.01
"""Allowed deviation of an attribute's probabilities from the sum 1, for tables of rounded numbers."""

ANNOTATOR_COLUMNS = ("annotator", "annotator_id", "rater", "labeler", "labeller")
"""Names of the column that says whose vote a row is, in any case."""

MAX_VOTES = 1e15
"""Largest number of votes: up to it each is counted exactly."""


@dataclass(frozen=True, eq=False)
class SoftTargets:
    """Soft labels of a dataset for one head.

    Attributes:
        probabilities: (photos, groups) probability of each group of outputs; rows sum to 1, or are 0 without a label.
        allowed: (groups, outputs) which outputs of the head each group consists of: one where the table's values are
            as fine as the head's, several where it has the wider age bands.
    """

    probabilities: NDArray[np.float32]
    allowed: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class SoftLabelTable:
    """A table of soft labels.

    Attributes:
        path: The file.
        names: Names of the photos, unique.
        labels: What each column stands for: one attribute's value, or a value of every attribute.
        weights: (photos, columns) probabilities; 0 where an attribute is not known.
        rows: Number of rows that were counted as votes; None where each photo has one row.
        num_votes: Attribute -> (photos,) number of votes; without attributes that have probabilities.
    """

    path: Path
    names: tuple[str, ...]
    labels: tuple[Labels, ...]
    weights: FloatArray
    rows: int | None = None
    num_votes: Mapping[str, FloatArray] = field(default_factory=dict)

    def rows_of(self, photos: Iterable[Photo]) -> NDArray[np.int64]:
        """Finds the row of each photo: by its name in the dataset, or by its path relative to the table's folder.

        Args:
            photos: Photos of the dataset.

        Returns:
            (photos,) row numbers from 0; -1 where a photo has none.

        Raises:
            DataError: Several rows name one photo, by different paths.
        """
        return find_rows(self.names, photos, self.path)

    def targets(self, rows: NDArray[np.int64], schema: LabelSchema, head: str) -> SoftTargets | None:
        """Converts the table to targets of a head.

        Args:
            rows: (photos,) as from `rows_of`.
            schema: Labels that the network is trained on.
            head: One of its attributes, or the joint head.

        Returns:
            The targets; None where no photo has a soft label of this head.
        """
        allowed = schema.allowed_mask_from_labels(self.labels, head)
        says_something = ~allowed.all(axis=1)
        groups, group_of_column = np.unique(allowed[says_something], axis=0, return_inverse=True)
        probabilities = np.zeros((len(rows), len(groups)))
        found = rows >= 0
        for column, group in zip(np.flatnonzero(says_something), group_of_column.ravel(), strict=True):
            probabilities[found, group] += self.weights[rows[found], column]
        total = probabilities.sum(axis=1, keepdims=True)
        if not total.any():
            return None
        return SoftTargets((probabilities / np.where(total > 0, total, 1)).astype(np.float32), groups)


def read_soft_labels(path: Path, schema: LabelSchema) -> SoftLabelTable:
    """Reads a table of soft labels.

    Args:
        path: The CSV.
        schema: Labels that predictions are scored on.

    Returns:
        The table.

    Raises:
        DataError: The file is no such table; rows and columns that cannot be read are named.
    """
    path = Path(path)
    first = next(iter_csv(path, []), None)
    if first is None:
        raise DataError("the table has no rows", location=path, hint="give each photo one row")
    columns = [name for name in first if "=" in name]
    if "p0" in first and columns:
        raise DataError(
            f"the table has probabilities of classes, p0, and of single values, {columns[0]}",
            location=path,
            hint="keep the columns of one kind",
        )
    if "p0" in first:
        own = read_table(path, schema.num_classes)
        return SoftLabelTable(path, own.names, class_labels(schema), own.probabilities)
    found, _ = find_columns(list(first), schema)
    names = tuple(row[found.path] for row in iter_csv(path, [])) if found else ()
    problems = [
        f"row {number}: no name in column {found.path}"
        for number, name in enumerate(names, start=2)
        if found and not name
    ]
    if found and columns:
        table = _read_values(path, names, columns, schema, problems)
        hint = "give each photo one row, with probabilities or numbers of votes"
        attribute = columns[0].partition("=")[0].strip()
        if first[columns[0]] in schema[attribute].values:
            hint = f"column {columns[0]} holds values: rename it to {attribute}, and the table is one of labels"
    elif found and found.labels and (len(set(names)) < len(names) or find_annotator_column(first)):
        table = _count_votes(path, names, found.labels, schema, problems)
        problems += [
            f"column {column} is not counted; write years or bands into a column {name}"
            for name, column in found.bands.items()
        ]
        hint = "correct these rows: each is the vote of one annotator for one photo, and empty cells are no vote"
    else:
        example = schema.attributes[0]
        raise DataError(
            "this is no table of soft labels",
            location=path,
            hint="it needs the columns ImageID,p0,p1,... that maskfit predict --probabilities writes; or path and one "
            f"column for each value: {','.join(f'{example.name}={value}' for value in example.values)}; or path and "
            f"{example.name}, with a row for each photo and annotator, as maskfit data majority joins several tables",
        )
    if problems:
        raise DataError(
            f"soft labels cannot be read:\n{format_list(problems, shown=MAX_LISTED)}", location=path, hint=hint
        )
    return table


def _read_values(
    path: Path, names: tuple[str, ...], columns: Sequence[str], schema: LabelSchema, problems: list[str]
) -> SoftLabelTable:
    """Reads a table that has a column for each value.

    Args:
        path: The file.
        names: The photo of each row.
        columns: The columns.
        schema: Labels that predictions are scored on.
        problems: Extended by the cells that cannot be read.

    Returns:
        The table.
    """
    labels = tuple(_parse_column(name, schema, path) for name in columns)
    problems += [f"{name} is in {count:,} rows" for name, count in Counter(names).items() if name and count > 1]
    cells = array("d")
    # Row by row: as text in memory a table of 100,000 photos and 60 years takes ten times as much.
    for number, row in enumerate(iter_csv(path, []), start=2):
        cells.extend(_parse_row(row, columns, number, problems))
    weights = np.frombuffer(cells, dtype=np.float64).reshape(len(names), len(columns))
    num_votes = _normalize(weights, columns, problems)
    problems += find_codes(schema, [item for label in labels for item in label.items()])
    return SoftLabelTable(path, names, labels, weights, num_votes=num_votes)


def _count_votes(
    path: Path,
    names: Sequence[str],
    columns: Mapping[str, str],
    schema: LabelSchema,
    problems: list[str],
) -> SoftLabelTable:
    """Counts the votes of a table that has a row for each photo and annotator.

    Args:
        path: The file.
        names: The photo of each row.
        columns: Attribute to its column.
        schema: Labels that predictions are scored on.
        problems: Extended by the cells that cannot be read.

    Returns:
        The table, with a row for each photo.
    """
    votes: Counter[tuple[str, tuple[str, str]]] = Counter()
    annotator = find_annotator_column(next(iter_csv(path, []), {}))
    voted_in: dict[tuple[str, str, str], int] = {}
    for number, (row, name) in enumerate(zip(iter_csv(path, []), names, strict=True), start=2):
        for attribute, column in columns.items():
            try:
                says_something = not schema[attribute].allowed_mask(row[column]).all()
            except LabelError as error:
                problems.append(f"row {number}: {error}")
                continue
            if says_something:
                votes[name, (attribute, row[column])] += 1
                whose = row[annotator] if annotator else ""
                before = voted_in.setdefault((whose, name, attribute), number) if whose else number
                if before != number:
                    problems.append(f"row {number}: {whose} said {attribute} of {name} in row {before} already")
    if not votes:
        problems.append(f"no row has a label in {' or '.join(columns.values())}")
    problems += find_codes(schema, [label for _, label in votes])
    row_of_name = {name: row for row, name in enumerate(dict.fromkeys(names))}
    column_of_label = {label: column for column, label in enumerate(dict.fromkeys(label for _, label in votes))}
    weights = np.zeros((len(row_of_name), len(column_of_label)))
    for (name, label), count in votes.items():
        weights[row_of_name[name], column_of_label[label]] = count
    num_votes = _normalize(weights, ["=".join(label) for label in column_of_label], problems)
    labels = tuple({attribute: value} for attribute, value in column_of_label)
    return SoftLabelTable(path, tuple(row_of_name), labels, weights, rows=len(names), num_votes=num_votes)


def find_annotator_column(header: Iterable[str]) -> str:
    """Finds the column that says whose vote a row is.

    Args:
        header: Names of the columns.

    Returns:
        Its name as spelled in the file; empty where there is none.
    """
    return next((name for name in header if name.strip().casefold() in ANNOTATOR_COLUMNS), "")


def class_labels(schema: LabelSchema) -> tuple[Labels, ...]:
    """Returns the labels of each class of a schema.

    Args:
        schema: The schema.

    Returns:
        For each class the value of every attribute, by name.
    """
    codes = schema.to_attribute_indices(np.arange(schema.num_classes))
    return tuple(
        {attribute.name: attribute.values[code] for attribute, code in zip(schema.attributes, row, strict=True)}
        for row in codes.tolist()
    )


def describe_matches(table: SoftLabelTable, rows: NDArray[np.int64]) -> str:
    """Says how many photos have soft labels, and which rows belong to no photo or say nothing.

    Args:
        table: The table.
        rows: (photos,) as from `SoftLabelTable.rows_of`.

    Returns:
        A line for the user.

    Raises:
        DataError: No row belongs to a photo, or those that do say nothing.
    """
    used = set(rows[rows >= 0].tolist())
    unused = [name for row, name in enumerate(table.names) if row not in used]
    empty = [row for row in np.flatnonzero(~table.weights.any(axis=1)).tolist() if row in used]
    if not used:
        raise DataError(
            f"no row of the soft labels names a photo of the dataset; the first is {unused[0]}",
            location=table.path,
            hint="name photos as the dataset does (see maskfit data check), or relative to the table's folder",
        )
    if len(empty) == len(used):
        raise DataError(
            "the soft labels say nothing about the photos of the dataset: all their cells are empty or 0",
            location=table.path,
            hint="fill in probabilities or numbers of votes",
        )
    num_photos = int((rows >= 0).sum() - np.isin(rows, empty).sum())
    line = f"{table.path}: soft labels for {num_photos:,} of {format_count(len(rows), 'photo')}"
    if table.rows is not None:
        line += f", counted from {table.rows:,} rows as one vote each"
    if empty:
        line += (
            f"; {format_count(len(empty), 'photo has', 'photos have')} nothing but empty cells or 0, such as "
            f"{table.names[empty[0]]}"
        )
    if unused:
        line += f"; {format_count(len(unused), 'row names', 'rows name')} no photo of the dataset, such as {unused[0]}"
    return line


def find_codes(schema: LabelSchema, labels: Iterable[tuple[str, str | float]]) -> list[str]:
    """Returns a line for each attribute whose values are named by codes: in which order they count, nothing says.

    Args:
        schema: The label schema.
        labels: Attributes with the texts of their values.

    Returns:
        The lines.
    """
    texts: dict[str, list[str]] = {}
    for name, text in dict.fromkeys(labels):
        texts.setdefault(name, []).append(str(text))
    problems = []
    for name, found in texts.items():
        values = schema[name].values
        if schema[name].bin_edges:
            # Years below three are rare; where there are no others, they are the numbers of bands.
            codes = found if look_like_bands(found, len(values)) else []
        else:
            codes = [text for text in found if as_integer(text) is not None and text not in values]
        if codes:
            problems.append(
                f"{name}: {', '.join(sorted(codes))} look like codes, and nothing says what they mean; write "
                f"{', '.join(values)}"
            )
    return problems


def _parse_column(column: str, schema: LabelSchema, path: Path) -> Labels:
    name, _, value = (part.strip() for part in column.partition("="))
    if name not in schema.names:
        raise DataError(
            f"column {column}: '{name}' is not an attribute; {did_you_mean(name, schema.names)}",
            location=path,
            hint="rename the column, or remove it",
        )
    try:
        known = not schema[name].allowed_mask(value).all()
    except LabelError as error:
        raise DataError(f"column {column}: {error}", location=path, hint="rename the column, or remove it") from None
    if not known:
        raise DataError(
            f"column {column} says nothing about the {name}",
            location=path,
            hint=f"name one of {', '.join(schema[name].values)}",
        )
    return {name: value}


def _parse_row(row: Mapping[str, str], columns: Sequence[str], number: int, problems: list[str]) -> list[float]:
    values = []
    for column in columns:
        cell = row[column]
        try:
            value = float(cell) if cell else 0.0
        except ValueError:
            value = np.nan
        if not 0 <= value <= MAX_VOTES:
            problems.append(
                f"row {number}: {column} is '{cell:.40}', not a number from 0 to {MAX_VOTES:g}{explain_number(cell)}"
            )
            value = 0.0
        values.append(value)
    return values


def _normalize(weights: FloatArray, columns: Sequence[str], problems: list[str]) -> dict[str, FloatArray]:
    """Divides votes by their number, attribute by attribute; reports rows that are neither votes nor probabilities.

    Returns:
        Attribute -> (rows,) number of votes, of those that have votes in all rows.
    """
    num_votes = {}
    names = [re.split(r"\s*=", column, maxsplit=1)[0].strip() for column in columns]
    order = sorted(range(len(columns)), key=names.__getitem__)
    for name, group in groupby(order, key=names.__getitem__):
        own = list(group)
        total = weights[:, own].sum(axis=1)
        are_votes = (weights[:, own] % 1 == 0).all(axis=1)
        if are_votes.all():
            num_votes[name] = total
        is_valid = (np.abs(total - 1) <= SUM_TOLERANCE) | are_votes
        problems += [
            f"row {row + 2}: the columns of {name} sum to {total[row]:g}, not to 1" for row in np.flatnonzero(~is_valid)
        ]
        weights[:, own] /= np.where(total > 0, total, 1)[:, None]
    return num_votes
