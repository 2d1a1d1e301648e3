"""Class folders, as torchvision's ImageFolder reads them: `with_mask/a.jpg`, also below `train`, `val` and `test`.

The label is the name of the photo's folder; of nested folders (`mask/female/a.jpg`), every one that has a meaning
counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath
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

MAX_FOLDERS = 10_000
"""Different folder names up to which a tree may be one of class folders."""

SHOWN_FOLDERS = 6
"""Names of ignored folders that a note lists."""

RMFD_CLASSES = frozenset({"afdb masked face dataset", "afdb face dataset"})
"""Class folders of the Real-World Masked Face Dataset, as `fold_spelling` gives them; their folders are persons."""

MASKED_FACE_NET_NAME = re.compile(r"(\d{5})_Mask(?:_Mouth_Chin|_Nose_Mouth|_Chin)?")
"""Name of a photo of MaskedFace-Net, which has put masks on the faces of FFHQ: the number is that of the face there."""

FFHQ_NAME = re.compile(r"(\d{5})")

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
        persons, notes = _find_persons(source)
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
                result.rows.append(RawRow(source.root / name, name, labels, persons.get(name, "")))
            else:
                result.left_out.append(LeftOut(name, NOT_IN_FOLDER))
        for person in {*persons.values()}:
            unread.pop(person, None)
        if unread:
            shown = ", ".join(list(unread)[:SHOWN_FOLDERS]) + (", ..." if len(unread) > SHOWN_FOLDERS else "")
            result.notes.append(
                f"{format_count(len(unread), 'folder')} next to class folders, no value and ignored: {shown}"
            )
            if not persons and (count := _count_shared(labels_of, unread)):
                shared = format_count(count, "of these folders is", "of these folders are")
                notes.append(
                    f"{shared} in several class folders; if that is a person, say so, or folds leak: "
                    "--person '([^/]+)/[^/]*$' of data import"
                )
        result.notes += notes
        return result


def _find_persons(source: ImportSource) -> tuple[dict[str, str], list[str]]:
    """Persons by photo where the names are those of a published set that has several photos of one, and a note."""
    stems = {name: PurePosixPath(name).stem for name in source.photos}
    faces = {name: match[1] for name, stem in stems.items() if (match := MASKED_FACE_NET_NAME.fullmatch(stem))}
    if faces:
        # Its users take the bare faces from FFHQ itself.
        faces |= {name: stem for name, stem in stems.items() if FFHQ_NAME.fullmatch(stem)}
        return faces, ["persons: the numbers in the names, as MaskedFace-Net has several photos of one face of FFHQ"]
    places = {name: PurePosixPath(name).parts for name in source.photos}
    inner = {
        name: parts[-2]
        for name, parts in places.items()
        if len(parts) > 2 and any(fold_spelling(part) in RMFD_CLASSES for part in parts[:-2])
    }
    note = "persons: the folders within the class folders, as in the Real-World Masked Face Dataset"
    return inner, [note] if inner else []


def _count_shared(labels_of: Mapping[str, Sequence[tuple[str, str]]], unread: Iterable[str]) -> int:
    """Counts the ignored folders that lie in folders of several classes."""
    classes: dict[str, set[tuple[tuple[str, str], ...]]] = {}
    for place, labels in labels_of.items():
        for part in class_parts(place):
            classes.setdefault(part, set()).add(tuple(labels))
    return sum(len(classes.get(part, ())) > 1 for part in unread)


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
