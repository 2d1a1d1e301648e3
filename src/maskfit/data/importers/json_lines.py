"""JSON Lines: an object per photo with its name and labels; also of Amazon SageMaker Ground Truth and of Prodigy.

The name is in `path`, `image`, `file_name` or another column name of a manifest, in a URL, or in `source-ref`. A key
that is an attribute (`mask`), or `label`, `class` and the like, holds its labels: words, a list of them, or an index.
All may stand one object deeper, as in `{"image": {"path": ...}, "annotation": {"mask": ...}, "meta": {"person": ...}}`.

- Ground Truth ("augmented manifest"): beside each labeling job's key stands `KEY-metadata`, which names the classes of
  the indexes and of boxes (https://docs.aws.amazon.com/sagemaker/latest/dg/sms-data-output.html).
- Prodigy: `answer` is `accept`, `reject` or `ignore`, `accept` lists the chosen options, and `spans` are boxes
  (https://prodi.gy/docs/api-interfaces).

A folder's `metadata.jsonl` with `file_name` is Hugging Face's, a line with `data_row` Labelbox's.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from maskfit.data.face_boxes import BoxColumns, find_box_columns
from maskfit.data.importers.box_rows import (
    BOX_KEYS,
    DAMAGED_LINE,
    NO_BOX,
    NO_FACE,
    BoxRows,
    extent,
    to_numbers,
    to_points,
)
from maskfit.data.importers.box_rows import NO_CLASS as NO_BOX_CLASS
from maskfit.data.importers.declared_size import find_size_columns, is_size_of_box, read_size
from maskfit.data.importers.huggingface import FILE_NAME, LABEL_KEYS
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
from maskfit.data.importers.named_words import to_person, to_words
from maskfit.data.importers.photo_finder import SEVERAL_NAMES, PhotoFinder
from maskfit.data.importers.source import parse_json_line
from maskfit.data.importers.word_reader import WordReader
from maskfit.data.manifest_columns import PATH_COLUMNS, PERSON_COLUMNS, URL_COLUMNS
from maskfit.errors import DataError

SUFFIXES = (".jsonl", ".ndjson", ".manifest", ".json")
SHOWN_LINES = 20
"""Lines from which a file is recognized."""

PHOTO_KEYS = ("source-ref", *PATH_COLUMNS, *URL_COLUMNS)
METADATA_SUFFIX = "-metadata"

NO_NAME = "the line names no photo"
EMBEDDED = "the photo is in the line itself; save it as a file, and name that"
NO_CLASS = "the index has no name in the line's metadata"
OTHER_BOXES = "the line has boxes in a form that is not read"
SEVERAL_PHOTOS = "keys of the line name several files"
NOT_ACCEPTED = "the annotator did not accept the line"

EDGE_KEYS = frozenset(["x", "y", "x0", "y0", "x1", "y1", "xmin", "ymin", "x_min", "y_min", "left", "top", "upper"])
"""Keys of which an object that is a box has two."""

OBJECT_KEYS = frozenset({"spans", "options", "meta", "tokens"})
"""Prodigy's keys with lists of objects, and with what a program notes for itself."""

OTHER_ANSWERS = ("reject", "ignore")

PHOTO_OBJECTS = frozenset({"image", "photo", "file", "data", "source"})
LABEL_OBJECTS = frozenset({"annotation", "annotations", "attributes", "labels", "label", "target", "targets", "data"})
PERSON_OBJECTS = frozenset({"person", "subject", "meta", "metadata", "info"})
"""Keys, in lower case, of objects whose own keys count as keys of the line: the photo's, its labels', the person's."""

Labels = list[tuple[str, str]]


