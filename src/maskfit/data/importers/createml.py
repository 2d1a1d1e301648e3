"""CreateML, as Roboflow exports it too: a JSON list of photos with labels, and boxes by center and size in pixels."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from maskfit.data.importers.box_rows import DAMAGED, NO_BOX, NO_FACE, NO_NAME, OTHER_FILE, BoxRows, to_numbers
from maskfit.data.importers.interface import ANY, Box, Confidence, ImportOptions, ImportSource, LeftOut, RawImport
from maskfit.data.importers.word_reader import WordReader
from maskfit.errors import DataError

_KEYS = re.compile(r'"(?:image|imagefilename)"\s*:\s*"')
_COORDINATES = re.compile(r'"coordinates"\s*:')


class CreatemlImporter:
    """CreateML's JSON."""

    title: ClassVar[str] = "CreateML: a JSON list of photos with annotations"
    codes: ClassVar[Mapping[str, Mapping[str, str]]] = {}

    def detect(self, source: ImportSource, words: WordReader) -> Confidence:
        """Says how sure it is that a source is of CreateML.

        Args:
            source: The source.
            words: What the user says that words mean.

        Returns:
            `SURE` where a JSON is a list of photos with annotations.
        """
        return Confidence.SURE if _label_files(source) else Confidence.NO

    def read(self, source: ImportSource, options: ImportOptions) -> RawImport:
        """Reads all files of CreateML.

        Args:
            source: The source.
            options: Options of the import.

        Returns:
            A row per annotation with a box.

        Raises:
            DataError: There is no such file.
        """
        result = RawImport(files=_label_files(source))
        if not result.files:
            hint = "a CreateML file is a list of image and annotations; name another format with --format"
            raise DataError("there is no CreateML JSON here", location=source.path, hint=hint)
        rows = BoxRows(result)
        finder = options.photo_finder(source)
        for name in result.files:
            content = source.load_json(name)
            if not isinstance(content, list):
                result.left_out.append(LeftOut(name, DAMAGED if content is None else OTHER_FILE))
                continue
            for number, item in enumerate(content, start=1):
                item = item if isinstance(item, Mapping) else {}
                file = str(item.get("image") or item.get("imagefilename") or "")
                location = f"{name} {file or f'entry {number}'}"
                photo, reason = finder.find(file, name) if file else (None, NO_NAME)
                if photo is None:
                    result.left_out.append(LeftOut(location, reason))
                    continue
                found = item.get("annotations", item.get("annotation")) or []
                if not found:
                    result.left_out.append(LeftOut(location, NO_FACE))
                for index, annotation in enumerate(found if isinstance(found, list) else [found], start=1):
                    where = f"{location} annotation {index}"
                    box = _read_box(annotation.get("coordinates")) if isinstance(annotation, Mapping) else None
                    if box is None:
                        result.left_out.append(LeftOut(where, NO_BOX))
                    else:
                        rows.add(photo, where, [(ANY, str(annotation.get("label") or ""))], box)
        result.note_photos_without_row(finder)
        rows.finish()
        return result


def _label_files(source: ImportSource) -> list[str]:
    found = []
    for name in source.with_suffix(".json"):
        head = source.head(name)
        is_named = name.endswith(".createml.json")
        if head.lstrip().startswith("[") and _KEYS.search(head) and (is_named or _COORDINATES.search(head)):
            found.append(name)
    return found


def _read_box(value: Any) -> Box | None:
    """The box of a center and a size; None where one of the numbers is missing."""
    if not isinstance(value, Mapping):
        return None
    numbers = to_numbers([value.get(key) for key in ("x", "y", "width", "height")])
    if numbers is None:
        return None
    x, y, width, height = numbers
    return (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
