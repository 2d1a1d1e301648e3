"""Exports all faces as a CSV, and counts them."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from maskfit.apps.webapp.session import FacePredictions, PhotoResult
from maskfit.inference.decisions import NOT_SURE
from maskfit.labels.schema import LabelSchema

NO_FACE = "no face found"
"""Text of the column `problem` for a photo without a face."""


class Row(NamedTuple):
    """A photo with its result.

    Attributes:
        name: The photo's name.
        result: The result.
        predictions: For each face the prediction of each attribute under the visitor's thresholds.
    """

    name: str
    result: PhotoResult
    predictions: FacePredictions


def csv_header(schema: LabelSchema) -> list[str]:
    """Returns the columns of the CSV.

    Each attribute has three: the prediction, which may be "not sure", the most probable value, and its probability.

    Args:
        schema: The label schema.

    Returns:
        Names of the columns.
    """
    of_attributes = [f"{name}{suffix}" for name in schema.names for suffix in ("", "_guess", "_probability")]
    return ["photo", "face", "left", "upper", "right", "lower", "score", *of_attributes, "problem"]


def to_csv(schema: LabelSchema, rows: Sequence[Row]) -> bytes:
    """Formats a row for each face, and one with the reason for each photo without a face, predicted or not.

    Args:
        schema: The label schema.
        rows: The photos.

    Returns:
        The CSV in UTF-8; boxes are in pixels of the upright photo.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    names = csv_header(schema)
    writer.writerow(names)
    for name, result, predictions in rows:
        if not predictions:
            writer.writerow([name, *[""] * (len(names) - 2), result.error or NO_FACE])
        for number, (face_prediction, attributes) in enumerate(zip(result.faces, predictions, strict=True), start=1):
            face = face_prediction.face
            box = [""] * 5 if face is None else [f"{edge:.1f}" for edge in face.box] + [f"{face.score:.4f}"]
            cells = [
                cell
                for item in attributes
                for cell in (item.value if item.is_confident else NOT_SURE, item.value, f"{item.probability:.4f}")
            ]
            writer.writerow([name, number, *box, *cells, NO_FACE if result.is_without_face else ""])
    return stream.getvalue().encode()


def count_values(rows: Sequence[Row]) -> Counter[str]:
    """Counts faces by their prediction for the first attribute; a photo without a face found counts as none.

    Args:
        rows: The photos.

    Returns:
        Number of faces by value, and by `NOT_SURE`.
    """
    first = (attributes[0] for row in rows if not row.result.is_without_face for attributes in row.predictions)
    return Counter(item.value if item.is_confident else NOT_SURE for item in first)
