"""Ultra-Light face detector trained with masked faces: a small SSD in ONNX Runtime.

Linzaer's Ultra-Light-Fast-Generic-Face-Detector-1MB, extended by Haojin Yang with MAFA's masked faces; its classes are
background, face and masked face.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from maskfit.data.detectors.interface import Face, Pixels, letterbox, nms, open_network, run_network, validate_options
from maskfit.pretrained_weights import WeightsFile

HEIGHT, WIDTH = 480, 640
"""The only input size of the network."""

INPUT = "input"
OUTPUTS = ("scores", "boxes")
IOU_THRESHOLD = 0.3


class UltraLight:
    """Detects faces on the photo letterboxed to 640 x 480; without landmarks, so it cannot align.

    Args:
        weights: The ONNX file for 640 x 480.
        score: Minimum detection score, in (0, 1).

    Raises:
        ValueError: The score is out of range.
        DataError: The file is not such a network.
    """

    published: ClassVar[WeightsFile | None] = WeightsFile(
        "RFB-640-masked_face-v2.onnx",
        "27ca3e5985f722e91efea7993f625716de627303c4bafb40bb26f456286beca8",
        "https://raw.githubusercontent.com/Linzaer/Ultra-Light-Fast-Generic-Face-Detector-1MB/"
        "dffdddda9794a50607cba8f318507a28c1c27cab/masked_face/pretrained/RFB-640-masked_face-v2.onnx",
    )

    def __init__(self, weights: Path, score: float = 0.5) -> None:
        validate_options(score)
        self.score = score
        self._path = weights
        self._network = open_network(weights, (INPUT,), OUTPUTS)

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
        scale = min(HEIGHT / height, WIDTH / width)
        size = max(round(height * scale), 1), max(round(width * scale), 1)
        image = letterbox(photo, size, (HEIGHT, WIDTH))
        blob = np.ascontiguousarray(((image.canvas - np.float32(127)) / np.float32(128)).transpose(2, 0, 1)[None])
        outputs = run_network(self._network, blob, self._path)
        # Classes: background, face, masked face.
        scores = outputs["scores"][0, :, 1:].max(axis=1).astype(np.float64)
        candidates = np.flatnonzero(scores >= self.score)
        corners = outputs["boxes"][0, candidates].astype(np.float64).reshape(-1, 2, 2) * (WIDTH, HEIGHT)
        boxes, scores = image.to_original(corners).reshape(-1, 4), scores[candidates]
        return [Face(tuple(boxes[index].tolist()), float(scores[index])) for index in nms(boxes, scores, IOU_THRESHOLD)]
