"""Tables of probabilities: what a member, a fold or an ensemble says of each photo, kept by the photos' names.

A table is matched by name and never by place. Votes, stacking, suspects and reports are arithmetic on such tables, so
a photo is passed through a network only once.
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

Array = TypeVar("Array", bound=NDArray[Any])

SUM_TOLERANCE = 1e-4
"""How far a row of probabilities may sum from 1: what single precision and eight written digits leave."""


@dataclass(frozen=True, eq=False)
class ProbabilityTable:
    """Probabilities of the official classes, a row for each photo.

    Attributes:
        names: The photos' names in order, each once.
        probabilities: (photos, classes), rows summing to 1.
        truth: (photos,) class numbers, `UNKNOWN` where nobody wrote it down; None where none is known.

    Raises:
        DataError: A name stands twice, the lengths differ, a row is no probabilities, or a truth is no class.
    """

    names: tuple[str, ...]
    probabilities: FloatArray
    truth: IntArray | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(self.names))
        twice = [name for name, count in Counter(self.names).items() if count > 1]
        if twice:
            raise DataError(f"a photo stands twice in the table:\n{format_list(twice)}", hint="give each photo one row")
        rows = check_probabilities(self.probabilities, "the table")
        if len(rows) != len(self.names):
            raise DataError(f"{len(self.names)} names, but {len(rows)} rows of probabilities")
        object.__setattr__(self, "probabilities", _frozen(rows))
        if self.truth is not None:
            truth = np.asarray(self.truth)
            if truth.shape != (len(rows),) or not np.issubdtype(truth.dtype, np.integer):
                raise DataError(f"truth of shape {truth.shape} and type {truth.dtype} does not fit {len(rows)} photos")
            if ((truth < UNKNOWN) | (truth >= rows.shape[1])).any():
                raise DataError(f"a truth is not in 0 to {rows.shape[1] - 1}, nor {UNKNOWN} for unknown")
            object.__setattr__(self, "truth", _frozen(truth.astype(np.int64)))

    def __len__(self) -> int:
        return len(self.names)

    @property
    def predictions(self) -> IntArray:
        """The answers, shape (photos,): the most probable class, of equal ones the lowest."""
        return np.asarray(self.probabilities.argmax(axis=1))

    @property
    def confidence(self) -> FloatArray:
        """The answers' probabilities, shape (photos,)."""
        return np.asarray(self.probabilities.max(axis=1))

    def reindex(self, names: Iterable[str]) -> ProbabilityTable:
        """The rows of these photos in this order; rows of other photos are left out.

        Raises:
            DataError: A photo has no row, or is named twice.
        """
        names = tuple(names)
        places = {name: place for place, name in enumerate(self.names)}
        missing = [name for name in names if name not in places]
        if missing:
            raise DataError(
                f"{len(missing)} of {len(names)} photos have no row in the table:\n{format_list(missing)}",
                hint="predict these photos too, or leave them out of the list",
            )
        order = np.array([places[name] for name in names], dtype=np.int64)
        truth = None if self.truth is None else self.truth[order]
        return ProbabilityTable(names, self.probabilities[order], truth)

    def write(self, path: Path) -> Path:
        """Writes `ImageID,p0,...,pN` and, where it is known, `truth`; eight digits, so that 1e-7 comes back."""
        header = probability_header(self.probabilities.shape[1])
        rows = probability_rows(self.names, self.probabilities)
        if self.truth is None:
            return write_csv(path, header, rows)
        with_truth = ([*row, truth] for row, truth in zip(rows, self.truth.tolist(), strict=True))
        return write_csv(path, [*header, "truth"], with_truth)


def probability_header(classes: int) -> list[str]:
    """The columns of a table without truth: `ImageID,p0,...,pN`."""
    return ["ImageID", *(f"p{number}" for number in range(classes))]


def probability_rows(names: Sequence[str], probabilities: FloatArray) -> Iterator[list[str]]:
    """A row of such a table for each photo; eight digits, so that 1e-7 comes back."""
    for name, row in zip(names, probabilities.tolist(), strict=True):
        yield [name, *(f"{value:.8g}" for value in row)]


