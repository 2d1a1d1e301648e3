"""Supervisely: datasets with `img/a.jpg` and `ann/a.jpg.json`, below a project with a `meta.json`.

Objects are rectangles, rotated ones (`oriented_bbox`), polygons and bitmaps, each with its extent. A tag is a word of
its own (`with_mask`) or has a value (`mask`: `worn`); tags of the photo hold for its objects. Whole numbers are pixels,
of which the last belong to the object, so that its box ends one further; numbers with decimals are edges.
Checked against supervisely 6.74.51.
"""

from __future__ import annotations

import base64
import re
import struct
import zlib
from collections.abc import Mapping, Set
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from maskfit.data.importers.box_rows import (
    DAMAGED,
    NO_BOX,
    NO_FACE,
    OTHER_FILE,
    OTHER_SHAPE,
    BoxRows,
    extent,
    to_float,
    to_numbers,
    to_points,
    turned_extent,
    without_neutral,
)
from maskfit.data.importers.interface import Box, Confidence, ImportOptions, ImportSource, LeftOut, RawImport, RawRow
from maskfit.data.importers.named_words import NamedWords, Pairs, find_person, to_words
from maskfit.data.importers.photo_finder import NOT_FOUND
from maskfit.data.importers.voc import stem_index
from maskfit.data.importers.word_reader import WordReader
from maskfit.errors import DataError

META = "meta.json"
"""The project's classes and tags, which the annotations name too."""

_KEYS = (re.compile(r'"objects"\s*:\s*\['), re.compile(r'"size"\s*:\s*\{'))
_PNG_HEADER = struct.Struct(">8s4x4sII")
_READ_FILES = 5


class SuperviselyImporter:
    """Supervisely's projects of photos."""

    title: ClassVar[str] = "Supervisely: folders ann and img, with a JSON per photo"
    codes: ClassVar[Mapping[str, Mapping[str, str]]] = {}

    def detect(self, source: ImportSource, words: WordReader) -> Confidence:
        """Says how sure it is that a source is of Supervisely.

        Args:
            source: The source.
            words: What the user says that words mean.

        Returns:
            `SURE` where a JSON in a folder `ann` has the keys of Supervisely.
        """
        heads = (source.head(name) for name in _label_files(source)[:_READ_FILES])
        is_sure = any(all(key.search(head) for key in _KEYS) for head in heads)
        return Confidence.SURE if is_sure else Confidence.NO

    def read(self, source: ImportSource, options: ImportOptions) -> RawImport:
        """Reads all annotations.

        Args:
            source: The source.
            options: Options of the import.

        Returns:
            A row per object, and one per photo that has tags and no objects.

        Raises:
            DataError: There is no annotation.
        """
        files = _label_files(source)
        if not files:
            hint = "a dataset has folders ann and img; name another format with --format"
            raise DataError("there is no annotation of Supervisely here", location=source.path, hint=hint)
        result = RawImport(files=[*files, *(name for name in source.files if PurePosixPath(name).name == META)])
        finder = options.photo_finder(source)
        stems = stem_index(source, options)
        datasets = {_dataset(source, name) for name in files}
        read: list[tuple[str, Path, Mapping[str, Any]]] = []
        for name in files:
            content = source.load_json(name)
            if not isinstance(content, Mapping) or not isinstance(content.get("objects"), list):
                result.left_out.append(LeftOut(name, DAMAGED if content is None else OTHER_FILE))
                continue
            photo_name = PurePosixPath(name).name.removesuffix(".json")
            photo, reason = finder.find(f"../img/{photo_name}", name)
            if photo is None:
                # Old projects have a.json for a.jpg.
                photo, _ = stems.find(name)
            if photo is not None and _is_of_other_dataset(photo, _dataset(source, name), datasets, source.root):
                photo, reason = None, NOT_FOUND
            if photo is None:
                result.left_out.append(LeftOut(name, reason))
            else:
                read.append((name, photo, content))
        every = (item for _, _, content in read for item in (content, *content["objects"]))
        names = NamedWords(options.words, (pair for item in every for pair in _tags(item)))
        rows = BoxRows(result)
        for name, photo, content in read:
            _add_objects(name, photo, content, names, rows)
        result.note_photos_without_row(finder)
        result.notes += names.notes("tags")
        rows.finish()
        return result


