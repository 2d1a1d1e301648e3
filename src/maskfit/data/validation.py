"""Validation of a dataset: collects everything that is wrong with it before a training starts."""

from __future__ import annotations

import os
import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from maskfit.data.boxes import Box, find_same_faces
from maskfit.data.data_problems import DataProblem
from maskfit.data.image_damage import check_pixels
from maskfit.data.image_opening import content_hash, read_bytes, sniff_format
from maskfit.data.label_codes import CodesOption
from maskfit.data.photo_dataset import Photo, PhotoDataset, find_conflicting_attributes
from maskfit.data.read_dataset import scan_photos
from maskfit.data.splits import describe_leak_risk
from maskfit.errors import PhotoError
from maskfit.labels.schema import LABEL_SCHEMAS, UNKNOWN, LabelSchema
from maskfit.text import format_count

Progress = Callable[[int, int], None]

MIN_SIDE = 64
"""Minimum side of a photo in pixels; with less, a face has too little detail."""

MAX_COPIES = 8
"""Copies of a file that a problem names."""

PHOTOS_PER_TASK = 8
"""Photos that a thread takes at a time."""

TYPICAL_SIZE_FRACTION = 0.8
"""Fraction of photos with the same size from which on other sizes are reported."""

EXPECTED_FORMATS = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".png": "PNG",
    ".webp": "WebP",
    ".bmp": "BMP",
    ".heic": "HEIC",
}
"""Format by file name suffix."""

_SEVERITIES = ("fatal", "warning", "note")


@dataclass(frozen=True, slots=True)
class ValidationReport:
    """The readable part of a dataset, and its problems.

    Attributes:
        photos: The photos that fit the layout or manifest.
        problems: The problems, the most severe first.
    """

    photos: PhotoDataset
    problems: tuple[DataProblem, ...]

    @property
    def num_fatal(self) -> int:
        """Number of fatal problems."""
        return sum(problem.severity == "fatal" for problem in self.problems)

    def count_known(self, schema: LabelSchema) -> dict[str, int]:
        """Counts the labeled photos.

        Args:
            schema: The label schema.

        Returns:
            Attribute name to the number of photos with that label.
        """
        counts = (self.photos.attribute_indices(schema) != UNKNOWN).sum(axis=0).tolist()
        return dict(zip(schema.names, counts, strict=True))

    def count_classes(self, schema: LabelSchema) -> list[int]:
        """Counts the photos of each class.

        Args:
            schema: The label schema.

        Returns:
            Number of photos by class index; a photo that lacks a label is not counted.
        """
        counts = Counter(schema.to_class_index(self.photos.attribute_indices(schema)).tolist())
        return [counts[index] for index in range(schema.num_classes)]


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """Properties of an image file; empty except for `error` where it cannot be read.

    Attributes:
        content_hash: Hash of the file's bytes.
        format: Format of the content, independent of the name: "JPEG".
        size: Upright (width, height) in pixels.
        error: Why it cannot be read.
    """

    content_hash: str = ""
    format: str = ""
    size: tuple[int, int] = (0, 0)
    error: DataProblem | None = None


def validate_dataset(
    source: str | Path, schema: LabelSchema, *, codes: CodesOption | None = None, progress: Progress | None = None
) -> ValidationReport:
    """Reads a dataset, decodes every photo, and collects all problems; raises nothing for bad data.

    Args:
        source: A folder or manifest, as for `read_photos`.
        schema: The label schema.
        codes: Meanings of codes without words, as for `read_photos`.
        progress: Called with (photos done, all photos).

    Returns:
        The photos that fit the layout or manifest, and the problems: invalid names and labels, unreadable files,
        persons without their seven photos, a dataset without labels or persons, identical files, faces that are boxed
        twice, wrong suffixes, very small photos and unusual sizes.
    """
    photos, problems = scan_photos(source, schema, codes)
    problems += _find_missing_information(photos, problems, schema, str(source))
    return find_problems(photos, problems, _inspect_all(photos, progress), schema)


def find_problems(
    photos: PhotoDataset, problems: Iterable[DataProblem], infos: Sequence[ImageInfo], schema: LabelSchema
) -> ValidationReport:
    """Collects the problems of photos whose files have been inspected.

    Args:
        photos: The photos.
        problems: Problems found by `scan_photos`.
        infos: Properties of each photo's file, in the order of the photos.
        schema: The label schema, for comparing the labels of identical files.

    Returns:
        All problems, sorted by severity and grouped by kind.
    """
    problems = list(problems)
    problems += dict.fromkeys(info.error for info in infos if info.error)
    readable = [(photo, info) for photo, info in zip(photos, infos, strict=True) if not info.error]
    problems += _find_identical(readable, schema)
    problems += _find_faces_boxed_twice(photos, schema)
    # Properties of a file are reported once, however many faces of it have a row.
    files = list({str(photo.path): (photo, info) for photo, info in reversed(readable)}.values())[::-1]
    problems += _find_wrong_suffixes(files)
    problems += _find_small(files)
    problems += _find_unusual_sizes(files)
    problems.sort(key=lambda problem: _SEVERITIES.index(problem.severity))
    kinds = list(dict.fromkeys((problem.severity, problem.kind) for problem in problems))
    problems.sort(key=lambda problem: kinds.index((problem.severity, problem.kind)))
    return ValidationReport(photos, tuple(problems))


