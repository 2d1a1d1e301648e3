"""Explores a dataset in one pass over its photos."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from maskfit.data.data_problems import DataProblem, raise_if_fatal
from maskfit.data.image_decoding import Pixels
from maskfit.data.label_codes import CodesOption
from maskfit.data.photo_dataset import PhotoDataset
from maskfit.data.read_dataset import scan_photos
from maskfit.data.unused_codes import UNUSED_CODES
from maskfit.data.validation import find_problems
from maskfit.errors import DataError
from maskfit.exploration.image_stats import ImageStats, collect_all_image_stats
from maskfit.exploration.mean_faces import MAX_SHEET_PHOTOS, MeanFaces, choose_sheets, image_strip
from maskfit.exploration.near_duplicates import NearDuplicates, find_identical, find_near_duplicates
from maskfit.exploration.outliers import find_outliers
from maskfit.labels.schema import UNKNOWN, IntArray, LabelSchema

Progress = Callable[[str, int, int], None]
"""Called with (stage, items done, items in total); the stages are `READING` and `COMPARING`."""

READING, COMPARING = "reading", "comparing"
"""Stages of an exploration: photos are read, then pairs of persons are compared."""


@dataclass(frozen=True)
class ContactSheet:
    """A contact sheet.

    Attributes:
        indices: Photos on it, from left to right.
        strip: Their thumbnails side by side as one JPEG, each 96 x 128.
    """

    indices: tuple[int, ...]
    strip: bytes


@dataclass(frozen=True)
class ExplorationResult:
    """Result of an exploration. Photos are given as indices into `photos`.

    Attributes:
        photos: Photos that match the layout or manifest, including unreadable ones.
        schema: Label schema, restricted to attributes that at least one photo has a label for.
        unlabeled_attributes: Names of the attributes without any label.
        image_stats: Statistics of each photo.
        problems: What `maskfit data check` reports, most severe first.
        identical: Groups of photos with identical files.
        near_duplicates: Persons that share nearly the same photo.
        outliers: Photos by kind of outlier; see `outliers.OUTLIER_KINDS`.
        mean_faces: Mean faces.
        contact_sheets: Contact sheet by class; `UNKNOWN` has the photos with a missing label.
        seconds: Duration of the exploration.
    """

    photos: PhotoDataset
    schema: LabelSchema
    unlabeled_attributes: tuple[str, ...]
    image_stats: tuple[ImageStats, ...]
    problems: tuple[DataProblem, ...]
    identical: tuple[tuple[int, ...], ...]
    near_duplicates: NearDuplicates
    outliers: Mapping[str, tuple[int, ...]]
    mean_faces: MeanFaces
    contact_sheets: Mapping[int, ContactSheet]
    seconds: float

    @cached_property
    def codes(self) -> IntArray:
        """Value codes, (photos, attributes)."""
        return self.photos.attribute_indices(self.schema)

    @cached_property
    def classes(self) -> IntArray:
        """Class indices, (photos,); `UNKNOWN` where a label is missing."""
        return self.schema.to_class_index(self.codes)

    @cached_property
    def persons(self) -> IntArray:
        """A number from 0 on for the person on each photo, (photos,)."""
        numbers = {person: number for number, person in enumerate(self.photos.persons)}
        return np.array([numbers[photo.person] for photo in self.photos], dtype=np.int64)

    @property
    def unreadable(self) -> tuple[int, ...]:
        """Photos that cannot be decoded."""
        return tuple(index for index, stats in enumerate(self.image_stats) if not stats.readable)

    def spans_persons(self, group: tuple[int, ...]) -> bool:
        """Checks whether photos show more than one person.

        Args:
            group: Indices of photos.

        Returns:
            Whether they belong to several persons.
        """
        return len({self.photos[index].person for index in group}) > 1


def explore(
    source: str | Path,
    schema: LabelSchema,
    *,
    codes: CodesOption | None = None,
    limit: int = 24,
    seed: int = 0,
    progress: Progress | None = None,
) -> ExplorationResult:
    """Explores a dataset; every photo is decoded once, downscaled. A defective photo is reported, not raised.

    Args:
        source: Dataset folder or manifest, as for `read_photos`.
        schema: Labels to read.
        codes: Meanings of codes without words, as for `read_photos`.
        limit: Maximum number of photos on a contact sheet, 1 to `MAX_SHEET_PHOTOS`.
        seed: Seed of the samples on the contact sheets.
        progress: Called during the work.

    Returns:
        The result.

    Raises:
        DataError: There is no readable photo, or `limit` is out of range.
    """
    if not 1 <= limit <= MAX_SHEET_PHOTOS:
        raise DataError(f"limit must be 1 to {MAX_SHEET_PHOTOS}, got {limit}", hint="choose another limit")
    start = time.perf_counter()
    photos, problems = scan_photos(source, schema, codes)
    # Unlike other problems, which the page shows, this is one of the command.
    raise_if_fatal([problem for problem in problems if problem.kind == UNUSED_CODES], Path(source))
    if not photos:
        raise_if_fatal(problems, Path(source))
        raise DataError("there are no photos here", location=source, hint="name a folder or manifest with photos")
    schema, unlabeled = _drop_unlabeled(photos, schema)
    stats, faces, sheets = _scan(photos, schema, limit, seed, progress)
    if not any(item.readable for item in stats):
        raise DataError(
            "none of the photos can be read", location=source, hint=f"maskfit data check {source} lists the reasons"
        )
    checked = find_problems(photos, problems, [item.info for item in stats], schema)
    comparing = None if progress is None else lambda done, total: progress(COMPARING, done, total)
    return ExplorationResult(
        photos=photos,
        schema=schema,
        unlabeled_attributes=unlabeled,
        image_stats=tuple(stats),
        problems=checked.problems,
        identical=tuple(find_identical(photos, stats)),
        near_duplicates=find_near_duplicates(photos, stats, comparing),
        outliers=find_outliers(stats),
        mean_faces=faces,
        contact_sheets=sheets,
        seconds=time.perf_counter() - start,
    )


def _drop_unlabeled(photos: PhotoDataset, schema: LabelSchema) -> tuple[LabelSchema, tuple[str, ...]]:
    """The schema without the attributes that no photo has a label for, and the names of these.

    Otherwise a dataset with labels for the mask only would have no photo with a known class.
    """
    known = (photos.attribute_indices(schema) != UNKNOWN).any(axis=0).tolist()
    kept = tuple(item for item, any_known in zip(schema.attributes, known, strict=True) if any_known)
    unlabeled = tuple(name for name, any_known in zip(schema.names, known, strict=True) if not any_known)
    return (LabelSchema(attributes=kept) if kept else schema), unlabeled


def _scan(
    photos: PhotoDataset, schema: LabelSchema, limit: int, seed: int, progress: Progress | None
) -> tuple[list[ImageStats], MeanFaces, dict[int, ContactSheet]]:
    """The pass over all photos; only thumbnails that are on a contact sheet are kept."""
    codes = photos.attribute_indices(schema)
    classes = schema.to_class_index(codes)
    chosen = choose_sheets(photos, classes, limit, seed)
    on_sheet = {index for indices in chosen.values() for index in indices}
    thumbnails: dict[int, Pixels] = {}
    stats: list[ImageStats] = []
    faces = MeanFaces(schema)
    reading = None if progress is None else lambda done, total: progress(READING, done, total)
    for index, (item, thumbnail) in enumerate(collect_all_image_stats(photos, reading)):
        stats.append(item)
        if thumbnail is not None:
            faces.add(thumbnail, int(classes[index]), codes[index].tolist())
            if index in on_sheet:
                thumbnails[index] = thumbnail
    sheets = {}
    for class_index, indices in chosen.items():
        readable = tuple(index for index in indices if index in thumbnails)
        if readable:
            sheets[class_index] = ContactSheet(readable, image_strip(thumbnails[index] for index in readable))
    return stats, faces, sheets
