"""Datumaro, as CVAT and Intel Geti export it too: a JSON per subset, `annotations/train.json`, beside `images/train`.

A `bbox` (left, upper, width, height) is a face, turned by the degrees of its attribute `rotation`, which CVAT writes.
A `label` is one of the whole photo, which holds for its faces. Checked against datumaro 0.5.0, whose items also have a
`media`, and 1.13.12, which makes names of files from ids with `_` for `/`: where two ids give one name, it leaves the
last one's photo for both, and such items are left out.
"""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from math import radians
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, ClassVar, NamedTuple

from maskfit.data.importers.box_rows import (
    DAMAGED,
    NO_BOX,
    NO_CLASS,
    NO_FACE,
    NO_NAME,
    OTHER_FILE,
    OTHER_SHAPE,
    BoxRows,
    to_float,
    to_numbers,
    turned_extent,
    without_neutral,
)
from maskfit.data.importers.coco import NO_OBJECT
from maskfit.data.importers.interface import Box, Confidence, ImportOptions, ImportSource, LeftOut, RawImport, RawRow
from maskfit.data.importers.named_words import NamedWords, find_person, to_words
from maskfit.data.importers.photo_finder import AMBIGUOUS, NOT_FOUND, PhotoFinder
from maskfit.data.importers.word_reader import WordReader
from maskfit.errors import DataError

NO_PHOTO = "the item is no photo"
SHARED_PHOTO = "several items of the file have this photo"
UNKNOWN_LABEL = "the label is not in the file's list of labels"

_KEYS = tuple(re.compile(pattern) for pattern in (r'"categories"\s*:\s*\{', r'"label"\s*:\s*\{', r'"labels"\s*:\s*\['))
_ITEMS = re.compile(r'"items"\s*:\s*\[')
_OTHER_MEDIA = ("point_cloud", "video", "video_frame")


class _Item(NamedTuple):
    """An item of a file.

    Attributes:
        location: The file and the item.
        id: Its id.
        photo: Its photo.
        size: Width and height as the file has them; None where it does not.
        annotations: Its annotations.
        attributes: Names and words of the photo's attributes.
        labels: The names of the file's labels.
    """

    location: str
    id: str
    photo: Path
    size: tuple[float, float] | None
    annotations: Sequence[Any]
    attributes: list[tuple[str, str]]
    labels: Sequence[str]


class DatumaroImporter:
    """Datumaro's JSON."""

    title: ClassVar[str] = "Datumaro: a JSON per subset with categories and items"
    codes: ClassVar[Mapping[str, Mapping[str, str]]] = {}

    def detect(self, source: ImportSource, words: WordReader) -> Confidence:
        """Says how sure it is that a source is of Datumaro.

        Args:
            source: The source.
            words: What the user says that words mean.

        Returns:
            `SURE` where a JSON has the categories and items of Datumaro.
        """
        return Confidence.SURE if _label_files(source) else Confidence.NO

    def read(self, source: ImportSource, options: ImportOptions) -> RawImport:
        """Reads all files of Datumaro.

        Args:
            source: The source.
            options: Options of the import.

        Returns:
            A row per box, and one per photo that has labels and no boxes.

        Raises:
            DataError: There is no such file.
        """
        result = RawImport(files=_label_files(source))
        if not result.files:
            hint = "a Datumaro file has categories and items; name another format with --format"
            raise DataError("there is no JSON of Datumaro here", location=source.path, hint=hint)
        finder = options.photo_finder(source)
        subsets = {PurePosixPath(name).stem for name in result.files}
        items: list[_Item] = []
        for name in result.files:
            found = list(_read_file(name, source.load_json(name), _Photos(source, finder, name, subsets)))
            ids: dict[Path, set[str]] = {}
            for item in found:
                if isinstance(item, _Item):
                    ids.setdefault(item.photo, set()).add(item.id)
            for item in found:
                if isinstance(item, LeftOut):
                    result.left_out.append(item)
                elif len(ids[item.photo]) > 1:
                    result.left_out.append(LeftOut(item.location, SHARED_PHOTO))
                else:
                    items.append(item)
        pairs = (pair for item in items for entry in item.annotations for pair in _attributes(entry))
        names = NamedWords(options.words, [*pairs, *(pair for item in items for pair in item.attributes)])
        reader = _Reader(BoxRows(result), names)
        for item in items:
            reader.add(item)
        result.note_photos_without_row(finder)
        reader.finish()
        return result


