"""Notes of an import on how its photos were found, and on the folders that they lie in."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from maskfit.data.importers.interface import RawImport
from maskfit.data.importers.photo_finder import PhotoFinder
from maskfit.data.importers.photo_folders import PART_FOLDER
from maskfit.labels.spellings import fold_spelling
from maskfit.text import format_count

SHOWN_NAMES = 4
"""Names of a photo that a note lists."""


def note_names(raw: RawImport, finders: Sequence[PhotoFinder]) -> list[str]:
    """Notes photos of rows that were found by names of other folders, which may be those of other photos.

    Args:
        raw: The rows.
        finders: What found their photos.

    Returns:
        A note on photos with several such names, and one on those of a folder that is written otherwise.
    """
    photos = sorted({row.photo for row in raw.rows})
    shared = [(photo.name, names) for photo in photos for finder in finders if (names := finder.several_names(photo))]
    moved = [
        (name, photo.relative_to(finder.folder).as_posix())
        for photo in photos
        for finder in finders
        if (name := finder.found_elsewhere(photo))
    ]
    notes = []
    if shared:
        photo, names = shared[0]
        listed = ", ".join(names[:SHOWN_NAMES]) + (", ..." if len(names) > SHOWN_NAMES else "")
        what = format_count(len(shared), "photo was", "photos were")
        notes.append(
            f"{what} found by the end of several names, which may be those of other photos: {photo} by {listed}"
        )
    if moved:
        what = format_count(len(moved), "photo was", "photos were")
        name, found = moved[0]
        notes.append(
            f"{what} found by the name alone, as the only one of it, in another folder than is written: {name} as "
            f"{found}"
        )
    return notes


def note_parts(raw: RawImport, root: Path) -> list[str]:
    """Notes that photos of several parts become one dataset, by the folders that they lie in.

    Args:
        raw: The rows.
        root: The folder of the photos.

    Returns:
        A note; none where there are less than two parts.
    """
    prefix = len(os.fspath(root)) + 1
    places = dict.fromkeys(os.fspath(row.photo.parent)[prefix:] for row in raw.rows)
    folders = {part for place in places for part in Path(place).parts}
    parts = sorted(part for part in folders if PART_FOLDER.fullmatch(fold_spelling(part)))
    if len(parts) < 2:
        return []
    return [
        f"the parts {', '.join(parts)} are imported together; maskfit splits persons itself, and a part that is to "
        "stay apart is imported by its own folder"
    ]
