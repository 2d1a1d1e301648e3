"""Tables of class probabilities by photo, of one model, fold or ensemble.

Tables are matched by the photos' names, never by position. Voting, stacking, label issues and reports are computed from
such tables, so that each photo passes through a network only once.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from maskfit.errors import DataError, format_list
from maskfit.file_io import read_csv, write_csv
from maskfit.labels.schema import UNKNOWN, FloatArray, IntArray
from maskfit.labels.spellings import as_integer
from maskfit.text import explain_number, format_count

Array = TypeVar("Array", bound=NDArray[Any])

SUM_TOLERANCE = 1e-4
"""Allowed deviation of a row's sum from 1: rounding to single precision and to eight digits."""


@dataclass(frozen=True, eq=False)
class ProbabilityTable:
    """Probabilities of the scored classes, one row per photo.

    Attributes:
        names: Names of the photos, unique.
        probabilities: Shape (photos, classes), rows summing to 1.
        truth: True classes, shape (photos,), `UNKNOWN` where not labeled; None where none is known.

    Raises:
        DataError: A name is duplicated, lengths differ, a row is not a distribution, or a true class is out of range.
    """

    names: tuple[str, ...]
    probabilities: FloatArray
    truth: IntArray | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(self.names))
        duplicates = [name for name, count in Counter(self.names).items() if count > 1]
        if duplicates:
            raise DataError(
                f"photos are duplicated in the table:\n{format_list(duplicates)}", hint="give each photo one row"
            )
        rows = check_probabilities(self.probabilities, "the table")
        if len(rows) != len(self.names):
            raise DataError(
                f"{format_count(len(self.names), 'name')}, but {format_count(len(rows), 'row')} of probabilities"
            )
        object.__setattr__(self, "probabilities", _read_only(rows))
        if self.truth is not None:
            truth = np.asarray(self.truth)
            if truth.shape != (len(rows),) or not np.issubdtype(truth.dtype, np.integer):
                raise DataError(f"truth must be {len(rows)} integers, got shape {truth.shape} and type {truth.dtype}")
            if ((truth < UNKNOWN) | (truth >= rows.shape[1])).any():
                raise DataError(f"a true class is not in 0 to {rows.shape[1] - 1}, nor {UNKNOWN} for unknown")
            object.__setattr__(self, "truth", _read_only(truth.astype(np.int64)))

    def __len__(self) -> int:
        return len(self.names)

    @property
    def predictions(self) -> IntArray:
        """Most probable class of each photo, shape (photos,); of equally probable ones the lowest."""
        return np.asarray(self.probabilities.argmax(axis=1))

    @property
    def confidence(self) -> FloatArray:
        """Probability of each prediction, shape (photos,)."""
        return np.asarray(self.probabilities.max(axis=1))

    def reindex(self, names: Iterable[str]) -> ProbabilityTable:
        """Selects and reorders rows by the photos' names.

        Args:
            names: Photos of the new table, in order.

        Returns:
            A table with these rows.

        Raises:
            DataError: A photo has no row, or is listed twice.
        """
        names = tuple(names)
        row_of_name = {name: row for row, name in enumerate(self.names)}
        missing = [name for name in names if name not in row_of_name]
        if missing:
            raise DataError(
                f"{len(missing):,} of {format_count(len(names), 'photo has', 'photos have')} no row in "
                f"the table:\n{format_list(missing)}",
                hint="predict these photos too, or remove them from the list",
            )
        order = np.array([row_of_name[name] for name in names], dtype=np.int64)
        truth = None if self.truth is None else self.truth[order]
        return ProbabilityTable(names, self.probabilities[order], truth)

    def write(self, path: Path) -> Path:
        """Writes the table as CSV with columns `ImageID`, `p0` to `pN` and, where it is known, `truth`.

        Args:
            path: The target.

        Returns:
            The path.
        """
        header = probability_header(self.probabilities.shape[1])
        rows = probability_rows(self.names, self.probabilities)
        if self.truth is None:
            return write_csv(path, header, rows)
        with_truth = ([*row, truth] for row, truth in zip(rows, self.truth.tolist(), strict=True))
        return write_csv(path, [*header, "truth"], with_truth)


def probability_header(num_classes: int) -> list[str]:
    """Returns the CSV columns of a table without truth.

    Args:
        num_classes: Number of classes.

    Returns:
        `ImageID`, `p0` to `pN`.
    """
    return ["ImageID", *(f"p{number}" for number in range(num_classes))]


def probability_rows(names: Sequence[str], probabilities: FloatArray) -> Iterator[list[str]]:
    """Formats the CSV rows of a table, with eight significant digits, which preserve 1e-7.

    Args:
        names: Names of the photos.
        probabilities: Shape (photos, classes).

    Yields:
        The cells of each row.
    """
    for name, row in zip(names, probabilities.tolist(), strict=True):
        yield [name, *(f"{value:.8g}" for value in row)]


