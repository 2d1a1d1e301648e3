"""Offline mixup oversampling (source project level1-06): new photos of rare classes, each a blend of two of one class.

Writes a folder of photos and a manifest for `data.extra_train`. A blend shows two persons; its person column holds
both, `a|b`, so training excludes it wherever one of the two is held out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from maskfit.data.face_boxes import open_picture_of
from maskfit.data.label_codes import CodesOption
from maskfit.data.photo_dataset import PERSON_SEPARATOR, Photo, PhotoDataset
from maskfit.data.read_dataset import read_photos
from maskfit.errors import DataError, PhotoError
from maskfit.file_io import atomic_write, save_image, write_csv
from maskfit.file_locks import is_occupied
from maskfit.labels.schema import UNKNOWN, LabelSchema
from maskfit.text import format_count
from maskfit.thread_pool import thread_pool

MANIFEST = "manifest.csv"

LAM_RANGE = (0.3, 0.7)
"""Range of the mixup coefficient lambda: closer to 0 or 1 a blend would nearly repeat one of its photos."""

JPEG_QUALITY = 95
"""JPEG quality of the photos that are written."""

CHUNK_SIZE = 32
"""Number of photos held in memory at a time."""

Progress = Callable[[int, int], None]
"""Progress callback: (steps done, steps in total)."""


@dataclass(frozen=True)
class OversampleResult:
    """Result of `write_oversampled`.

    Attributes:
        manifest: Path of the CSV that lists the blends.
        original_counts: Number of photos of each class before oversampling, by class index.
        blend_counts: Number of blends written for each class below the target.
        unreadable: Photos that could not be decoded: name to reason.
        unlabeled: Number of photos skipped because their class is not fully known.
    """

    manifest: Path
    original_counts: dict[int, int]
    blend_counts: dict[int, int]
    unreadable: dict[str, str] = field(default_factory=dict)
    unlabeled: int = 0


class Pair(NamedTuple):
    """Two photos of one class, by index, and the mixup coefficient of the first.

    Attributes:
        first: Index of the first photo in the dataset.
        second: Index of the second photo.
        lam: Weight of the first photo's pixels; the second gets 1 - lam.
    """

    first: int
    second: int
    lam: float


def write_oversampled(
    source: Path,
    label_schema: LabelSchema,
    out: Path,
    target_count: int,
    *,
    codes: CodesOption | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> OversampleResult:
    """Writes mixup blends of random photo pairs until every class has `target_count` photos; no pair repeats.

    A pair is of one class and of two persons: blends of one person with itself add nothing. A class with too few pairs
    stays below `target_count`; one that has `target_count` photos gets none. The source photos are not changed.

    Args:
        source: Photos to blend: a folder in the competition's layout, or a manifest.
        label_schema: Schema that defines the classes; photos whose class is not fully known are skipped.
        out: Output folder, new or empty and not within `source`. The manifest is written last: where it exists, the
            dataset is complete.
        target_count: Number of photos per class, blends included; >= 1.
        codes: Meanings of codes without words, as for `read_photos`.
        seed: Seed of the pairs and of lambda.
        progress: Called with (photos read + blends written, total of both).

    Returns:
        The manifest's path and the counts.

    Raises:
        DataError: `out` is not empty or lies within `source`, the source is invalid, or there is nothing to blend.
    """
    _check_output_dir(source, out)
    photos = read_photos(source, label_schema, codes)
    classes = label_schema.to_class_index(photos.attribute_indices(label_schema))
    sizes = {
        int(class_index): int((classes == class_index).sum()) for class_index in np.unique(classes[classes != UNKNOWN])
    }
    rare_classes = [class_index for class_index, size in sizes.items() if size < target_count]
    indices = np.flatnonzero(np.isin(classes, rare_classes))
    rows: list[list[object]] = []
    with thread_pool() as pool:
        counter = _Counter(len(indices), progress)
        unreadable = _find_unreadable(photos, indices, pool, counter)
        persons = np.unique([photo.person for photo in photos], return_inverse=True)[1]
        is_unreadable = np.array([photo.name in unreadable for photo in photos])
        groups = {
            class_index: np.flatnonzero((classes == class_index) & ~is_unreadable) for class_index in rare_classes
        }
        num_blends = {
            class_index: min(target_count - sizes[class_index], _pairs_in(persons[group]))
            for class_index, group in groups.items()
        }
        counter.total += sum(num_blends.values())
        for class_index, group in groups.items():
            drawn = _draw_pairs(group, persons[group], np.random.default_rng([seed, class_index]))
            for index, (pair, image) in enumerate(_blends(photos, islice(drawn, num_blends[class_index]), pool)):
                name = f"{class_index:02d}-{index:05d}.jpg"
                _write(out / name, image)
                rows.append([name, *_blend_labels(photos[pair.first], photos[pair.second], label_schema)])
                counter.step()
    if not rows:
        raise DataError(
            f"nothing to blend: every class has {format_count(target_count, 'photo')}, or "
            "readable photos of fewer than two persons",
            location=source,
            hint="set a larger count",
        )
    manifest = write_csv(out / MANIFEST, ["path", "person", *label_schema.names], rows)
    return OversampleResult(manifest, sizes, num_blends, unreadable, int((classes == UNKNOWN).sum()))


class _Counter:
    """Counts steps and reports them to the progress callback."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self.total = total
        self.done = 0
        self.progress = progress

    def step(self) -> None:
        self.done += 1
        if self.progress:
            self.progress(self.done, self.total)