def _find_missing_information(
    photos: PhotoDataset, problems: Sequence[DataProblem], schema: LabelSchema, source: str
) -> list[DataProblem]:
    """A fatal problem where no photo has a label, and a warning where nobody says who is on the photos."""
    found = []
    if photos and not any(name in photo.labels for photo in photos for name in schema.names):
        hints = [problem.hint for problem in problems if problem.kind == "labels"]
        hint = hints[0] if hints else f"add a column {', '.join(schema.names)} or class, or choose another label schema"
        found.append(DataProblem("fatal", "no labels", source, "no photo has a label", hint))
    if risk := describe_leak_risk(photos):
        hint = "add a column person; with one photo per person, nothing is needed"
        if os.path.isdir(source):
            hint = (
                f"with several photos of a person, write a manifest: maskfit data import {shlex.quote(source)} "
                "--out manifest.csv, where --person REGEX or a column person says who it is"
            )
        found.append(DataProblem("warning", "persons", source, risk, hint))
    known = tuple(name for name in schema.names if any(name in photo.labels for photo in photos))
    smaller = find_smaller_schema(known, schema)
    # A column that holds the values of an attribute is named already, and what to do about it.
    if smaller and not any(problem.kind == "labels" for problem in problems):
        absent = " and ".join(name for name in schema.names if name not in known)
        hint = f"train on what is known: data.label_schema={smaller} (--schema {smaller} of data commands)"
        found.append(DataProblem("note", "labels", source, f"no photo has a label of {absent}", hint))
    return found


def find_smaller_schema(known: Sequence[str], schema: LabelSchema) -> str | None:
    """Finds the label schema of the attributes that a dataset knows, where these are not all of its label schema.

    Args:
        known: Attributes with a label, in the order of the label schema.
        schema: The label schema.

    Returns:
        Its name, such as `mask`; None where all attributes are known or no label schema has just these.
    """
    if len(known) == len(schema.names):
        return None
    return next((name for name, other in LABEL_SCHEMAS.items() if other.names == tuple(known)), None)


def _inspect_all(photos: PhotoDataset, progress: Progress | None) -> list[ImageInfo]:
    """The properties in the order of the photos; threads suffice, because Pillow decodes without the GIL."""
    infos: dict[str, ImageInfo] = {}
    # Each file once: a manifest may have a row for every face of it. Texts are compared faster than paths.
    files = list({str(photo.path): photo for photo in photos}.values())
    # Handing over a photo takes a thread as long as half of its decoding.
    groups = [files[first : first + PHOTOS_PER_TASK] for first in range(0, len(files), PHOTOS_PER_TASK)]
    pool = ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1))
    try:
        for group, found in zip(groups, pool.map(_inspect_group, groups), strict=True):
            for photo, info in zip(group, found, strict=True):
                infos[str(photo.path)] = info
                if progress:
                    progress(len(infos), len(files))
    finally:
        # Otherwise Ctrl-C would wait for all remaining photos.
        pool.shutdown(cancel_futures=True)
    return [infos[str(photo.path)] for photo in photos]


def _inspect_group(photos: Sequence[Photo]) -> list[ImageInfo]:
    return [_inspect(photo) for photo in photos]


def _inspect(photo: Photo) -> ImageInfo:
    try:
        content = read_bytes(photo.path)
        size = check_pixels(content, name=photo.file_name)
    except PhotoError as error:
        return ImageInfo(error=unreadable_problem(photo, error))
    return ImageInfo(content_hash(content), sniff_format(content), size)


def unreadable_problem(photo: Photo, error: PhotoError) -> DataProblem:
    """Builds the problem of a photo that cannot be read.

    Args:
        photo: The photo.
        error: Why it cannot be read.

    Returns:
        A fatal problem.
    """
    return DataProblem("fatal", "unreadable", photo.file_name, error.message, error.hint or "replace the file")


