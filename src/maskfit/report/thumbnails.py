"""Thumbnails of photos as data URIs, and the choice of the errors to show."""

from __future__ import annotations

import io
from base64 import b64encode

import numpy as np

from maskfit.data.face_boxes import open_picture_of
from maskfit.data.photo_dataset import Photo
from maskfit.errors import PhotoError
from maskfit.labels.schema import UNKNOWN
from maskfit.report.run_data import RunData

MAX_SIZE = (144, 192)
"""Maximum width and height of a thumbnail, in pixels."""


def thumbnail(photo: Photo | None) -> str:
    """Encodes a photo as a `data:` URI of a small JPEG.

    Args:
        photo: The photo, or a face of it; None where it is not known.

    Returns:
        The URI; "" where the photo cannot be read.
    """
    if photo is None:
        return ""
    try:
        image, _ = open_picture_of(photo, MAX_SIZE)
    except (PhotoError, OSError):
        return ""
    image.thumbnail(MAX_SIZE)
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=72, optimize=True)
    return f"data:image/jpeg;base64,{b64encode(stream.getvalue()).decode()}"


def most_confident_errors(run: RunData, limit: int) -> list[tuple[int, int]]:
    """Finds the wrong predictions with the highest confidence, one per person.

    Args:
        run: The run.
        limit: Maximum number of errors.

    Returns:
        (index of the photo, number of further errors on photos of the same person), highest confidence first.
    """
    truth, predictions = run.schema.to_class_index(run.truth), run.table.predictions
    wrong = np.flatnonzero((truth != UNKNOWN) & (truth != predictions))
    by_person: dict[str, list[int]] = {}
    for index in wrong[np.argsort(-run.table.confidence[wrong], kind="stable")].tolist():
        by_person.setdefault(str(run.persons[index]), []).append(index)
    return [(indices[0], len(indices) - 1) for indices in list(by_person.values())[:limit]]
