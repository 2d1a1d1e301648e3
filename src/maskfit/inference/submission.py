"""The files that answers are handed in as: one class number for each photo, in the order of the list that was given."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from maskfit.errors import DataError, format_list
from maskfit.file_io import read_csv, write_csv
from maskfit.labels.schema import LABEL_SCHEMAS, IntArray

ID_COLUMN = "ImageID"
"""The column of the photo's name, as in the competition's info.csv."""

CLASS_COLUMN = "ans"
"""The column of the class number."""


def write_submission(path: Path, names: Sequence[str], classes: ArrayLike) -> Path:
    """Writes `ImageID,ans`, a row for each photo in the given order.

    Args:
        path: Where; a file that is there is replaced.
        names: The photos' names, in the order of the list they came from.
        classes: (photos,) official class numbers, row `i` for `names[i]`.

    Raises:
        DataError: The lengths differ, a photo stands twice, or an answer is no class number.
    """
    numbers = _paired(names, classes)
    return write_csv(path, [ID_COLUMN, CLASS_COLUMN], zip(names, numbers.tolist(), strict=True))


def read_submission(path: Path, classes: int = LABEL_SCHEMAS["mask-gender-age"].num_classes) -> dict[str, int]:
    """Reads `ImageID,ans` into photo name to class number, in the order of the rows.

    Args:
        path: The CSV.
        classes: How many classes there are.

    Raises:
        DataError: The file or a column is missing, a column is too many, or rows are wrong; all of these are listed
            with their row numbers.
    """
    path = Path(path)
    rows = read_csv(path, [ID_COLUMN, CLASS_COLUMN])
    extra = [name for name in (rows[0] if rows else ()) if name not in (ID_COLUMN, CLASS_COLUMN)]
    if extra:
        raise DataError(
            f"column {', '.join(map(repr, extra))} does not belong into a submission",
            location=path,
            hint=f"leave only the columns {ID_COLUMN},{CLASS_COLUMN}",
        )
    answers: dict[str, int] = {}
    first: dict[str, int] = {}
    problems = []
    for place, row in enumerate(rows, start=2):
        name, text = row[ID_COLUMN], row[CLASS_COLUMN]
        if not name:
            problems.append(f"row {place}: {ID_COLUMN} is empty")
        elif name in first:
            problems.append(f"row {place}: {name} already stands in row {first[name]}")
        first.setdefault(name, place)
        # int() would take "1_0", " 3" and digits of other scripts; a submission has plain digits.
        if not (text.isascii() and text.isdigit()):
            problems.append(f"row {place}: {CLASS_COLUMN} {text!r} is no whole number")
        elif int(text) >= classes:
            problems.append(f"row {place}: {CLASS_COLUMN} {text} is not in 0 to {classes - 1}")
        else:
            answers[name] = int(text)
    if problems:
        raise DataError(f"rows that cannot be scored:\n{format_list(problems)}", location=path, hint="mend these rows")
    return answers


def _paired(names: Sequence[str], classes: ArrayLike) -> IntArray:
    """The class numbers, if there is exactly one for each photo."""
    numbers = np.asarray(classes)
    if numbers.shape != (len(names),):
        raise DataError(f"{len(names)} photos, but answers of shape {numbers.shape}", hint="give one class for each")
    if len(names) and not np.issubdtype(numbers.dtype, np.integer):
        raise DataError(f"answers are {numbers.dtype}, not whole numbers", hint="take the argmax of the probabilities")
    if (numbers < 0).any():
        photo = names[int((numbers < 0).argmax())]
        raise DataError(f"{photo} has the answer {numbers.min()}, which is no class", hint="answer every photo")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(f"a photo stands twice in the list:\n{format_list(twice)}", hint="list each photo once")
    return numbers.astype(np.int64)
