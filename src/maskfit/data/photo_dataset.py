"""A photo, what is known of it, and a set of photos. `maskfit.data.read_dataset` reads sets from disk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from maskfit.errors import LabelError
from maskfit.labels.schema import UNKNOWN, Attribute, IntArray, LabelSchema, as_number

PHOTO_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".heic"})
"""File name endings of photos, in lower case. What a file really is, its content says: see `decoding`."""

PERSON_SEPARATOR = "|"
"""Stands between the persons of a photo that was made of several."""

SYSTEM_FILES = frozenset({"__macosx", "thumbs.db", "desktop.ini", "@eadir"})
"""Names, in lower case, that operating systems and file servers leave behind without a leading dot."""


@dataclass(frozen=True, slots=True)
class Photo:
    """One photo.

    Attributes:
        path: The file to open.
        name: Its name in every table: the posix path relative to the set's root.
        person: Who is on it: the whole folder name in the competition's layout, the person column of a manifest, or
            the photo's own name where nobody wrote a person down. Persons are equal only when this text is. Several,
            with `BOTH` between them, where the photo was made of several.
        labels: What is known: attribute name to a value's name, or to years as a float where the attribute has bands.
        times: How often it counts in training, 1 or more: rare photos may come several times in an epoch.
    """

    path: Path
    name: str
    person: str
    labels: Mapping[str, str | float] = field(default_factory=dict, hash=False)
    repeat: int = 1

    def with_labels(self, labels: Mapping[str, str | float]) -> Photo:
        """The same photo with `labels` laid over its own."""
        return replace(self, labels={**self.labels, **labels})


@dataclass(frozen=True)
class PhotoDataset:
    """Photos under one root, in a fixed order.

    Attributes:
        root: The folder that names are relative to.
        photos: The photos; no two have the same name.
    """

    root: Path
    photos: tuple[Photo, ...]

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

    def attribute_indices(self, scheme: LabelSchema) -> IntArray:
        """Codes of all photos, int64 of shape (photos, attributes); `UNKNOWN` where a label is not known.

        Raises:
            LabelError: A photo bears a label that the scheme does not know.
        """
        return scheme.encode_batch(photo.labels for photo in self.photos)

    def select(self, indices: Iterable[int]) -> PhotoDataset:
        """The photos at `indices`, in that order."""
        return replace(self, photos=tuple(self.photos[int(index)] for index in indices))


def read_label(attribute: Attribute, text: str) -> str | float:
    """One label from a cell of a table or a part of a file name, in the one spelling that `Photo.labels` holds.

    Args:
        attribute: What the label is about.
        text: Not empty: a value's name, alias, word or code; a number where the attribute has bands.

    Returns:
        A value's name; a float where the attribute has bands and the text is a number. A coarse value shared by several
        (a band, where decades are trained on) stays as it is written, for the official attribute to read.

    Raises:
        LabelError: The text is no value of the attribute, or a number outside of its span.
    """
    code = attribute.encode(text)
    number = as_number(text) if attribute.bin_edges else None
    if number is not None:
        return number
    return text.strip() if code == UNKNOWN else attribute.values[code]


def read_band(attribute: Attribute, text: str) -> str:
    """A band from its name or its code 0, 1, ...: what a number is not taken for where years are also possible.

    Raises:
        LabelError: The text is neither.
    """
    if text.strip().isdecimal():
        code = int(text)
        if code >= len(attribute.values):
            raise LabelError(f"band {code} of {attribute.name} is not in 0 to {len(attribute.values) - 1}")
        return attribute.values[code]
    return str(read_label(attribute, text))


def is_hidden_or_system_file(name: str) -> bool:
    """Whether a file or folder name is hidden (`._mask1.jpg`, `.DS_Store`) or left by a system (`Thumbs.db`)."""
    return name.startswith(".") or name.casefold() in SYSTEM_FILES


def is_photo_name(name: str) -> bool:
    """Whether a file name ends like a photo's; upper and lower case are the same."""
    return Path(name).suffix.lower() in PHOTO_SUFFIXES
