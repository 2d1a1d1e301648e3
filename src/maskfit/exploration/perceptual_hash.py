"""Perceptual hash: 64 bits that hardly change with recompression, scaling or brightness, and a search for near ones.

The bits are the signs of the 64 lowest frequencies, without the mean, of the cosine transform (DCT) of the photo at
32 x 32 gray pixels. Mirroring a photo flips the signs of the odd horizontal frequencies only, so the hash of the mirror
image needs no second transform.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SIDE = 32
"""Side of the square image that is hashed, in pixels."""

MAX_PAIRS = 100_000
"""Maximum number of pairs that a search keeps, the nearest; a dataset of one repeated photo would have millions."""

BLOCK = 256
"""Rows that are compared with all others at a time."""

NUM_FREQUENCIES = 11
"""Frequencies per axis that are computed: the 64 lowest sums of two frequencies use none above 10."""

Hashes = NDArray[np.uint64]


def _dct_matrix() -> NDArray[np.float32]:
    """The cosine transform as a matrix, (frequencies, pixels)."""
    pixels, frequencies = np.arange(SIDE), np.arange(NUM_FREQUENCIES)
    return np.cos(np.pi * (2 * pixels[None] + 1) * frequencies[:, None] / (2 * SIDE)).astype(np.float32)


def _choose_frequencies() -> NDArray[np.int64]:
    """(64, 2): vertical and horizontal frequency of each bit, lowest sum first, without (0, 0), the mean."""
    pairs = [(row, column) for row in range(NUM_FREQUENCIES) for column in range(NUM_FREQUENCIES) if row + column]
    return np.array(sorted(pairs, key=lambda pair: (sum(pair), pair))[:64])


_DCT = _dct_matrix()
_ROWS, _COLUMNS = _choose_frequencies().T
_BIT_VALUES = np.uint64(1) << np.arange(64, dtype=np.uint64)
_MIRROR_MASK = np.bitwise_or.reduce(_BIT_VALUES[_COLUMNS % 2 == 1])
"""The bits that mirroring flips."""


def hash_gray(gray: NDArray[np.generic]) -> int:
    """Computes the hash of a photo.

    Args:
        gray: (32, 32) gray values of any range.

    Returns:
        64 bits.
    """
    coefficients = _DCT @ gray.astype(np.float32) @ _DCT.T
    return int(np.bitwise_or.reduce(np.where(coefficients[_ROWS, _COLUMNS] > 0, _BIT_VALUES, np.uint64(0))))


def mirror(hashes: Hashes) -> Hashes:
    """Computes the hashes of the mirror images.

    Args:
        hashes: Hashes of photos.

    Returns:
        Hashes of the photos mirrored left to right.
    """
    return np.bitwise_xor(hashes, _MIRROR_MASK)


def distance(first: int, second: int) -> int:
    """Computes the Hamming distance of two hashes; about 32 for unrelated photos.

    Args:
        first: A hash.
        second: Another hash.

    Returns:
        Number of differing bits, 0 to 64.
    """
    return (first ^ second).bit_count()


@dataclass(frozen=True)
class NearPairs:
    """Pairs of photos with near hashes, the nearest first; arrays of one length.

    Attributes:
        first: Index of a photo.
        second: Index of the other photo, always larger.
        distance: Hamming distance of the hashes.
        mirrored: Whether the mirrored hash of the second photo is the near one.
        truncated: Whether more pairs were found than are kept.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    distance: NDArray[np.int64]
    mirrored: NDArray[np.bool_]
    truncated: bool


def find_near(
    hashes: Hashes, persons: NDArray[np.int64], max_distance: int, *, max_pairs: int = MAX_PAIRS
) -> NearPairs:
    """Finds all pairs of photos of different persons whose hashes are near, plain or mirrored.

    All pairs are compared, in blocks; 20,000 photos take about two seconds.

    Args:
        hashes: (photos,) hashes.
        persons: (photos,) a number for each person.
        max_distance: Maximum Hamming distance, 0 to 64.
        max_pairs: Maximum number of pairs that are kept.

    Returns:
        The pairs.
    """
    found, truncated = np.zeros((0, 4), dtype=np.int64), False
    for start in range(0, len(hashes), BLOCK):
        block = slice(start, start + BLOCK)
        plain = np.bitwise_count(hashes[block, None] ^ hashes[None, start:])
        mirrored = np.bitwise_count(hashes[block, None] ^ mirror(hashes)[None, start:])
        bits = np.minimum(plain, mirrored)
        bits[persons[block, None] == persons[None, start:]] = 255
        rows, columns = np.nonzero(np.triu(bits <= max_distance, 1))
        if len(rows):
            near = bits[rows, columns]
            pairs = np.stack([rows + start, columns + start, near, plain[rows, columns] > near], axis=1)
            found = np.concatenate([found, pairs.astype(np.int64)])
            found = found[np.argsort(found[:, 2], kind="stable")]
            truncated, found = truncated or len(found) > max_pairs, found[:max_pairs]
    return NearPairs(found[:, 0], found[:, 1], found[:, 2], found[:, 3].astype(bool), truncated)
