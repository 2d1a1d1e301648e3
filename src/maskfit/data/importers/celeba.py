"""CelebA and CelebA-HQ: a table with 40 attributes per photo, `Male` among them, and the persons in another file.

`list_attr_celeba.txt` (number of photos, names of attributes, then a line per photo with 1 or -1 for each), Kaggle's
`list_attr_celeba.csv` with the same columns, and CelebAMask-HQ's `CelebAMask-HQ-attribute-anno.txt`; the persons are in
`identity_CelebA.txt`, a name and a number per line. Source: https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import PurePosixPath
from typing import ClassVar

from maskfit.data.importers.interface import Confidence, ImportOptions, ImportSource, LeftOut, RawImport, RawRow
from maskfit.data.importers.word_reader import WordReader
from maskfit.errors import DataError

GENDER_COLUMN, OTHER_COLUMN = "Male", "5_o_Clock_Shadow"
"""The attribute that is imported, and one that no other table has."""

HEADER_CHARACTERS = 4_000
"""Characters in which the header and the first photo end."""

_NUMBER = re.compile(r"-?[0-9]+")

PERSONS_FILE = "identity_celeba.txt"
"""Name in lower case of the file of persons."""

OFF_LINE = "the line has another number of cells than the header"
NO_VALUE = "Male is neither 1 nor -1"


class CelebaImporter:
    """CelebA and CelebA-HQ."""

    title: ClassVar[str] = "CelebA: list_attr_celeba with a column Male"
    codes: ClassVar[Mapping[str, Mapping[str, str]]] = {"gender": {"1": "male", "-1": "female", "0": "female"}}

    def detect(self, source: ImportSource, words: WordReader) -> Confidence:
        """Says how sure it is that a source has CelebA's attributes.

        Args:
            source: The source.
            words: What the user says that words mean.

        Returns:
            `SURE` where a file names them.
        """
        return Confidence.SURE if _label_files(source) else Confidence.NO

    def read(self, source: ImportSource, options: ImportOptions) -> RawImport:
        """Reads the gender of each photo, and who is on it.

        Args:
            source: The source.
            options: Options of the import.

        Returns:
            A row per line whose photo exists.

        Raises:
            DataError: There is no such table.
        """
        result = RawImport(files=_label_files(source))
        if not result.files:
            hint = "it has a line of names such as 5_o_Clock_Shadow and Male; name another format with --format"
            raise DataError("there is no list of CelebA's attributes here", location=source.path, hint=hint)
        finder = options.photo_finder(source)
        person_of = _read_persons(source, result)
        for name in result.files:
            column = -1
            for number, cells in _lines(source, name):
                location = f"{name} line {number}"
                if column < 0:
                    # Lists in text files have no header above the photos' names.
                    names = ["", *cells] if cells[0] == OTHER_COLUMN else cells
                    column = names.index(GENDER_COLUMN) if GENDER_COLUMN in names else -1
                    width = len(names)
                    continue
                photo, reason = finder.find(cells[0], name)
                if len(cells) != width:
                    reason = OFF_LINE
                elif cells[column] not in self.codes["gender"]:
                    reason = NO_VALUE
                if photo is None or reason:
                    result.left_out.append(LeftOut(f"{location}: {cells[0]}", reason))
                    continue
                labels = [("gender", cells[column])]
                result.rows.append(RawRow(photo, location, labels, person_of.get(cells[0].casefold(), "")))
        result.notes.append("Young and the other 38 attributes are not imported: Young is no band of years")
        if not person_of:
            note = "who is on the photos is in identity_CelebA.txt, which is not here; put it beside the list"
            result.notes.append(note)
        result.note_photos_without_row(finder)
        return result


def _label_files(source: ImportSource) -> list[str]:
    return [
        name for name in source.with_suffix(".txt", ".csv") if _has_attributes(source.head(name)[:HEADER_CHARACTERS])
    ]


def _has_attributes(head: str) -> bool:
    """Whether one of the first lines is the header, with numbers below it: a read-me may name the attributes too."""
    lines = [[cell.strip('"') for cell in re.split(r"[,\s]+", line.strip())] for line in head.split("\n")[:3]]
    return any(
        {GENDER_COLUMN, OTHER_COLUMN} <= {*header} and any(_NUMBER.fullmatch(cell) for cell in first[1:])
        for header, first in pairwise(lines)
    )


def _lines(source: ImportSource, name: str) -> Iterator[tuple[int, Sequence[str]]]:
    """The lines of a table as cells, with their numbers; without the number of photos above the header."""
    try:
        with (source.root / name).open(encoding="utf-8-sig", errors="replace", newline="") as stream:
            is_csv = PurePosixPath(name).suffix.lower() == ".csv"
            lines = csv.reader(stream) if is_csv else map(str.split, stream)
            for number, cells in enumerate(lines, start=1):
                if cells and not (number == 1 and len(cells) == 1 and cells[0].isdecimal()):
                    yield number, cells
    except OSError as error:
        raise DataError(
            f"the file cannot be read: {error.strerror}", location=source.describe(name), hint="check its permissions"
        ) from None


def _read_persons(source: ImportSource, result: RawImport) -> dict[str, str]:
    """The person of each photo, by its name in lower case; also from beside a list that is the source itself."""
    person_of = {}
    beside = source if source.is_folder else ImportSource(source.root)
    for name in beside.other_files:
        if PurePosixPath(name).name.casefold() == PERSONS_FILE:
            result.files.append(name)
            person_of.update({cells[0].casefold(): cells[1] for _, cells in _lines(beside, name) if len(cells) == 2})
    return person_of