class JsonLinesImporter:
    """JSON Lines."""

    title: ClassVar[str] = "JSON Lines: an object with a photo and labels per line, as of Ground Truth and Prodigy"
    codes: ClassVar[Mapping[str, Mapping[str, str]]] = {}

    def detect(self, source: ImportSource, words: WordReader) -> Confidence:
        """Says how sure it is that a source has JSON Lines with photos.

        Args:
            source: The source.
            words: What the user says that words mean.

        Returns:
            `SURE` where the lines of a file name photos and a label.
        """
        return Confidence.SURE if _label_files(source, words) else Confidence.NO

    def read(self, source: ImportSource, options: ImportOptions) -> RawImport:
        """Reads all files of lines.

        Args:
            source: The source.
            options: Options of the import.

        Returns:
            A row per photo, or per box where it has some.

        Raises:
            DataError: There is no such file, or it has predictions.
        """
        result = RawImport(files=_label_files(source, options.words))
        if not result.files:
            hint = "each line has a photo's name, such as image, and a label, such as mask or label"
            raise DataError("there are no JSON Lines with photos here", location=source.path, hint=hint)
        for name in result.files:
            if _is_prediction(next((item for _, item in source.json_lines(name)), {})):
                raise DataError(
                    "these are predictions of maskfit, no labels",
                    location=source.describe(name),
                    hint="a table of them, to correct and train on: maskfit predict --images DIR --out FILE",
                )
        rows = BoxRows(result)
        finder = options.photo_finder(source)
        unread: dict[str, None] = {}
        found: list[tuple[str, Path, str, Mapping[str, Any]]] = []
        for name in result.files:
            for number, line in source.json_lines(name):
                location, item = f"{name} line {number}", _flatten(line)
                photo, key, reason = _find_photo(item, finder, name)
                if photo is None:
                    where = f"{location}: {item[key]}" if key and reason != EMBEDDED else location
                    result.left_out.append(LeftOut(where, reason))
                else:
                    found.append((location, photo, key, item))
        for location, photo, key, item in found:
            if finder.is_taken(photo, item[key]):
                result.left_out.append(LeftOut(f"{location}: {item[key]}", SEVERAL_NAMES))
                continue
            if _has_other_boxes(item):
                result.left_out.append(LeftOut(location, OTHER_BOXES))
                continue
            keys = {own.casefold(): own for own in item}
            person = to_person(*(item[keys[column]] for column in PERSON_COLUMNS if column in keys))
            labels, boxes = _read_item(item, key, options.words, location, result, unread)
            if not boxes and not labels and _has_box_list(item):
                result.left_out.append(LeftOut(location, NO_FACE))
            elif not boxes:
                result.rows.append(RawRow(photo, location, labels, person))
            for count, (box, own, size) in enumerate(boxes, start=1):
                where = f"{location} box {count}"
                if box is None or own is None or not (own or labels):
                    reason = NO_BOX if box is None else NO_CLASS if own is None else NO_BOX_CLASS
                    result.left_out.append(LeftOut(where, reason))
                else:
                    rows.add(photo, where, [*own, *labels], box, size, person=person)
        if unread:
            result.notes.append(f"keys that hold no label, ignored: {', '.join(unread)}")
        result.note_photos_without_row(finder)
        rows.finish()
        return result


Boxes = list[tuple[Box | None, Labels | None, tuple[float, float] | None]]
"""Each box with its labels, None for an index without a name, and the size of the photo that it was drawn on."""


def _label_files(source: ImportSource, words: WordReader) -> list[str]:
    return [
        name
        for name in source.with_suffix(*SUFFIXES)
        if PurePosixPath(name).name != FILE_NAME and _has_photos(source.head(name), words)
    ]


def _has_photos(head: str, words: WordReader) -> bool:
    """Whether most of the first lines are objects that name a photo, and one has what may be a label."""
    lines = [line for line in head.split("\n")[: SHOWN_LINES + 1] if line.strip()]
    if not lines or not lines[0].lstrip().startswith("{"):
        return False
    # The last line may be cut.
    lines = lines[: max(1, len(lines) - 1)]
    items = [_flatten(parsed) for line in lines if (parsed := parse_json_line(line))]
    named = [item for item in items if _photo_key(item)]
    return 2 * len(named) > len(lines) and any(
        key.casefold() in LABEL_KEYS
        or words.find_key(key)
        or f"{key}{METADATA_SUFFIX}" in item
        or key in ("accept", "spans")
        for item in named
        for key in item
    )


