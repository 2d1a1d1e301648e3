"""Labelbox's export (version 2): NDJSON with a `data_row` per line, or the same objects as a JSON list.

Each annotator's label is read for itself, as with Label Studio: rows of one photo are merged, and labels that differ
stay empty. An object is a face with its bounding box, or the extent of its polygon. Questions about the photo count
where it has one box at most. A data row is the photo that its `external_id`, `global_key` or `row_data` names.
Source: https://docs.labelbox.com/reference/export-image-annotations.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from maskfit.data.importers.box_rows import (
    DAMAGED,
    DAMAGED_LINE,
    NO_BOX,
    OTHER_SHAPE,
    BoxRows,
    extent,
    to_float,
    to_numbers,
    to_points,
    without_neutral,
)
from maskfit.data.importers.coco import NO_OBJECT
from maskfit.data.importers.interface import Box, Confidence, ImportOptions, ImportSource, LeftOut, RawImport, RawRow
from maskfit.data.importers.label_studio import EMPTY, SKIPPED
from maskfit.data.importers.named_words import NamedWords, find_person, to_words
from maskfit.data.importers.photo_finder import AMBIGUOUS, NOT_FOUND, PhotoFinder
from maskfit.data.importers.word_reader import WordReader
from maskfit.errors import DataError
from maskfit.text import format_count

SUFFIXES = (".ndjson", ".jsonl", ".json")
NO_NAME = "the data row names no photo"
NO_LABEL = "the data row has no label"
SHARED_PHOTO = "data rows of several row_data have the name of this photo"

_ROW = re.compile(r'"data_row"\s*:\s*\{')
_OTHER_KEYS = re.compile(r'"(?:row_data|media_attributes|projects)"\s*:')
_NAMES = ("external_id", "global_key", "row_data")

Pairs = list[tuple[str, str]]


@dataclass(slots=True)
class _Label:
    """One annotator's label of a photo.

    Attributes:
        location: The data row, and who labeled it.
        annotator: Who labeled it; empty where the export does not say.
        photo: The photo.
        size: Its width and height, as the export has them.
        pairs: Questions about the photo, with answers.
        boxes: Location, box, name and questions of each object with a box.
        metadata: Names and values of the data row's metadata.
    """

    location: str
    annotator: str
    photo: Path
    size: tuple[float, float]
    pairs: Pairs
    boxes: list[tuple[str, Box, str, Pairs]] = field(default_factory=list)
    metadata: Pairs = field(default_factory=list)


class LabelboxImporter:
    """Labelbox's export."""

    title: ClassVar[str] = "Labelbox: NDJSON export with data_row and projects"
    codes: ClassVar[Mapping[str, Mapping[str, str]]] = {}

    def detect(self, source: ImportSource, words: WordReader) -> Confidence:
        """Says how sure it is that a source has an export of Labelbox.

        Args:
            source: The source.
            words: What the user says that words mean.

        Returns:
            `SURE` where a file has data rows.
        """
        return Confidence.SURE if _label_files(source) else Confidence.NO

    def read(self, source: ImportSource, options: ImportOptions) -> RawImport:
        """Reads all exports in the source.

        Args:
            source: The source.
            options: Options of the import.

        Returns:
            A row per label of a photo, or per box of one.

        Raises:
            DataError: There is no export, or it cannot be read.
        """
        result = RawImport(files=_label_files(source))
        if not result.files:
            hint = "each line of it has a data_row; name another format with --format"
            raise DataError("there is no export of Labelbox here", location=source.path, hint=hint)
        finder = options.photo_finder(source)
        found: list[tuple[str, Path, Mapping[str, Any]]] = []
        sources: dict[Path, set[str]] = {}
        for name in result.files:
            for location, item in _data_rows(source, name):
                if isinstance(item, str):
                    result.left_out.append(LeftOut(location, item))
                    continue
                photo, reason = _find_photo(item["data_row"], finder, name)
                if photo is None:
                    result.left_out.append(LeftOut(location, reason))
                    continue
                found.append((location, photo, item))
                sources.setdefault(photo, set()).add(_without_query(item["data_row"].get("row_data")))
        labels: list[_Label] = []
        for location, photo, item in found:
            if len(sources[photo] - {""}) > 1:
                result.left_out.append(LeftOut(location, SHARED_PHOTO))
            else:
                labels += _read_labels(location, photo, item, result)
        _add_rows(labels, options.words, result)
        result.note_photos_without_row(finder)
        return result


