"""All-Age-Faces (AAF): the age in file names, `00000A02.jpg`, and the gender in two list files; gender 0 is female.

Source: https://github.com/JingchunCheng/All-Age-Faces-Dataset (13,322 faces; `image sets/train.txt` and `val.txt`
have lines such as `00000A02.jpg 0`; `original images` and `aglined faces` hold the same faces under the same
names).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from maskfit.data.importers.interface import Confidence, ImportOptions, ImportSource, LeftOut, RawImport, RawRow
from maskfit.data.importers.photo_finder import NOT_FOUND, PhotoFinder, list_files
from maskfit.data.importers.word_reader import WordReader
from maskfit.data.photo_dataset import is_photo_name
from maskfit.text import format_count

NAME = re.compile(r"\d{5}A(?P<age>\d{2,3})", re.IGNORECASE)
LINE = re.compile(r"(?P<name>\d{5}A\d{2,3}\.\w{3,4})\s+(?P<gender>[01])\s*", re.IGNORECASE)
OFF_PATTERN = "the name is off the pattern 00000A02"
NO_LIST_LINE = "the line is not a file name and 0 or 1"

SURE_FRACTION = 0.9
"""Fraction of names on the pattern from which on the format is certain."""


class AllAgeFacesImporter:
    """All-Age-Faces."""

    title: ClassVar[str] = "All-Age-Faces: age in file names, list files with the gender"
    codes: ClassVar[Mapping[str, Mapping[str, str]]] = {"gender": {"0": "female", "1": "male"}, "age": {}}

    def detect(self, source: ImportSource, words: WordReader) -> Confidence:
        """Says how sure it is that a source is All-Age-Faces.

        Args:
            source: The source.
            words: What the user says that words mean.

        Returns:
            `SURE` where there is a list file of its form, or nine in ten names have its pattern.
        """
        if _list_files(source):
            return Confidence.SURE
        found = sum(NAME.fullmatch(_stem(name)) is not None for name in source.photos)
        return Confidence.SURE if found and found >= SURE_FRACTION * len(source.photos) else Confidence.NO

    def read(self, source: ImportSource, options: ImportOptions) -> RawImport:
        """Reads the list files and the names of the photos.

        Args:
            source: The source.
            options: Options of the import.

        Returns:
            A row per photo; one that is in no list has only an age.
        """
        result = RawImport(files=_list_files(source))
        folder, photos = _choose_folder(source, options, result)
        genders: dict[str, list[tuple[str, str]]] = {}
        for file in result.files:
            for number, line in enumerate((source.root / file).read_text("utf-8", "replace").splitlines(), start=1):
                match = LINE.fullmatch(line.strip())
                if match:
                    genders.setdefault(match["name"].lower(), []).append((f"{file} line {number}", match["gender"]))
                elif line.strip():
                    result.left_out.append(LeftOut(f"{file} line {number}", NO_LIST_LINE))
        unlisted = 0
        for name in photos:
            match = NAME.fullmatch(_stem(name))
            if match is None:
                result.left_out.append(LeftOut(name, OFF_PATTERN))
                continue
            age = ("age", match["age"].lstrip("0") or "0")
            lines = genders.pop(name.rpartition("/")[2].lower(), [])
            unlisted += not lines
            rows = [RawRow(folder / name, location, (("gender", gender), age)) for location, gender in lines]
            result.rows += rows or [RawRow(folder / name, name, (age,))]
        result.left_out += [LeftOut(lines[0][0], NOT_FOUND) for lines in genders.values()]
        if unlisted:
            result.notes.append(
                f"{format_count(unlisted, 'photo is', 'photos are')} in no list file, so that only the age is known"
            )
        return result


def _choose_folder(source: ImportSource, options: ImportOptions, result: RawImport) -> tuple[Path, list[str]]:
    """The folder of the photos and their names; of two folders with the same names, the originals."""
    if options.images:
        return options.images, [name for name in list_files(options.images) if is_photo_name(name)]
    folders: dict[str, list[str]] = {}
    for name in source.photos if source.is_folder else PhotoFinder(source.root).names:
        folders.setdefault(name.rpartition("/")[0], []).append(name)
    rated = {place: sum(NAME.fullmatch(_stem(name)) is not None for name in names) for place, names in folders.items()}
    full = [place for place, count in rated.items() if count and count >= SURE_FRACTION * max(rated.values())]
    names_of = [frozenset(_stem(name) for name in folders[place]) for place in full]
    if len(full) > 1 and all(names & names_of[0] for names in names_of[1:]):
        chosen = next((place for place in full if "orig" in place.rpartition("/")[2].lower()), full[0])
        others = ", ".join(repr(place) for place in full if place != chosen)
        result.notes.append(f"{others} and '{chosen}' hold the same faces; '{chosen}' is read (--images chooses)")
        skipped = {*full} - {chosen}
        return source.root, [name for place, names in folders.items() if place not in skipped for name in names]
    return source.root, [name for names in folders.values() for name in names]


def _list_files(source: ImportSource) -> list[str]:
    """The text files whose first line is one of a list."""
    files = []
    for name in source.with_suffix(".txt")[:200]:
        head = source.head(name)
        if LINE.fullmatch(head.partition("\n")[0].strip()):
            files.append(name)
    return files


def _stem(name: str) -> str:
    return name.rpartition("/")[2].rpartition(".")[0]
