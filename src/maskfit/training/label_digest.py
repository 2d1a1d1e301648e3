"""A digest of what a run learns: it must not change between the start of a run and its resume."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from maskfit.data.photo_dataset import Photo
from maskfit.file_io import iter_csv


def digest_labels(photos: Iterable[Photo], soft_labels: Path | None) -> str:
    """Digests the labels of photos, hard and soft.

    Args:
        photos: All photos of a training.
        soft_labels: The table of soft labels; None where there is none.

    Returns:
        Hexadecimal digits. Paths do not count: a run may continue on another machine.
    """
    digest = hashlib.blake2b(digest_size=16)
    for photo in photos:
        digest.update(f"{(photo.name, sorted(photo.labels.items()), photo.repeat, photo.box)!r}\n".encode())
    if soft_labels is not None:
        for row in iter_csv(soft_labels, []):
            digest.update(f"{row!r}\n".encode())
    return digest.hexdigest()