def _flatten(item: Mapping[str, Any]) -> Mapping[str, Any]:
    """A line with the keys of its objects beside its own, where these are the photo's, labels' or the person's.

    Of an object in `LABEL_OBJECTS` all keys with a word, number or list of these are taken; keys that the line itself
    has stay what they are. Ground Truth's objects, those with boxes and those of predictions are left as they are.
    """
    if _is_prediction(item):
        return item
    flat: dict[str, Any] = dict(item)
    known = {key.casefold() for key in item}
    for key, value in item.items():
        own = key.casefold()
        if not isinstance(value, Mapping) or f"{key}{METADATA_SUFFIX}" in item or _has_edges(value):
            continue
        inner = {
            name: part
            for name, part in value.items()
            if name.casefold() not in known
            and all(map(_is_text, _list(part)))
            and (
                own in LABEL_OBJECTS
                or (own in PHOTO_OBJECTS and name.casefold() in PHOTO_KEYS)
                or (own in PERSON_OBJECTS and name.casefold() in PERSON_COLUMNS)
            )
        }
        flat |= inner
        known |= {name.casefold() for name in inner}
        if inner.keys() == value.keys() and value:
            del flat[key]
    return flat


def _photo_key(item: Mapping[str, Any]) -> str:
    """The key of the photo's name; empty where the line has none, or is of another format."""
    if isinstance(item.get("data_row"), Mapping):
        return ""
    keys = {key.casefold(): key for key in item}
    return next((keys[key] for key in PHOTO_KEYS if key in keys and _is_name(item[keys[key]])), "")


def _find_photo(item: Mapping[str, Any], finder: PhotoFinder, file: str) -> tuple[Path | None, str, str]:
    """The photo of a line, the key of its name, and ""; None, the key and the reason where there is none."""
    key = _photo_key(item)
    if not key:
        return None, "", NO_NAME if item else DAMAGED_LINE
    if item[key].startswith("data:"):
        return None, key, EMBEDDED
    if item.get("answer") in OTHER_ANSWERS:
        return None, key, NOT_ACCEPTED
    photo, reason = finder.find(item[key], file)
    if photo is None:
        return None, key, reason
    others = (value for own, value in item.items() if own != key and own.casefold() in PHOTO_KEYS)
    if any(finder.look_up(value, file) not in (None, photo) for value in others if _is_name(value)):
        return None, key, SEVERAL_PHOTOS
    return photo, key, ""


def _has_other_boxes(item: Mapping[str, Any]) -> bool:
    """Whether a line has boxes, or lists of objects, in another form than those of Ground Truth and Prodigy."""
    return any(
        key.casefold() in BOX_KEYS or any(isinstance(part, Mapping) and _has_edges(part) for part in _list(value))
        for key, value in item.items()
        if not (key in OBJECT_KEYS or f"{key}{METADATA_SUFFIX}" in item or key.endswith(METADATA_SUFFIX))
    )


def _is_prediction(item: Mapping[str, Any]) -> bool:
    """Whether a line is one that `maskfit predict --jsonl` writes, whose class is its own number."""
    return isinstance(item.get("attributes"), Mapping) and {"photo", "class", "answer", "probability"} <= item.keys()


