"""Tasks of Label Studio's exports in one form, whatever the export was."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from maskfit.data.importers.interface import Box
from maskfit.data.importers.named_words import to_person
from maskfit.data.photo_dataset import is_photo_name

OWN_FIELDS = frozenset(
    {"id", "annotation_id", "annotator", "created_at", "updated_at", "lead_time", "agreement", "predictions", "_row_id"}
)
"""Fields of JSON-MIN and CSV that are neither data nor labels."""

WHOLE_PHOTO = frozenset({"choices", "taxonomy", "number", "rating", "textarea", "labels"})
"""Types of results that may be labels of the whole photo."""

PERSON_FIELDS = ("person", "person_id")
"""Fields of a task's data that say who is on the photo."""


@dataclass(frozen=True, slots=True)
class ControlValue:
    """What an annotator chose in one control.

    Attributes:
        control: Name of the control.
        words: The chosen words, or a number as text.
        region: Identifier of the region that it belongs to; empty for the whole photo.
        box: The region's box in pixels of `size`, where this value draws it.
        size: (width, height) of the photo that it was drawn on.
    """

    control: str
    words: tuple[str, ...]
    region: str = ""
    box: Box | None = None
    size: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """One annotation.

    Attributes:
        annotator: Who made it: an e-mail address or number; empty where the export does not say.
        values: What was chosen.
        is_skipped: Whether the annotator skipped the task.
    """

    annotator: str
    values: tuple[ControlValue, ...]
    is_skipped: bool = False


@dataclass(frozen=True, slots=True)
class Task:
    """One task.

    Attributes:
        location: Such as "task 12" or "row 3".
        photo: Path or URL of the photo; empty where there is none.
        person: Who is on it, where the task's data says so.
        answers: Its annotations.
    """

    location: str
    photo: str
    person: str
    answers: tuple[Answer, ...]


def read_json_tasks(items: Iterable[Mapping[str, Any]]) -> Iterator[Task]:
    """Reads tasks of the full JSON export.

    Args:
        items: The tasks as in the file.

    Yields:
        Each task.
    """
    for number, item in enumerate(items):
        data = item.get("data")
        data = data if isinstance(data, Mapping) else {}
        answers = []
        for annotation in item.get("annotations") or item.get("completions") or ():
            values = tuple(value for result in annotation.get("result") or () for value in _read_result(result))
            answers.append(
                Answer(_annotator(annotation.get("completed_by")), values, bool(annotation.get("was_cancelled")))
            )
        yield Task(f"task {item.get('id', number)}", _find_photo(data), _find_person(data), tuple(answers))


def read_min_tasks(rows: Iterable[Mapping[str, Any]], unit: str, first: int) -> Iterator[Task]:
    """Reads rows of JSON-MIN or CSV, each one annotation.

    Args:
        rows: Items of the list, or rows of the table.
        unit: What a row is called in messages.
        first: Number of the first.

    Yields:
        A task with one annotation per row.
    """
    for number, row in enumerate(rows, start=first):
        photo = _find_photo(row)
        values = []
        for name, value in row.items():
            is_data = name in OWN_FIELDS or name in PERSON_FIELDS or value == photo or not name
            if not is_data:
                values += _read_min_value(name, value)
        answer = Answer(_annotator(row.get("annotator")), tuple(values))
        yield Task(f"{unit} {number}", photo, _find_person(row), (answer,))


def _read_result(result: Mapping[str, Any]) -> Iterator[ControlValue]:
    """The value of one item of `result`."""
    value = result.get("value")
    if not isinstance(value, Mapping):
        return
    kind = str(result.get("type", ""))
    words = _words(value.get(kind))
    # Choices of a region have its identifier too; those of the whole photo have one of their own.
    region, box = str(result.get("id", "")), None
    if kind.startswith(("rectangle", "polygon")):
        box = _to_box(value, result)
    # A label of another shape, or of one without a size, is not of the whole photo: it names no face.
    if box is not None or kind in WHOLE_PHOTO:
        yield ControlValue(str(result.get("from_name", "")), words, region, box, box and _size(result))


