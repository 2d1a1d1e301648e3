"""Duplicates: identical files, and nearly identical photos of two persons, which leak between training and validation.

Photos of one person are nearly identical by nature and are not reported. Between persons the search has two steps. The
perceptual hash proposes candidates: at most `MAX_HASH_DISTANCE` of its 64 bits differ. That is a coarse filter, since
portraits with the same background, pose and mask have hashes almost as near as copies. So each candidate pair of
persons is compared again at higher resolution: the correlation of the edges, at the best of a few shifts and scales,
must reach `MIN_EDGE_SIMILARITY`. Edges of hair, clothes and background coincide only in the same photo, also if it is
recompressed, brightened, slightly cropped or has another mask drawn on it; the same background and silhouette alone do
not suffice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from maskfit.data.face_boxes import open_picture_of
from maskfit.data.image_cache.cache import row_key
from maskfit.data.photo_dataset import Photo, PhotoDataset
from maskfit.data.validation import Progress
from maskfit.exploration.image_stats import ImageStats
from maskfit.exploration.perceptual_hash import NearPairs, find_near

MAX_HASH_DISTANCE = 10
"""Bits of the hash that may differ. Photos of one person with different masks drawn on differ by about 12."""

MIN_EDGE_SIMILARITY = 0.68
"""Edge correlation from which on two photos count as near-duplicates. Among 600 real persons the hash proposed 404
pairs: the one true duplicate has 0.80, the most similar of the others 0.63. Of known duplicates that were cropped
differently and had other masks drawn on, the best of three pairs exceeds this for 9 of 10 persons."""

MIN_CONTRAST = 20.0
"""Below this contrast the hash of a photo is noise, and the photo is not compared."""

MAX_CANDIDATES = 3000
"""Maximum number of pairs of persons that are compared by edges, nearest hashes first."""

PAIRS_PER_CANDIDATE = 3
"""Pairs of photos that are compared for each pair of persons."""

_FRAME = (72, 96)
_MAX_SHIFT = 8
_SCALES = (1.0, 1.04, 1.087)

_Pair = tuple[int, int, int, bool]
"""Indices of two photos, their hash distance, and whether the mirrored hash is the near one."""


@dataclass(frozen=True, slots=True)
class NearDuplicate:
    """Two persons that share nearly the same photo.

    Attributes:
        first: Index of the photo of one person, of the most similar pair.
        second: Index of the photo of the other person.
        hash_distance: Number of differing bits of the hashes.
        mirrored: Whether one photo is a mirror image of the other.
        similarity: Correlation of their edges, at most 1.
        num_pairs: Number of pairs of their photos with near hashes.
    """

    first: int
    second: int
    hash_distance: int
    mirrored: bool
    similarity: float
    num_pairs: int


@dataclass(frozen=True, slots=True)
class NearDuplicates:
    """All near-duplicates of a dataset.

    Attributes:
        found: Pairs of persons, the most similar first.
        num_candidates: Number of pairs of persons with near hashes.
        truncated: Whether not all candidates were compared.
    """

    found: tuple[NearDuplicate, ...]
    num_candidates: int
    truncated: bool


def find_identical(photos: PhotoDataset, stats: Sequence[ImageStats]) -> list[tuple[int, ...]]:
    """Finds photos whose files are identical, byte for byte.

    Args:
        photos: The dataset. Rows about faces of the same file are one photo.
        stats: Statistics of each photo.

    Returns:
        For each content that two or more files have, the indices of all rows of these files.
    """
    groups: dict[str, list[int]] = {}
    for index, item in enumerate(stats):
        if item.readable:
            groups.setdefault(item.info.content_hash, []).append(index)
    return [tuple(group) for group in groups.values() if len({photos[index].file_name for index in group}) > 1]


def find_near_duplicates(
    photos: PhotoDataset, stats: Sequence[ImageStats], progress: Progress | None = None
) -> NearDuplicates:
    """Finds persons who share a nearly identical photo; persons who share a file are left to `find_identical`.

    Args:
        photos: The dataset.
        stats: Statistics of each photo.
        progress: Called with (pairs of persons done, pairs of persons in total).

    Returns:
        The near-duplicates.
    """
    person_ids = {person: number for number, person in enumerate(photos.persons)}
    usable = np.array(
        [index for index, item in enumerate(stats) if item.readable and item.contrast >= MIN_CONTRAST], dtype=np.int64
    )
    hashes = np.array([stats[index].hash for index in usable], dtype=np.uint64)
    persons = np.array([person_ids[photos[index].person] for index in usable], dtype=np.int64)
    near = find_near(hashes, persons, MAX_HASH_DISTANCE)
    candidates = _group(photos, stats, near, usable)
    edges = lru_cache(maxsize=256)(lambda index: edge_features(photos[index]))
    found = []
    # The pairs are sorted by distance, so the keys of the mapping and the pairs under each key are too.
    for done, pairs in enumerate(list(candidates.values())[:MAX_CANDIDATES], start=1):
        best = max(
            (
                NearDuplicate(one, two, bits, mirrored, compare_edges(edges(one), edges(two), mirrored), len(pairs))
                for one, two, bits, mirrored in pairs[:PAIRS_PER_CANDIDATE]
            ),
            key=lambda item: item.similarity,
        )
        if best.similarity >= MIN_EDGE_SIMILARITY:
            found.append(best)
        if progress:
            progress(done, min(len(candidates), MAX_CANDIDATES))
    found.sort(key=lambda item: -item.similarity)
    return NearDuplicates(tuple(found), len(candidates), near.truncated or len(candidates) > MAX_CANDIDATES)


def _group(
    photos: PhotoDataset, stats: Sequence[ImageStats], near: NearPairs, usable: NDArray[np.int64]
) -> dict[tuple[str, str], list[_Pair]]:
    """The near pairs by their two persons, nearest first; persons who share a file are left out."""
    files: dict[str, set[str]] = {}
    for photo, item in zip(photos, stats, strict=True):
        if item.readable:
            files.setdefault(photo.person, set()).add(row_key(item.info.content_hash, photo))
    grouped: dict[tuple[str, str], list[_Pair]] = {}
    sharing: set[tuple[str, str]] = set()
    columns = (usable[near.first], usable[near.second], near.distance, near.mirrored)
    for one, two, bits, mirrored in zip(*(column.tolist() for column in columns), strict=True):
        pair = min(photos[one].person, photos[two].person), max(photos[one].person, photos[two].person)
        if pair not in grouped and pair not in sharing and not files[pair[0]].isdisjoint(files[pair[1]]):
            sharing.add(pair)
        if pair not in sharing:
            grouped.setdefault(pair, []).append((one, two, bits, mirrored))
    return grouped


def edge_features(photo: Photo | Image.Image) -> NDArray[np.float32]:
    """Computes the edges of a photo at three scales.

    Args:
        photo: A photo, or its decoded image.

    Returns:
        (scales, 2, 94, 70): signed square roots of the horizontal and vertical gradients of the gray values. The root
        keeps one strong outline from outweighing many fine edges.
    """
    image = photo if isinstance(photo, Image.Image) else open_picture_of(photo, _FRAME)[0]
    gray = image.convert("L")
    layers = []
    for scale in _SCALES:
        left, top = gray.width * (1 - 1 / scale) / 2, gray.height * (1 - 1 / scale) / 2
        box = (left, top, gray.width - left, gray.height - top)
        pixels = np.asarray(gray.resize(_FRAME, Image.Resampling.BILINEAR, box), dtype=np.float32)
        # Central differences, so that the mirror image has the same gradients.
        gradients = np.stack([pixels[1:-1, 2:] - pixels[1:-1, :-2], pixels[2:, 1:-1] - pixels[:-2, 1:-1]])
        layers.append(np.sign(gradients) * np.sqrt(np.abs(gradients)))
    return np.stack(layers)


def compare_edges(first: NDArray[np.float32], second: NDArray[np.float32], mirrored: bool) -> float:
    """Computes the largest correlation of the edges of two photos, over small shifts and with either one enlarged.

    Args:
        first: What `edge_features` returns.
        second: The same of another photo.
        mirrored: Whether the second photo is mirrored first.

    Returns:
        At most 1.
    """
    if mirrored:
        # Mirroring changes the sign of the horizontal gradient.
        second = second[..., ::-1] * np.array([-1, 1], dtype=np.float32)[:, None, None]
    one, two = np.fft.rfft2(first), np.fft.rfft2(second)
    norms = np.sqrt((first**2).sum(axis=(1, 2, 3))), np.sqrt((second**2).sum(axis=(1, 2, 3)))
    best = 0.0
    for left, right in ((0, 0), (1, 0), (2, 0), (0, 1), (0, 2)):
        correlation = np.fft.irfft2((one[left] * two[right].conj()).sum(axis=0), s=first.shape[-2:])
        # The transform is periodic: a shift of -1 stands at the end.
        window = np.roll(correlation, (_MAX_SHIFT, _MAX_SHIFT), axis=(0, 1))[: 2 * _MAX_SHIFT + 1, : 2 * _MAX_SHIFT + 1]
        best = max(best, float(window.max() / max(norms[0][left] * norms[1][right], 1e-6)))
    return min(best, 1.0)