class _Photos:
    """Finds the photos of a subset, which are in `images/SUBSET`, or in `images`.

    Args:
        source: The source.
        finder: Finds photos by names.
        name: The subset's file.
        subsets: Names of all subsets.
    """

    def __init__(self, source: ImportSource, finder: PhotoFinder, name: str, subsets: set[str]) -> None:
        self._finder, self._name = finder, name
        self._subset = PurePosixPath(name).stem
        self._others = subsets - {self._subset}
        root = PurePosixPath(name).parent
        self._above = ".." if root.name == "annotations" or not source.is_folder else "."
        self._folder = source.root / root

    def find(self, item: Mapping[str, Any]) -> tuple[Path | None, str]:
        """The photo of an item and ""; None and the reason where there is none."""
        media: Mapping[str, Any] = next(
            (item[key] for key in ("image", "media") if isinstance(item.get(key), Mapping)), {}
        )
        path = str(media.get("path") or "").replace("\\", "/")
        if not path and any(item.get(key) for key in _OTHER_MEDIA):
            return None, NO_PHOTO
        if not path:
            return self._find_by_id(str(item.get("id") or ""))
        places = (posixpath.join(self._above, "images", part, path) for part in (self._subset, ""))
        named = next((place for place in places if (self._folder / place).is_file()), "")
        photo, reason = self._finder.find(named or posixpath.join("images", self._subset, path), self._name)
        if photo is not None and (self._is_of_other_subset(photo) or self._is_in_other_folder(photo, path)):
            return None, NOT_FOUND
        return photo, reason

    def _find_by_id(self, key: str) -> tuple[Path | None, str]:
        if not key:
            return None, NO_NAME
        found = self._finder.find_by_stem(f"images/{self._subset}/{key}") or self._finder.find_by_stem(key)
        found = [name for name in found if not self._is_of_other_subset(self._finder.folder / name)]
        if len(found) != 1:
            return None, AMBIGUOUS if found else NOT_FOUND
        return self._finder.folder / found[0], ""

    def _is_in_other_folder(self, photo: Path, path: str) -> bool:
        """Whether a photo beside the file is in another folder of its subset than the item says."""
        folder = posixpath.dirname(path)
        if (
            not folder
            or PureWindowsPath(path).anchor
            or not (self._folder / self._above / "images" / self._subset).is_dir()
        ):
            return False
        return not photo.parent.as_posix().casefold().endswith(f"/{folder}".casefold())

    def _is_of_other_subset(self, photo: Path) -> bool:
        """Whether a photo is in the folder of another subset, where photos may have equal names."""
        if not photo.is_relative_to(self._finder.folder):
            return False
        parts = photo.relative_to(self._finder.folder).parts[:-1]
        return any(outer == "images" and inner in self._others for outer, inner in pairwise(parts))


