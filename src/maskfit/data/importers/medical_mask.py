"""The Medical Mask dataset of Humans in the Loop, and Wobot's Face Mask Detection dataset: a JSON per photo.

Each has `FileName` and `Annotations`, boxes of faces (`face_with_mask`) and of things (`hat`, `mask_surgical`) with a
`classname` and a `BoundingBox` of left, upper, right, lower in pixels.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from maskfit.data.importers.box_rows import DAMAGED, NO_BOX, NO_FACE, OTHER_FILE, BoxRows, to_numbers
from maskfit.data.importers.interface import ANY, Box, Confidence, ImportOptions, ImportSource, LeftOut, RawImport
from maskfit.data.importers.word_reader import WordReader

_KEYS = re.compile(r'"FileName"\s*:')
_OTHER_KEYS = re.compile(r'"Annotations"\s*:')


class MedicalMaskImporter:
    """Medical Mask and Face Mask Detection datasets."""

    title: ClassVar[str] = "Medical Mask dataset: a JSON per photo with FileName and Annotations"
    codes: ClassVar[Mapping[str, Mapping[str, str]]] = {}

    def detect(self, source: ImportSource, words: WordReader) -> Confidence:
        """Says how sure it is that a source is one of these sets.

        Args:
            source: The source.
            words: What the user says that words mean.

        Returns:
            `SURE` where a JSON file has both keys.
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
            A row per annotation with a box.
        """
        result = RawImport(files=list(source.with_suffix(".json")))
        rows = BoxRows(result)
        finder = options.photo_finder(source)
        for name in result.files:
            content = source.load_json(name)
            if not isinstance(content, dict) or not isinstance(content.get("Annotations"), list):
                result.left_out.append(LeftOut(name, DAMAGED if content is None else OTHER_FILE))
                continue
            photo, reason = finder.find(str(content.get("FileName") or ""), name)
            if photo is None:
                result.left_out.append(LeftOut(name, reason))
                continue
            if not content["Annotations"]:
                result.left_out.append(LeftOut(name, NO_FACE))
            for number, item in enumerate(content["Annotations"], start=1):
                location = f"{name} annotation {number}"
                box = _read_box(item.get("BoundingBox")) if isinstance(item, Mapping) else None
                if box is None:
                    result.left_out.append(LeftOut(location, NO_BOX))
                else:
                    rows.add(photo, location, [(ANY, str(item.get("classname") or ""))], box)
        result.note_photos_without_row(finder)
        rows.finish()
        return result


def _read_box(value: Any) -> Box | None:
    edges = to_numbers(value)
    if edges is None or len(edges) != 4:
        return None
    left, upper, right, lower = edges
    return (left, upper, right, lower)
