"""A photo's hash: 64 bits that hardly change when it is saved again, shrunk or lit anew, and a search for near ones.

The bits are signs of the 64 lowest frequencies of the cosine transform of the photo at 32 x 32 grey pixels, its mean
left out. Mirroring a picture turns the signs of the odd horizontal frequencies and of no other, so the mirrored photo's
hash costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SIDE = 32
"""Pixels of a side of what is hashed."""

MOST = 100_000
"""The most pairs that a search keeps, the nearest; a set that is all one photo would have millions."""

BLOCK = 256
"""Rows compared with all others at a time."""

Hashes = NDArray[np.uint64]


def _make_waves() -> NDArray[np.float32]:
    """The cosine transform as a matrix, (frequencies, pixels); frequencies above the tenth are never used."""
    places, frequencies = np.arange(SIDE), np.arange(11)
    return np.cos(np.pi * (2 * places[None] + 1) * frequencies[:, None] / (2 * SIDE)).astype(np.float32)


def _choose_frequencies() -> NDArray[np.int64]:
    """(64, 2): vertical and horizontal frequency of each bit, the lowest sums first; never 0 and 0, the mean."""
    pairs = [(high, wide) for high in range(11) for wide in range(11) if high + wide]
    return np.array(sorted(pairs, key=lambda pair: (sum(pair), pair))[:64])


_WAVES = _make_waves()
_HIGH, _WIDE = _choose_frequencies().T
_WEIGHTS = np.uint64(1) << np.arange(64, dtype=np.uint64)
_TURNED = np.bitwise_or.reduce(_WEIGHTS[_WIDE % 2 == 1])
"""The bits that mirroring turns."""


def hash_grey(grey: NDArray[np.generic]) -> int:
    """The hash of a photo.

    Args:
        grey: (32, 32) of any range.
    """
    waves = _WAVES @ grey.astype(np.float32) @ _WAVES.T
    return int(np.bitwise_or.reduce(np.where(waves[_HIGH, _WIDE] > 0, _WEIGHTS, np.uint64(0))))


def mirror(hashes: Hashes) -> Hashes:
    """The hashes of the same photos seen in a mirror."""
    return np.bitwise_xor(hashes, _TURNED)


def distance(first: int, second: int) -> int:
    """How many of the 64 bits differ; about 32 for two pictures that have nothing in common."""
    return (first ^ second).bit_count()


@dataclass(frozen=True)
class NearPairs:
    """Pairs of photos with near hashes, the nearest first; arrays of one length.

    Attributes:
        first: Number of a photo.
        second: Number of another one, always greater.
        bits: How many bits differ.
        mirrored: Whether it is the second photo's mirrored hash that is near.
        cut: Whether more pairs were found than are kept.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    bits: NDArray[np.int64]
    mirrored: NDArray[np.bool_]
    cut: bool


def find_near(hashes: Hashes, persons: NDArray[np.int64], most_bits: int, *, most: int = MOST) -> NearPairs:
    """All pairs of two persons' photos whose hashes differ in at most `most_bits`, plain or mirrored.

    Every pair is compared, so none is missed; in blocks, which takes numpy some two seconds for 20,000 photos.

    Args:
        hashes: (photos,).
        persons: (photos,) a number for each person.
        most_bits: 0 to 64.
        most: How many pairs are kept.
    """
    empty = np.zeros((0, 4), dtype=np.int64)
    found, cut = empty, False
    for start in range(0, len(hashes), BLOCK):
        block = slice(start, start + BLOCK)
        plain = np.bitwise_count(hashes[block, None] ^ hashes[None, start:])
        turned = np.bitwise_count(hashes[block, None] ^ mirror(hashes)[None, start:])
        bits = np.minimum(plain, turned)
        bits[persons[block, None] == persons[None, start:]] = 255
        rows, columns = np.nonzero(np.triu(bits <= most_bits, 1))
        if len(rows):
            near = bits[rows, columns]
            seen = np.stack([rows + start, columns + start, near, plain[rows, columns] > near], axis=1).astype(np.int64)
            found = np.concatenate([found, seen])
            found = found[np.argsort(found[:, 2], kind="stable")]
            cut, found = cut or len(found) > most, found[:most]
    return NearPairs(found[:, 0], found[:, 1], found[:, 2], found[:, 3].astype(bool), cut)