class _Reader:
    """Adds the faces of items."""

    def __init__(self, rows: BoxRows, names: NamedWords) -> None:
        self._rows, self._names = rows, names
        self._counts: Counter[str] = Counter()

    def add(self, item: _Item) -> None:
        left_out = self._rows.result.left_out
        of_photo: list[tuple[str, str]] = []
        pairs = list(item.attributes)
        boxes: list[tuple[str, Mapping[str, Any], str | None]] = []
        for number, entry in enumerate(item.annotations, start=1):
            where = f"{item.location} annotation {number}"
            kind = entry.get("type") if isinstance(entry, Mapping) else None
            if not isinstance(entry, Mapping) or kind not in ("label", "bbox"):
                left_out.append(LeftOut(where, OTHER_SHAPE if isinstance(entry, Mapping) else NO_OBJECT))
                continue
            word = _label(entry, item.labels)
            if kind == "bbox":
                boxes.append((where, entry, word))
            elif not word:
                left_out.append(LeftOut(where, UNKNOWN_LABEL))
            else:
                of_photo += [*self._names.read(_attributes(entry)), ("", word)]
                pairs += _attributes(entry)
        of_photo += self._names.read(item.attributes)
        for where, entry, word in boxes:
            own = _attributes(entry)
            labels = [*self._names.read(own), *of_photo]
            box = self._read_box(entry)
            if box is None or word is None or not (word or labels):
                reason = NO_BOX if box is None else UNKNOWN_LABEL if word is None else NO_CLASS
                left_out.append(LeftOut(where, reason))
                continue
            person = find_person(*own, *pairs)
            self._rows.add(item.photo, where, without_neutral(word, labels), box, item.size, person=person)
        if of_photo and not boxes:
            self._rows.result.rows.append(RawRow(item.photo, item.location, of_photo, find_person(*pairs)))
        elif not boxes:
            left_out.append(LeftOut(item.location, NO_FACE))

    def finish(self) -> None:
        notes = self._rows.result.notes
        notes += self._names.notes("attributes")
        if self._counts["rotated"]:
            notes.append(f"rotated boxes, which became the upright boxes around them: {self._counts['rotated']:,}")
        self._rows.finish()

    def _read_box(self, entry: Mapping[str, Any]) -> Box | None:
        edges = to_numbers(entry.get("bbox"))
        if edges is None or len(edges) != 4:
            return None
        left, upper, width, height = edges
        attributes = entry.get("attributes")
        angle = to_float(attributes.get("rotation")) if isinstance(attributes, Mapping) else 0.0
        self._counts["rotated"] += bool(angle)
        return turned_extent((left, upper, left + width, upper + height), radians(angle))


def _label_files(source: ImportSource) -> list[str]:
    found = []
    for name in source.with_suffix(".json"):
        head = source.head(name)
        if head.lstrip().startswith("{") and all(key.search(head) for key in _KEYS):
            # Of many labels, the list may be longer than the head: then the whole file is read.
            if not _ITEMS.search(head):
                content = source.load_json(name)
                if not isinstance(content, dict) or not isinstance(content.get("items"), list):
                    continue
            found.append(name)
    return found


def _read_file(name: str, content: Any, photos: _Photos) -> Iterator[_Item | LeftOut]:
    """The items of a file, and those without a photo."""
    if not isinstance(content, dict) or not isinstance(content.get("items"), list):
        yield LeftOut(name, DAMAGED if content is None else OTHER_FILE)
        return
    labels = _label_names(content)
    for number, item in enumerate(content["items"], start=1):
        if not isinstance(item, Mapping):
            yield LeftOut(f"{name} item {number}", NO_OBJECT)
            continue
        location = f"{name} item {item.get('id') or number}"
        photo, reason = photos.find(item)
        if photo is None:
            yield LeftOut(location, reason)
            continue
        image = item.get("image")
        size = to_numbers(image.get("size")) if isinstance(image, Mapping) else None
        declared = (size[1], size[0]) if size is not None and len(size) >= 2 else None
        annotations = item.get("annotations")
        found = annotations if isinstance(annotations, list) else [annotations] if annotations else []
        yield _Item(location, str(item.get("id") or number), photo, declared, found, _pairs(item.get("attr")), labels)


def _label_names(content: Mapping[str, Any]) -> list[str]:
    """The names of the labels, whose position is the `label_id`."""
    categories = content.get("categories")
    label = categories.get("label") if isinstance(categories, Mapping) else None
    entries = label.get("labels") if isinstance(label, Mapping) else None
    entries = entries if isinstance(entries, list) else []
    return [str(entry.get("name") or "") if isinstance(entry, Mapping) else "" for entry in entries]


def _label(entry: Mapping[str, Any], names: Sequence[str]) -> str | None:
    """The name of an annotation's label; "" for an annotation without one, None for one that is not listed."""
    index = entry.get("label_id")
    if index is None:
        return ""
    is_listed = isinstance(index, int) and not isinstance(index, bool) and 0 <= index < len(names)
    return names[index] if is_listed else None


def _attributes(entry: Any) -> list[tuple[str, str]]:
    """The attributes of an annotation but for its rotation, which is part of the box."""
    values = entry.get("attributes") if isinstance(entry, Mapping) else None
    return [(name, word) for name, word in _pairs(values) if name != "rotation"]


def _pairs(values: Any) -> list[tuple[str, str]]:
    items = values.items() if isinstance(values, Mapping) else ()
    return [(str(name), word) for name, value in items for word in to_words(value)]