def _label_files(source: ImportSource) -> list[str]:
    return [name for name in source.with_suffix(".json") if (source.root / name).absolute().parent.name == "ann"]


def _dataset(source: ImportSource, name: str) -> Path:
    return (source.root / name).absolute().parent.parent


def _is_of_other_dataset(photo: Path, own: Path, datasets: Set[Path], root: Path) -> bool:
    """Whether a photo is in the folder `img` of another dataset, where photos may have equal names."""
    folder = photo.absolute().parent
    if folder.name != "img" or folder.parent == own:
        return False
    # Photos that are apart from the annotations are known by the names of the datasets alone.
    is_beside = folder.is_relative_to(root.absolute())
    return is_beside or folder.parent.name in {path.name for path in datasets} - {own.name}


def _add_objects(name: str, photo: Path, content: Mapping[str, Any], names: NamedWords, rows: BoxRows) -> None:
    size = content.get("size")
    size = size if isinstance(size, Mapping) else {}
    declared = (to_float(size.get("width")), to_float(size.get("height")))
    of_photo = _tags(content)
    labels_of_photo = names.read(of_photo)
    for number, item in enumerate(content["objects"], start=1):
        location = f"{name} object {number}"
        box, reason = _read_box(item) if isinstance(item, Mapping) else (None, NO_BOX)
        if box is None:
            rows.result.left_out.append(LeftOut(location, reason))
            continue
        own = _tags(item)
        labels = without_neutral(str(item.get("classTitle") or ""), [*names.read(own), *labels_of_photo])
        rows.add(photo, location, labels, box, declared, person=find_person(*own, *of_photo))
    if labels_of_photo and not content["objects"]:
        rows.result.rows.append(RawRow(photo, name, labels_of_photo, find_person(*of_photo)))
    elif not content["objects"]:
        rows.result.left_out.append(LeftOut(name, NO_FACE))


def _tags(item: Any) -> Pairs:
    """The tags of a photo or object: a name and a value, or a name alone."""
    tags = item.get("tags") if isinstance(item, Mapping) else None
    pairs: list[tuple[str, str]] = []
    for tag in tags if isinstance(tags, list) else ():
        # The first projects had names alone.
        name, value = (tag.get("name"), tag.get("value")) if isinstance(tag, Mapping) else (tag, None)
        if isinstance(name, str) and name:
            pairs += [(name, word) for word in to_words(value) or ("",)]
    return pairs


def _read_box(item: Mapping[str, Any]) -> tuple[Box | None, str]:
    """The box around an object and ""; None and the reason where it has none."""
    points = item.get("points")
    kind = item.get("geometryType") or item.get("shape")
    if "bitmap" in item:
        return _read_bitmap(item["bitmap"]), NO_BOX
    if kind not in ("rectangle", "polygon", "oriented_bbox"):
        return None, OTHER_SHAPE
    values = points.get("exterior") if isinstance(points, Mapping) else points
    corners = to_points(values)
    if corners is None:
        return None, NO_BOX
    numbers = (number for point in values or () for number in point)
    left, upper, right, lower = extent(corners)
    if all(isinstance(number, int) for number in numbers):
        right, lower = right + 1, lower + 1
    angle = to_float(item.get("angle")) if kind == "oriented_bbox" else 0.0
    return turned_extent((left, upper, right, lower), angle) if angle else (left, upper, right, lower), ""


def _read_bitmap(bitmap: Any) -> Box | None:
    """The box of a bitmap, a PNG of the object alone, whose header has its size."""
    origin = to_numbers(bitmap.get("origin")) if isinstance(bitmap, Mapping) else None
    if origin is None or len(origin) != 2:
        return None
    try:
        packed = base64.b64decode(bitmap["data"], validate=True)
        # No more than the header is unpacked, whatever the rest would grow to.
        header = zlib.decompressobj().decompress(packed, _PNG_HEADER.size)
        signature, chunk, width, height = _PNG_HEADER.unpack(header)
    except (KeyError, TypeError, ValueError, zlib.error, struct.error):
        return None
    if signature != b"\x89PNG\r\n\x1a\n" or chunk != b"IHDR":
        return None
    return (origin[0], origin[1], origin[0] + width, origin[1] + height)
