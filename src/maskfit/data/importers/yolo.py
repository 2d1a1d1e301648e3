"""YOLO text files: `class x_center y_center width height` per line, in fractions of the upright photo.

Label files are beside their photos, or in a tree `labels` parallel to `images`. Names of the classes stand in
`data.yaml`, `classes.txt`, `obj.names` or another `.names`; without them, `--map 0=wear` says what a number means. Of a
polygon the extent is taken, and a sixth number of a line, a probability, is ignored.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from pathlib import Path, PurePosixPath
from typing import ClassVar

from maskfit.data.importers.box_rows import NO_FACE, UNREADABLE, BoxRows
from maskfit.data.importers.interface import (
    ANY,
    PART_FOLDER,
    Box,
    Confidence,
    ImportOptions,
    ImportSource,
    LeftOut,
    RawImport,
)
from maskfit.data.importers.voc import stem_index
from maskfit.data.importers.word_reader import WordReader
from maskfit.errors import DataError
from maskfit.labels.spellings import fold_spelling
from maskfit.safe_yaml import MAX_DIGITS, parse_yaml

NAME_FILES = ("classes.txt", "predefined_classes.txt", "obj.names", "labels.txt", "_darknet.labels")
"""Files with the name of a class per line."""

NO_LABEL_FILE = "the photo has no label file"
NOT_YOLO = "the line is not 'class x_center y_center width height'"
NOT_FRACTIONS = "the box is not in fractions of the photo"

MAX_FRACTION = 1.5
"""Largest number in a line: boxes may leave their photo a little."""


class YoloImporter:
    """YOLO text files."""

    title: ClassVar[str] = "YOLO: a text file per photo"
    codes: ClassVar[Mapping[str, Mapping[str, str]]] = {}

    def detect(self, source: ImportSource, words: WordReader) -> Confidence:
        """Says how sure it is that a source is YOLO.

        Args:
            source: The source.
            words: What the user says that words mean.

        Returns:
            `SURE` where text files hold such lines.
        """
        files = [name for name in source.with_suffix(".txt") if not _is_name_file(name)]
        for name in files[:20]:
            lines = [line for line in source.head(name).splitlines() if line.strip()]
            if lines and _parse(lines[0]) is not None:
                return Confidence.SURE
        return Confidence.NO

    def read(self, source: ImportSource, options: ImportOptions) -> RawImport:
        """Reads all label files.

        Args:
            source: The source.
            options: Options of the import.

        Returns:
            A row per line.

        Raises:
            DataError: The classes are numbered from 1, their names from 0.
        """
        result = RawImport()
        rows = BoxRows(result)
        stems = stem_index(source, options)
        names, name_file = _class_names(source)
        if not name_file and source.is_folder and PART_FOLDER.fullmatch(fold_spelling(source.root.resolve().name)):
            names, name_file = _class_names_above(source.root.resolve().parent)
        labeled: set[Path] = set()
        seen: set[int] = set()
        for name in source.with_suffix(".txt"):
            if _is_name_file(name):
                continue
            photo, reason = stems.find(name)
            lines = _read_lines(source.root / name)
            if photo is None:
                # Read-mes and lists of photos are no label files.
                if lines and _parse(lines[0]) is not None:
                    result.left_out.append(LeftOut(name, reason))
                continue
            result.files.append(name)
            labeled.add(photo)
            if not lines:
                result.left_out.append(LeftOut(name, NO_FACE))
            seen |= _add_lines(lines, name, photo, names, rows)
        _check_numbers(seen, names, name_file, source)
        if options.images is None:
            unlabeled = [name for name in source.photos if source.root / name not in labeled]
            result.left_out += [LeftOut(name, NO_LABEL_FILE) for name in unlabeled]
        if name_file:
            result.files.append(name_file)
            listed = ", ".join(f"{index} {name}" for index, name in names.items())
            result.notes.append(f"names of the classes are from {name_file}: {listed}")
        else:
            result.notes.append("no file names the classes (data.yaml, classes.txt, obj.names)")
        rows.finish()
        return result


def _check_numbers(seen: Set[int], names: Mapping[int, str], name_file: str, source: ImportSource) -> None:
    """Refuses classes that are numbered from 1, as in COCO, whose converters keep the numbers and write names from 0.

    Only the last class would be asked for, and all others have the name of the next.
    """
    last = max(names, default=-1)
    if names and min(names) == 0 and seen and min(seen) > 0 and max(seen) == last + 1:
        raise DataError(
            f"the classes seem to be numbered from 1, but {name_file} names them from 0: class 0 does not occur, and "
            f"class {last + 1} has no name",
            location=source.path,
            hint=f"export again with classes from 0; or add a first name to {name_file}, such as unused, so that class "
            f"1 is {names[0]}",
        )


def _add_lines(lines: Sequence[str], name: str, photo: Path, names: Mapping[int, str], rows: BoxRows) -> set[int]:
    """Adds a row for each line; returns the class numbers."""
    size = rows.size(photo)
    seen: set[int] = set()
    for number, line in enumerate(lines, start=1):
        location = f"{name} line {number}"
        parsed = _parse(line)
        if parsed is None or size is None:
            rows.result.left_out.append(LeftOut(location, UNREADABLE if parsed else NOT_YOLO))
            continue
        index, (left, upper, right, lower) = parsed
        seen.add(index)
        if max(abs(left), abs(upper), abs(right), abs(lower)) > MAX_FRACTION:
            rows.result.left_out.append(LeftOut(location, NOT_FRACTIONS))
            continue
        width, height = size
        box = (left * width, upper * height, right * width, lower * height)
        rows.add(photo, location, [(ANY, names.get(index, str(index)))], box)
    return seen


def _parse(line: str) -> tuple[int, Box] | None:
    """Class and box (left, upper, right, lower as fractions) of a line; None where it is none."""
    parts = line.split()
    try:
        # numpy.savetxt writes the class as 1.0 or 1.000000e+00.
        code, *numbers = (float(part) for part in parts)
    except ValueError:
        return None
    if code < 0 or not code.is_integer() or not all(math.isfinite(number) for number in numbers):
        return None
    index = int(code)
    if len(numbers) in (4, 5):
        x, y, width, height = numbers[:4]
        return index, (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    if len(numbers) >= 6 and len(numbers) % 2 == 0:
        return index, (min(numbers[::2]), min(numbers[1::2]), max(numbers[::2]), max(numbers[1::2]))
    return None


def _read_lines(path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    return [line for line in text.splitlines() if line.strip()]


def _is_name_file(name: str) -> bool:
    return PurePosixPath(name).name.casefold() in NAME_FILES


def _is_number(key: str) -> bool:
    """Whether a key is a class number; Python converts no number of thousands of digits."""
    return key.isdecimal() and len(key) <= MAX_DIGITS


def _class_names_above(folder: Path) -> tuple[dict[int, str], str]:
    """The same of the file in the folder of a part, which is where exports have it: `data.yaml` beside `test`."""
    for file in (folder / "data.yaml", *(folder / name for name in NAME_FILES)):
        if file.is_file():
            names, _ = _class_names(ImportSource(file))
            if names:
                return names, f"../{file.name}"
    return {}, ""


def _class_names(source: ImportSource) -> tuple[dict[int, str], str]:
    """The name of each class, and the file that has them; ({}, "") where there is none."""
    for name in source.with_suffix(".yaml", ".yml"):
        try:
            content = parse_yaml((source.root / name).read_text(encoding="utf-8-sig", errors="replace"))
        except (ValueError, OSError):
            continue
        found = content.get("names") if isinstance(content, dict) else None
        if isinstance(found, list):
            return {index: str(item) for index, item in enumerate(found)}, name
        if isinstance(found, dict):
            return {int(index): str(item) for index, item in found.items() if _is_number(index)}, name
    lists = [name for name in source.other_files if _is_name_file(name) or name.casefold().endswith(".names")]
    for name in lists:
        lines = _read_lines(source.root / name)
        if lines and _parse(lines[0]) is None:
            return {index: line.strip() for index, line in enumerate(lines)}, name
    return {}, ""
