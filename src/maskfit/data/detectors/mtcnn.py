"""MTCNN of facenet-pytorch (seed s3): three networks, one behind the other, whose weights come with the package."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from PIL import Image

from maskfit.data.detectors.interface import Face, Pixels
from maskfit.data.detectors.letterbox import validate_options
from maskfit.data.pretrained_weights import WeightsFile
from maskfit.errors import DataError, MissingExtraError

MAX_ENLARGEMENT = 4
"""How many times longer than `side` a photo may become where its shorter side must be enlarged."""


class Mtcnn:
    """Looks for faces of every size from `least` pixels on.

    Args:
        side: The longer side in pixels to which larger photos are shrunk before they are looked at.
        least: The smallest face in pixels; half of it takes about three times as long.
        score: How sure a face must be, between 0 and 1.
    """

    published: ClassVar[WeightsFile | None] = None
    brought_by: ClassVar[str] = "facenet_pytorch"

    def __init__(self, side: int = 1024, least: int = 40, score: float = 0.7) -> None:
        validate_options(score, side=side, least=least)
        try:
            from facenet_pytorch import MTCNN
        except ImportError:
            raise MissingExtraError("the detector 'mtcnn'", "faces") from None
        self.side = side
        self.least = least
        self.score = score
        try:
            self._network = MTCNN(keep_all=True, min_face_size=least, device="cpu")
        except Exception as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise DataError(
                f"the weights of facenet-pytorch cannot be read: {reason:.300}",
                hint="pip install --force-reinstall --no-deps facenet-pytorch==2.5.3",
            ) from None
        self._lock = threading.Lock()

    def detect(self, photos: Sequence[Pixels]) -> list[list[Face]]:
        return [self._look(photo) for photo in photos]

    def _look(self, photo: Pixels) -> list[Face]:
        height, width = photo.shape[:2]
        # A photo smaller than the smallest face is an error to the package, not a photo without a face.
        scale = max(min(self.side / max(height, width), 1.0), 2 * self.least / min(height, width))
        if max(height, width) * scale > MAX_ENLARGEMENT * self.side:
            return []
        size = round(width * scale), round(height * scale)
        image = Image.fromarray(photo).resize(size, Image.Resampling.BILINEAR)
        with self._lock:
            boxes, scores, points = self._network.detect(image, landmarks=True)
        if boxes is None:
            return []
        # Arrays of objects: each is as long as there are faces.
        unit = np.array([width / size[0], height / size[1]])
        corners = np.asarray(boxes, np.float64).reshape(-1, 2, 2) * unit
        marks = np.asarray(points, np.float64).reshape(-1, 5, 2) * unit
        faces = [
            Face((left, upper, right, lower), float(score), tuple((x, y) for x, y in five))
            for ((left, upper), (right, lower)), score, five in zip(
                corners.tolist(), scores, marks.tolist(), strict=True
            )
            if score >= self.score
        ]
        return sorted(faces, key=lambda face: -face.score)
