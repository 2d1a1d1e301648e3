"""Labelme: one JSON per photo, with `shapes` (label, points) and `flags`, of shapes and of the whole photo.

A shape becomes the upright box around it. A flag that is set and is a word of the label schema counts: of its shape, or
of the whole photo, which holds for its shapes unless they say otherwise. Source: labelme 6.3.1,
`labelme/_label_file.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import dist
from pathlib import Path
from typing import Any, ClassVar

from maskfit.data.importers.box_rows import (
    DAMAGED,
    NO_BOX,
    NO_FACE,
    OTHER_FILE,
    BoxRows,
    extent,
    to_float,
    to_points,
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
from maskfit.data.importers.voc import stem_index
from maskfit.data.importers.word_reader import WordReader

_KEYS = re.compile(r'"shapes"\s*:\s*\[')
_OTHER_KEYS = re.compile(r'"(imagePath|flags|imageHeight)"\s*:')


class LabelmeImporter:
    """Labelme's JSON files."""

    title: ClassVar[str] = "Labelme: a JSON per photo"
    codes: ClassVar[Mapping[str, Mapping[str, str]]] = {}

    def detect(self, source: ImportSource, words: WordReader) -> Confidence:
        """Says how sure it is that a source is of Labelme.

        Args:
            source: The source.
            words: What the user says that words mean.

        Returns:
            `SURE` where a JSON file has the keys of Labelme.
        """
        heads = (source.head(name) for name in source.with_suffix(".json")[:5])
        is_sure = any(_KEYS.search(head) and _OTHER_KEYS.search(head) for head in heads)
        return Confidence.SURE if is_sure else Confidence.NO

    def read(self, source: ImportSource, options: ImportOptions) -> RawImport:
        """Reads all JSON files.

        Args:
            source: The source.
            options: Options of the import.

        Returns:
            A row per shape, and one per photo that has flags and no shapes.
        """
        result = RawImport(files=list(source.with_suffix(".json")))
        rows = BoxRows(result)
        stems = stem_index(source, options)
        finder = options.photo_finder(source)
        flags = _Flags(options.words)
        for name in result.files:
            content = source.load_json(name)
            if not isinstance(content, dict) or not isinstance(content.get("shapes"), list):
                result.left_out.append(LeftOut(name, DAMAGED if content is None else OTHER_FILE))
                continue
            photo, reason = finder.find(str(content.get("imagePath") or ""), name)
            if photo is None:
                # The photo was renamed with its JSON.
                photo, _ = stems.find(name)
            if photo is None:
                result.left_out.append(LeftOut(name, reason))
                continue
            _add_shapes(content, name, photo, rows, flags)
        if flags.unread:
            result.notes.append(f"flags that are no label, ignored: {', '.join(flags.unread)}")
        rows.finish()
        return result


class _Flags:
    """Finds the flags that are labels, and names the others."""

    def __init__(self, words: WordReader) -> None:
        self._words = words
        self.unread: dict[str, None] = {}

    def read(self, item: Mapping[str, Any]) -> list[tuple[str, str]]:
        """The labels among the flags that are set, of a shape or of a photo."""
        flags = item.get("flags")
        names = [str(name) for name, is_set in flags.items() if is_set is True] if isinstance(flags, Mapping) else []
        known = [name for name in names if self._words.knows_alone(name)]
        self.unread |= dict.fromkeys(name for name in names if name not in known)
        return [(ANY, name) for name in known]


def _add_shapes(content: Mapping[str, Any], name: str, photo: Path, rows: BoxRows, flags: _Flags) -> None:
    declared = (to_float(content.get("imageWidth")), to_float(content.get("imageHeight")))
    of_photo = flags.read(content)
    shapes = content["shapes"]
    for number, shape in enumerate(shapes, start=1):
        location = f"{name} shape {number}"
        box = _read_box(shape) if isinstance(shape, Mapping) else None
        if box is None:
            rows.result.left_out.append(LeftOut(location, NO_BOX))
            continue
        own = without_neutral(str(shape.get("label") or ""), [*flags.read(shape), *of_photo])
        rows.add(photo, location, own, box, declared)
    if not shapes and of_photo:
        rows.result.rows.append(RawRow(photo, name, of_photo))
    elif not shapes:
        rows.result.left_out.append(LeftOut(name, NO_FACE))


def _read_box(shape: Mapping[str, Any]) -> Box | None:
    """The box around a shape; None for a single point or points that are none."""
    corners = to_points(shape.get("points"))
    if corners is None:
        return None
    if shape.get("shape_type") == "circle":
        # The center, and a point on the circle.
        (x, y), radius = corners[0], dist(*corners[:2])
        corners = [(x - radius, y - radius), (x + radius, y + radius)]
    return extent(corners)
