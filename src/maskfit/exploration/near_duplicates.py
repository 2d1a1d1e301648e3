"""Photos that are there more than once: byte for byte, or nearly the same under two persons, which is a leak.

The photos of one person are nearly the same by nature and no finding. Between persons the search has two steps. The
hash proposes: at most `NEAR` of its 64 bits differ. That is a wide net, since portraits before one wall, in one pose
and with one mask, have hashes almost as near as copies have. So each proposed pair of persons is looked at again,
larger: their edges, laid over each other at the best of a few shifts and sizes, must correlate by `ALIKE`. Edges of
hair, cloth and background fall on each other only where it is the same photo, also recompressed, lit anew, cropped a
little or with another mask put on; a wall and a silhouette alone do not get there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from maskfit.data.image_decoding import open_downscaled
from maskfit.data.photo_dataset import Photo, PhotoDataset
from maskfit.data.validation import Progress
from maskfit.exploration.image_stats import ImageStats
from maskfit.exploration.perceptual_hash import NearPairs, find_near

MAX_HASH_DISTANCE = 10
"""Bits of the hash that may differ. Photos of one person with other masks put on differ by about 12."""

MIN_EDGE_SIMILARITY = 0.68
"""From this correlation of edges on, two photos are taken for one. Among 600 real persons the hash proposed 404 pairs:
the one true one has 0.80, the most alike of the others 0.63. Of photos known to be one and the same, framed anew and
with other masks put on, the best of three pairs has more than this for 9 persons in 10."""

FLAT = 20.0
"""Below this contrast a photo's hash is made of noise, and it is not compared."""

MOST_PERSONS = 3000
"""The most pairs of persons that are looked at again, the nearest first."""

TRIES = 3
"""Pairs of photos that are compared for each pair of persons."""

_FRAME = (72, 96)
_SHIFT = 8
_ZOOMS = (1.0, 1.04, 1.087)


@dataclass(frozen=True, slots=True)
class NearDuplicate:
    """Two persons that share a photo, or nearly.

    Attributes:
        first: Number of the one's photo, of the two that are most alike.
        second: Number of the other's.
        bits: How many of the hash's 64 bits differ.
        mirrored: Whether one is the other's mirror image.
        likeness: Correlation of their edges, up to 1.
        pairs: How many pairs of their photos have near hashes.
    """

    first: int
    second: int
    bits: int
    mirrored: bool
    likeness: float
    pairs: int


@dataclass(frozen=True, slots=True)
class NearDuplicates:
    """All that were found, the most alike first.

    Attributes:
        found: The pairs of persons.
        proposed: How many pairs of persons have near hashes.
        cut: Whether not all of these were looked at again.
    """

    found: tuple[NearDuplicate, ...]
    proposed: int
    cut: bool


def find_identical(looks: Sequence[ImageStats]) -> list[tuple[int, ...]]:
    """Photos that are the same file, byte for byte: their numbers, for each file that is there twice or more."""
    groups: dict[str, list[int]] = {}
    for number, look in enumerate(looks):
        if look.readable:
            groups.setdefault(look.facts.key, []).append(number)
    return [tuple(group) for group in groups.values() if len(group) > 1]


def find_near_duplicates(
    photos: PhotoDataset, looks: Sequence[ImageStats], progress: Progress | None = None
) -> NearDuplicates:
    """Persons who share a photo that is nearly the same; those who share a file are left to `find_identical`.

    Args:
        photos: The set.
        looks: A look at each of its photos.
        progress: Called with (pairs of persons done, pairs in all).
    """
    numbers = {person: number for number, person in enumerate(photos.persons)}
    fit = np.array([n for n, look in enumerate(looks) if look.readable and look.contrast >= FLAT], dtype=np.int64)
    hashes = np.array([looks[number].hash for number in fit], dtype=np.uint64)
    near = find_near(
        hashes, np.array([numbers[photos[number].person] for number in fit], dtype=np.int64), MAX_HASH_DISTANCE
    )
    proposed = _group(photos, looks, near, fit)
    edges = lru_cache(maxsize=256)(lambda number: edge_features(photos[number]))
    found = []
    # The pairs come nearest first, and so do the keys of the mapping and what stands under each.
    for done, pairs in enumerate(list(proposed.values())[:MOST_PERSONS], start=1):
        best = max(
            (
                NearDuplicate(one, two, bits, turned, compare_edges(edges(one), edges(two), turned), len(pairs))
                for one, two, bits, turned in pairs[:TRIES]
            ),
            key=lambda twin: twin.likeness,
        )
        if best.likeness >= MIN_EDGE_SIMILARITY:
            found.append(best)
        if progress:
            progress(done, min(len(proposed), MOST_PERSONS))
    found.sort(key=lambda twin: -twin.likeness)
    return NearDuplicates(tuple(found), len(proposed), near.cut or len(proposed) > MOST_PERSONS)