def _has_edges(item: Mapping[Any, Any]) -> bool:
    keys = {str(key).casefold() for key in item}
    return bool((BOX_KEYS | {"points", "polygon"}) & keys) or len(EDGE_KEYS & keys) > 1


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _has_box_list(item: Mapping[str, Any]) -> bool:
    """Whether a line may have boxes: Prodigy's spans, or Ground Truth's annotations, of which there may be none."""
    return isinstance(item.get("spans"), list) or any(
        isinstance(value, Mapping) and "annotations" in value and f"{key}{METADATA_SUFFIX}" in item
        for key, value in item.items()
    )


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _read_item(
    item: Mapping[str, Any],
    photo_key: str,
    words: WordReader,
    location: str,
    result: RawImport,
    unread: dict[str, None],
) -> tuple[Labels, Boxes]:
    """The labels of a line, and its boxes with theirs."""
    labels: Labels = []
    boxes: Boxes = []
    known = {*PHOTO_KEYS, *PERSON_COLUMNS}
    others = {photo_key, "options", *(key for key in item if key.casefold() in known)}
    if item.get("answer") in ("accept", None):
        others.add("answer")
    columns = find_box_columns({key.casefold(): key for key in item})
    if columns is not None:
        own_size = find_size_columns({key.casefold(): key for key in item}, columns.names)
        others |= {*columns.names, *(own_size or ())}
        box, drawn_on = _read_row_box(columns, item), read_size(item, own_size)
        boxes.append((box, [], None if is_size_of_box(drawn_on, box) else drawn_on))
    if isinstance(item.get("spans"), list):
        others |= {"spans", "width", "height"}
        size = to_numbers([item.get("width"), item.get("height")])
        boxes += [_read_span(span, (size[0], size[1]) if size else None) for span in item["spans"]]
    for key, value in item.items():
        metadata = item.get(f"{key}{METADATA_SUFFIX}")
        if key in others or value is None or (key.endswith(METADATA_SUFFIX) and key[: -len(METADATA_SUFFIX)] in item):
            continue
        own = words.find_key(key)
        if isinstance(metadata, Mapping):
            if isinstance(value, Mapping):
                boxes += _read_boxes(value, metadata, own or ANY)
            else:
                names = _class_names(value, metadata)
                labels += [(own or ANY, name) for name in names]
                if not names:
                    result.left_out.append(LeftOut(f"{location} {key}", NO_CLASS))
            continue
        if isinstance(value, bool) and own is None and words.knows_alone(key):
            labels += [(ANY, key)] if value else []  # "with_mask": true
            continue
        for word in to_words(value):
            # What begins with _ is a program's own, such as the name of Prodigy's session.
            is_value = not key.startswith("_") and words.knows_value(word)
            if own is not None or key.casefold() in LABEL_KEYS or key == "accept" or is_value:
                labels.append((own or ANY, word))
            else:
                unread[key] = None
        if any(isinstance(part, Mapping | list) for part in _list(value)):
            unread[key] = None
    return labels, boxes


def _class_names(value: Any, metadata: Mapping[str, Any]) -> list[str]:
    """The names of Ground Truth's indexes: of one class, or of several (`class-map`)."""
    if _is_text(metadata.get("class-name")):
        return [str(metadata["class-name"])]
    class_map = metadata.get("class-map")
    if not isinstance(class_map, Mapping):
        return [value] if _is_name(value) else []
    indexes = value if isinstance(value, list) else [value]
    return [str(class_map[f"{index}"]) for index in indexes if _is_text(class_map.get(f"{index}"))]


def _read_row_box(columns: BoxColumns, item: Mapping[str, Any]) -> Box | None:
    try:
        return columns.read({name: f"{item[name]}" for name in columns.names})
    except DataError:
        return None


def _read_span(span: Any, size: tuple[float, float] | None) -> tuple[Box | None, Labels, tuple[float, float] | None]:
    """Prodigy's rectangle or polygon: its corners in pixels of the photo's declared size, and a label."""
    points = to_points(span.get("points")) if isinstance(span, Mapping) else None
    label = span.get("label") if isinstance(span, Mapping) else None
    return extent(points) if points else None, [(ANY, label)] if isinstance(label, str) and label else [], size


def _read_boxes(value: Mapping[str, Any], metadata: Mapping[str, Any], key: str) -> Boxes:
    """Ground Truth's boxes: left, top, width and height in pixels, and the index of a class."""
    found: Boxes = []
    sizes = value.get("image_size")
    first = sizes[0] if isinstance(sizes, list) and sizes and isinstance(sizes[0], Mapping) else {}
    side = to_numbers([first.get("width"), first.get("height")])
    annotations = value.get("annotations")
    for item in annotations if isinstance(annotations, list) else ():
        if not isinstance(item, Mapping):
            found.append((None, [], None))
            continue
        edges = to_numbers([item.get(edge) for edge in ("left", "top", "width", "height")])
        names = _class_names(item.get("class_id"), metadata)
        box = (edges[0], edges[1], edges[0] + edges[2], edges[1] + edges[3]) if edges else None
        own = [(key, name) for name in names] if names or item.get("class_id") is None else None
        found.append((box, own, (side[0], side[1]) if side else None))
    return found
