"""What was cut from a set of photos so far: a line for each, so that a command that was stopped can go on."""

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


@dataclass(frozen=True)
class CropRecord:
    """What was found on one photo.

    Attributes:
        photo: Its name.
        key: The content that was looked at.
        file: The name of the copy, relative to the output folder.
        cut: What the copy shows.
        faces: Every face; with a face crop the first is the one that was taken.
    """

    photo: str
    key: str
    file: str
    crop_box: CropBox
    faces: tuple[Face, ...]


def open_crop_log(journal: Path, facts: dict[str, Any]) -> dict[str, CropRecord]:
    """What is done already, by the photo's name.

    Raises:
        DataError: The folder holds something else.
    """
    out = journal.parent
    if not journal.is_file():
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise DataError("this folder is not empty", location=out, hint="name a new one")
        write_text(journal, json.dumps(facts) + "\n")
        return {}
    lines = journal.read_text(encoding="utf-8", errors="replace").split("\n")
    try:
        begun = json.loads(lines[0])
    except ValueError:
        begun = None
    if begun != facts:
        raise DataError(
            "this folder holds crops that were made with other words",
            location=out,
            hint="name a new folder, or give the words they were made with to go on",
        )
    done = {item.photo: item for item in map(_from_line, lines[1:-1]) if item}
    # Written anew: a line that an interruption cut off must not swallow the next.
    write_text(journal, lines[0] + "\n" + "".join(map(to_line, done.values())))
    return done


def to_line(item: CropRecord) -> str:
    faces = [{"box": face.box, "score": face.score, "landmarks": face.landmarks} for face in item.faces]
    cut = {"box": item.crop_box.box, "angle": item.crop_box.angle, "fallback": item.crop_box.fallback}
    return json.dumps({"photo": item.photo, "key": item.key, "file": item.file, "cut": cut, "faces": faces}) + "\n"


def _from_line(line: str) -> CropRecord | None:
    """What a line says; None where it is damaged, and its photo is to be done again."""
    try:
        values = json.loads(line)
        faces = tuple(
            Face(
                _box(face["box"]),
                float(face["score"]),
                face["landmarks"] and tuple((float(x), float(y)) for x, y in face["landmarks"]),
            )
            for face in values["faces"]
        )
        cut = CropBox(_box(values["cut"]["box"]), float(values["cut"]["angle"]), bool(values["cut"]["fallback"]))
        return CropRecord(str(values["photo"]), str(values["key"]), str(values["file"]), cut, faces)
    except (ValueError, TypeError, KeyError):
        return None


def _box(values: Sequence[float]) -> Box:
    left, upper, right, lower = map(float, values)
    return (left, upper, right, lower)
