"""Interface of face detectors, their result, and non-maximum suppression."""

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
    """A detected face.

    Attributes:
        box: Forehead to chin, in pixels of the photo; it may extend beyond the photo.
        score: Confidence of the detector, 0 to 1.
        landmarks: The eye on the image's left, the eye on its right, the tip of the nose, the corners of the mouth from
            left to right, as (x, y); None from a detector without landmarks.
    """

    box: Box
    score: float
    landmarks: tuple[Point, ...] | None = None


class Detector(Protocol):
    """Interface of face detectors.

    Attributes:
        published: The default weights; None for a detector whose package includes them.
    """

    published: ClassVar[WeightsFile | None]

    def detect(self, photos: Sequence[Pixels]) -> list[list[Face]]:
        """Detects the faces on each photo; thread-safe.

        The result of a photo does not depend on the other photos of the call.

        Args:
            photos: Upright RGB images, uint8 (height, width, 3), of any size.

        Returns:
            For each photo its faces by falling score.
        """
        ...


def nms(boxes: NDArray[np.float64], scores: NDArray[np.float64], iou_threshold: float) -> list[int]:
    """Selects boxes by greedy non-maximum suppression.

    Args:
        boxes: (boxes, 4): left, upper, right, lower.
        scores: (boxes,).
        iou_threshold: Maximum intersection over union of two selected boxes.

    Returns:
        Indices of the selected boxes by falling score.
    """
    areas = np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0), axis=1)
    remaining = np.argsort(-scores, kind="stable")
    selected: list[int] = []
    while len(remaining):
        best, remaining = int(remaining[0]), remaining[1:]
        selected.append(best)
        low = np.maximum(boxes[best, :2], boxes[remaining, :2])
        high = np.minimum(boxes[best, 2:], boxes[remaining, 2:])
        intersection = np.prod(np.maximum(high - low, 0), axis=1)
        union = np.maximum(areas[best] + areas[remaining] - intersection, 1e-9)
        remaining = remaining[intersection <= iou_threshold * union]
    return selected
