"""Ultra-Light, trained with masked faces: a small SSD that also says whether a face is masked, in ONNX Runtime.

Linzaer's Ultra-Light-Fast-Generic-Face-Detector-1MB, extended by Haojin Yang with MAFA's masked faces.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from maskfit.data.detectors.interface import Face, Pixels, nms
from maskfit.data.detectors.letterbox import validate_options, letterbox, open_network, run_network
from maskfit.data.pretrained_weights import WeightsFile

HEIGHT, WIDTH = 480, 640
"""What the network looks at, and nothing else."""

IOU_THRESHOLD = 0.3


class UltraLight:
    """Looks at the photo laid on 640 x 480; it knows no landmarks, so it cannot align.

    Args:
        weights: The network for 640 x 480.
        score: How sure a face must be, between 0 and 1.
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
        self._network = open_network(weights, ("input",), ("scores", "boxes"))

    def detect(self, photos: Sequence[Pixels]) -> list[list[Face]]:
        return [self._look(photo) for photo in photos]

    def _look(self, photo: Pixels) -> list[Face]:
        height, width = photo.shape[:2]
        scale = min(HEIGHT / height, WIDTH / width)
        size = max(round(height * scale), 1), max(round(width * scale), 1)
        laid = letterbox(photo, size, (HEIGHT, WIDTH))
        blob = np.ascontiguousarray(((laid.canvas - np.float32(127)) / np.float32(128)).transpose(2, 0, 1)[None])
        answers = run_network(self._network, blob, self._path)
        # Nothing, a bare face, a masked one.
        score = answers["scores"][0, :, 1:].max(axis=1).astype(np.float64)
        sure = np.flatnonzero(score >= self.score)
        corners = answers["boxes"][0, sure].astype(np.float64).reshape(-1, 2, 2) * (WIDTH, HEIGHT)
        boxes, score = laid.to_original(corners).reshape(-1, 4), score[sure]
        return [Face(tuple(boxes[place].tolist()), float(score[place])) for place in nms(boxes, score, IOU_THRESHOLD)]