def _check_output_dir(source: Path, out: Path) -> None:
    if is_occupied(out):
        raise DataError("the output folder is not empty", location=out, hint="choose a new folder")
    if source.is_dir() and source.resolve() in (out.resolve(), *out.resolve().parents):
        raise DataError(
            "the output folder lies among the photos and would be read as one of them",
            location=out,
            hint="choose a folder outside the source",
        )


def _find_unreadable(
    photos: PhotoDataset, indices: NDArray[np.int64], pool: ThreadPoolExecutor, counter: _Counter
) -> dict[str, str]:
    """Returns the photos at these indices that cannot be decoded: name to reason."""

    def reason(photo: Photo) -> str:
        try:
            open_picture_of(photo)
        except (PhotoError, OSError) as error:
            return error.message if isinstance(error, PhotoError) else str(error)
        return ""

    found = {}
    for start in range(0, len(indices), CHUNK_SIZE):
        chunk = [photos[int(index)] for index in indices[start : start + CHUNK_SIZE]]
        for photo, problem in zip(chunk, pool.map(reason, chunk), strict=True):
            counter.step()
            if problem:
                found[photo.name] = problem
    return found


def _pairs_in(persons: NDArray[np.int64]) -> int:
    """Counts the pairs of two different persons among photos of these persons."""
    each = np.unique(persons, return_counts=True)[1]
    return int((len(persons) ** 2 - (each**2).sum()) // 2)


def _draw_pairs(group: NDArray[np.int64], persons: NDArray[np.int64], rng: np.random.Generator) -> Iterator[Pair]:
    """Yields every pair of two different persons once, in random order, lazily."""
    seen: set[tuple[int, int]] = set()
    pairs = _pairs_in(persons)
    while len(seen) < pairs:
        first, second = sorted(rng.integers(len(group), size=2).tolist())
        lam = float(rng.uniform(*LAM_RANGE))
        if persons[first] != persons[second] and (first, second) not in seen:
            seen.add((first, second))
            yield Pair(int(group[first]), int(group[second]), lam)


def _blends(
    photos: PhotoDataset, pairs: Iterator[Pair], pool: ThreadPoolExecutor
) -> Iterator[tuple[Pair, Image.Image]]:
    """Yields the pairs with their blends; up to `CHUNK_SIZE` are rendered ahead."""

    def blend(pair: Pair) -> Image.Image:
        first, second = (open_picture_of(photos[index])[0] for index in (pair.first, pair.second))
        return blend_photos(first, second, pair.lam)

    while batch := list(islice(pairs, CHUNK_SIZE)):
        yield from zip(batch, pool.map(blend, batch), strict=True)


def blend_photos(first: Image.Image, second: Image.Image, lam: float) -> Image.Image:
    """Blends two photos: lam * first + (1 - lam) * second, the second cropped and resized to the first's size.

    Args:
        first: RGB image that sets the size.
        second: RGB image of any size.
        lam: Weight of the first image, 0 to 1.

    Returns:
        An image of the first one's size.
    """
    if second.size != first.size:
        second = ImageOps.fit(second, first.size, Image.Resampling.BILINEAR)
    return Image.blend(second, first, lam)


def _write(path: Path, image: Image.Image) -> None:
    with atomic_write(path) as temporary:
        save_image(image, temporary, "JPEG", quality=JPEG_QUALITY, subsampling=0)


def _blend_labels(first: Photo, second: Photo, label_schema: LabelSchema) -> Sequence[object]:
    """Returns person and labels of a blend: the common label, or the value that both labels fall under."""
    codes = label_schema.encode(first.labels)
    labels: list[object] = []
    for attribute, code in zip(label_schema.attributes, codes, strict=True):
        values = {photo.labels[attribute.name] for photo in (first, second)}
        class_index = next(iter(values)) if len(values) == 1 else None
        labels.append(f"{class_index:g}" if isinstance(class_index, float) else attribute.values[code])
    return [f"{first.person}{PERSON_SEPARATOR}{second.person}", *labels]
