"""Offline oversampling (seed s1): new photos for the thin classes, each the blend of two of one class.

What comes out is a folder of photos and a manifest for `data.extra_train`. A blend is of two persons, and its person says so,
`a|b`: training leaves it out wherever one of the two is held out.
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

from maskfit.data.image_decoding import open_rgb
from maskfit.data.photo_dataset import PERSON_SEPARATOR, Photo, PhotoDataset
from maskfit.data.read_dataset import read_photos
from maskfit.errors import DataError, PhotoError
from maskfit.file_io import atomic_write, write_csv
from maskfit.labels.schema import UNKNOWN, LabelSchema

MANIFEST = "manifest.csv"

LAM_RANGE = (0.3, 0.7)
"""Between which the first photo's share of every pixel is drawn: with less, the other photo would just come again."""

JPEG_QUALITY = 95
"""Of the JPEGs that are written."""

CHUNK_SIZE = 32
"""Photos in memory at a time."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class OversampleResult:
    """What was made.

    Attributes:
        manifest: The CSV that lists it.
        before: How many photos each class had, by class number.
        made: How many it got.
        unreadable: Photos that could not be used, by name, and why.
        unlabelled: How many photos were passed over since their class is not known.
    """

    manifest: Path
    before: dict[int, int]
    made: dict[int, int]
    unreadable: dict[str, str] = field(default_factory=dict)
    unlabelled: int = 0


class Pair(NamedTuple):
    """Two photos of one class by their places in the set, and the first one's share of every pixel."""

    first: int
    second: int
    lam: float


def write_oversampled(
    source: Path,
    label_schema: LabelSchema,
    out: Path,
    target_count: int,
    *,
    seed: int = 0,
    progress: Progress | None = None,
) -> OversampleResult:
    """Brings every class up to `count` photos with blends of random pairs, none of which comes twice.

    A pair is of one class and of two persons: blends of one person with itself would teach nothing new. A class with
    too few pairs stays below `count`; one that has `count` photos gets none. The photos themselves stay untouched.

    Args:
        source: What to blend: a folder in the competition's layout or a manifest.
        scheme: Says which class a photo is of; a photo of which it is not fully known is passed over.
        out: A folder that is new or empty, and not within `source`. The manifest is written last, so that where it is,
            everything is.
        count: How many photos a class is to have together with its blends, 1 or more.
        seed: Another seed, other pairs and shares.
        progress: Called with (photos read and blends made, how many there are of both).

    Raises:
        DataError: `out` holds something or lies within `source`, the source is wrong, or there is nothing to make.
    """
    _check_output_dir(source, out)
    photos = read_photos(source, label_schema)
    classes = label_schema.to_class_index(photos.attribute_indices(label_schema))
    sizes = {int(number): int((classes == number).sum()) for number in np.unique(classes[classes != UNKNOWN])}
    thin = [number for number, size in sizes.items() if size < target_count]
    places = np.flatnonzero(np.isin(classes, thin))
    rows: list[list[object]] = []
    with ThreadPoolExecutor() as pool:
        counter = _Counter(len(places), progress)
        unreadable = _find_unreadable(photos, places, pool, counter)
        persons = np.unique([photo.person for photo in photos], return_inverse=True)[1]
        bad = np.array([photo.name in unreadable for photo in photos])
        groups = {number: np.flatnonzero((classes == number) & ~bad) for number in thin}
        num_blends = {
            number: min(target_count - sizes[number], _pairs_in(persons[group])) for number, group in groups.items()
        }
        counter.total += sum(num_blends.values())
        for number, group in groups.items():
            drawn = _draw_pairs(group, persons[group], np.random.default_rng([seed, number]))
            for place, (pair, image) in enumerate(_blends(photos, islice(drawn, num_blends[number]), pool)):
                name = f"{number:02d}-{place:05d}.jpg"
                _write(out / name, image)
                rows.append([name, *_blend_labels(photos[pair.first], photos[pair.second], label_schema)])
                counter.step()
    if not rows:
        raise DataError(
            f"there is nothing to blend: each class has {target_count} photos, or no two persons whose photos can be read",
            location=source,
            hint="ask for a larger count",
        )
    manifest = write_csv(out / MANIFEST, ["path", "person", *label_schema.names], rows)
    return OversampleResult(manifest, sizes, num_blends, unreadable, int((classes == UNKNOWN).sum()))


class _Counter:
    """Tells of each step."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self.total = total
        self.done = 0
        self.progress = progress

    def step(self) -> None:
        self.done += 1
        if self.progress:
            self.progress(self.done, self.total)


def _check_output_dir(source: Path, out: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError("this folder is not empty", location=out, hint="name a new one")
    if source.is_dir() and source.resolve() in (out.resolve(), *out.resolve().parents):
        raise DataError(
            "this folder lies among the photos, and would be read as one of them",
            location=out,
            hint="name one elsewhere",
        )


def _find_unreadable(
    photos: PhotoDataset, places: NDArray[np.int64], pool: ThreadPoolExecutor, counter: _Counter
) -> dict[str, str]:
    """The photos at these places that cannot be read, by name, and why."""

    def reason(photo: Photo) -> str:
        try:
            open_rgb(photo.path)
        except (PhotoError, OSError) as error:
            return error.message if isinstance(error, PhotoError) else str(error)
        return ""

    found = {}
    for start in range(0, len(places), CHUNK_SIZE):
        some = [photos[int(place)] for place in places[start : start + CHUNK_SIZE]]
        for photo, why in zip(some, pool.map(reason, some), strict=True):
            counter.step()
            if why:
                found[photo.name] = why
    return found


def _pairs_in(persons: NDArray[np.int64]) -> int:
    """How many pairs of two persons there are among photos of these."""
    each = np.unique(persons, return_counts=True)[1]
    return int((len(persons) ** 2 - (each**2).sum()) // 2)


def _draw_pairs(group: NDArray[np.int64], persons: NDArray[np.int64], rng: np.random.Generator) -> Iterator[Pair]:
    """Every pair of two persons in random order, each once, as far as anybody asks."""
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
    """The pairs with their blends, a few of them made ahead."""

    def blend(pair: Pair) -> Image.Image:
        first, second = (open_rgb(photos[place].path) for place in (pair.first, pair.second))
        return blend_photos(first, second, pair.lam)

    while batch := list(islice(pairs, CHUNK_SIZE)):
        yield from zip(batch, pool.map(blend, batch), strict=True)


def blend_photos(first: Image.Image, second: Image.Image, lam: float) -> Image.Image:
    """Each pixel `share` of the first and the rest of the second, which is cut and scaled to the first one's size."""
    if second.size != first.size:
        second = ImageOps.fit(second, first.size, Image.Resampling.BILINEAR)
    return Image.blend(second, first, lam)


def _write(path: Path, image: Image.Image) -> None:
    with atomic_write(path) as temporary:
        image.save(temporary, "JPEG", quality=JPEG_QUALITY, subsampling=0)


def _blend_labels(first: Photo, second: Photo, label_schema: LabelSchema) -> Sequence[object]:
    """The person and the labels of a blend: what both say, or the value that both fall under."""
    codes = label_schema.encode(first.labels)
    labels: list[object] = []
    for attribute, code in zip(label_schema.attributes, codes, strict=True):
        values = {photo.labels[attribute.name] for photo in (first, second)}
        number = next(iter(values)) if len(values) == 1 else None
        labels.append(f"{number:g}" if isinstance(number, float) else attribute.values[code])
    return [f"{first.person}{PERSON_SEPARATOR}{second.person}", *labels]