def _find_identical(readable: Iterable[tuple[Photo, ImageInfo]], schema: LabelSchema) -> list[DataProblem]:
    """One warning for each group of bytewise identical files."""
    groups: dict[str, list[Photo]] = {}
    for photo, info in readable:
        groups.setdefault(info.content_hash, []).append(photo)
    problems: list[DataProblem] = []
    for photos in groups.values():
        persons: dict[str, set[str]] = {}
        faces: dict[Box | None, list[Photo]] = {}
        for photo in photos:
            persons.setdefault(photo.file_name, set()).add(photo.person)
            faces.setdefault(photo.box, []).append(photo)
        if len(persons) < 2:
            continue
        others = list(persons)[1:]
        more = f" and {len(others) - MAX_COPIES:,} more" if len(others) > MAX_COPIES else ""
        message = f"the same file as {', '.join(others[:MAX_COPIES])}{more}"
        # Faces of several persons on one photo are no duplicates; copies of it whose persons differ are.
        num_persons = len(set().union(*persons.values())) if len(set(map(frozenset, persons.values()))) > 1 else 1
        if num_persons > 1:
            message += f", under {format_count(num_persons, 'person')}: a split by person can put it on both sides"
        differing = {
            name
            for same in faces.values()
            for name in find_conflicting_attributes([photo.labels for photo in same], schema)
        }
        conflicting = [name for name in schema.names if name in differing]
        if conflicting:
            message += f"; the labels disagree about {' and '.join(conflicting)}"
        hint = "keep one, or exclude the others with a correction (attribute `use`, value `no`)"
        kind = "duplicate across persons" if num_persons > 1 else "duplicate"
        problems.append(DataProblem("warning", kind, photos[0].file_name, message, hint))
    return problems


def _find_faces_boxed_twice(photos: PhotoDataset, schema: LabelSchema) -> list[DataProblem]:
    """One warning for each two boxes that show one face, as those of two annotators of a photo do."""
    faces: dict[str, list[tuple[Photo, Box]]] = {}
    for photo in photos:
        if photo.box is not None:
            faces.setdefault(str(photo.path), []).append((photo, photo.box))
    problems: dict[str, list[DataProblem]] = {"labels": [], "persons": [], "": []}
    for same in faces.values():
        for one, two in find_same_faces([box for _, box in same]):
            first, second = same[one][0], same[two][0]
            message = f"the same face as {second.name}"
            kind = ""
            if first.person != second.person:
                kind = "persons"
                message += ", under 2 persons: a split by person can put it on both sides"
            if conflicting := find_conflicting_attributes([first.labels, second.labels], schema):
                kind = "labels"
                message += f"; the labels disagree about {' and '.join(conflicting)}"
            hint = "keep one of the boxes, or exclude the other with a correction (attribute `use`, value `no`)"
            problems[kind].append(DataProblem("warning", "face boxed twice", first.name, message, hint))
    # Of many the first are printed: those whose labels contradict each other matter most.
    return [problem for group in problems.values() for problem in group]


def _find_wrong_suffixes(readable: Iterable[tuple[Photo, ImageInfo]]) -> list[DataProblem]:
    problems = []
    for photo, info in readable:
        expected = EXPECTED_FORMATS.get(photo.path.suffix.lower())
        if expected != info.format:
            message = f"the name ends in {photo.path.suffix or 'nothing'}, the content is {info.format}"
            problems.append(
                DataProblem("warning", "file ending", photo.file_name, message, "rename it; maskfit uses the content")
            )
    return problems


def _find_small(readable: Iterable[tuple[Photo, ImageInfo]]) -> list[DataProblem]:
    return [
        DataProblem(
            "warning",
            "small photo",
            photo.file_name,
            f"the photo has {info.size[0]} x {info.size[1]} pixels; each side should have at least {MIN_SIDE}",
            "replace it by the original, or exclude it",
        )
        # The smallest first: of many the first are printed.
        for photo, info in sorted(readable, key=lambda item: min(item[1].size))
        if min(info.size) < MIN_SIDE
    ]


def _find_unusual_sizes(readable: list[tuple[Photo, ImageInfo]]) -> list[DataProblem]:
    """One warning for each size (width x height) that is not the typical one, where there is a typical one."""
    names: dict[tuple[int, int], list[str]] = {}
    for photo, info in readable:
        names.setdefault(info.size, []).append(photo.file_name)
    typical = max(names, key=lambda size: len(names[size]), default=(0, 0))
    if len(names.get(typical, ())) < TYPICAL_SIZE_FRACTION * len(readable):
        return []
    return [
        DataProblem(
            "warning",
            "unusual size",
            found[0],
            f"{len(found):,} of {format_count(len(readable), 'photo has', 'photos have')} {width} x {height} pixels; "
            f"most have {typical[0]} x {typical[1]}",
            "review them: photos of other sizes may be crops or rotated by 90 degrees",
        )
        for (width, height), found in names.items()
        if (width, height) != typical
    ]
