"""All faces as a CSV, and counted."""

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


class Row(NamedTuple):
    """A photo with what came of it and what is said of it."""

    name: str
    result: PhotoResult
    predictions: FacePredictions


def csv_header(scheme: LabelSchema) -> list[str]:
    """The columns: the answer, which may be "not sure", the best guess, and its probability, for each attribute."""
    own = [f"{name}{ending}" for name in scheme.names for ending in ("", "_guess", "_probability")]
    return ["photo", "face", "left", "upper", "right", "lower", "score", *own, "problem"]


def to_csv(scheme: LabelSchema, rows: Sequence[Row]) -> bytes:
    """A row for each face, boxes in pixels of the upright photo; a photo without a face has one that says why."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    names = csv_header(scheme)
    writer.writerow(names)
    for name, result, said in rows:
        if not said:
            writer.writerow([name, *[""] * (len(names) - 2), result.error or NO_FACE])
        for number, (answer, spoken) in enumerate(zip(result.faces, said, strict=True), start=1):
            face = answer.face
            place = [""] * 5 if face is None else [f"{edge:.1f}" for edge in face.box] + [f"{face.score:.4f}"]
            cells = [
                cell
                for item in spoken
                for cell in (item.value if item.is_confident else NOT_SURE, item.value, f"{item.probability:.4f}")
            ]
            writer.writerow([name, number, *place, *cells, ""])
    return stream.getvalue().encode()


def count_values(rows: Sequence[Row]) -> Counter[str]:
    """How many faces have each answer for the first attribute, by value; `NOT_SURE` where that is the answer."""
    first = (spoken[0] for row in rows for spoken in row.predictions)
    return Counter(item.value if item.is_confident else NOT_SURE for item in first)
