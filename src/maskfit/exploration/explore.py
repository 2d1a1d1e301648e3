"""All that is found out about a set, in one pass over its photos."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from maskfit.data.data_problems import DataProblem, raise_if_fatal
from maskfit.data.image_decoding import Pixels
from maskfit.data.photo_dataset import PhotoDataset
from maskfit.data.read_dataset import scan_photos
from maskfit.data.validation import ValidationReport, find_problems
from maskfit.errors import DataError
from maskfit.exploration.image_stats import ImageStats, collect_all_image_stats
from maskfit.exploration.mean_faces import MOST_ON_SHEET, MeanFaces, choose_sheets, image_strip
from maskfit.exploration.near_duplicates import NearDuplicates, find_identical, find_near_duplicates
from maskfit.exploration.outliers import find_outliers
from maskfit.labels.schema import UNKNOWN, IntArray, LabelSchema

Progress = Callable[[str, int, int], None]
"""Called with (what is being done, done, in all)."""


@dataclass(frozen=True)
class ContactSheet:
    """A contact sheet.

    Attributes:
        numbers: The photos on it, from left to right.
        strip: These side by side as one JPEG, each 96 x 128.
    """

    numbers: tuple[int, ...]
    strip: bytes


@dataclass(frozen=True)
class ExplorationResult:
    """What was found out. Photos go by their number in `photos`.

    Attributes:
        photos: The photos that fit layout or manifest, the unreadable among them.
        scheme: The attributes of which at least one photo's label is known.
        silent: Names of the attributes of which none is.
        looks: A look at each photo.
        problems: What `maskfit data check` finds, the worst first.
        identical: Photos that are the same file, a tuple for each.
        twins: Persons that share nearly the same photo.
        oddities: Kind to the photos of it; see `oddities.KINDS`.
        faces: Mean faces.
        sheets: Class to its contact sheet; `UNKNOWN` stands for the photos whose class is not fully known.
        seconds: How long it took.
    """

    photos: PhotoDataset
    scheme: LabelSchema
    unlabelled_attributes: tuple[str, ...]
    image_stats: tuple[ImageStats, ...]
    problems: tuple[DataProblem, ...]
    identical: tuple[tuple[int, ...], ...]
    twins: NearDuplicates
    oddities: Mapping[str, tuple[int, ...]]
    faces: MeanFaces
    sheets: Mapping[int, ContactSheet]
    seconds: float

    @cached_property
    def codes(self) -> IntArray:
        """(photos, attributes)."""
        return self.photos.codes(self.scheme)

    @cached_property
    def classes(self) -> IntArray:
        """(photos,); `UNKNOWN` where a label is missing."""
        return self.scheme.to_class_index(self.codes)

    @cached_property
    def persons(self) -> IntArray:
        """(photos,): a number for each person, counted from 0."""
        numbers = {person: number for number, person in enumerate(self.photos.persons)}
        return np.array([numbers[photo.person] for photo in self.photos], dtype=np.int64)

    @property
    def unreadable(self) -> tuple[int, ...]:
        """The photos that cannot be read."""
        return tuple(number for number, look in enumerate(self.image_stats) if not look.readable)

    def crosses(self, group: tuple[int, ...]) -> bool:
        """Whether photos are of more than one person."""
        return len({self.photos[number].person for number in group}) > 1


def explore(
    source: str | Path, scheme: LabelSchema, *, limit: int = 24, seed: int = 0, progress: Progress | None = None
) -> ExplorationResult:
    """Looks at every photo of a set, once and small. What is wrong with a photo is a finding, never an error.

    Args:
        source: What `read_photos` takes.
        scheme: Says which labels are read.
        limit: The most photos of a contact sheet, 1 to `MOST_ON_SHEET`.
        seed: Another seed, other photos on the sheets.
        progress: Called as it goes on.

    Raises:
        DataError: There is no photo to look at, or `limit` is out of range.
    """
    if not 1 <= limit <= MOST_ON_SHEET:
        raise DataError(
            f"{limit} photos on a contact sheet are not in 1 to {MOST_ON_SHEET}", hint="choose another limit"
        )
    began = time.perf_counter()
    photos, problems = scan_photos(source, scheme)
    if not photos:
        raise_if_fatal(problems, Path(source))
        raise DataError("there are no photos here", location=source, hint="name a folder or manifest that has some")
    scheme, silent = _drop_silent(photos, scheme)
    looks, faces, sheets = _look(photos, scheme, limit, seed, progress)
    if not any(look.readable for look in looks):
        raise DataError("not one photo can be read", location=source, hint=f"maskfit data check {source} says why")
    checked: ValidationReport = find_problems(photos, problems, [look.facts for look in looks], scheme)
    twins = find_near_duplicates(photos, looks, None if progress is None else lambda a, b: progress("comparing", a, b))
    identical = tuple(find_identical(looks))
    seconds = time.perf_counter() - began
    return ExplorationResult(
        photos,
        scheme,
        silent,
        tuple(looks),
        checked.problems,
        identical,
        twins,
        find_outliers(looks),
        faces,
        sheets,
        seconds,
    )


def _drop_silent(photos: PhotoDataset, scheme: LabelSchema) -> tuple[LabelSchema, tuple[str, ...]]:
    """The scheme without the attributes that no photo's label says anything of, and the names of these.

    Without this, a set of which only the mask is known would have no class at all.
    """
    known = (photos.codes(scheme) != UNKNOWN).any(axis=0).tolist()
    kept = tuple(item for item, any_known in zip(scheme.attributes, known, strict=True) if any_known)
    silent = tuple(name for name, any_known in zip(scheme.names, known, strict=True) if not any_known)
    return (LabelSchema(attributes=kept) if kept else scheme), silent


def _look(
    photos: PhotoDataset, scheme: LabelSchema, limit: int, seed: int, progress: Progress | None
) -> tuple[list[ImageStats], MeanFaces, dict[int, ContactSheet]]:
    """The pass over all photos; of the thumbnails only those on a sheet stay."""
    codes = photos.codes(scheme)
    classes = scheme.to_class_index(codes)
    wanted = choose_sheets(photos, classes, limit, seed)
    shown = {number for numbers in wanted.values() for number in numbers}
    kept: dict[int, Pixels] = {}
    looks: list[ImageStats] = []
    faces = MeanFaces(scheme)
    told = None if progress is None else lambda done, total: progress("looking", done, total)
    for number, (look, thumbnail) in enumerate(collect_all_image_stats(photos, told)):
        looks.append(look)
        if thumbnail is not None:
            faces.add(thumbnail, int(classes[number]), codes[number].tolist())
            if number in shown:
                kept[number] = thumbnail
    sheets = {}
    for name, numbers in wanted.items():
        readable = tuple(number for number in numbers if number in kept)
        if readable:
            sheets[name] = ContactSheet(readable, image_strip(kept[number] for number in readable))
    return looks, faces, sheets
