"""Tells by folders whether a photo can be the one that a label file names: `train/1.jpg` is not `val/1.jpg`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence, Set
from functools import lru_cache
from itertools import takewhile

from maskfit.labels.spellings import fold_spelling

PART_FOLDER = re.compile(r"(?:train|val|valid|test|dev|eval)(?:ing|idation|\d{4})?")
"""Folder of a part of a dataset, as `fold_spelling` gives it: `train`, `valid`, `val2017`."""

_HOMES = frozenset({"home", "users"})
"""Folders of an absolute path below which users have theirs, whose names say nothing: `/home/test/photos`."""

_LABEL_FOLDER = re.compile(r"(?:label|annotation|ann|xml|txt|json|csv)\w*")
"""Folders of label files, in which a stray photo proves nothing: `labels/labels.jpg`."""


def are_of_other_parts(folders: Iterable[str], others: Iterable[str]) -> bool:
    """Returns whether two files are of different parts of a dataset, as `train` and `test` are.

    Args:
        folders: The folders that one is in.
        others: Those of the other.

    Returns:
        Whether both are in folders of parts, and in none that may be the same.
    """
    parts, other_parts = _parts(folders), _parts(others)
    return bool(parts and other_parts) and not parts & other_parts


def is_elsewhere(written: Sequence[str], folders: Sequence[str], known: Set[str], is_absolute: bool = False) -> bool:
    """Returns whether the folders that a label file writes say that its photo is not the one found by its name.

    They do where they are of another part, and where a folder of that name is here, without the photo. Folders that
    are not here at all say nothing: they may be those of another machine.

    Args:
        written: The written folders, in lower case.
        folders: The folders of the photo below the dataset's, in lower case.
        known: Names of all folders with photos, in lower case.
        is_absolute: Whether the written path is absolute, or a URL's: its outer folders are those of a machine.

    Returns:
        Whether the photo lies elsewhere.
    """
    own = _strip_machine(written) if is_absolute else written
    if are_of_other_parts(own, folders):
        return True
    rest = own[: len(own) - common_end(own, folders)]
    return any(
        part in known and part not in folders and not _LABEL_FOLDER.fullmatch(part)
        for part in (rest[-1:] if is_absolute else rest)
    )


def common_end(parts: Sequence[str], others: Sequence[str]) -> int:
    """Counts the parts at the end of two paths that are the same.

    Args:
        parts: Parts of one path.
        others: Parts of the other.

    Returns:
        Their number.
    """
    pairs = zip(reversed(parts), reversed(others), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _strip_machine(folders: Sequence[str]) -> Sequence[str]:
    """Absolute folders without those that a machine has anyway, such as `/home/test` and `C:/dev`."""
    drive = [folder for folder in folders[:1] if folder.endswith(":")]
    rest = folders[len(drive) :]
    if rest and rest[0] in _HOMES:
        return rest[2:]
    return rest[1:] if rest and rest[0] == "dev" else rest


def _parts(folders: Iterable[str]) -> set[str]:
    """The parts that folders stand for; all names of a part for tuning are one."""
    return {part for folder in folders if (part := _find_part(folder))}


@lru_cache(maxsize=1024)
def _find_part(folder: str) -> str:
    """The part that a folder stands for; "" for other folders."""
    name = fold_spelling(folder)
    if not PART_FOLDER.fullmatch(name):
        return ""
    return name[:4] if name.startswith(("train", "test")) else "val"
