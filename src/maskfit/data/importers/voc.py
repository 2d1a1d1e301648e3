"""Pascal VOC: one XML file per photo, as LabelImg and many published sets have it; each object is a face with its box.

The photo of `a.xml` is the one that is named `a`; `<filename>` counts where there is none, since it keeps the name that
the photo had when it was annotated. Edges are taken as pixels, left and upper inclusive. `<attributes>` of an object,
as CVAT writes them, are read where they are named like an attribute of the label schema.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar
from xml.etree import ElementTree

from maskfit.data.importers.box_rows import NO_BOX, NO_FACE, BoxRows, StemIndex, without_neutral
from maskfit.data.importers.coco import read_attributes
from maskfit.data.importers.interface import Box, Confidence, ImportOptions, ImportSource, LeftOut, RawImport
from maskfit.data.importers.photo_finder import list_files
from maskfit.data.importers.word_reader import WordReader
from maskfit.data.photo_dataset import is_photo_name

DAMAGED = "the XML cannot be read"

_ROOT = re.compile(r"<annotation[\s>]")


class VocImporter:
    """Pascal VOC."""

    title: ClassVar[str] = "Pascal VOC: an XML file per photo"
    codes: ClassVar[Mapping[str, Mapping[str, str]]] = {}

    def detect(self, source: ImportSource, words: WordReader) -> Confidence:
        """Says how sure it is that a source is Pascal VOC.

        Args:
            source: The source.
            words: What the user says that words mean.

        Returns:
            `SURE` where an XML file begins with `<annotation>`.
        """
        files = source.with_suffix(".xml")
        return Confidence.SURE if any(_ROOT.search(source.head(name)) for name in files[:5]) else Confidence.NO

    def read(self, source: ImportSource, options: ImportOptions) -> RawImport:
        """Reads all XML files.

        Args:
            source: The source.
            options: Options of the import.

        Returns:
            A row per object with a box.
        """
        result = RawImport(files=list(source.with_suffix(".xml")))
        rows = BoxRows(result)
        stems = stem_index(source, options)
        finder = options.photo_finder(source)
        renamed = 0
        unread: dict[str, None] = {}
        for name in result.files:
            try:
                root = ElementTree.parse(source.root / name).getroot()
            except (ElementTree.ParseError, OSError, ValueError):
                result.left_out.append(LeftOut(name, DAMAGED))
                continue
            if root.tag != "annotation":
                result.left_out.append(LeftOut(name, "the XML is of another format"))
                continue
            written = _text(root, "filename") or _text(root, "path")
            photo, reason = stems.find(name)
            if photo is None and written:
                photo, _ = finder.find(written, name)
            if photo is None:
                result.left_out.append(LeftOut(name, reason))
                continue
            renamed += bool(written) and written.replace("\\", "/").rpartition("/")[2] != photo.name
            _add_objects(root, name, photo, rows, options.words, unread)
        if unread:
            result.notes.append(f"attributes that the label schema does not have were ignored: {', '.join(unread)}")
        if renamed:
            result.notes.append(
                f"XML files whose <filename> is another than their photo's, which is named like the XML: {renamed:,}"
            )
        rows.finish()
        return result


def _add_objects(
    root: ElementTree.Element, name: str, photo: Path, rows: BoxRows, words: WordReader, unread: dict[str, None]
) -> None:
    objects = root.findall("object")
    width, height = (_number(root, f"size/{side}") or 0.0 for side in ("width", "height"))
    if not objects:
        rows.result.left_out.append(LeftOut(name, NO_FACE))
    for number, item in enumerate(objects, start=1):
        location = f"{name} object {number}"
        box = _read_box(item)
        if box is None:
            rows.result.left_out.append(LeftOut(location, NO_BOX))
        else:
            entries = item.findall("attributes/attribute")
            attributes = read_attributes({_text(own, "name"): _text(own, "value") for own in entries}, words, unread)
            rows.add(photo, location, without_neutral(_text(item, "name"), attributes), box, (width, height))


def _read_box(item: ElementTree.Element) -> Box | None:
    edges = [_number(item, f"bndbox/{name}") for name in ("xmin", "ymin", "xmax", "ymax")]
    left, upper, right, lower = edges
    if left is None or upper is None or right is None or lower is None:
        return None
    return (left, upper, right, lower)


def _text(element: ElementTree.Element, path: str) -> str:
    return (element.findtext(path) or "").strip()


def _number(element: ElementTree.Element, path: str) -> float | None:
    try:
        return float(_text(element, path))
    except ValueError:
        return None


def stem_index(source: ImportSource, options: ImportOptions) -> StemIndex:
    """Indexes the photos of a source, or those of `--images`, by their names without suffix.

    Args:
        source: The source.
        options: Options of the import.

    Returns:
        The index.
    """
    if options.images is None:
        photos = source.photos if source.is_folder else tuple(filter(is_photo_name, list_files(source.root)))
        return StemIndex(source.root, photos)
    return StemIndex(options.images, filter(is_photo_name, list_files(options.images)))
