"""Faces of annotated street photos as training photos of `train_bundled_model.py`, without copies of held-out ones.

Part of the photos of real masks are crops of the street photos. So a street face that is a copy of a held-out photo of
a real mask is not trained on, and a photo of a real mask that is a copy of a held-out street face neither.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent / "bundled_detector"))

from labels import held_out

MIN_SIDE = 16
"""Shorter side in pixels of a face that shows enough of a mask to be trained on."""

REPETITIONS = {"wear": 2, "incorrect": 8, "not_wear": 3}
"""How often a street face is in an epoch: those of incorrectly worn masks are the fewest."""

COPY_CORRELATION = 0.9
"""Two thumbnails that correlate at least so are one photo, cropped twice."""

MARGINS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
"""Margins around a face, as fractions of its size, with which it is compared with the photos of real masks."""

THUMBNAIL_SIDE = 24


class StreetFace(NamedTuple):
    """An annotated face: its photo, box (left, upper, right, lower), mask and whether it is held out."""

    path: Path
    box: tuple[float, float, float, float]
    mask: str
    held_out: bool

    @property
    def side(self) -> float:
        """Its shorter side in pixels."""
        left, upper, right, lower = self.box
        return min(right - left, lower - upper)


def read_faces(scenes: Path) -> list[StreetFace]:
    """Returns the faces; held out are those of the photos on which the bundled detector is judged or was chosen."""
    with scenes.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    split = held_out(dict.fromkeys(scenes.parent / row["path"] for row in rows))
    faces = []
    for row in rows:
        path = scenes.parent / row["path"]
        left, upper, right, lower = (float(row[name]) for name in ("xmin", "ymin", "xmax", "ymax"))
        faces.append(StreetFace(path, (left, upper, right, lower), row["mask"], split[path] != "train"))
    return faces


def find_copies(faces: Sequence[StreetFace], photos: Sequence[Path]) -> NDArray[np.bool_]:
    """Returns which face is a copy of which photo, (faces, photos)."""
    references = np.stack([_thumbnail(Image.open(path)) for path in photos])
    best = np.full((len(faces), len(photos)), -1.0, np.float32)
    for row, views in zip(best, _face_thumbnails(faces), strict=True):
        row[:] = (views @ references.T).max(axis=0)
    return best >= COPY_CORRELATION


def choose_faces(
    faces: Sequence[StreetFace], photos: Sequence[Path], held_out_photos: Iterable[bool]
) -> tuple[list[StreetFace], list[bool]]:
    """Chooses the faces to train on, and the photos of real masks that may still be trained on.

    Args:
        faces: All street faces.
        photos: The photos of real masks.
        held_out_photos: Whether each of them is held out.

    Returns:
        Faces to train on; for each photo whether it is no copy of a held-out face.
    """
    copies = find_copies(faces, photos)
    kept_photos = np.fromiter(held_out_photos, bool)
    of_held_out = np.any(copies[:, kept_photos], axis=1, keepdims=True)[:, 0]
    chosen = [
        face
        for face, copied in zip(faces, of_held_out.tolist(), strict=True)
        if not face.held_out and not copied and face.side >= MIN_SIDE
    ]
    held_out_faces = np.array([face.held_out for face in faces])
    return chosen, (~copies[held_out_faces].any(axis=0)).tolist()


def _face_thumbnails(faces: Sequence[StreetFace]) -> Iterator[NDArray[np.float32]]:
    """Yields the thumbnails of each face with every margin, (views, values)."""
    opened: tuple[Path, Image.Image] | None = None
    for face in faces:
        if opened is None or opened[0] != face.path:
            opened = face.path, Image.open(face.path).convert("L")
        photo = opened[1]
        left, upper, right, lower = face.box
        width, height = right - left, lower - upper
        views = []
        for margin in MARGINS:
            side = max(width, height) * (1 + 2 * margin)
            for wide, high in ((width * (1 + 2 * margin), height * (1 + 2 * margin)), (side, side)):
                x, y = (left + right - wide) / 2, (upper + lower - high) / 2
                box = max(x, 0), max(y, 0), min(x + wide, photo.width), min(y + high, photo.height)
                views.append(_thumbnail(photo.crop((int(box[0]), int(box[1]), int(box[2]), int(box[3])))))
        yield np.stack(views)


def _thumbnail(image: Image.Image) -> NDArray[np.float32]:
    """Returns a thumbnail of mean 0 and length 1, so that a product of two is their correlation."""
    small = image.convert("L").resize((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.BOX)
    values = np.asarray(small, np.float32).ravel()
    values -= values.mean()
    return values / (np.linalg.norm(values) + 1e-6)
