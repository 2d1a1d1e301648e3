"""CVAT for images 1.1: an XML with `<image>` and `<box>`; the exports of several jobs are imported together.

A box with a rotation becomes the upright box around it. Attributes are read where they are named like an attribute of
the label schema; a `<tag>` labels the whole photo where it has no boxes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from math import radians
from pathlib import Path
from typing import ClassVar
from xml.etree import ElementTree

from maskfit.data.importers.box_rows import NO_BOX, NO_FACE, OTHER_SHAPE, BoxRows, turned_extent, without_neutral
from maskfit.data.importers.coco import read_attributes
from maskfit.data.importers.interface import Box, Confidence, ImportOptions, ImportSource, LeftOut, RawImport, RawRow
from maskfit.data.importers.voc import DAMAGED
from maskfit.data.importers.word_reader import WordReader

TRACK = "the object is a track of a video; export as 'CVAT for images 1.1'"

_ROOT = re.compile(r"<annotations[\s>]")


class CvatImporter:
    """CVAT for images 1.1."""

    title: ClassVar[str] = "CVAT for images 1.1"
    codes: ClassVar[Mapping[str, Mapping[str, str]]] = {}

    def detect(self, source: ImportSource, words: WordReader) -> Confidence:
        """Says how sure it is that a source is of CVAT.

        Args:
            source: The source.
            words: What the user says that words mean.

        Returns:
            `SURE` where an XML file begins with `<annotations>`.
        """
        files = source.with_suffix(".xml")
        return Confidence.SURE if any(_ROOT.search(source.head(name)) for name in files[:5]) else Confidence.NO

    def read(self, source: ImportSource, options: ImportOptions) -> RawImport:
        """Reads all exports in the source.

        Args:
            source: The source.
            options: Options of the import.

        Returns:
            A row per box, and one per photo that has tags and no boxes.
        """
        result = RawImport()
        reader = _Reader(BoxRows(result), options.words)
        finder = options.photo_finder(source)
        for name in source.with_suffix(".xml"):
            try:
                root = ElementTree.parse(source.root / name).getroot()
            except (ElementTree.ParseError, OSError, ValueError):
                result.left_out.append(LeftOut(name, DAMAGED))
                continue
            if root.tag != "annotations":
                continue
            result.files.append(name)
            result.left_out += [LeftOut(f"{name} track {track.get('id')}", TRACK) for track in root.findall("track")]
            for image in root.findall("image"):
                location = f"{name} image {image.get('name')}"
                photo, reason = finder.find(image.get("name") or "", name)
                if photo is None:
                    result.left_out.append(LeftOut(location, reason))
                else:
                    reader.add_image(image, location, photo)
        if len(result.files) > 1:
            result.notes.append(f"{len(result.files)} exports are imported together: {', '.join(result.files)}")
        reader.finish()
        return result


class _Reader:
    """Reads the shapes of images."""

    def __init__(self, rows: BoxRows, words: WordReader) -> None:
        self._rows, self._words = rows, words
        self._unread: dict[str, None] = {}
        self._counts: Counter[str] = Counter()

    def add_image(self, image: ElementTree.Element, location: str, photo: Path) -> None:
        left_out = self._rows.result.left_out
        declared = (_number(image, "width") or 0.0, _number(image, "height") or 0.0)
        tags = [label for tag in image.findall("tag") for label in self._labels(tag)]
        boxes = image.findall("box")
        for number, item in enumerate(boxes, start=1):
            where = f"{location} box {number}"
            box = _read_box(item)
            if box is None:
                left_out.append(LeftOut(where, NO_BOX))
                continue
            self._counts["rotated"] += bool(_number(item, "rotation"))
            self._counts["occluded"] += item.get("occluded") == "1"
            # What a tag says of the photo holds for its faces, unless a box says otherwise.
            self._rows.add(photo, where, [*self._labels(item), *tags], box, declared)
        for kind in ("polygon", "polyline", "points", "ellipse", "mask", "cuboid", "skeleton"):
            left_out += [LeftOut(f"{location} {kind}", OTHER_SHAPE) for _ in image.findall(kind)]
        if tags and not boxes:
            self._rows.result.rows.append(RawRow(photo, location, tags))
        elif not boxes:
            left_out.append(LeftOut(location, NO_FACE))

    def finish(self) -> None:
        notes = self._rows.result.notes
        if self._counts["occluded"]:
            notes.append(f"boxes marked as occluded, imported like others: {self._counts['occluded']:,}")
        if self._counts["rotated"]:
            notes.append(f"rotated boxes, which became the upright boxes around them: {self._counts['rotated']:,}")
        if self._unread:
            notes.append(f"attributes that the label schema does not have were ignored: {', '.join(self._unread)}")
        self._rows.finish()

    def _labels(self, item: ElementTree.Element) -> list[tuple[str, str]]:
        values = {entry.get("name", ""): (entry.text or "").strip() for entry in item.findall("attribute")}
        return without_neutral(item.get("label") or "", read_attributes(values, self._words, self._unread))


def _read_box(item: ElementTree.Element) -> Box | None:
    left, upper, right, lower = (_number(item, name) for name in ("xtl", "ytl", "xbr", "ybr"))
    if left is None or upper is None or right is None or lower is None:
        return None
    angle = radians(_number(item, "rotation") or 0.0)
    if not angle:
        return (left, upper, right, lower)
    return turned_extent((left, upper, right, lower), angle)


def _number(element: ElementTree.Element, name: str) -> float | None:
    try:
        return float(element.get(name) or "")
    except ValueError:
        return None
