"""Finds the truth that predictions are scored against, and matches the names of both."""

from __future__ import annotations

import shlex
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from maskfit.data.label_codes import CodesOption
from maskfit.data.read_dataset import scan_photos
from maskfit.errors import DataError, format_list
from maskfit.inference.submission import is_submission, may_be_truth
from maskfit.labels.schema import LabelSchema
from maskfit.text import fold_name, format_count

Value = TypeVar("Value")


def find_truth(path: Path, predicted: Sequence[Path], schema: LabelSchema, codes: CodesOption | None = None) -> Path:
    """Finds the truth: the file itself, the truth file in a folder, or a folder without one, which may be a dataset.

    Args:
        path: The file or folder.
        predicted: Files of predictions, which may lie in the folder; none of them is the truth.
        schema: The label schema.
        codes: Meanings of codes and words in the labels of photos, as in `data.label_codes`.

    Returns:
        The file, or the folder of a dataset.

    Raises:
        DataError: Several files in the folder may be the truth.
    """
    if not path.is_dir():
        return path
    tables = sorted(item for item in path.glob("*.csv") if not item.name.startswith("."))
    own = [item for item in predicted if item.exists()]
    tables = [item for item in tables if item.is_file() and not any(item.samefile(other) for other in own)]
    for name in ("truth.csv", "info.csv"):
        if path / name in tables:
            return path / name
    # A table that lies beside labeled photos, such as landmarks.csv, does not take their place.
    found = [item for item in tables if may_be_truth(item, schema)]
    if not found:
        return path
    if len(found) > 1:
        names = ", ".join(item.name for item in found[:8])
        raise DataError(
            f"cannot tell which CSV in this folder is the truth: {names}", location=path, hint="pass the file"
        )
    # It may as well be another submission.
    if is_submission(found[0]) and any(photo.labels for photo in scan_photos(path, schema, codes)[0]):
        raise DataError(
            f"cannot tell whether {found[0].name} or the labels of the photos in this folder are the truth",
            location=path,
            hint=f"name the file: maskfit evaluate {shlex.quote(str(found[0]))} SUBMISSION.csv; "
            "or move it elsewhere, so that the labels of the photos count",
        )
    return found[0]


def match_names(truth: Collection[str], predictions: Mapping[str, Value]) -> tuple[dict[str, Value], list[str]]:
    """Renames predictions whose names differ from the truth's only in Unicode form, or all by one folder before them.

    Args:
        truth: The photos' names.
        predictions: A value for each photo.

    Returns:
        The predictions under the truth's names, and a line about it where a name differs.
    """
    renamed, lines = _match_unicode(truth, predictions), []
    if renamed:
        example = next(iter(renamed))
        lines.append(f"{_count_names(renamed)} from the truth only in Unicode form, matched in NFC, such as {example}")
    found = {renamed.get(name, name): value for name, value in predictions.items()}
    # All names, also those that are in both: where 1.jpg and x/1.jpg are two photos, x/1.jpg says nothing alone.
    prefix, by_folder = ("", {}) if found.keys() == set(truth) else _match_folder(list(truth), list(found))
    if by_folder:
        name, other = next(iter(by_folder.items()))
        lines.append(
            f"{_count_names(by_folder)} from the truth only by {prefix} at the start, matched: {name} is {other}"
        )
    return {by_folder.get(name, name): value for name, value in found.items()}, lines


def _count_names(names: Collection[str]) -> str:
    return format_count(len(names), "name differs", "names differ")


