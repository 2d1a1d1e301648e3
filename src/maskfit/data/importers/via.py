"""VGG Image Annotator 1 and 2: its JSON, its project file, or its CSV, with a region per face.

A region becomes the upright box around it. An attribute of a region or of the file is read where its name or its value
is one of the label schema; an option of a checkbox counts where it is set. Attributes of the file hold for its regions,
unless these say otherwise. Source: VIA's `ImageMetadata` and `ImageRegion`, the header of its CSV export.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, ClassVar, NamedTuple

from maskfit.data.importers.box_rows import (
    DAMAGED,
    NO_BOX,
    NO_CLASS,
    NO_FACE,
    NO_NAME,
    OTHER_FILE,
    BoxRows,
    extent,
    to_float,
    to_numbers,
    without_neutral,
)
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
from maskfit.data.importers.table_columns import WORD_COLUMNS
from maskfit.data.importers.word_reader import WordReader
from maskfit.errors import DataError
from maskfit.file_io import iter_csv

NO_OBJECT = "a cell is no JSON object"

LABEL_NAMES = frozenset({*WORD_COLUMNS, "type", "object"})
"""Names of attributes whose words may be of any attribute of the label schema."""

_PROJECT = "_via_img_metadata"
_SHAPE, _LABELS, _FILE = "region_shape_attributes", "region_attributes", "file_attributes"
_JSON_KEYS = re.compile(r'"(?:regions|_via_img_metadata)"\s*:')
_OTHER_KEYS = re.compile(r'"(?:file_attributes|shape_attributes|_via_settings)"\s*:')


class _Region(NamedTuple):
    """A region of a file, or the file itself where it has none.

    Attributes:
        file: Name of the photo.
        location: Where the label file says so.
        shape: Its shape; None for a photo without regions.
        labels: Its attributes.
        of_file: Attributes of the photo.
    """

    file: str
    location: str
    shape: Mapping[str, Any] | None
    labels: Mapping[str, Any]
    of_file: Mapping[str, Any]


class ViaImporter:
    """JSON, project and CSV of the VGG Image Annotator."""

    title: ClassVar[str] = "VGG Image Annotator: its JSON, project or CSV"
    codes: ClassVar[Mapping[str, Mapping[str, str]]] = {}

    def detect(self, source: ImportSource, words: WordReader) -> Confidence:
        """Says how sure it is that a source is of VIA.

        Args:
            source: The source.
            words: What the user says that words mean.

        Returns:
            `SURE` where a JSON or CSV has the keys of VIA.
        """
        return Confidence.SURE if _label_files(source) else Confidence.NO

    def read(self, source: ImportSource, options: ImportOptions) -> RawImport:
        """Reads all files of VIA.

        Args:
            source: The source.
            options: Options of the import.

        Returns:
            A row per region, and one per photo that has attributes and no regions.

        Raises:
            DataError: There is no such file, or a CSV cannot be read.
        """
        result = RawImport(files=_label_files(source))
        if not result.files:
            hint = "export the annotations as JSON or CSV, or name another format with --format"
            raise DataError("there is no file of VGG Image Annotator here", location=source.path, hint=hint)
        rows = BoxRows(result)
        finder = options.photo_finder(source)
        unread: dict[str, None] = {}
        for name in result.files:
            is_csv = name.lower().endswith(".csv")
            for region in _csv_regions(source, name) if is_csv else _json_regions(source.load_json(name), name):
                if isinstance(region, LeftOut):
                    result.left_out.append(region)
                    continue
                photo, reason = finder.find(region.file, name)
                if photo is None:
                    result.left_out.append(LeftOut(region.location, reason))
                    continue
                own = _read_attributes(region.labels, options.words, unread)
                of_file = _read_attributes(region.of_file, options.words, unread)
                labels = without_neutral("", [*own, *of_file])
                if region.shape is None:
                    if of_file:
                        result.rows.append(RawRow(photo, region.location, of_file))
                    else:
                        result.left_out.append(LeftOut(region.location, NO_FACE))
                elif (box := _read_box(region.shape)) is None:
                    result.left_out.append(LeftOut(region.location, NO_BOX))
                elif None in (*region.labels.values(), *region.of_file.values()) and not (own or of_file):
                    result.left_out.append(LeftOut(region.location, NO_CLASS))
                else:
                    rows.add(photo, region.location, labels, box)
        if unread:
            names = ", ".join(unread)
            result.notes.append(f"attributes whose name and values the label schema does not have, ignored: {names}")
        result.note_photos_without_row(finder)
        rows.finish()
        return result


def _label_files(source: ImportSource) -> list[str]:
    found = []
    for name in source.with_suffix(".json"):
        head = source.head(name)
        if _JSON_KEYS.search(head) and _OTHER_KEYS.search(head):
            found.append(name)
    return found + [name for name in source.with_suffix(".csv") if _SHAPE in source.head(name).partition("\n")[0]]


def _json_regions(content: Any, name: str) -> Iterator[_Region | LeftOut]:
    files = content.get(_PROJECT, content) if isinstance(content, Mapping) else content
    if not isinstance(files, Mapping | list):
        yield LeftOut(name, DAMAGED if content is None else OTHER_FILE)
        return
    for key, item in files.items() if isinstance(files, Mapping) else enumerate(files, start=1):
        if not isinstance(item, Mapping) or not item.get("filename"):
            yield LeftOut(f"{name} entry {key}", NO_NAME)
            continue
        file, of_file = str(item["filename"]), _mapping(item.get(_FILE))
        regions = item.get("regions") or []
        # A list, and in VIA 1 a mapping of numbers.
        regions = list(regions.values()) if isinstance(regions, Mapping) else regions
        if not regions:
            yield _Region(file, f"{name} {file}", None, {}, of_file)
        for number, region in enumerate(regions if isinstance(regions, list) else [regions], start=1):
            shape, labels = (_mapping(_mapping(region).get(key)) for key in ("shape_attributes", _LABELS))
            yield _Region(file, f"{name} {file} region {number}", shape, labels, of_file)


def _mapping(value: Any) -> Mapping[str, Any]:
    """The value, or an empty mapping in place of what is none."""
    return value if isinstance(value, Mapping) else {}


def _csv_regions(source: ImportSource, name: str) -> Iterator[_Region | LeftOut]:
    for number, row in enumerate(iter_csv(source.root / name, ()), start=2):
        cells = {key.lstrip("#"): cell for key, cell in row.items() if key}
        file, location = cells.get("filename", ""), f"{name} row {number}"
        values: list[Any] = []
        for key in (_SHAPE, _LABELS, _FILE):
            value = None
            with suppress(ValueError, RecursionError):
                value = json.loads(cells.get(key) or "{}")
            values.append(value)
        if not all(isinstance(value, Mapping) for value in values):
            yield LeftOut(location, NO_OBJECT)
            continue
        shape, labels, of_file = values
        yield _Region(file, location, shape if cells.get("region_count") != "0" else None, labels, of_file)


def _read_attributes(values: Mapping[str, Any], words: WordReader, unread: dict[str, None]) -> list[tuple[str, str]]:
    """Pairs of key and word of attributes; a value is a text, or a mapping from options to whether they are set."""
    found = []
    for name, value in values.items():
        chosen = [str(word) for word, is_set in value.items() if is_set] if isinstance(value, Mapping) else [str(value)]
        if value is None:
            continue  # written as a word, it would be a value: no mask
        key = words.find_key(str(name))
        for word in (word.strip() for word in chosen if word.strip()):
            if key is not None:
                found.append((key, word))
            elif str(name).casefold() in LABEL_NAMES or words.knows_value(word):
                found.append((ANY, word))
            else:
                unread[str(name)] = None
    return found


def _read_box(shape: Mapping[str, Any]) -> Box | None:
    """The box around a shape; None for a point or a shape that VIA does not have."""
    kind = shape.get("name")
    if kind == "rect":
        sides = to_numbers([shape.get(key) for key in ("x", "y", "width", "height")])
        if sides is None:
            return None
        x, y, width, height = sides
        return (x, y, x + width, y + height)
    if kind in ("circle", "ellipse"):
        center = to_numbers([shape.get("cx"), shape.get("cy")])
        if center is None:
            return None
        x, y = center
        # The larger radius in both directions holds an ellipse that is turned as well.
        radius = max(to_float(shape.get(key)) for key in ("r", "rx", "ry"))
        return (x - radius, y - radius, x + radius, y + radius)
    xs, ys = (to_numbers(shape.get(key)) for key in ("all_points_x", "all_points_y"))
    if xs is None or ys is None or len(xs) != len(ys) or len(xs) < 2:
        return None
    return extent(list(zip(xs, ys, strict=True)))