def read_table(path: Path, classes: int | None = None) -> ProbabilityTable:
    """Reads what `ProbabilityTable.write` wrote.

    Args:
        path: The CSV. Columns other than `ImageID`, `p0` to `pN` and `truth` are passed over.
        classes: How many classes it must have; None takes what is there.

    Raises:
        DataError: The file is missing or is no such table; a cell that is no number is named with its row.
    """
    path = Path(path)
    rows = read_csv(path, ["ImageID", "p0"])
    # Without a row, the columns are unknown; an empty table helps nobody.
    if not rows:
        raise DataError("the table has no rows", location=path, hint="predict at least one photo")
    found = sum(re.fullmatch(r"p\d+", name) is not None for name in rows[0])
    columns = [f"p{number}" for number in range(found)]
    gaps = [name for name in columns if name not in rows[0]]
    if gaps or classes not in (None, found):
        said = f"column {', '.join(gaps)} is missing" if gaps else f"{found} classes instead of {classes}"
        raise DataError(
            f"{said} in a table of probabilities", location=path, hint="columns p0, p1, ... one for each class"
        )
    problems: list[str] = []
    values = [_numbers(row, columns, place, problems) for place, row in enumerate(rows, start=2)]
    truth = [_truth(row, place, problems) for place, row in enumerate(rows, start=2)] if "truth" in rows[0] else None
    if problems:
        raise DataError(
            f"cells that cannot be read:\n{format_list(problems)}", location=path, hint="write the table anew"
        )
    try:
        names = tuple(row["ImageID"] for row in rows)
        return ProbabilityTable(names, np.array(values), None if truth is None else np.array(truth, dtype=np.int64))
    except DataError as error:
        raise DataError(error.message, location=path, hint=error.hint) from None


def concat_tables(tables: Sequence[ProbabilityTable]) -> ProbabilityTable:
    """Joins the rows of tables of different photos, in order: the out-of-fold table from the folds' tables.

    Truth is kept where a table has it and unknown elsewhere.

    Raises:
        DataError: There is no table, a photo stands in two of them, or they differ in their number of classes.
    """
    if not tables:
        raise DataError("there is no table to join")
    widths = {table.probabilities.shape[1] for table in tables}
    if len(widths) > 1:
        raise DataError(f"tables of {' and '.join(map(str, sorted(widths)))} classes cannot be joined")
    counts = Counter(name for table in tables for name in table.names)
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        raise DataError(
            f"{len(twice)} photos stand in more than one table:\n{format_list(twice)}",
            hint="join tables of disjoint folds; tables of the same photos are for a vote",
        )
    truth = None
    if any(table.truth is not None for table in tables):
        blank = [np.full(len(table), UNKNOWN) if table.truth is None else table.truth for table in tables]
        truth = np.concatenate(blank)
    names = tuple(name for table in tables for name in table.names)
    return ProbabilityTable(names, np.concatenate([table.probabilities for table in tables]), truth)


def check_probabilities(values: NDArray[np.floating], what: str) -> FloatArray:
    """The same values in double precision, if they are probabilities.

    Args:
        values: (photos, classes).
        what: What they are, for the message.

    Raises:
        DataError: The shape is not (photos, classes), or a row is not finite, not >= 0 or does not sum to 1.
    """
    rows = np.asarray(values, dtype=np.float64)
    if rows.ndim != 2 or rows.shape[1] == 0:
        raise DataError(f"{what}: shape {rows.shape} is not (photos, classes)")
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
                f"{what}: row {row} {problem} (sum {sums[row]:.6g}), so these are no probabilities",
                hint="turn logits into probabilities with a softmax before they are kept or averaged",
            )
    return rows


def _numbers(row: dict[str, str], columns: Sequence[str], place: int, problems: list[str]) -> list[float]:
    try:
        return [float(row[column]) for column in columns]
    except ValueError:
        problems.append(f"row {place}: a probability is no number")
        return [0.0] * len(columns)


def _truth(row: dict[str, str], place: int, problems: list[str]) -> int:
    if row["truth"] == "":
        return UNKNOWN
    try:
        return int(row["truth"])
    except ValueError:
        problems.append(f"row {place}: truth '{row['truth']}' is no class number")
        return UNKNOWN


def _frozen(array: Array) -> Array:
    """A copy that nobody can write to: a table is handed around and must stay what it was checked to be."""
    copy = array.copy()
    copy.setflags(write=False)
    return copy
