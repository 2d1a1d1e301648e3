"""CenterFace: a face detector of 7 MB with five landmarks, in ONNX Runtime.

Xu, Yan, Yang: CenterFace: Joint Face Detection and Alignment Using Face as Point (2019).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from maskfit.data.detectors.interface import Face, Pixels, letterbox, nms, open_network, run_network, validate_options
from maskfit.data.detectors.open_shapes import free_shapes
from maskfit.pretrained_weights import WeightsFile

STRIDE = 4
"""Input pixels per cell of the output maps."""
MULTIPLE = 32
"""The input's height and width are multiples of this."""
INPUT = "input.1"
OUTPUTS = ("537", "538", "539", "540")
"""Score, size, offset and landmarks, as the published file names them."""
IOU_THRESHOLD = 0.3


class CenterFace:
    """Detects faces on the downscaled photo.

    Args:
        weights: The ONNX file as published (its declared input shape is ignored).
        side: Longer side in pixels to which photos are downscaled, in 32 to 4096.
        score: Minimum detection score, in (0, 1).

    Raises:
        ValueError: An option is out of range.
        DataError: The file is not such a network.
    """

    # Without an address: the file comes inside of another package.
    published: ClassVar[WeightsFile | None] = WeightsFile(
        "centerface.onnx", "09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc"
    )

    def __init__(self, weights: Path, side: int = 640, score: float = 0.5) -> None:
        validate_options(score, side=side)
        self.side = side
        self.score = score
        self._path = weights
        self._network = open_network(weights, (INPUT,), OUTPUTS, _with_free_shapes(weights))

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
        size = max(round(height * scale), 1), max(round(width * scale), 1)
        canvas = (-(-size[0] // MULTIPLE) * MULTIPLE, -(-size[1] // MULTIPLE) * MULTIPLE)
        image = letterbox(photo, size, canvas, planes=(0, 1, 2))
        outputs = run_network(self._network, image.canvas[None], self._path)
        score, sizes, offsets, points = (outputs[name][0].astype(np.float64) for name in OUTPUTS)
        rows, columns = np.nonzero(score[0] >= self.score)
        # Every map but the score's has its vertical component first.
        half = np.exp(sizes[::-1, rows, columns].T) * STRIDE / 2
        center = (np.stack([columns, rows], axis=1) + offsets[::-1, rows, columns].T + 0.5) * STRIDE
        corners = np.stack([center - half, center + half], axis=1)
        landmarks = points[:, rows, columns].T.reshape(-1, 5, 2)[..., ::-1] * (2 * half)[:, None] + corners[:, :1]
        corners, landmarks = image.to_original(corners), image.to_original(landmarks)
        scores = score[0, rows, columns]
        return [
            Face(
                tuple(corners[index].ravel().tolist()),
                float(scores[index]),
                tuple((x, y) for x, y in landmarks[index].tolist()),
            )
            for index in nms(corners.reshape(-1, 4), scores, IOU_THRESHOLD)
        ]


def _with_free_shapes(path: Path) -> bytes | None:
    """The file's network for inputs of any shape; None where the file has to be refused by ONNX Runtime."""
    try:
        return free_shapes(path.read_bytes(), (INPUT,))
    except (OSError, ValueError, IndexError, KeyError):
        return None
