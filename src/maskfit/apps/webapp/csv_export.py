"""Exports all faces as a CSV, and counts them."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from maskfit.apps.webapp.session import FacePredictions, PhotoResult
from maskfit.inference.decisions import NOT_SURE
from maskfit.inference.face_table import NO_FACE, face_table_columns, face_table_rows
from maskfit.labels.schema import LabelSchema


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


def to_csv(schema: LabelSchema, rows: Sequence[Row]) -> bytes:
    """Formats a row for each face, and one with the reason for each photo without a face, predicted or not.

    Args:
        schema: The label schema.
        rows: The photos.

    Returns:
        The CSV in UTF-8; boxes are in pixels of the upright photo, years are there where a face has them.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    ages = any(item.age for row in rows for attributes in row.predictions for item in attributes)
    columns = face_table_columns(schema, ages)
    writer.writerow(columns)
    for name, result, predictions in rows:
        # A photo that is taken as one portrait by choice has no problem.
        problem = result.error or (NO_FACE if result.is_without_face or not predictions else "")
        writer.writerows(face_table_rows(columns, name, result.faces, predictions, problem))
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
