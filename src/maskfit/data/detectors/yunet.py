"""YuNet: 75,000 weights that find faces and five landmarks in milliseconds, in ONNX Runtime and so without OpenCV.

Wu, Peng, Yu: YuNet, a tiny millisecond-level face detector (Machine Intelligence Research, 2023). The network's answers
are read as OpenCV's `FaceDetectorYN` reads them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from maskfit.data.detectors.interface import Face, Pixels, nms
from maskfit.data.detectors.letterbox import LetterboxedImage, validate_options, letterbox, open_network, run_network
from maskfit.data.pretrained_weights import WeightsFile

STRIDES = (8, 16, 32)
"""Pixels between the points at which the network's three outputs look for faces."""

OUTPUT_KINDS = ("cls", "obj", "bbox", "kps")
IOU_THRESHOLD = 0.3
RETRY_BORDER = 0.25
"""Of the longer side, how much black a photo gets round it at the second look."""


class YuNet:
    """Looks at the photo shrunk; where that shows no face, once more with a border.

    A face that fills the photo is missed by the first look, since the network has seen few of them; with black round it
    it looks like others.

    Args:
        weights: The dynamic network, as published or trained anew.
        side: The longer side in pixels at which a photo is looked at. More finds smaller faces in groups, takes longer,
            and misses large faces.
        score: How sure a face must be, between 0 and 1.
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
        outputs = tuple(f"{kind}_{stride}" for kind in OUTPUT_KINDS for stride in STRIDES)
        self._network = open_network(weights, ("input",), outputs)

    def detect(self, photos: Sequence[Pixels]) -> list[list[Face]]:
        # One after the other: in batches the last bits of a box would hang on the photos beside it, and a processor
        # gains nothing from them.
        return [self._look(photo, 0.0) or self._look(photo, RETRY_BORDER) for photo in photos]

    def _look(self, photo: Pixels, border: float) -> list[Face]:
        height, width = photo.shape[:2]
        longer = max(height, width)
        scale = self.side / (longer * (1 + 2 * border))
        if not border:
            # Enlarging shows nothing new. At the second look it does: the network likes faces of a middling size.
            scale = min(scale, 1.0)
        size = max(round(height * scale), 1), max(round(width * scale), 1)
        edge = round(border * longer * scale)
        canvas = [-(-(side + 2 * edge) // STRIDES[-1]) * STRIDES[-1] for side in size]
        laid = letterbox(photo, size, (canvas[0], canvas[1]), edge)
        # The network was trained on blue, green, red in 0 to 255.
        blob = np.ascontiguousarray(laid.canvas[..., ::-1].transpose(2, 0, 1)[None])
        return self._read(run_network(self._network, blob, self._path), laid)

    def _read(self, answers: dict[str, NDArray[np.float32]], laid: LetterboxedImage) -> list[Face]:
        boxes, scores, points = [], [], []
        for stride in STRIDES:
            columns = laid.canvas.shape[1] // stride
            sure = np.clip([answers[f"{kind}_{stride}"][0, :, 0] for kind in ("cls", "obj")], 0, 1).astype(np.float64)
            score = np.sqrt(sure[0] * sure[1])
            places = np.flatnonzero(score >= self.score)
            grid = np.stack([places % columns, places // columns], axis=1)
            found = answers[f"bbox_{stride}"][0, places].astype(np.float64)
            middle, half = (grid + found[:, :2]) * stride, np.exp(found[:, 2:]) * stride / 2
            marks = answers[f"kps_{stride}"][0, places].astype(np.float64).reshape(-1, 5, 2)
            boxes.append(np.stack([middle - half, middle + half], axis=1))
            points.append((marks + grid[:, None]) * stride)
            scores.append(score[places])
        corners, marks, score = (
            laid.to_original(np.concatenate(boxes)),
            laid.to_original(np.concatenate(points)),
            np.hstack(scores),
        )
        kept = nms(corners.reshape(-1, 4), score, IOU_THRESHOLD)
        return [
            Face(
                tuple(corners[place].ravel().tolist()),
                float(score[place]),
                tuple((x, y) for x, y in marks[place].tolist()),
            )
            for place in kept
        ]
