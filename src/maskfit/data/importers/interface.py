"""What every import format has: the rows that it reads, what it leaves out, and how it is recognized."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import ClassVar, Protocol

from maskfit.data.importers.photo_finder import PhotoFinder
from maskfit.data.importers.photo_folders import PART_FOLDER
from maskfit.data.importers.source import ImportSource
from maskfit.data.importers.word_reader import ANY, BAND_SUFFIX, WordReader
from maskfit.text import format_count

__all__ = [
    "ANY",
    "BAND_SUFFIX",
    "PART_FOLDER",
    "Box",
    "Confidence",
    "ImportOptions",
    "ImportSource",
    "Importer",
    "LeftOut",
    "RawImport",
    "RawRow",
]

SHOWN_PHOTOS = 3
"""Photos without a row that a note lists."""

Box = tuple[float, float, float, float]
"""Left, upper, right and lower edge in pixels of the upright photo; right and lower are not included."""


class Confidence(IntEnum):
    """How sure it is that a source has a format."""

    NO = 0
    POSSIBLE = 1
    SURE = 2


@dataclass(frozen=True, slots=True)
class RawRow:
    """One photo, or one face of it, as the source describes it.

    Attributes:
        photo: The photo's file, which exists.
        location: The line or file of the source that says so, for messages: "labels.csv row 3".
        labels: Pairs of a key and a word as the source has it. The key is an attribute (`mask`, `gender`, `age`), an
            attribute with `BAND_SUFFIX` (`age_band`), or `ANY` where the attribute follows from the word (`with_mask`,
            the name of a class folder or box). Empty words are ignored; of two labels of one attribute the first wins.
        person: Who is on the photo; empty where the source does not say.
        box: Where the face is; None for the whole photo.
        extra: Cells of other columns of a manifest, by the column's standard name: `times`, and the path of `persons`.
    """

    photo: Path
    location: str
    labels: Sequence[tuple[str, str]]
    person: str = ""
    box: Box | None = None
    extra: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Something of the source that is not imported.

    Attributes:
        location: The file or line.
        reason: Why, in words that are the same for all cases of a kind, so that they can be counted.
    """

    location: str
    reason: str


@dataclass(slots=True)
class RawImport:
    """What an importer read.

    Attributes:
        rows: The rows, in the order of the source.
        left_out: What was not read, and why.
        notes: How the source was read, one line each.
        files: Label files that were read, relative to the source's root; an import never replaces them.
    """

    rows: list[RawRow] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)

    def note_photos_without_row(self, finder: PhotoFinder) -> None:
        """Adds a note on photos that no row is about; for formats whose label files name photos.

        Args:
            finder: What found the photos of the rows.
        """
        used = {row.photo for row in self.rows}
        names = [name for name in finder.names if finder.folder / name not in used]
        if names:
            shown = ", ".join(names[:SHOWN_PHOTOS]) + (", ..." if len(names) > SHOWN_PHOTOS else "")
            self.notes.append(f"{format_count(len(names), 'photo has', 'photos have')} no row: {shown}")


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """Options of an import that importers use.

    Attributes:
        words: What the user says that words mean; `words.knows` tells whether a name is a label.
        images: Folder of the photos, where they are not in the source.
        finders: What `photo_finder` returned, for what they know after the import.
    """

    words: WordReader
    images: Path | None = None
    finders: list[PhotoFinder] = field(default_factory=list)

    def photo_finder(self, source: ImportSource) -> PhotoFinder:
        """Returns what finds the photos that label files name.

        Args:
            source: The source.

        Returns:
            A finder of photos in `images`, or in the source's folder.
        """
        finder = PhotoFinder(self.images, label_root=source.root) if self.images else source.photo_finder
        if finder not in self.finders:
            self.finders.append(finder)
        return finder


class Importer(Protocol):
    """One format of labeled photos.

    Attributes:
        title: What the format is, in a few words for lists.
        codes: What codes without words mean in this format, by the keys of `RawRow.labels`: `{"gender": {"0":
            "female"}}`. Codes that are not here need a `--map`. An empty `{"age": {}}` says that the format's ages are
            years, also where they are only 0, 1 and 2.
    """

    title: ClassVar[str]
    codes: ClassVar[Mapping[str, Mapping[str, str]]]

    def detect(self, source: ImportSource, words: WordReader) -> Confidence:
        """Says how sure it is that a source has this format; reads as little as possible.

        Args:
            source: The source.
            words: What the user says that words mean.

        Returns:
            `SURE` only where the source cannot be of another format.
        """
        ...

    def read(self, source: ImportSource, options: ImportOptions) -> RawImport:
        """Reads a source.

        Args:
            source: The source.
            options: Options of the import.

        Returns:
            The rows, and what was left out.

        Raises:
            DataError: The source cannot be read in this format.
        """
        ...
