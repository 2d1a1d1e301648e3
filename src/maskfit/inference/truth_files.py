"""Finds the truth that predictions are scored against, and matches the names of both."""

from __future__ import annotations

import shlex
import unicodedata
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from maskfit.data.read_dataset import scan_photos
from maskfit.errors import DataError
from maskfit.inference.submission import is_submission, may_be_truth
from maskfit.labels.schema import LabelSchema
from maskfit.text import format_count


def find_truth(path: Path, predicted: Sequence[Path], schema: LabelSchema) -> Path:
    """Finds the truth: the file itself, the truth file in a folder, or a folder without one, which may be a dataset.

    Args:
        path: The file or folder.
        predicted: Files of predictions, which may lie in the folder; none of them is the truth.
        schema: The label schema.

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
    if is_submission(found[0]) and any(photo.labels for photo in scan_photos(path, schema)[0]):
        raise DataError(
            f"cannot tell whether {found[0].name} or the labels of the photos in this folder are the truth",
            location=path,
            hint=f"name the file: maskfit evaluate {shlex.quote(str(found[0]))} SUBMISSION.csv; "
            "or move it elsewhere, so that the labels of the photos count",
        )
    return found[0]


def match_unicode(truth: dict[str, int], predictions: dict[str, int]) -> tuple[dict[str, int], list[str]]:
    """Renames predictions whose names differ from the truth's only in Unicode form.

    Args:
        truth: Class index by photo name.
        predictions: The same of the predictions.

    Returns:
        The predictions under the truth's names, and a line about it where a name differs.
    """
    form = partial(unicodedata.normalize, "NFC")
    unmatched: dict[str, list[str]] = {}
    for name in truth:
        if name not in predictions:
            unmatched.setdefault(form(name), []).append(name)
    renamed: dict[str, str] = {}
    for name in predictions:
        names = unmatched.get(form(name), [])
        # Two names with one normal form are two photos, and are not matched by it.
        if name not in truth and len(names) == 1 and names[0] not in renamed.values():
            renamed[name] = names[0]
    if not renamed:
        return predictions, []
    line = (
        f"{format_count(len(renamed), 'name differs', 'names differ')} from the truth only "
        "in Unicode form and are matched in NFC, such as "
    )
    return {renamed.get(name, name): index for name, index in predictions.items()}, [line + next(iter(renamed))]
