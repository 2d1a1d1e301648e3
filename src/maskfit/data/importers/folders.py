"""Class folders, as torchvision's ImageFolder reads them: `with_mask/a.jpg`, also below `train`, `val` and `test`.

The label is the name of the photo's folder; of nested folders (`mask/female/a.jpg`), every one that has a meaning
counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from maskfit.data.importers.interface import (
    ANY,
    Confidence,
    ImportOptions,
    ImportSource,
    LeftOut,
    RawImport,
    RawRow,
)
from maskfit.data.importers.word_reader import WordReader
from maskfit.labels.spellings import fold_spelling
from maskfit.text import format_count

SPLIT_FOLDERS = frozenset(
    {"train", "training", "val", "valid", "validation", "test", "testing", "dev", "eval", "images", "image", "img"}
    | {"imgs", "photos", "dataset", "data"}
)
"""Folders that say nothing about labels, as `fold_spelling` gives them."""

MAX_FOLDERS = 1000
"""Different folder names up to which a tree may be one of class folders."""

SHOWN_FOLDERS = 6
"""Names of ignored folders that a note lists."""

NOT_IN_FOLDER = "the photo is in no class folder"


class FolderImporter:
    """Class folders."""

    title: ClassVar[str] = "class folders, as ImageFolder reads them"
    codes: ClassVar[Mapping[str, Mapping[str, str]]] = {}

    def detect(self, source: ImportSource, words: WordReader) -> Confidence:
        """Says how sure it is that a source consists of class folders.

        Args:
            source: The source.
            words: What the user says that words mean.

        Returns:
            `SURE` where every photo is below a folder whose name is a value.
        """
        if not source.is_folder or not source.photos:
            return Confidence.NO
        places = {name.rpartition("/")[0] for name in source.photos}
        if len(places) > MAX_FOLDERS:
            return Confidence.NO
        if all(any(words.knows(ANY, part) for part in class_parts(place)) for place in places):
            return Confidence.SURE
        return Confidence.POSSIBLE if any(class_parts(place) for place in places) else Confidence.NO

    def read(self, source: ImportSource, options: ImportOptions) -> RawImport:
        """Reads class folders.

        Args:
            source: The source.
            options: Options of the import.

        Returns:
            A row per photo in a class folder.
        """
        result = RawImport()
        labels_of: dict[str, list[tuple[str, str]]] = {}
        unread: dict[str, None] = {}
        for name in source.photos:
            place = name.rpartition("/")[0]
            if place not in labels_of:
                parts = class_parts(place)
                # Folders within a class folder need not be classes: persons, sessions. A lone unknown name is one,
                # so that it is asked for.
                known = [part for part in parts if options.words.knows(ANY, part)]
                unread |= dict.fromkeys(part for part in parts if known and part not in known)
                labels_of[place] = [(ANY, part) for part in known or parts[-1:]]
            if labels := labels_of[place]:
                result.rows.append(RawRow(source.root / name, name, labels))
            else:
                result.left_out.append(LeftOut(name, NOT_IN_FOLDER))
        splits = {part for name in source.photos if is_split_folder(part := name.partition("/")[0])}
        if len(splits) > 1:
            result.notes.append(
                f"the folders {', '.join(sorted(splits))} are imported together; maskfit splits persons itself"
            )
        if unread:
            shown = ", ".join(list(unread)[:SHOWN_FOLDERS]) + (", ..." if len(unread) > SHOWN_FOLDERS else "")
            result.notes.append(
                f"{format_count(len(unread), 'folder')} next to class folders, no value and ignored: {shown}"
            )
        return result


def is_split_folder(name: str) -> bool:
    """Returns whether a folder's name says nothing about labels: `train`, `val`, `images`.

    Args:
        name: The name.

    Returns:
        Whether it is in `SPLIT_FOLDERS`.
    """
    return fold_spelling(name) in SPLIT_FOLDERS


def class_parts(place: str) -> list[str]:
    """Returns the folders of a photo that may be classes.

    Args:
        place: POSIX path of its folder, relative to the source.

    Returns:
        Names from the outside to the inside, without `train` and the like.
    """
    return [part for part in place.split("/") if part and not is_split_folder(part)]
