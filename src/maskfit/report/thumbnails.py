"""Small pictures of photos, to stand within a page."""

from __future__ import annotations

import io
from base64 import b64encode
from pathlib import Path

import numpy as np

from maskfit.data.image_decoding import open_downscaled
from maskfit.errors import PhotoError
from maskfit.labels.schema import UNKNOWN
from maskfit.report.run_data import RunData

SIZE = (144, 192)
"""Width and height that a picture at most has, in pixels."""


def thumbnail(path: Path | None) -> str:
    """A photo as a `data:` address of a small JPEG; "" where it can no longer be read."""
    if path is None:
        return ""
    try:
        image, _ = open_downscaled(path, SIZE)
    except (PhotoError, OSError):
        return ""
    image.thumbnail(SIZE)
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=72, optimize=True)
    return f"data:image/jpeg;base64,{b64encode(stream.getvalue()).decode()}"


def most_confident_errors(material: RunData, most: int) -> list[tuple[int, int]]:
    """Wrong answers of the highest probability, one of each person.

    Returns:
        (place of the photo, how many other photos of the person are answered wrong), the surest first.
    """
    truth, answers = material.scheme.to_class_index(material.truth), material.table.predictions
    wrong = np.flatnonzero((truth != UNKNOWN) & (truth != answers))
    seen: dict[str, list[int]] = {}
    for place in wrong[np.argsort(-material.table.confidence[wrong], kind="stable")].tolist():
        seen.setdefault(str(material.persons[place]), []).append(place)
    return [(places[0], len(places) - 1) for places in list(seen.values())[:most]]
