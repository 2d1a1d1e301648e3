"""MTCNN of facenet-pytorch (project level1-06): a cascade of three networks whose weights come with the package."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from PIL import Image

from maskfit.data.detectors.interface import Face, Pixels, validate_options
from maskfit.errors import DataError, MissingExtraError
from maskfit.pretrained_weights import WeightsFile

MAX_ENLARGEMENT = 4
"""Maximum longer side, in multiples of `side`, of a photo whose shorter side must be enlarged."""


class Mtcnn:
    """Detects faces of at least `min_face_size` pixels.

    Args:
        side: Maximum longer side in pixels, in 32 to 4096; larger photos are downscaled first.
        min_face_size: Smallest face in pixels, in 32 to 4096; half of it takes about three times as long.
        score: Minimum detection score, in (0, 1).

    Raises:
        ValueError: An option is out of range.
        MissingExtraError: facenet-pytorch is not installed.
        DataError: The weights of facenet-pytorch cannot be read.
    """

    published: ClassVar[WeightsFile | None] = None
    package: ClassVar[str] = "facenet_pytorch"

    def __init__(self, side: int = 1024, min_face_size: int = 40, score: float = 0.7) -> None:
        validate_options(score, side=side, min_face_size=min_face_size)
        try:
            from facenet_pytorch import MTCNN
        except ImportError:
            raise MissingExtraError("the detector 'mtcnn'", "faces") from None
        self.side = side
        self.min_face_size = min_face_size
        self.score = score
        try:
            self._network = MTCNN(keep_all=True, min_face_size=min_face_size, device="cpu")
        except Exception as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise DataError(
                f"the weights of facenet-pytorch cannot be read: {reason:.300}",
                hint="pip install --force-reinstall --no-deps facenet-pytorch==2.5.3",
            ) from None
        self._lock = threading.Lock()

    def detect(self, photos: Sequence[Pixels]) -> list[list[Face]]:
        """Detects the faces on each photo; see `Detector.detect`.

        Args:
            photos: Upright RGB images, uint8 (height, width, 3).

        Returns:
            For each photo its faces by falling score.
        """
        return [self._detect_one(photo) for photo in photos]

    def _detect_one(self, photo: Pixels) -> list[Face]:
        height, width = photo.shape[:2]
        # facenet-pytorch raises an error for a photo smaller than the smallest face.
        scale = max(min(self.side / max(height, width), 1.0), 2 * self.min_face_size / min(height, width))
        if max(height, width) * scale > MAX_ENLARGEMENT * self.side:
            return []
        size = round(width * scale), round(height * scale)
        image = Image.fromarray(photo).resize(size, Image.Resampling.BILINEAR)
        with self._lock:
            boxes, scores, points = self._network.detect(image, landmarks=True)
        if boxes is None:
            return []
        # The package returns arrays of dtype object, whose length is the number of faces.
        unit = np.array([width / size[0], height / size[1]])
        corners = np.asarray(boxes, np.float64).reshape(-1, 2, 2) * unit
        landmarks = np.asarray(points, np.float64).reshape(-1, 5, 2) * unit
        faces = [
            Face((left, upper, right, lower), float(score), tuple((x, y) for x, y in five))
            for ((left, upper), (right, lower)), score, five in zip(
                corners.tolist(), scores, landmarks.tolist(), strict=True
            )
            if score >= self.score
        ]
        return sorted(faces, key=lambda face: -face.score)
