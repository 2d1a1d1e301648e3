"""What a detector finds, and what a detector is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from maskfit.data.boxes import Box
from maskfit.data.pretrained_weights import WeightsFile

Pixels = NDArray[np.uint8]
Point = tuple[float, float]


class Face(NamedTuple):
    """A face on a photo.

    Attributes:
        box: Forehead to chin, in pixels of the photo; it may reach beyond the photo.
        score: How sure the detector is, 0 to 1.
        landmarks: The eye on the left of the picture, the eye on its right, the tip of the nose, the corners of the
            mouth from left to right; None from a detector that knows none.
    """

    box: Box
    score: float
    landmarks: tuple[Point, ...] | None = None


class Detector(Protocol):
    """Finds faces.

    Attributes:
        published: The weights that it takes where nobody names others; None where it brings its own.
    """

    published: ClassVar[WeightsFile | None]

    def detect(self, photos: Sequence[Pixels]) -> list[list[Face]]:
        """The faces on each photo, the surest first; may be called from many threads at once.

        What is found on a photo does not hang on the photos beside it.

        Args:
            photos: Each uint8 (height, width, 3), upright RGB, of any size.
        """
        ...


def nms(boxes: NDArray[np.float64], scores: NDArray[np.float64], overlap: float) -> list[int]:
    """Which boxes stay when of any two that overlap the less sure one goes, the surest first.

    Args:
        boxes: (boxes, 4): left, upper, right, lower.
        scores: (boxes,)
        overlap: Share of their union that two boxes may have in common.
    """
    areas = np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0), axis=1)
    waiting = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    while len(waiting):
        best, waiting = int(waiting[0]), waiting[1:]
        kept.append(best)
        low = np.maximum(boxes[best, :2], boxes[waiting, :2])
        high = np.minimum(boxes[best, 2:], boxes[waiting, 2:])
        shared = np.prod(np.maximum(high - low, 0), axis=1)
        union = np.maximum(areas[best] + areas[waiting] - shared, 1e-9)
        waiting = waiting[shared <= overlap * union]
    return kept
