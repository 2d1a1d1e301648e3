"""YuNet: a face detector of 75,000 weights with five landmarks, in ONNX Runtime instead of OpenCV.

Wu, Peng, Yu: YuNet: A Tiny Millisecond-level Face Detector (Machine Intelligence Research, 2023). The outputs are
decoded as by OpenCV's `FaceDetectorYN`.
"""

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

INPUT = "input"
OUTPUT_KINDS = ("cls", "obj", "bbox", "kps")
OUTPUTS = tuple(f"{kind}_{stride}" for kind in OUTPUT_KINDS for stride in STRIDES)
IOU_THRESHOLD = 0.3
RETRY_BORDER = 0.25
"""Black border of the second pass, as a fraction of the photo's longer side."""


class YuNet:
    """Detects faces on the downscaled photo and, where it finds none, once more with a black border.

    The network has seen few faces that fill the photo, so the first pass misses them; the border makes them smaller.

    Args:
        weights: The ONNX file with dynamic input size, as published or fine-tuned.
        side: Longer side in pixels to which photos are downscaled, in 32 to 4096. A larger value finds smaller faces in
            groups, takes longer, and misses large faces.
        score: Minimum detection score, in (0, 1).

    Raises:
        ValueError: An option is out of range.
        DataError: The file is not such a network.
    """

    published: ClassVar[WeightsFile | None] = WeightsFile(
        "yunet_n_dynamic.onnx",
        "104ee26c71d5c270ce79a6b3dced91c91013260d29a6bf18f9296c5b8c4c2b12",
        "https://raw.githubusercontent.com/ShiqiYu/libfacedetection.train/dca340aa082c71081a68d17db8e58b33a58a914b/"
        "onnx/yunet_n_dynamic.onnx",
    )

    def __init__(self, weights: Path, side: int = 320, score: float = 0.5) -> None:
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
        # One by one: in a batch the last bits of a box would depend on the other photos, and a CPU gains nothing.
        return [self._detect_one(photo, 0.0) or self._detect_one(photo, RETRY_BORDER) for photo in photos]

    def _detect_one(self, photo: Pixels, border: float) -> list[Face]:
        height, width = photo.shape[:2]
        longer_side = max(height, width)
        scale = self.side / (longer_side * (1 + 2 * border))
        if not border:
            # Enlarging adds no detail to the first pass. In the second it helps: medium-sized faces are found best.
            scale = min(scale, 1.0)
        size = max(round(height * scale), 1), max(round(width * scale), 1)
        padding = round(border * longer_side * scale)
        canvas = [-(-(side + 2 * padding) // STRIDES[-1]) * STRIDES[-1] for side in size]
        # The network expects BGR in 0 to 255.
        image = letterbox(photo, size, (canvas[0], canvas[1]), padding, planes=(2, 1, 0))
        return self._decode(run_network(self._network, image.canvas[None], self._path), image)

    def _decode(self, outputs: dict[str, NDArray[np.float32]], image: LetterboxedImage) -> list[Face]:
        boxes, scores, points = [], [], []
        for stride in STRIDES:
            columns = image.canvas.shape[2] // stride
            factors = np.clip([outputs[f"{kind}_{stride}"][0, :, 0] for kind in ("cls", "obj")], 0, 1).astype(
                np.float64
            )
            score = np.sqrt(factors[0] * factors[1])
            candidates = np.flatnonzero(score >= self.score)
            grid = np.stack([candidates % columns, candidates // columns], axis=1)
            deltas = outputs[f"bbox_{stride}"][0, candidates].astype(np.float64)
            centers, half_sizes = (grid + deltas[:, :2]) * stride, np.exp(deltas[:, 2:]) * stride / 2
            landmarks = outputs[f"kps_{stride}"][0, candidates].astype(np.float64).reshape(-1, 5, 2)
            boxes.append(np.stack([centers - half_sizes, centers + half_sizes], axis=1))
            points.append((landmarks + grid[:, None]) * stride)
            scores.append(score[candidates])
        corners, landmarks, score = (
            image.to_original(np.concatenate(boxes)),
            image.to_original(np.concatenate(points)),
            np.hstack(scores),
        )
        selected = nms(corners.reshape(-1, 4), score, IOU_THRESHOLD)
        return [
            Face(
                tuple(corners[index].ravel().tolist()),
                float(score[index]),
                tuple((x, y) for x, y in landmarks[index].tolist()),
            )
            for index in selected
        ]
