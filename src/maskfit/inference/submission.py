"""The files that answers are handed in as: one class number for each photo, in the order of the list that was given."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from maskfit.errors import DataError, several
from maskfit.evaluation.tables import ProbabilityTable
from maskfit.files import read_csv, write_csv, write_text
from maskfit.labels import SCHEMES, Codes, Scheme

PHOTO = "ImageID"
"""The column of the photo's name, as in the competition's info.csv."""

ANSWER = "ans"
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
    return write_csv(path, [PHOTO, ANSWER], zip(names, numbers.tolist(), strict=True))


def write_attributes(path: Path, names: Sequence[str], classes: ArrayLike, scheme: Scheme) -> Path:
    """Writes the same answers as words: `ImageID,mask,gender,age`, a column for each attribute of the scheme.

    Args:
        path: Where; a file that is there is replaced.
        names: The photos' names, in the order of the list they came from.
        classes: (photos,) class numbers of `scheme`.
        scheme: Gives the columns and the words; a manifest with such words reads back.

    Raises:
        DataError: The lengths differ, a photo stands twice, or an answer is no class number.
        LabelError: An answer is not in the scheme.
    """
    codes = scheme.to_codes(_paired(names, classes))
    rows = (
        [name, *(attribute.word(code) for attribute, code in zip(scheme.attributes, row, strict=True))]
        for name, row in zip(names, codes.tolist(), strict=True)
    )
    return write_csv(path, [PHOTO, *scheme.names], rows)


def write_json_lines(
    path: Path, table: ProbabilityTable, scheme: Scheme, unsure_below: Mapping[str, float] | None = None
) -> Path:
    """Writes all that is said of each photo as a JSON object in a line of its own, in the order of the table.

    An object holds `photo`; `class`, its number; `answer`, the same in words; `probability`; for each attribute its
    value, whether that is `sure`, and the probability of every value; and `probabilities`, one for each class.

    Args:
        path: Where; a file that is there is replaced.
        table: Probabilities of the official classes.
        scheme: What they are about.
        unsure_below: By attribute, the probability below which its value is not sure.

    Raises:
        LabelError: An answer is not in the scheme.
    """
    least = dict(unsure_below or {})
    confidence = table.confidence.tolist()
    codes, marginals = scheme.to_codes(table.classes), scheme.marginals(table.probabilities)
    lines = []
    for row, (name, number) in enumerate(zip(table.names, table.classes.tolist(), strict=True)):
        attributes = {}
        for column, attribute in enumerate(scheme.attributes):
            shares = dict(zip(attribute.values, marginals[attribute.name][row].round(8).tolist(), strict=True))
            value = attribute.values[codes[row, column]]
            sure = shares[value] >= least.get(attribute.name, 0.0)
            attributes[attribute.name] = {"value": value, "sure": sure, "probabilities": shares}
        said = {
            "photo": name, "class": number, "answer": scheme.describe(number),
            "probability": round(confidence[row], 8), "attributes": attributes,
            "probabilities": table.probabilities[row].round(8).tolist(),
        }  # fmt: skip
        lines.append(json.dumps(said, ensure_ascii=False, allow_nan=False))
    return write_text(path, "\n".join(lines) + "\n")


def read_submission(path: Path, classes: int = SCHEMES["mask-gender-age"].classes) -> dict[str, int]:
    """Reads `ImageID,ans` into photo name to class number, in the order of the rows.

    Args:
        path: The CSV.
        classes: How many classes there are.

    Raises:
        DataError: The file or a column is missing, a column is too many, or rows are wrong; all of these are listed
            with their row numbers.
    """
    path = Path(path)
    rows = read_csv(path, [PHOTO, ANSWER])
    extra = [name for name in (rows[0] if rows else ()) if name not in (PHOTO, ANSWER)]
    if extra:
        raise DataError(
            f"column {', '.join(map(repr, extra))} does not belong into a submission",
            where=path,
            fix=f"leave only the columns {PHOTO},{ANSWER}",
        )
    answers: dict[str, int] = {}
    first: dict[str, int] = {}
    problems = []
    for place, row in enumerate(rows, start=2):
        name, text = row[PHOTO], row[ANSWER]
        if not name:
            problems.append(f"row {place}: {PHOTO} is empty")
        elif name in first:
            problems.append(f"row {place}: {name} already stands in row {first[name]}")
        first.setdefault(name, place)
        # int() would take "1_0", " 3" and digits of other scripts; a submission has plain digits.
        if not (text.isascii() and text.isdigit()):
            problems.append(f"row {place}: {ANSWER} {text!r} is no whole number")
        elif int(text) >= classes:
            problems.append(f"row {place}: {ANSWER} {text} is not in 0 to {classes - 1}")
        else:
            answers[name] = int(text)
    if problems:
        raise DataError(f"rows that cannot be scored:\n{several(problems)}", where=path, fix="mend these rows")
    return answers


def _paired(names: Sequence[str], classes: ArrayLike) -> Codes:
    """The class numbers, if there is exactly one for each photo."""
    numbers = np.asarray(classes)
    if numbers.shape != (len(names),):
        raise DataError(f"{len(names)} photos, but answers of shape {numbers.shape}", fix="give one class for each")
    if len(names) and not np.issubdtype(numbers.dtype, np.integer):
        raise DataError(f"answers are {numbers.dtype}, not whole numbers", fix="take the argmax of the probabilities")
    if (numbers < 0).any():
        photo = names[int((numbers < 0).argmax())]
        raise DataError(f"{photo} has the answer {numbers.min()}, which is no class", fix="answer every photo")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(f"a photo stands twice in the list:\n{several(twice)}", fix="list each photo once")
    return numbers.astype(np.int64)
