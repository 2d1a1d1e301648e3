"""The detector that comes with maskfit: a small network with five landmarks, trained by `scripts/bundled_detector`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from maskfit.data.detectors.interface import (
    Face,
    LetterboxedImage,
    Pixels,
    letterbox,
    nms,
    open_network,
    run_network,
    validate_options,
)
from maskfit.pretrained_weights import WeightsFile

STRIDES = (8, 16, 32)
"""Strides in pixels of the network's three feature maps."""

INPUT = "image"
OUTPUTS = tuple(f"cells_{stride}" for stride in STRIDES)
IOU_THRESHOLD = 0.4

LOG_SIZE_RANGE = (-4.0, 5.0)
"""Range of the logarithm of a box's width and height in strides, as in training."""


class Bundled:
    """Detects faces on the downscaled photo and, where it finds none, once more on a smaller one.

    The smaller photo shows faces that fill it at the sizes that the network knows best.

    Args:
        weights: The ONNX file.
        side: Longer side in pixels to which photos are downscaled, in 32 to 4096. A larger value finds smaller faces
            and takes longer.
        score: Minimum detection score, in (0, 1).

    Raises:
        ValueError: An option is out of range.
        DataError: The file is not such a network.
    """

    # A later version gets another name beside this one: model files that name these weights must find them.
    published: ClassVar[WeightsFile | None] = WeightsFile(
        "face_detector_3.onnx", "d3916a15fd117f43dd7e15fc039e1290e814740c0c2bfd94a014e552395bea78"
    )

    def __init__(self, weights: Path, side: int = 512, score: float = 0.5) -> None:
        validate_options(score, side=side)
        self.side = side
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
        return [self._detect_one(photo, self.side) or self._detect_one(photo, self.side // 2) for photo in photos]

    def _detect_one(self, photo: Pixels, side: int) -> list[Face]:
        height, width = photo.shape[:2]
        scale = min(side / max(height, width), 1.0)
        size = max(round(height * scale), 1), max(round(width * scale), 1)
        canvas = [-(-length // STRIDES[-1]) * STRIDES[-1] for length in size]
        image = letterbox(photo, size, (canvas[0], canvas[1]), dtype=np.uint8)
        return self._decode(run_network(self._network, image.canvas[None], self._path), image)

    def _decode(self, outputs: dict[str, NDArray[np.float32]], image: LetterboxedImage) -> list[Face]:
        found, scores = [], []
        # Compared before the sigmoid, which is then computed for the few cells that see a face.
        least = 2 * np.log(self.score / (1 - self.score))
        for stride, name in zip(STRIDES, OUTPUTS, strict=True):
            values = outputs[name][0]
            # The mean of two logits is the score's.
            logits = values[0] + values[1]
            rows, columns = np.nonzero(logits >= least)
            chosen = values[2:, rows, columns].T.astype(np.float64)
            corners = np.stack([columns, rows], axis=1)[:, None]
            centers = corners[:, 0] + chosen[:, :2]
            half = np.exp(np.clip(chosen[:, 2:4], *LOG_SIZE_RANGE)) / 2
            points = corners + chosen[:, 4:].reshape(-1, 5, 2)
            found.append(
                np.concatenate([(centers - half)[:, None], (centers + half)[:, None], points], axis=1) * stride
            )
            scores.append(1 / (1 + np.exp(-logits[rows, columns].astype(np.float64) / 2)))
        points, score = image.to_original(np.concatenate(found)), np.hstack(scores)
        boxes = points[:, :2].reshape(-1, 4)
        return [
            Face(
                (left, upper, right, lower),
                float(score[index]),
                tuple((x, y) for x, y in points[index, 2:].tolist()),
            )
            for index in nms(boxes, score, IOU_THRESHOLD)
            for left, upper, right, lower in [boxes[index].tolist()]
        ]
