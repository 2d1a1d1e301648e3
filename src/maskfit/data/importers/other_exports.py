"""Exports of tools that no importer reads, named with the way that works."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from maskfit.data.importers.source import ImportSource
from maskfit.data.photo_dataset import is_photo_name
from maskfit.errors import DataError

FIFTYONE_HINT = (
    "export it once more from FiftyOne: with boxes dataset.export(export_dir=..., "
    "dataset_type=fiftyone.types.COCODetectionDataset, label_field=...), without boxes fiftyone.types.CSVDataset with "
    "fields={'filepath': 'path', 'ground_truth.label': 'label'}"
)

_CLASSES = re.compile(r'"classes"\s*:\s*(?:\[|null)')
_LABELS = re.compile(r'"labels"\s*:\s*\{')
_SAMPLES = re.compile(r'"samples"\s*:\s*\[\s*\{')


def explain_export(source: ImportSource) -> DataError | None:
    """Explains that a source is an export of FiftyOne, or WIDER FACE's list of boxes, and what to do with it.

    Args:
        source: The source.

    Returns:
        The error; None where it is neither.
    """
    for name in source.with_suffix(".json"):
        head = source.head(name).lstrip("\ufeff \n\r\t")
        own = PurePosixPath(name).name
        has_labels = own == "labels.json" and _LABELS.search(head) and _CLASSES.search(head)
        has_samples = own == "samples.json" and _SAMPLES.search(head) and '"filepath"' in head
        if head.startswith("{") and (has_labels or has_samples):
            return DataError(
                f"{own} is of FiftyOne's own format, which is not imported",
                location=source.describe(name),
                hint=FIFTYONE_HINT,
            )
    for name in source.with_suffix(".txt"):
        if _is_wider_face(source.head(name)):
            return DataError(
                "this is WIDER FACE's list of boxes, which has no label of mask, gender or age",
                location=source.describe(name),
                hint="label its faces first: maskfit predict --images DIR --out guesses.csv, and correct what it says; "
                "or write a CSV with the columns path,left,upper,right,lower,mask",
            )
    return None


def _is_wider_face(head: str) -> bool:
    """Whether a text is of photos, each with the number of its boxes and a line of ten numbers for each."""
    lines = head.splitlines()[:3]
    if len(lines) < 3 or not is_photo_name(lines[0].strip()) or not lines[1].strip().isdecimal():
        return False
    return re.fullmatch(r"(?:-?\d+\s+){9}-?\d+\s*", lines[2]) is not None
