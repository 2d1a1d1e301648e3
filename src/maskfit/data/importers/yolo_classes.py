"""Files that name the classes of YOLO's labels: `data.yaml`, `classes.txt`, `obj.names`; the nearest one counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from maskfit.data.importers.interface import PART_FOLDER, ImportSource
from maskfit.data.importers.yolo_lines import is_label_line
from maskfit.errors import DataError
from maskfit.labels.spellings import fold_spelling
from maskfit.safe_yaml import MAX_DIGITS, parse_yaml

DEFAULT_NAMES = "predefined_classes.txt"
"""LabelImg's names for new projects; they say nothing where another file names the classes."""

NAME_FILES = ("classes.txt", DEFAULT_NAMES, "obj.names", "labels.txt", "_darknet.labels")
"""Files with the name of a class per line."""


@dataclass(frozen=True, slots=True)
class ClassFile:
    """What a file says about the classes.

    Attributes:
        name: POSIX path relative to the source; empty for what no file says.
        names: Name of each class by its number.
        keypoints: Number of landmarks of each line and of values of each; None where the file does not say.
    """

    name: str = ""
    names: Mapping[int, str] = field(default_factory=dict)
    keypoints: tuple[int, int] | None = None


class ClassFiles:
    """All such files of a source.

    Args:
        source: The source.
    """

    def __init__(self, source: ImportSource) -> None:
        self._source = source
        self._files = [file for name in source.with_suffix(".yaml", ".yml") if (file := _read_yaml(source, name))]
        lists = [name for name in source.other_files if is_name_file(name) or name.casefold().endswith(".names")]
        self._files += [ClassFile(name, names) for name in lists if (names := _read_list(source.root / name))]
        self._found: dict[tuple[str, bool], ClassFile] = {}

    def find_names(self, label_file: str) -> ClassFile:
        """Finds the file that names the classes of a label file: the nearest one.

        Args:
            label_file: POSIX path of the label file, relative to the source.

        Returns:
            The file; one without names where there is none.

        Raises:
            DataError: Several are equally near, and differ.
        """
        return self._find(label_file, False)

    def find_keypoints(self, label_file: str) -> tuple[int, int] | None:
        """Finds what the nearest `kpt_shape` says.

        Args:
            label_file: As for `find_names`.

        Returns:
            Number of landmarks and of values of each; None where no file says it.
        """
        return self._find(label_file, True).keypoints

    def _find(self, label_file: str, keypoints: bool) -> ClassFile:
        key = str(PurePosixPath(label_file).parent), keypoints
        if key not in self._found:
            files = [file for file in self._files if (file.keypoints is not None if keypoints else file.names)]
            self._found[key] = self._find_nearest(label_file, files, keypoints)
        return self._found[key]

    def _find_nearest(self, label_file: str, files: Sequence[ClassFile], keypoints: bool) -> ClassFile:
        folder = PurePosixPath(label_file).parts[:-1]
        above = [file for file in files if folder[: len(_folder(file))] == _folder(file)]
        depth = max((len(_folder(file)) for file in above), default=-1)
        nearest = [file for file in above if len(_folder(file)) == depth]
        if not above and (file := self._read_above(keypoints)):
            return file
        # Of a folder beside the label file's, `A/images/classes.txt`, in which it is not itself.
        common = {file.name: _count_common(folder, _folder(file)) for file in files if file not in above}
        closest = max([depth, *common.values()])
        nearest += [file for file in files if file.name in common and common[file.name] == closest > depth]
        # LabelImg's own list, and files that say the same, are no contradiction.
        chosen = [file for file in nearest if PurePosixPath(file.name).name.casefold() != DEFAULT_NAMES] or nearest
        if not chosen:
            return ClassFile()
        for other in chosen[1:]:
            _check_same(chosen[0], other, label_file, self._source)
        return chosen[0]

    def _read_above(self, keypoints: bool) -> ClassFile | None:
        """The file in the folder of a part, which is where exports have it: `data.yaml` beside `test`."""
        root = self._source.root.resolve()
        if not self._source.is_folder or not PART_FOLDER.fullmatch(fold_spelling(root.name)):
            return None
        for path in (root.parent / "data.yaml", *(root.parent / name for name in NAME_FILES)):
            if path.is_file():
                found = ClassFiles(ImportSource(path))._files
                if found and (found[0].keypoints is not None if keypoints else found[0].names):
                    return ClassFile(f"../{path.name}", found[0].names, found[0].keypoints)
        return None


def is_name_file(name: str) -> bool:
    """Returns whether a file names classes, by its own name.

    Args:
        name: POSIX path of a file.

    Returns:
        Whether it is one of `NAME_FILES`.
    """
    return PurePosixPath(name).name.casefold() in NAME_FILES


def read_lines(path: Path) -> list[str]:
    """Reads the lines of a text file that are not empty.

    Args:
        path: The file.

    Returns:
        The lines.
    """
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    return [line for line in text.splitlines() if line.strip()]


def _check_same(one: ClassFile, other: ClassFile, label_file: str, source: ImportSource) -> None:
    """Checks that two files say the same; nothing tells which of them counts for a label file."""
    different = [
        index
        for index, name in one.names.items()
        if index in other.names and fold_spelling(name) != fold_spelling(other.names[index])
    ]
    if different:
        index = different[0]
        raise DataError(
            f"{one.name} and {other.name} name the classes differently: class {index} is {one.names[index]} or "
            f"{other.names[index]}",
            location=source.describe(label_file),
            hint="keep the file that names the classes of these labels, or import each folder by itself",
        )


def _folder(file: ClassFile) -> tuple[str, ...]:
    return PurePosixPath(file.name).parts[:-1]


def _count_common(one: Sequence[str], other: Sequence[str]) -> int:
    count = 0
    for first, second in zip(one, other, strict=False):
        if first != second:
            break
        count += 1
    return count


def _read_yaml(source: ImportSource, name: str) -> ClassFile | None:
    try:
        content = parse_yaml((source.root / name).read_text(encoding="utf-8-sig", errors="replace"))
    except (ValueError, OSError):
        return None
    if not isinstance(content, dict):
        return None
    names, shape = content.get("names"), content.get("kpt_shape")
    found: dict[int, str] = {}
    if isinstance(names, list):
        found = {index: str(item) for index, item in enumerate(names)}
    elif isinstance(names, dict):
        found = {int(index): str(item) for index, item in names.items() if _is_number(index)}
    keypoints = None
    if isinstance(shape, list) and len(shape) == 2 and all(map(_is_number, map(str, shape))):
        keypoints = int(shape[0]), int(shape[1])
    return ClassFile(name, found, keypoints) if found or keypoints else None


def _read_list(path: Path) -> dict[int, str]:
    """The name of each class, one per line; none where the file has labels."""
    lines = read_lines(path)
    return {index: line.strip() for index, line in enumerate(lines)} if lines and not is_label_line(lines[0]) else {}


def _is_number(key: str) -> bool:
    """Whether a key is a class number; Python converts no number of thousands of digits."""
    return key.isdecimal() and len(key) <= MAX_DIGITS
