"""Photos with their labels, and datasets of photos. `maskfit.data.read_dataset` reads datasets from disk."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from maskfit.data.boxes import Box
from maskfit.data.data_problems import DataProblem
from maskfit.errors import LabelError
from maskfit.labels.schema import UNKNOWN, Attribute, IntArray, LabelSchema, as_number
from maskfit.labels.spellings import as_integer

PHOTO_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".heic", ".heif"})
"""File name suffixes of photos, in lower case. The actual format follows from the content: see `image_decoding`."""

OTHER_PHOTO_SUFFIXES = {
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".gif": "GIF",
    ".avif": "AVIF",
    ".jxl": "JPEG XL",
    ".jp2": "JPEG 2000",
    **dict.fromkeys((".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".raf", ".rw2"), "a camera's raw format"),
}
"""Suffixes of photos that are not read -> name of the format; such files are set aside or named, not passed over."""

PERSON_SEPARATOR = "|"
"""Separates the persons of a photo that was made of several."""

SYSTEM_FILES = frozenset({"__macosx", "thumbs.db", "desktop.ini", "@eadir"})
"""Names, in lower case, of files and folders that operating systems and file servers create."""


@dataclass(frozen=True, slots=True)
class Photo:
    """One photo, or one face of it: a row of a dataset.

    Attributes:
        path: The file.
        name: Its name in every table: the POSIX path relative to the dataset's root; with a box
            `path[left,upper,right,lower]`.
        person: Who is on it: the whole folder name in the competition's layout, the person column of a manifest, or
            the name of the photo without its box where no person is given. Persons are compared as text. Several
            persons, joined by `PERSON_SEPARATOR`, where the photo was made of several.
        labels: Known labels: attribute name to the name of a value, or to years as a float where the attribute has
            bins.
        repeat: How often the photo occurs in one training epoch, >= 1.
        box: The face that this row is about: left, upper, right, lower in pixels of the upright photo, which crops use
            in place of a detector; None for the whole photo. Other rows may be about other faces of the same file.
    """

    path: Path
    name: str
    person: str
    labels: Mapping[str, str | float] = field(default_factory=dict, hash=False)
    repeat: int = 1
    box: Box | None = None

    @property
    def file_name(self) -> str:
        """The name of the photo without the box of this row."""
        return self.name if self.box is None else self.name[: self.name.rindex("[")]

    def with_labels(self, labels: Mapping[str, str | float]) -> Photo:
        """Returns the photo with some labels replaced.

        Args:
            labels: The new labels; all other labels are kept.

        Returns:
            A new photo.
        """
        return replace(self, labels={**self.labels, **labels})


@dataclass(frozen=True)
class PhotoDataset:
    """Photos under one root, in a fixed order.

    Attributes:
        root: The folder that names are relative to.
        photos: The photos; no two have the same name.
        notes: How the source was read where it could be meant otherwise, for display before a training or split.
    """

    root: Path
    photos: tuple[Photo, ...]
    notes: tuple[DataProblem, ...] = field(default=(), compare=False, repr=False)

    def __len__(self) -> int:
        return len(self.photos)

    def __iter__(self) -> Iterator[Photo]:
        return iter(self.photos)

    def __getitem__(self, index: int) -> Photo:
        return self.photos[index]

    @property
    def persons(self) -> tuple[str, ...]:
        """Every person once, in the order of their first photo."""
        return tuple(dict.fromkeys(photo.person for photo in self.photos))

    def attribute_indices(self, schema: LabelSchema) -> IntArray:
        """Encodes the labels of all photos.

        Args:
            schema: The label schema.

        Returns:
            Index of each attribute's value, int64 of shape (photos, attributes); `UNKNOWN` where a label is missing.

        Raises:
            LabelError: A photo has a label that is not in the schema.
        """
        return schema.encode_batch(photo.labels for photo in self.photos)

    def select(self, indices: Iterable[int]) -> PhotoDataset:
        """Selects photos.

        Args:
            indices: Positions in the dataset.

        Returns:
            A dataset of these photos, in this order.
        """
        return replace(self, photos=tuple(self.photos[int(index)] for index in indices))


def find_conflicting_attributes(labels: Sequence[Mapping[str, str | float]], schema: LabelSchema) -> list[str]:
    """Finds what rows of one photo or face disagree about.

    Args:
        labels: The labels of each row, as in `Photo.labels`.
        schema: The label schema.

    Returns:
        Attributes in which the known labels differ, including different years within one bin.
    """
    names = []
    for name, indices in zip(schema.names, schema.encode_batch(labels).T.tolist(), strict=True):
        years = {value for row in labels if isinstance(value := row.get(name), float)}
        if len(set(indices) - {UNKNOWN}) > 1 or len(years) > 1:
            names.append(name)
    return names


def read_label(attribute: Attribute, text: str) -> str | float:
    """Parses a label from a table cell or a part of a file name into the form that `Photo.labels` has.

    Args:
        attribute: The attribute.
        text: Not empty: a value's name, alias, display name or index; a number where the attribute has bins.

    Returns:
        A value's name; a float where the attribute has bins and the text is a number. A coarse value that covers
        several values (an age band, where decades are trained) is returned as it is, for the scored attribute.

    Raises:
        LabelError: The text is not a value of the attribute, or a number out of its range.
    """
    code = attribute.encode(text)
    number = as_number(text) if attribute.bin_edges else None
    if number is not None:
        return number
    return text.strip() if code == UNKNOWN else attribute.values[code]


def read_band(attribute: Attribute, text: str) -> str:
    """Parses a band (bin) from its name or its index 0, 1, ..., where `read_label` would take a number for years.

    Args:
        attribute: An attribute with bins.
        text: Name or index of a band.

    Returns:
        The band's name.

    Raises:
        LabelError: The text is neither.
    """
    code = as_integer(text)
    if code is None:
        if as_number(text) is not None:
            raise LabelError(f"band {text} of {attribute.name} is not a whole number")
        return str(read_label(attribute, text))
    if not 0 <= code < len(attribute.values):
        raise LabelError(f"band {code} of {attribute.name} is not in 0 to {len(attribute.values) - 1}")
    return attribute.values[code]


def is_hidden_or_system_file(name: str) -> bool:
    """Returns whether a name is hidden (`._mask1.jpg`, `.DS_Store`) or created by a system (`Thumbs.db`).

    Args:
        name: Name of a file or folder.

    Returns:
        Whether it is to be ignored.
    """
    return name.startswith(".") or name.casefold() in SYSTEM_FILES


def describe_other_format(name: str) -> str:
    """Says why a file is not read although its name is that of a photo: of a format that maskfit does not read.

    Args:
        name: Name of a file.

    Returns:
        The reason with the next step; empty for any other file.
    """
    suffix = os.path.splitext(name)[1].lower()
    if suffix not in OTHER_PHOTO_SUFFIXES:
        return ""
    return f"{OTHER_PHOTO_SUFFIXES[suffix]} is not supported; save it as JPEG or PNG"


def is_photo_name(name: str) -> bool:
    """Returns whether a file name has a photo's suffix, in upper or lower case.

    Args:
        name: Name of a file.

    Returns:
        Whether the suffix is in `PHOTO_SUFFIXES`.
    """
    return os.path.splitext(name)[1].lower() in PHOTO_SUFFIXES
