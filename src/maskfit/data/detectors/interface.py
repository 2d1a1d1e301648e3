"""Interface of face detectors, their result, non-maximum suppression, and what detectors in ONNX files share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray
from PIL import Image

from maskfit.data.boxes import Box
from maskfit.errors import DataError
from maskfit.onnx_runtime import open_session, run_session
from maskfit.pretrained_weights import WeightsFile

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


MIN_READ_SCALE = 2
"""Pixels that are read of a photo in each direction, at least, for a pixel of the resized photo.

YuNet's recall of 157 faces on street photos downscaled to an eighth, a sixth and a quarter was 0.478, 0.656 and 0.854,
and 0.478, 0.650 and 0.847 where all pixels were read; with 1 it was 0.03 to 0.05 lower."""


class LetterboxedImage(NamedTuple):
    """A photo resized and padded for a detector.

    Attributes:
        canvas: Input pixels, (height, width, 3) or (3, height, width); the padding is black.
        scale: Canvas pixels per photo pixel, (2,): horizontal and vertical.
        border: Canvas pixels left of the photo and above it.
    """

    canvas: NDArray[Any]
    scale: NDArray[np.float64]
    border: int

    def to_original(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Converts canvas coordinates to photo coordinates.

        Args:
            points: (x, y) in canvas pixels, of shape (..., 2).

        Returns:
            (x, y) in pixels of the photo, same shape.
        """
        return np.asarray((points - self.border) / self.scale)


def downscale(photo: Pixels, size: tuple[int, int]) -> Pixels:
    """Resizes a photo bilinearly.

    Of a photo that is several times as large only every n-th pixel of every n-th row is read, so that at least
    `MIN_READ_SCALE` times the wanted size remain. The time of a camera's photo is mostly that of touching its pixels.

    Args:
        photo: Image of shape (height, width, 3).
        size: (height, width) of the result.

    Returns:
        The resized photo; the photo itself where it has that size.
    """
    if photo.shape[:2] == size:
        return photo
    height, width = size
    step = max(min(photo.shape[0] // height, photo.shape[1] // width) // MIN_READ_SCALE, 1)
    # The middle pixel of each step, so that nothing moves.
    read = photo[step // 2 :: step, step // 2 :: step]
    extent = (0, 0, min(photo.shape[1] / step, read.shape[1]), min(photo.shape[0] / step, read.shape[0]))
    return np.asarray(Image.fromarray(read).resize((width, height), Image.Resampling.BILINEAR, extent))


def letterbox(
    photo: Pixels,
    size: tuple[int, int],
    canvas: tuple[int, int],
    border: int = 0,
    dtype: DTypeLike = np.float32,
    planes: tuple[int, int, int] | None = None,
) -> LetterboxedImage:
    """Resizes a photo bilinearly and pads it with black.

    Args:
        photo: Image of shape (height, width, 3).
        size: (height, width) of the resized photo.
        canvas: (height, width) of the padded result.
        border: Padding to the left and above, in canvas pixels.
        dtype: Type of the padded result.
        planes: Which color the first, second and third plane of the result are; None keeps the colors of a pixel
            together.

    Returns:
        The padded image and its mapping to the photo.
    """
    height, width = size
    resized = downscale(photo, size)
    scale = np.array([width / photo.shape[1], height / photo.shape[0]])
    if size == canvas and planes is None and resized.dtype == dtype:
        return LetterboxedImage(resized, scale, 0)
    padded: NDArray[Any] = np.zeros((*canvas, 3) if planes is None else (3, *canvas), dtype=dtype)
    rows, columns = slice(border, border + height), slice(border, border + width)
    if planes is None:
        padded[rows, columns] = resized
    else:
        for index, color in enumerate(planes):
            padded[index, rows, columns] = resized[..., color]
    return LetterboxedImage(padded, scale, border)


def open_network(path: Path, inputs: tuple[str, ...], outputs: tuple[str, ...], content: bytes | None = None) -> Any:
    """Opens a detector network and checks its inputs and outputs; see `onnx_runtime.open_session`.

    Args:
        path: The `.onnx` file.
        inputs: Names of its inputs.
        outputs: Names of its outputs, in any order.
        content: The network, where it is not the file's own content.

    Returns:
        An ONNX Runtime session.

    Raises:
        DataError: The file is not such a network.
    """
    session = open_session(path, hint="give the path of the detector's .onnx file", content=content)
    found = [item.name for item in session.get_inputs()], sorted(item.name for item in session.get_outputs())
    if found != (list(inputs), sorted(outputs)):
        raise DataError(
            f"the network belongs to another detector: its outputs are {', '.join(found[1])}, expected "
            f"{', '.join(sorted(outputs))}",
            location=path,
            hint="choose weights and detector that belong together",
        )
    return session


def run_network(session: Any, blob: NDArray[Any], path: Path) -> dict[str, NDArray[np.float32]]:
    """Runs a detector network.

    Args:
        session: Result of `open_network`.
        blob: The input.
        path: The `.onnx` file, for error messages.

    Returns:
        The outputs by name.

    Raises:
        DataError: The network cannot run on the input.
    """
    return run_session(session, blob, path, "the detector", hint="use the detector's own weights")


def validate_options(score: float, **sizes: int) -> None:
    """Checks the options that detectors share.

    Args:
        score: Minimum detection score.
        sizes: Sizes in pixels by option name.

    Raises:
        ValueError: The score is not in (0, 1), or a size is not in 32 to 4096.
    """
    if not 0 < score < 1:
        raise ValueError(f"score={score} must lie between 0 and 1")
    for name, value in sizes.items():
        if not 32 <= value <= 4096:
            raise ValueError(f"{name}={value} must lie in 32 to 4096")
