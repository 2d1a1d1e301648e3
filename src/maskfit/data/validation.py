"""Everything that is wrong with a set of photos, found before a training finds it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from maskfit.data.data_problems import DataProblem
from maskfit.data.image_decoding import content_hash, open_rgb, read_bytes, sniff_format
from maskfit.data.photo_dataset import Photo, PhotoDataset
from maskfit.data.read_dataset import scan_photos
from maskfit.errors import PhotoError
from maskfit.labels.schema import UNKNOWN, LabelSchema

Progress = Callable[[int, int], None]

MIN_SIDE = 64
"""A side shorter than this many pixels holds too little of a face."""

TYPICAL_SIZE_FRACTION = 0.8
"""From this share of photos on, one size is the usual one and others are worth a look."""

EXPECTED_FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WebP", ".bmp": "BMP", ".heic": "HEIC"}
"""What a file name's ending promises."""

_SEVERITIES = ("fatal", "warning", "note")


@dataclass(frozen=True, slots=True)
class ValidationReport:
    """A set as far as it can be read, and its problems, the worst first."""

    photos: PhotoDataset
    problems: tuple[DataProblem, ...]

    @property
    def num_fatal(self) -> int:
        """How many problems keep the set from being used."""
        return sum(problem.severity == "fatal" for problem in self.problems)

    def count_known(self, scheme: LabelSchema) -> dict[str, int]:
        """How many photos have a label, for each attribute."""
        counts = (self.photos.attribute_indices(scheme) != UNKNOWN).sum(axis=0).tolist()
        return dict(zip(scheme.names, counts, strict=True))

    def count_classes(self, scheme: LabelSchema) -> list[int]:
        """How many photos each class has; a photo that lacks a label has none."""
        counts = Counter(scheme.to_class_index(self.photos.attribute_indices(scheme)).tolist())
        return [counts[number] for number in range(scheme.num_classes)]


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """What one look into a file gives; empty but for `error` where it cannot be read.

    Attributes:
        key: Stands for the content: the same bytes, the same key.
        format: What the content is, whatever the name says: "JPEG".
        size: Upright (width, height).
        error: Why it cannot be read.
    """

    content_hash: str = ""
    format: str = ""
    size: tuple[int, int] = (0, 0)
    error: DataProblem | None = None


def validate_dataset(source: str | Path, scheme: LabelSchema, *, progress: Progress | None = None) -> ValidationReport:
    """Reads a set and decodes every photo in it. Bad data is an answer, never an error.

    Args:
        source: What `read_photos` takes.
        scheme: Says which labels are read.
        progress: Called with (photos done, photos in all).

    Returns:
        The photos that fit layout or manifest, and what is wrong: names and labels that do not fit, unreadable files,
        persons without their seven photos, identical files, misleading endings, very small photos and unusual sizes.
    """
    photos, problems = scan_photos(source, scheme)
    return find_problems(photos, problems, _look_into_all(photos, progress), scheme)


def find_problems(
    photos: PhotoDataset, problems: Iterable[DataProblem], facts: Sequence[ImageInfo], scheme: LabelSchema
) -> ValidationReport:
    """What is wrong with photos that somebody has looked into.

    Args:
        photos: The photos.
        problems: What is known to be wrong already: what `scan_photos` found.
        facts: What each photo's file gave, in the order of the photos.
        scheme: Says which labels are compared.
    """
    problems = list(problems)
    problems += [fact.error for fact in facts if fact.error]
    readable = [(photo, fact) for photo, fact in zip(photos, facts, strict=True) if not fact.error]
    problems += _find_identical(readable, scheme)
    problems += _find_misnamed(readable)
    problems += _find_small(readable)
    problems += _find_unusual_sizes(readable)
    problems.sort(key=lambda problem: _SEVERITIES.index(problem.severity))
    kinds = list(dict.fromkeys((problem.severity, problem.kind) for problem in problems))
    problems.sort(key=lambda problem: kinds.index((problem.severity, problem.kind)))
    return ValidationReport(photos, tuple(problems))


