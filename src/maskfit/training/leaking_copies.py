"""Copies of held-out photos among the training photos: files of equal bytes under different persons."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

from maskfit.data.photo_dataset import Photo
from maskfit.data.splits import TRAIN_ONLY
from maskfit.text import format_count


def find_leaking_copies(
    photos: Sequence[Photo], num_scored: int, fold_of_person: Mapping[str, int]
) -> list[tuple[str, str]]:
    """Finds held-out photos of which a copy is trained on: it has the same bytes, and its person is in another fold.

    Only files of equal size are read. Faces of one photo, which have boxes of their own, are no copies.

    Args:
        photos: All photos, those that are never held out last.
        num_scored: How many of them may be held out.
        fold_of_person: Person -> fold; `TRAIN_ONLY`, or missing, for persons who are never held out.

    Returns:
        The name of each such photo, and that of its first copy.
    """
    copies: dict[tuple[bytes, Any], list[int]] = defaultdict(list)
    for indices in _group_by_size(photos):
        for index in indices:
            digest = _hash(photos[index].path)
            if digest is not None:
                copies[digest, photos[index].box].append(index)
    leaks = []
    for indices in copies.values():
        folds = {
            index: fold_of_person.get(photos[index].person, TRAIN_ONLY) if index < num_scored else TRAIN_ONLY
            for index in indices
        }
        for index in indices:
            other = next((item for item in indices if folds[item] != folds[index]), None)
            if folds[index] != TRAIN_ONLY and other is not None:
                leaks.append((photos[index].name, photos[other].name))
    return leaks


def describe_leaking_copies(leaks: Sequence[tuple[str, str]], source: str) -> str:
    """Says how many held-out photos have a copy in the training, and what to do.

    Args:
        leaks: As from `find_leaking_copies`.
        source: The dataset, for the command.

    Returns:
        One line; empty without leaks.
    """
    if not leaks:
        return ""
    count = format_count(len(leaks), "held-out photo is", "held-out photos are")
    return (
        f"{count} the same file as a training photo of another person, such as {leaks[0][0]} and {leaks[0][1]}: scores "
        f"are too good; maskfit data check {source} names them, and cv.split_file or a column person mends it"
    )


def _group_by_size(photos: Sequence[Photo]) -> list[list[int]]:
    """Positions of photos whose files have an equal size; who decodes them says which cannot be read."""
    by_size: dict[int, list[int]] = defaultdict(list)
    for index, photo in enumerate(photos):
        try:
            by_size[photo.path.stat().st_size].append(index)
        except OSError:
            continue
    return [indices for indices in by_size.values() if len(indices) > 1]


def _hash(path: Path) -> bytes | None:
    try:
        return blake2b(path.read_bytes(), digest_size=16).digest()
    except OSError:
        return None