def align_predictions(truth: Sequence[str], predictions: Mapping[str, Value]) -> list[Value]:
    """Selects the predictions of the truth's photos; both must be of the same photos.

    Args:
        truth: The photos' names.
        predictions: A value for each photo.

    Returns:
        The values in the order of the truth.

    Raises:
        DataError: A photo has no prediction, or a prediction is of no photo of the truth.
    """
    known = set(truth)
    missing = [name for name in truth if name not in predictions]
    extra = [name for name in predictions if name not in known]
    problems, hint = [], "predict each photo of the list once"
    if missing:
        count = format_count(len(missing), "photo has", "photos have")
        problems.append(f"{count} no prediction:\n{format_list(missing, shown=5)}")
    if extra:
        count = format_count(len(extra), "photo is", "photos are")
        problems.append(f"{count} not in the truth:\n{format_list(extra, shown=5)}")
    if alike := describe_alike(missing, extra):
        problems.append(alike)
        hint = (
            "write the names in both files alike, or predict the photos by the truth's own names: "
            "maskfit predict --image-list TRUTH.csv --images DIR --out SUBMISSION.csv"
        )
    if problems:
        raise DataError("\n".join(problems), hint=hint)
    return [predictions[name] for name in truth]


def _match_unicode(truth: Collection[str], predictions: Collection[str]) -> dict[str, str]:
    """The truth's name of each prediction that has another Unicode form of it."""
    form = partial(unicodedata.normalize, "NFC")
    known = set(truth)
    unmatched: dict[str, list[str]] = {}
    for name in truth:
        if name not in predictions:
            unmatched.setdefault(form(name), []).append(name)
    renamed: dict[str, str] = {}
    for name in predictions:
        names = unmatched.get(form(name), [])
        # Two names with one normal form are two photos, and are not matched by it.
        if name not in known and len(names) == 1 and names[0] not in renamed.values():
            renamed[name] = names[0]
    return renamed


def _match_folder(truth: Sequence[str], predicted: Sequence[str]) -> tuple[str, dict[str, str]]:
    """The folder that stands before all names of one side, and the truth's name of each prediction.

    Only where one folder explains every name: a.jpg and train/a.jpg may be two photos where others match without it.
    """
    if not truth or len(truth) != len(predicted):
        return "", {}
    long, short = (truth, predicted) if sum(map(len, truth)) > sum(map(len, predicted)) else (predicted, truth)
    by_end = {fold_name(name): name for name in short}
    first = fold_name(long[0])
    for end in _ends(first):
        prefix = first.removesuffix(end)
        pairs = {name: by_end.get(fold_name(name).removeprefix(prefix)) for name in long}
        if all(fold_name(name).startswith(prefix) for name in long) and set(pairs.values()) == set(short):
            matched = {name: other for name, other in pairs.items() if other is not None}
            return prefix, matched if long is predicted else {other: name for name, other in matched.items()}
    return "", {}


def describe_alike(names: Iterable[str], others: Iterable[str]) -> str:
    """Says where photos of two tables are missing in each other because their names have other folders.

    Args:
        names: Names that the second table lacks.
        others: Names that the first table lacks.

    Returns:
        A line with a name of each side; "" where none may mean the same photo.
    """
    pair = _find_alike(list(names), list(others))
    return "" if pair is None else f"these names differ in their folders, but may mean one photo: {' and '.join(pair)}"


def _find_alike(missing: Sequence[str], extra: Sequence[str]) -> tuple[str, str] | None:
    """A photo of the truth and a prediction whose names end alike: one in the other, or in a file name of no other."""
    own, other = {fold_name(name): name for name in missing}, {fold_name(name): name for name in extra}
    for name in own:
        if end := next((end for end in _ends(name) if end in other), None):
            return own[name], other[end]
    for name in other:
        if end := next((end for end in _ends(name) if end in own), None):
            return own[end], other[name]
    counts = [Counter(name.rpartition("/")[2] for name in names) for names in (own, other)]
    unique = {name.rpartition("/")[2]: name for name in other}
    for name in own:
        file = name.rpartition("/")[2]
        if counts[0][file] == counts[1][file] == 1:
            return own[name], other[unique[file]]
    return None


def _ends(name: str) -> list[str]:
    """What remains of a path without its first folder, its first two, and so on."""
    parts = name.split("/")
    return ["/".join(parts[first:]) for first in range(1, len(parts))]
