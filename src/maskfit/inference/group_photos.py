"""Notices photos of several people where each photo is predicted as the portrait of one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import NamedTuple

from maskfit.data.crops.face import default_detector
from maskfit.data.detectors import Face
from maskfit.data.image_decoding import decode
from maskfit.data.photo_dataset import Photo
from maskfit.errors import MaskfitError

SAMPLE = 12
"""Photos that are looked at: enough to notice a folder of group photos, in less than a second."""

RELATIVE_SIZE = 0.4
"""Smallest height of another face, as a fraction of the largest one's: smaller ones are mostly in the background, or
patterns taken for a face."""


class GroupPhotos(NamedTuple):
    """Photos of a sample on which several people stand in front.

    Attributes:
        looked_at: Number of photos that were looked at.
        several: Number of those with several faces.
        example: Name of the first of them; empty without.
    """

    looked_at: int
    several: int
    example: str


def find_group_photos(photos: Iterable[Photo]) -> GroupPhotos:
    """Looks for several faces on a few photos: evenly spaced ones of a sequence, the first of anything else.

    Photos that cannot be read are passed over: whoever predicts them reports them.

    Args:
        photos: The photos.

    Returns:
        What was found; nothing was looked at where no detector is on this machine, or the photos' faces are named.
    """
    if isinstance(photos, Sequence):
        photos = [photos[index] for index in range(0, len(photos), max(len(photos) // SAMPLE, 1))]
    sample = list(islice(photos, SAMPLE))
    try:
        detector = default_detector()
    except MaskfitError:
        detector = None  # Nothing is detected here, so a file that is no detector is no matter.
    if detector is None or any(photo.box is not None for photo in sample):
        return GroupPhotos(0, 0, "")
    looked_at, found = 0, []
    for photo in sample:
        try:
            faces = detector.detect_faces(decode(photo.path), keep=False)
        except MaskfitError:
            continue
        looked_at += 1
        if _count_large(faces) > 1:
            found.append(photo.name)
    return GroupPhotos(looked_at, len(found), found[0] if found else "")


def _count_large(faces: Sequence[Face]) -> int:
    heights = [face.box[3] - face.box[1] for face in faces]
    return sum(height >= RELATIVE_SIZE * max(heights) for height in heights)