def _label_files(source: ImportSource) -> list[str]:
    found = []
    for name in source.with_suffix(*SUFFIXES):
        head = source.head(name)
        if head.lstrip()[:1] in ("{", "[") and _ROW.search(head) and _OTHER_KEYS.search(head):
            found.append(name)
    return found


def _data_rows(source: ImportSource, name: str) -> Iterator[tuple[str, Mapping[str, Any] | str]]:
    """Each data row with its location; the reason in place of one that cannot be read."""
    if source.head(name).lstrip().startswith("["):
        content = source.load_json(name)
        if not isinstance(content, list):
            yield name, DAMAGED
            return
        for number, item in enumerate(content, start=1):
            is_row = isinstance(item, Mapping) and isinstance(item.get("data_row"), Mapping)
            yield f"{name} entry {number}", item if is_row else NO_OBJECT
        return
    try:
        with (source.root / name).open(encoding="utf-8-sig", errors="replace", newline="\n") as stream:
            for number, line in enumerate(stream, start=1):
                if line.strip():
                    yield f"{name} line {number}", _parse(line)
    except OSError as error:
        raise DataError(
            f"the file cannot be read: {error.strerror}", location=source.describe(name), hint="check its permissions"
        ) from None


def _parse(line: str) -> Mapping[str, Any] | str:
    try:
        item = json.loads(line)
    except (ValueError, RecursionError):
        return DAMAGED_LINE
    is_row = isinstance(item, Mapping) and isinstance(item.get("data_row"), Mapping)
    return item if is_row else DAMAGED_LINE if not isinstance(item, Mapping) else NO_NAME


def _find_photo(row: Mapping[str, Any], finder: PhotoFinder, file: str) -> tuple[Path | None, str]:
    """The photo of a data row and ""; None and the reason where there is none."""
    names = [str(row[key]) for key in _NAMES if isinstance(row.get(key), str | int) and row.get(key)]
    reasons: list[str] = []
    for name in names:
        photo, reason = finder.find(name, file)
        if photo is not None:
            return photo, ""
        reasons.append(reason)
    # An external_id is often a name without its suffix.
    for name in names[:-1]:
        same = finder.find_by_stem(name)
        if len(same) == 1:
            return finder.folder / same[0], ""
        reasons += [AMBIGUOUS] if same else []
    if not names:
        return None, NO_NAME
    return None, AMBIGUOUS if AMBIGUOUS in reasons else reasons[-1] if reasons else NOT_FOUND


def _without_query(url: Any) -> str:
    """A URL without what changes with every export: its signature."""
    return url.partition("?")[0] if isinstance(url, str) else ""


