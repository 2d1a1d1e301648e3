"""Log of a dataset's cropping, one JSON line per photo, so that an interrupted command can be resumed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskfit.data.boxes import Box, CropBox
from maskfit.data.detectors.interface import Face
from maskfit.errors import DataError
from maskfit.file_io import write_text
from maskfit.file_locks import is_occupied
from maskfit.text import parse_json


@dataclass(frozen=True)
class CropRecord:
    """The result for one photo.

    Attributes:
        photo: Name of the photo.
        key: Hash of the photo's bytes.
        file: Name of the cropped copy, relative to the output folder.
        crop_box: The cropped box.
        faces: All detected faces; with a face crop the first one was cropped.
    """

    photo: str
    key: str
    file: str
    crop_box: CropBox
    faces: tuple[Face, ...]


def open_crop_log(path: Path, settings: dict[str, Any]) -> dict[str, CropRecord]:
    """Opens the log of an earlier command with the same settings, or creates one.

    Args:
        path: The log, in the output folder.
        settings: What an earlier command must have in common; the first line of the log.

    Returns:
        The records so far, by the photo's name.

    Raises:
        DataError: The folder holds other files, or the settings differ.
    """
    out = path.parent
    if not path.is_file():
        if is_occupied(out):
            raise DataError("the output folder is not empty", location=out, hint="give a new folder")
        write_text(path, json.dumps(settings) + "\n")
        return {}
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    try:
        logged = parse_json(lines[0])
    except ValueError:
        logged = None
    if logged != settings:
        raise DataError(
            "the output folder holds crops that were made with other options",
            location=out,
            hint="give a new folder, or the same options to resume",
        )
    records = {record.photo: record for record in map(_parse_line, lines[1:-1]) if record}
    # Rewritten, because an incomplete last line would join the next one.
    write_text(path, lines[0] + "\n" + "".join(map(to_line, records.values())))
    return records


def to_line(record: CropRecord) -> str:
    """Serializes a record.

    Args:
        record: The record.

    Returns:
        One line of JSON.
    """
    faces = [{"box": face.box, "score": face.score, "landmarks": face.landmarks} for face in record.faces]
    box = record.crop_box
    cut = {"box": box.box, "angle": box.angle, "fallback": box.fallback}
    values = {"photo": record.photo, "key": record.key, "file": record.file, "cut": cut, "faces": faces}
    return json.dumps(values) + "\n"


def _parse_line(line: str) -> CropRecord | None:
    """The record of a line; None where it is damaged, so that its photo is processed again."""
    try:
        values = parse_json(line)
        faces = tuple(
            Face(
                _to_box(face["box"]),
                float(face["score"]),
                face["landmarks"] and tuple((float(x), float(y)) for x, y in face["landmarks"]),
            )
            for face in values["faces"]
        )
        cut = values["cut"]
        crop_box = CropBox(_to_box(cut["box"]), float(cut["angle"]), bool(cut["fallback"]))
        return CropRecord(str(values["photo"]), str(values["key"]), str(values["file"]), crop_box, faces)
    except (ValueError, TypeError, KeyError):
        return None


def _to_box(values: Sequence[float]) -> Box:
    left, upper, right, lower = map(float, values)
    return (left, upper, right, lower)
