"""YOLO text files: `class x_center y_center width height` per line, in fractions of the upright photo.

Label files are beside their photos, or in a tree `labels` parallel to `images`. Names of the classes stand in
`data.yaml`, `classes.txt`, `obj.names` or another `.names`, of which the nearest counts; without them, `--map 0=wear`
says what a number means. Of a polygon the extent is taken; probabilities, tracks and landmarks after a box are ignored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from maskfit.data.importers.box_rows import MAX_FRACTION, NO_FACE, UNREADABLE, BoxRows
from maskfit.data.importers.interface import ANY, Confidence, ImportOptions, ImportSource, LeftOut, RawImport
from maskfit.data.importers.voc import stem_index
from maskfit.data.importers.word_reader import WordReader
from maskfit.data.importers.yolo_classes import ClassFile, ClassFiles, is_name_file, read_lines
from maskfit.data.importers.yolo_lines import LineReader, is_label_line
from maskfit.errors import DataError

NO_LABEL_FILE = "the photo has no label file"
NOT_FRACTIONS = "the box is not in fractions of the photo"


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
        files = [name for name in source.with_suffix(".txt") if not is_name_file(name)]
        for name in files[:20]:
            lines = [line for line in source.head(name).splitlines() if line.strip()]
            if lines and is_label_line(lines[0]):
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
            DataError: The classes are numbered from 1, their names from 0; files that are equally near name them
                differently; or a line has two meanings.
        """
        result = RawImport()
        rows = BoxRows(result, may_be_fractions=False)
        stems = stem_index(source, options)
        classes = ClassFiles(source)
        labeled: dict[str, tuple[Path, list[str]]] = {}
        for name in source.with_suffix(".txt"):
            if is_name_file(name):
                continue
            photo, reason = stems.find(name)
            lines = read_lines(source.root / name)
            if photo is None:
                # Read-mes and lists of photos are no label files.
                if lines and is_label_line(lines[0]):
                    result.left_out.append(LeftOut(name, reason))
                continue
            result.files.append(name)
            labeled[name] = photo, lines
        groups = _group({name: lines for name, (_, lines) in labeled.items()}, classes)
        for name, (photo, lines) in labeled.items():
            if not lines:
                result.left_out.append(LeftOut(name, NO_FACE))
            _add_lines(lines, name, photo, groups[name], rows)
        named = {group.classes.name: group.classes for group in groups.values()}
        for file, found in named.items():
            seen = {index for group in groups.values() if group.classes.name == file for index in group.seen}
            _check_numbers(seen, found, source)
        if options.images is None:
            photos = {photo for photo, _ in labeled.values()}
            unlabeled = [name for name in source.photos if source.root / name not in photos]
            result.left_out += [LeftOut(name, NO_LABEL_FILE) for name in unlabeled]
        for file in filter(None, named):
            result.files.append(file)
            listed = ", ".join(f"{index} {name}" for index, name in named[file].names.items())
            result.notes.append(f"names of the classes are from {file}: {listed}")
        if "" in named or not named:
            of_some = " of some label files" if len(named) > 1 else ""
            result.notes.append(f"no file names the classes{of_some} (data.yaml, classes.txt, obj.names)")
        rows.finish()
        return result


@dataclass(frozen=True, slots=True)
class _Group:
    """Label files with the same names of classes and the same landmarks: those names, the form of a line, classes."""

    classes: ClassFile
    reader: LineReader
    seen: set[int] = field(default_factory=set)


def _group(labels: Mapping[str, Sequence[str]], classes: ClassFiles) -> dict[str, _Group]:
    """The group of each label file."""
    lines: dict[tuple[str, tuple[int, int] | None], list[str]] = {}
    keys = {name: (classes.find_names(name).name, classes.find_keypoints(name)) for name in labels}
    for name, key in keys.items():
        lines.setdefault(key, []).extend(labels[name])
    files = {keys[name]: classes.find_names(name) for name in labels}
    groups = {key: _Group(files[key], LineReader(lines[key], key[1])) for key in lines}
    return {name: groups[key] for name, key in keys.items()}


def _check_numbers(seen: Set[int], classes: ClassFile, source: ImportSource) -> None:
    """Refuses classes that are numbered from 1, as in COCO, whose converters keep the numbers and write names from 0.

    Only the last class would be asked for, and all others have the name of the next.
    """
    names, name_file = classes.names, classes.name
    last = max(names, default=-1)
    if names and min(names) == 0 and seen and min(seen) > 0 and max(seen) == last + 1:
        raise DataError(
            f"the classes seem to be numbered from 1, but {name_file} names them from 0: class 0 does not occur, and "
            f"class {last + 1} has no name",
            location=source.path,
            hint=f"export again with classes from 0; or add a first name to {name_file}, such as unused, so that class "
            f"1 is {names[0]}",
        )


def _add_lines(lines: Sequence[str], name: str, photo: Path, group: _Group, rows: BoxRows) -> None:
    """Adds a row for each line."""
    size = rows.size(photo)
    names = group.classes.names
    for number, line in enumerate(lines, start=1):
        location = f"{name} line {number}"
        try:
            parsed = group.reader.read(line)
        except ValueError as error:
            reason, hint = error.args
            raise DataError(reason, location=location, hint=hint) from None
        if parsed is None or size is None:
            rows.result.left_out.append(LeftOut(location, UNREADABLE if parsed else group.reader.explain(line)))
            continue
        index, (left, upper, right, lower) = parsed
        group.seen.add(index)
        if max(abs(left), abs(upper), abs(right), abs(lower)) > MAX_FRACTION:
            rows.result.left_out.append(LeftOut(location, NOT_FRACTIONS))
            continue
        width, height = size
        box = (left * width, upper * height, right * width, lower * height)
        rows.add(photo, location, [(ANY, names.get(index, str(index)))], box)