def _read_labels(location: str, photo: Path, item: Mapping[str, Any], result: RawImport) -> Iterator[_Label]:
    """The labels of a data row, in all projects."""
    attributes = _mapping(item.get("media_attributes"))
    size = (to_float(attributes.get("width")), to_float(attributes.get("height")))
    entries = [_mapping(entry) for entry in _list(item.get("metadata_fields"))]
    metadata = [(str(entry.get("schema_name") or entry.get("name") or ""), entry.get("value")) for entry in entries]
    pairs = [(name, word) for name, value in metadata for word in to_words(value)]
    labels = [
        label
        for project in _mapping(item.get("projects")).values()
        for label in _list(_mapping(project).get("labels"))
        if isinstance(label, Mapping)
    ]
    if not labels:
        result.left_out.append(LeftOut(location, NO_LABEL))
    for label in labels:
        annotator = str(_mapping(label.get("label_details")).get("created_by") or "")
        where = f"{location} by {annotator}" if annotator else location
        if _mapping(label.get("performance_details")).get("skipped") is True:
            result.left_out.append(LeftOut(where, SKIPPED))
            continue
        annotations = _mapping(label.get("annotations"))
        read = _Label(where, annotator, photo, size, _answers(annotations.get("classifications")), metadata=pairs)
        objects = _list(annotations.get("objects"))
        for number, entry in enumerate(objects, start=1):
            place = f"{where} object {number}"
            box, reason = _read_box(_mapping(entry))
            if box is None:
                result.left_out.append(LeftOut(place, reason))
            else:
                name = str(entry.get("name") or entry.get("value") or "")
                read.boxes.append((place, box, name, _answers(entry.get("classifications"))))
        if not objects and not read.pairs:
            result.left_out.append(LeftOut(where, EMPTY))
            continue
        yield read


def _add_rows(labels: list[_Label], words: WordReader, result: RawImport) -> None:
    """Adds the rows of labels, and notes on them."""
    every = (pair for label in labels for pairs in (label.pairs, *(own for *_, own in label.boxes)) for pair in pairs)
    names = NamedWords(words, every)
    rows = BoxRows(result)
    annotators: Counter[str] = Counter()
    unassigned = 0
    for label in labels:
        annotators[label.annotator] += 1
        whole = names.read(label.pairs)
        if len(label.boxes) > 1 and whole:
            # Which of the faces an answer about the photo means is unknown.
            unassigned += 1
            whole = []
        for place, box, name, own in label.boxes:
            person = find_person(*own, *label.pairs, *label.metadata)
            of_box = without_neutral(name, [*names.read(own), *whole])
            rows.add(label.photo, place, of_box, box, label.size, person=person)
        if whole and not label.boxes:
            person = find_person(*label.pairs, *label.metadata)
            result.rows.append(RawRow(label.photo, label.location, whole, person))
        elif not label.boxes:
            result.left_out.append(LeftOut(label.location, EMPTY))
    result.notes += names.notes("questions")
    if unassigned:
        photos = format_count(unassigned, "photo")
        result.notes.append(f"labels of the whole photo, ignored where it has several boxes: {photos}")
    if len(annotators) > 1:
        listed = ", ".join(f"{name or '?'} ({count:,})" for name, count in annotators.most_common())
        result.notes.append(f"{format_count(len(annotators), 'annotator')}: {listed}")
    rows.finish()


def _answers(classifications: Any) -> Pairs:
    """The questions with their answers, those that an answer led to last."""
    pairs: Pairs = []
    waiting = [_mapping(entry) for entry in _list(classifications)]
    # Without recursion, as deep as the file may be.
    for entry in waiting:
        name = str(entry.get("name") or entry.get("value") or "")
        chosen = [_mapping(answer) for answer in (entry.get("radio_answer"), *_list(entry.get("checklist_answers")))]
        for answer in chosen:
            pairs += [(name, word) for word in to_words(answer.get("name") or answer.get("value"))]
            waiting += [_mapping(nested) for nested in _list(answer.get("classifications"))]
        pairs += [(name, word) for word in to_words(_mapping(entry.get("text_answer")).get("content"))]
    return pairs


def _read_box(entry: Mapping[str, Any]) -> tuple[Box | None, str]:
    """The box of an object and ""; None and the reason where it has none."""
    if "bounding_box" in entry:
        sides = to_numbers([_mapping(entry["bounding_box"]).get(key) for key in ("left", "top", "width", "height")])
        if sides is None:
            return None, NO_BOX
        return (sides[0], sides[1], sides[0] + sides[2], sides[1] + sides[3]), ""
    if "polygon" in entry:
        points = to_points([[_mapping(point).get("x"), _mapping(point).get("y")] for point in _list(entry["polygon"])])
        return (None, NO_BOX) if points is None else (extent(points), "")
    return None, OTHER_SHAPE if entry else NO_BOX


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