def read_table(path: Path, num_classes: int | None = None) -> ProbabilityTable:
    """Reads a CSV that `ProbabilityTable.write` wrote.

    Args:
        path: The CSV; columns other than `ImageID`, `p0` to `pN` and `truth` are ignored.
        num_classes: Expected number of classes; any number by default.

    Returns:
        The table.

    Raises:
        DataError: The file is missing or is not such a table; cells that are not numbers are listed with their rows.
    """
    path = Path(path)
    rows = read_csv(path, ["ImageID", "p0"])
    # Without a row the number of classes is unknown, and an empty table is of no use.
    if not rows:
        raise DataError("the table has no rows", location=path, hint="predict at least one photo")
    found = sum(re.fullmatch(r"p\d+", name) is not None for name in rows[0])
    columns = [f"p{number}" for number in range(found)]
    gaps = [name for name in columns if name not in rows[0]]
    if gaps or num_classes not in (None, found):
        problem = (
            f"column {', '.join(gaps)} is missing"
            if gaps
            else f"{format_count(found, 'class', 'classes')} instead of {num_classes}"
        )
        raise DataError(
            f"{problem} in a table of probabilities", location=path, hint="give one column p0, p1, ... for each class"
        )
    problems: list[str] = []
    values = [_parse_row(row, columns, number, problems) for number, row in enumerate(rows, start=2)]
    has_truth = "truth" in rows[0]
    truth = [_parse_truth(row, number, problems) for number, row in enumerate(rows, start=2)] if has_truth else None
    if problems:
        raise DataError(
            f"cells cannot be read:\n{format_list(problems)}", location=path, hint="generate the table again"
        )
    try:
        names = tuple(row["ImageID"] for row in rows)
        return ProbabilityTable(names, np.array(values), None if truth is None else np.array(truth, dtype=np.int64))
    except DataError as error:
        raise DataError(error.message, location=path, hint=error.hint) from None


def concat_tables(tables: Sequence[ProbabilityTable]) -> ProbabilityTable:
    """Concatenates tables of disjoint photos: the out-of-fold table from the folds' tables.

    Args:
        tables: At least one, with the same number of classes.

    Returns:
        All rows in order; the truth is `UNKNOWN` for photos of tables without truth.

    Raises:
        DataError: There is no table, a photo is in two of them, or their numbers of classes differ.
    """
    if not tables:
        raise DataError("there is no table to concatenate")
    widths = {table.probabilities.shape[1] for table in tables}
    if len(widths) > 1:
        raise DataError(f"tables of {' and '.join(map(str, sorted(widths)))} classes cannot be concatenated")
    counts = Counter(name for table in tables for name in table.names)
    duplicates = [name for name, count in counts.items() if count > 1]
    if duplicates:
        raise DataError(
            f"{format_count(len(duplicates), 'photo is', 'photos are')} in more than one "
            f"table:\n{format_list(duplicates)}",
            hint="concatenate tables of disjoint folds; tables of the same photos are combined by a vote",
        )
    truth = None
    if any(table.truth is not None for table in tables):
        parts = [np.full(len(table), UNKNOWN) if table.truth is None else table.truth for table in tables]
        truth = np.concatenate(parts)
    names = tuple(name for table in tables for name in table.names)
    return ProbabilityTable(names, np.concatenate([table.probabilities for table in tables]), truth)


def check_probabilities(values: NDArray[np.floating], name: str) -> FloatArray:
    """Checks that every row is a probability distribution.

    Args:
        values: Shape (photos, classes).
        name: What they are, for the message.

    Returns:
        The same values in double precision.

    Raises:
        DataError: The shape is not (photos, classes), or a row is not finite, has a negative value, or does not sum to
            1.
    """
    rows = np.asarray(values, dtype=np.float64)
    if rows.ndim != 2 or rows.shape[1] == 0:
        raise DataError(f"{name}: shape {rows.shape} is not (photos, classes)")
    sums = rows.sum(axis=1)
    checks = (
        (~np.isfinite(rows).all(axis=1), "is not finite"),
        ((rows < 0).any(axis=1), "has a negative value"),
        (~(np.abs(sums - 1) <= SUM_TOLERANCE), "does not sum to 1"),
    )
    for bad, problem in checks:
        if bad.any():
            row = int(bad.argmax())
            raise DataError(
                f"{name}: row {row} {problem} (sum {sums[row]:.6g}), so these are not probabilities",
                hint="apply a softmax to logits before storing or averaging them",
            )
    return rows


def _parse_row(row: dict[str, str], columns: Sequence[str], number: int, problems: list[str]) -> list[float]:
    try:
        return [float(row[column]) for column in columns]
    except ValueError:
        wrong = next(column for column in columns if not _is_number(row[column]))
        cell = row[wrong]
        problems.append(f"row {number}: {wrong} is '{cell:.40}', not a number{explain_number(cell)}")
        return [0.0] * len(columns)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _parse_truth(row: dict[str, str], number: int, problems: list[str]) -> int:
    if row["truth"] == "":
        return UNKNOWN
    truth = as_integer(row["truth"])
    if truth is None:
        problems.append(f"row {number}: truth '{row['truth']:.40}' is not a class index")
        return UNKNOWN
    return truth


def _read_only(array: Array) -> Array:
    """Returns a read-only copy: tables are shared, and must keep the values that were checked."""
    copy = array.copy()
    copy.setflags(write=False)
    return copy
