"""Hugging Face's ImageFolder with a `metadata.jsonl`: a line per photo with `file_name`, labels, and perhaps `objects`.

`objects` are faces: a mapping with `bbox`, boxes as left, upper, width, height in pixels, and lists of labels beside
them. A `metadata.csv` is a manifest as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, ClassVar

from maskfit.data.importers.box_rows import DAMAGED_LINE, NO_BOX, BoxRows, to_numbers
from maskfit.data.importers.declared_size import find_size_columns, read_size
from maskfit.data.importers.interface import (
    ANY,
    Box,
    Confidence,
    ImportOptions,
    ImportSource,
    LeftOut,
    RawImport,
    RawRow,
)
from maskfit.data.importers.named_words import to_person
from maskfit.data.importers.table_columns import WORD_COLUMNS
from maskfit.data.importers.word_reader import WordReader
from maskfit.data.manifest_columns import PERSON_COLUMNS
from maskfit.errors import DataError

FILE_NAME = "metadata.jsonl"
NO_NAME = "the line has no file_name"

LABEL_KEYS = frozenset({*WORD_COLUMNS, "labels", "categories", "category_name"})
"""Keys whose words may be of any attribute of the label schema."""


class HuggingFaceImporter:
    """ImageFolder with metadata.jsonl."""

    title: ClassVar[str] = "Hugging Face ImageFolder: metadata.jsonl with file_name"
    codes: ClassVar[Mapping[str, Mapping[str, str]]] = {}

    def detect(self, source: ImportSource, words: WordReader) -> Confidence:
        """Says how sure it is that a source is such a folder.

        Args:
            source: The source.
            words: What the user says that words mean.

        Returns:
            `SURE` where there is a metadata.jsonl with `file_name`.
        """
        return Confidence.SURE if _label_files(source) else Confidence.NO

    def read(self, source: ImportSource, options: ImportOptions) -> RawImport:
        """Reads all files of that name.

        Args:
            source: The source.
            options: Options of the import.

        Returns:
            A row per photo, or per object where it has some.

        Raises:
            DataError: There is no such file.
        """
        result = RawImport(files=_label_files(source))
        if not result.files:
            hint = "each line of it has file_name and labels; name another format with --format"
            raise DataError(f"there is no {FILE_NAME} here", location=source.path, hint=hint)
        rows = BoxRows(result)
        finder = options.photo_finder(source)
        unread: dict[str, None] = {}
        for name in result.files:
            for number, item in source.json_lines(name):
                location = f"{name} line {number}"
                file = item.get("file_name") if item else None
                photo, reason = finder.find(str(file), name) if file else (None, NO_NAME if item else DAMAGED_LINE)
                if photo is None:
                    result.left_out.append(LeftOut(location, reason))
                    continue
                person = to_person(*(item.get(key) for key in PERSON_COLUMNS))
                size = find_size_columns({str(key).casefold(): key for key in item})
                labels = _read_labels(item, options.words, unread, size or ())
                objects = _read_objects(item.get("objects"))
                boxes = objects.get("bbox") or []
                if not boxes:
                    result.rows.append(RawRow(photo, location, labels, person))
                for index, value in enumerate(boxes if isinstance(boxes, list) else [boxes]):
                    box, where = _read_box(value), f"{location} object {index + 1}"
                    if box is None:
                        result.left_out.append(LeftOut(where, NO_BOX))
                        continue
                    lists = {key: of for key, of in objects.items() if key != "bbox" and isinstance(of, list)}
                    own = {key: of[index] for key, of in lists.items() if index < len(of)}
                    words = [*_read_labels(own, options.words, unread), *labels]
                    rows.add(photo, where, words, box, read_size(item, size), person)
        if unread:
            result.notes.append(f"keys that hold no label, ignored: {', '.join(unread)}")
        result.note_photos_without_row(finder)
        rows.finish()
        return result


def _label_files(source: ImportSource) -> list[str]:
    return [
        name
        for name in source.with_suffix(".jsonl")
        if PurePosixPath(name).name == FILE_NAME and '"file_name"' in source.head(name)
    ]


def _read_labels(
    item: Mapping[str, Any], words: WordReader, unread: dict[str, None], others: Sequence[str] = ()
) -> list[tuple[str, str]]:
    """Pairs of key and word of what a line or an object says, but for keys of something else."""
    found = []
    for name, value in item.items():
        if name in ("file_name", "objects", *PERSON_COLUMNS, *others) or value is None:
            continue
        values = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
        texts = [str(part).strip() for part in values if isinstance(part, str | int | float)]
        key = words.find_key(str(name))
        if len(texts) < len(values):
            unread[str(name)] = None
        for word in filter(None, texts):
            if key is not None or str(name).casefold() in LABEL_KEYS or words.knows_value(word):
                found.append((key or ANY, word))
            else:
                unread[str(name)] = None
    return found


def _read_objects(value: Any) -> Mapping[str, Any]:
    """The objects of a line as a mapping with lists, also where they are a list with a mapping for each."""
    if isinstance(value, Mapping):
        return value
    each = [item if isinstance(item, Mapping) else {} for item in value] if isinstance(value, list) else []
    return {key: [item.get(key) for item in each] for key in dict.fromkeys(("bbox", *(k for i in each for k in i)))}


def _read_box(value: Any) -> Box | None:
    edges = to_numbers(value)
    if edges is None or len(edges) != 4:
        return None
    left, upper, width, height = edges
    return (left, upper, left + width, upper + height)