def _read_min_value(name: str, value: Any) -> list[ControlValue]:
    """The values in a field of JSON-MIN or a cell of a CSV: plain text, or JSON as text."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            value = json.loads(value)
        except json.JSONDecodeError:
            return [ControlValue(name, (value,))]
    items = value if isinstance(value, list) else [value]
    values = []
    for item in items:
        if not isinstance(item, Mapping):
            words = _words(item)
            values += [ControlValue(name, words)] if words else []
            continue
        words = next((words for key in item if (words := _words(item[key])) and key not in _GEOMETRY), ())
        box = _to_box(item, item)
        if box is not None or not _GEOMETRY & {*item}:
            # Controls of one region are apart here, and have its place in common.
            values.append(ControlValue(name, words, f"{box}" if box else "", box, box and _size(item)))
        elif "choices" in item:
            values.append(ControlValue(name, words))
    return values


_GEOMETRY = frozenset(
    {"x", "y", "width", "height", "rotation", "original_width", "original_height", "image_rotation", "id", "points"}
    | {"closed", "type"}
)


def _words(value: Any) -> tuple[str, ...]:
    """The words of a value: one, several, or paths of a taxonomy, whose last word counts."""
    if value is None or isinstance(value, bool | Mapping):
        return ()
    if isinstance(value, list):
        return tuple(word for item in value for word in _words(item[-1] if isinstance(item, list) and item else item))
    text = f"{value:g}" if isinstance(value, float) else str(value).strip()
    return (text,) if text else ()


def _to_box(value: Mapping[str, Any], sizes: Mapping[str, Any]) -> Box | None:
    """The box in pixels of a rectangle or polygon in percent; None where the photo's size is not given."""
    try:
        width, height = _size(sizes)
        if "points" in value:
            across = [float(x) * width / 100 for x, _ in value["points"]]
            down = [float(y) * height / 100 for _, y in value["points"]]
        else:
            across, down = _corners(value, width, height)
    except (KeyError, TypeError, ValueError):
        return None
    return round(min(across), 2), round(min(down), 2), round(max(across), 2), round(max(down), 2)


def _size(sizes: Mapping[str, Any]) -> tuple[float, float]:
    return float(sizes["original_width"]), float(sizes["original_height"])


def _corners(value: Mapping[str, Any], width: float, height: float) -> tuple[list[float], list[float]]:
    """The corners of a rectangle in pixels, which is rotated clockwise around its first corner."""
    left, upper = float(value["x"]) * width / 100, float(value["y"]) * height / 100
    wide, high = float(value["width"]) * width / 100, float(value["height"]) * height / 100
    angle = math.radians(float(value.get("rotation") or 0))
    cosine, sine = math.cos(angle), math.sin(angle)
    across = [left + x * wide * cosine - y * high * sine for x, y in ((0, 0), (1, 0), (0, 1), (1, 1))]
    down = [upper + x * wide * sine + y * high * cosine for x, y in ((0, 0), (1, 0), (0, 1), (1, 1))]
    return across, down


def _annotator(value: Any) -> str:
    if isinstance(value, Mapping):
        value = value.get("email") or value.get("id")
    return "" if value is None else str(value)


def _find_photo(data: Mapping[str, Any]) -> str:
    """The field that names a photo: one called image, else any with a photo's suffix."""
    names = sorted(data, key=lambda name: name.casefold() not in ("image", "img", "photo", "picture", "url", "path"))
    for name in names:
        value = data[name]
        if isinstance(value, str) and value and is_photo_name(value.partition("?d=")[2] or value.partition("?")[0]):
            return value
    return ""


def _find_person(data: Mapping[str, Any]) -> str:
    return to_person(*(data.get(name) for name in PERSON_FIELDS))