def _look_into_all(photos: PhotoDataset, progress: Progress | None) -> list[ImageInfo]:
    """Facts in the order of the photos. Threads suffice: Pillow decodes outside of Python's lock."""
    facts: list[ImageInfo] = []
    pool = ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1))
    try:
        for fact in pool.map(_look_into, photos):
            facts.append(fact)
            if progress:
                progress(len(facts), len(photos))
    finally:
        # Without this, whoever presses Ctrl-C waits for all the photos that are left.
        pool.shutdown(cancel_futures=True)
    return facts


def _look_into(photo: Photo) -> ImageInfo:
    try:
        content = read_bytes(photo.path)
        image = open_rgb(content, name=photo.name)
    except PhotoError as error:
        return ImageInfo(error=unreadable_problem(photo, error))
    return ImageInfo(content_hash(content), sniff_format(content), image.size)


def unreadable_problem(photo: Photo, error: PhotoError) -> DataProblem:
    """The finding that a photo's file cannot be read."""
    return DataProblem("fatal", "unreadable", photo.name, error.message, error.hint or "replace the file")


def _find_identical(readable: Iterable[tuple[Photo, ImageInfo]], scheme: LabelSchema) -> list[DataProblem]:
    """One warning for each file that is there more than once, byte for byte."""
    groups: dict[str, list[Photo]] = {}
    for photo, fact in readable:
        groups.setdefault(fact.content_hash, []).append(photo)
    problems: list[DataProblem] = []
    for photos in groups.values():
        if len(photos) < 2:
            continue
        what = f"the same file as {', '.join(photo.name for photo in photos[1:])}"
        persons = len({photo.person for photo in photos})
        if persons > 1:
            what += f", under {persons} persons: a split over persons can put it on both sides"
        disputed = _find_disagreements(photos, scheme)
        if disputed:
            what += f"; the labels disagree about {' and '.join(disputed)}"
        fix = "keep one, or leave the others out with a correction (attribute `use`, value `no`)"
        kind = "duplicate across persons" if persons > 1 else "duplicate"
        problems.append(DataProblem("warning", kind, photos[0].name, what, fix))
    return problems


def _find_disagreements(photos: list[Photo], scheme: LabelSchema) -> list[str]:
    """Attributes of which the photos are said to have different values, or different years within one band."""
    columns = zip(*(scheme.encode(photo.labels) for photo in photos), strict=True)
    names = []
    for name, codes in zip(scheme.names, columns, strict=True):
        years = {value for photo in photos if isinstance(value := photo.labels.get(name), float)}
        if len(set(codes) - {UNKNOWN}) > 1 or len(years) > 1:
            names.append(name)
    return names


def _find_misnamed(readable: Iterable[tuple[Photo, ImageInfo]]) -> list[DataProblem]:
    problems = []
    for photo, fact in readable:
        promised = EXPECTED_FORMATS.get(photo.path.suffix.lower())
        if promised != fact.format:
            what = f"the name ends in {photo.path.suffix or 'nothing'}, the content is {fact.format}"
            problems.append(
                DataProblem("warning", "file ending", photo.name, what, "rename it; maskfit goes by content")
            )
    return problems


def _find_small(readable: Iterable[tuple[Photo, ImageInfo]]) -> list[DataProblem]:
    return [
        DataProblem(
            "warning",
            "small photo",
            photo.name,
            f"{fact.size[0]} x {fact.size[1]} pixels; a side has fewer than {MIN_SIDE}",
            "replace it by the original, or leave it out",
        )
        for photo, fact in readable
        if min(fact.size) < MIN_SIDE
    ]


def _find_unusual_sizes(readable: list[tuple[Photo, ImageInfo]]) -> list[DataProblem]:
    """One warning for each size (width x height) that is not the usual one, where there is a usual one."""
    names: dict[tuple[int, int], list[str]] = {}
    for photo, fact in readable:
        names.setdefault(fact.size, []).append(photo.name)
    usual = max(names, key=lambda size: len(names[size]), default=(0, 0))
    if len(names.get(usual, ())) < TYPICAL_SIZE_FRACTION * len(readable):
        return []
    return [
        DataProblem(
            "warning",
            "unusual size",
            found[0],
            f"{width} x {height} pixels, as {len(found)} of {len(readable)} photos; most are {usual[0]} x {usual[1]}",
            "look at them: other sizes may be crops or turned by 90 degrees",
        )
        for (width, height), found in names.items()
        if (width, height) != usual
    ]
