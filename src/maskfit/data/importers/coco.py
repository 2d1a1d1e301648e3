"""COCO instances: a JSON with `images`, `annotations` (`bbox` as left, upper, width, height) and `categories`.

Several files (train, val) are imported together. Attributes of an annotation, as CVAT exports them, are read where they
are named like an attribute of the label schema.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from maskfit.data.importers.box_rows import NO_BOX, NO_CLASS, NO_FACE, BoxRows, to_float, to_numbers, without_neutral
from maskfit.data.importers.interface import Box, Confidence, ImportOptions, ImportSource, LeftOut, RawImport
from maskfit.data.importers.photo_finder import PhotoFinder
from maskfit.data.importers.word_reader import WordReader
from maskfit.errors import DataError

CROWD = "the annotation is of a crowd"
NO_IMAGE = "the annotation is of an image that is not listed"
SHARED_ID = "several images have the id of this one"
NO_OBJECT = "the entry is no JSON object"

_KEYS = re.compile(r'"(images|annotations|categories)"\s*:\s*\[')


class CocoImporter:
    """COCO instances."""

    title: ClassVar[str] = "COCO: a JSON with images, annotations and categories"
    codes: ClassVar[Mapping[str, Mapping[str, str]]] = {}

    def detect(self, source: ImportSource, words: WordReader) -> Confidence:
        """Says how sure it is that a source is COCO.

        Args:
            source: The source.
            words: What the user says that words mean.

        Returns:
            `SURE` where a JSON has the lists of COCO.
        """
        return Confidence.SURE if coco_files(source) else Confidence.NO

    def read(self, source: ImportSource, options: ImportOptions) -> RawImport:
        """Reads all COCO files.

        Args:
            source: The source.
            options: Options of the import.

        Returns:
            A row per annotation with a box.

        Raises:
            DataError: There is no such file.
        """
        result = RawImport(files=coco_files(source))
        if not result.files:
            hint = "a COCO file has images, annotations and categories; name another format with --format"
            raise DataError("there is no COCO JSON here", location=source.path, hint=hint)
        rows = BoxRows(result)
        finder = options.photo_finder(source)
        unread: dict[str, None] = {}
        for name in result.files:
            _read_file(name, source.load_json(name), finder, options.words, rows, unread)
        if unread:
            result.notes.append(f"attributes that the label schema does not have were ignored: {', '.join(unread)}")
        if len(result.files) > 1:
            result.notes.append(f"{len(result.files)} files are imported together: {', '.join(result.files)}")
        rows.finish()
        return result


def coco_files(source: ImportSource) -> list[str]:
    """Finds the COCO files of a source.

    Args:
        source: The source.

    Returns:
        Names of the JSON files with the lists of COCO.
    """
    found = []
    for name in source.with_suffix(".json"):
        head = source.head(name)
        # The order of the lists is free, and the first may be longer than the head: then the whole file is read.
        if _KEYS.search(head) and not head.lstrip().startswith("["):
            content = source.load_json(name)
            if isinstance(content, dict) and isinstance(content.get("images"), list) and "annotations" in content:
                found.append(name)
    return found


def _read_file(
    name: str, content: Any, finder: PhotoFinder, words: WordReader, rows: BoxRows, unread: dict[str, None]
) -> None:
    categories = _read_categories(name, content)
    photos: dict[Any, tuple[Path, tuple[float, float]]] = {}
    lost: set[Any] = set()
    used: set[Any] = set()
    images = _objects(content, "images")
    for key in ("images", "annotations"):
        entries = content.get(key)
        if isinstance(entries, list) and (others := sum(not isinstance(item, dict) for item in entries)):
            rows.result.left_out += [LeftOut(f"{name} {key}", NO_OBJECT)] * others
    shared = _shared_ids(images, "file_name")
    for image in images:
        file = str(image.get("file_name") or "")
        photo, reason = finder.find(file, name)
        if photo is None or image.get("id") in shared:
            reason = SHARED_ID if photo else reason
            lost.add(image.get("id"))
            rows.result.left_out.append(LeftOut(f"{name} image {file}", reason))
            continue
        photos[image.get("id")] = photo, (to_float(image.get("width")), to_float(image.get("height")))
    for number, item in enumerate(_objects(content, "annotations"), start=1):
        location = f"{name} annotation {item.get('id', number)}"
        image_id = item.get("image_id")
        used.add(image_id)
        if image_id in lost:
            continue
        box = _read_box(item.get("bbox"))
        if image_id not in photos or box is None or item.get("iscrowd"):
            reason = NO_IMAGE if image_id not in photos else CROWD if item.get("iscrowd") else NO_BOX
            rows.result.left_out.append(LeftOut(location, reason))
            continue
        photo, declared = photos[image_id]
        attributes = read_attributes(item.get("attributes"), words, unread)
        category = item.get("category_id")
        label = "" if category is None else categories.get(category, str(category))
        if not label and not attributes:
            rows.result.left_out.append(LeftOut(location, NO_CLASS))
            continue
        rows.add(photo, location, without_neutral(label, attributes), box, declared)
    empty = [image for image in images if image.get("id") in photos and image.get("id") not in used]
    rows.result.left_out += [LeftOut(f"{name} image {image.get('file_name')}", NO_FACE) for image in empty]


def _shared_ids(items: Sequence[Mapping[str, Any]], key: str) -> set[Any]:
    """The ids that stand for several values of a key: what names such an id cannot be told apart."""
    first: dict[Any, Any] = {}
    return {item.get("id") for item in items if first.setdefault(item.get("id"), item.get(key)) != item.get(key)}


def _read_categories(name: str, content: Any) -> dict[Any, str]:
    """The name of each category by its id."""
    categories = _objects(content, "categories")
    if shared := _shared_ids(categories, "name"):
        names = sorted({_name(item) for item in categories if item.get("id") in shared})
        raise DataError(
            f"several categories have one id: {', '.join(names)}", location=name, hint="give each category its own id"
        )
    return {item.get("id"): _name(item) for item in categories}


def _name(category: Mapping[str, Any]) -> str:
    """The name of a category; empty for null, which as a word would be a value: no mask."""
    name = category.get("name")
    return "" if name is None else str(name)


def read_attributes(attributes: Any, words: WordReader, unread: dict[str, None]) -> list[tuple[str, str]]:
    """Reads the attributes of a box.

    Args:
        attributes: Name -> value, as the file has it.
        words: Knows the attributes of the label schema.
        unread: Receives the names of attributes that the schema does not have.

    Returns:
        Pairs of key and word.
    """
    if not isinstance(attributes, Mapping):
        return []
    found = []
    for name, value in attributes.items():
        key = words.find_key(str(name))
        if key is None:
            unread[str(name)] = None
        elif value not in (None, ""):
            found.append((key, str(value)))
    return found


def _objects(content: Any, key: str) -> Sequence[dict[str, Any]]:
    items = content.get(key) if isinstance(content, dict) else None
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _read_box(value: Any) -> Box | None:
    edges = to_numbers(value)
    if edges is None or len(edges) != 4:
        return None
    left, upper, width, height = edges
    return (left, upper, left + width, upper + height)