def _group(
    photos: PhotoDataset, looks: Sequence[ImageStats], near: NearPairs, fit: NDArray[np.int64]
) -> dict[tuple[str, str], list[tuple[int, int, int, bool]]]:
    """The near pairs of each two persons, the nearest first; two that share a file are left out, as known already."""
    keys: dict[str, set[str]] = {}
    for photo, look in zip(photos, looks, strict=True):
        if look.readable:
            keys.setdefault(photo.person, set()).add(look.facts.key)
    grouped: dict[tuple[str, str], list[tuple[int, int, int, bool]]] = {}
    known: set[tuple[str, str]] = set()
    for one, two, bits, mirrored in zip(
        fit[near.first].tolist(), fit[near.second].tolist(), near.bits.tolist(), near.mirrored.tolist(), strict=True
    ):
        pair = min(photos[one].person, photos[two].person), max(photos[one].person, photos[two].person)
        if pair not in grouped and pair not in known and not keys[pair[0]].isdisjoint(keys[pair[1]]):
            known.add(pair)
        if pair not in known:
            grouped.setdefault(pair, []).append((one, two, bits, mirrored))
    return grouped


def edge_features(photo: Photo | Image.Image) -> NDArray[np.float32]:
    """The edges of a photo at three sizes, (sizes, 2, 94, 70): horizontal and vertical steps of grey, roots of them.

    The root keeps one strong outline from outweighing a hundred hairs.
    """
    image = photo if isinstance(photo, Image.Image) else open_downscaled(photo.path, _FRAME, name=photo.name)[0]
    grey = image.convert("L")
    layers = []
    for zoom in _ZOOMS:
        across, down = grey.width * (1 - 1 / zoom) / 2, grey.height * (1 - 1 / zoom) / 2
        box = (across, down, grey.width - across, grey.height - down)
        pixels = np.asarray(grey.resize(_FRAME, Image.Resampling.BILINEAR, box), dtype=np.float32)
        # Over two pixels, so that a step has a middle and the mirror image the same steps.
        steps = np.stack([pixels[1:-1, 2:] - pixels[1:-1, :-2], pixels[2:, 1:-1] - pixels[:-2, 1:-1]])
        layers.append(np.sign(steps) * np.sqrt(np.abs(steps)))
    return np.stack(layers)


def compare_edges(first: NDArray[np.float32], second: NDArray[np.float32], mirrored: bool) -> float:
    """The greatest correlation of the edges of two photos, over small shifts and with either a little enlarged."""
    if mirrored:
        # Seen in a mirror, a step from left to right is one from right to left.
        second = second[..., ::-1] * np.array([-1, 1], dtype=np.float32)[:, None, None]
    one, two = np.fft.rfft2(first), np.fft.rfft2(second)
    sizes = np.sqrt((first**2).sum(axis=(1, 2, 3))), np.sqrt((second**2).sum(axis=(1, 2, 3)))
    best = 0.0
    for left, right in ((0, 0), (1, 0), (2, 0), (0, 1), (0, 2)):
        over = np.fft.irfft2((one[left] * two[right].conj()).sum(axis=0), s=first.shape[-2:])
        # A shift of -1 stands at the end, as Fourier transforms have it.
        window = np.roll(over, (_SHIFT, _SHIFT), axis=(0, 1))[: 2 * _SHIFT + 1, : 2 * _SHIFT + 1]
        best = max(best, float(window.max() / max(sizes[0][left] * sizes[1][right], 1e-6)))
    return min(best, 1.0)
