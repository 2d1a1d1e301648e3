"""What the detectors that run in ONNX Runtime share: how a network is opened, and how a photo is laid before it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from maskfit.data.detectors.interface import Pixels
from maskfit.data.onnx_session import open_session, run_session
from maskfit.errors import DataError


class LetterboxedImage(NamedTuple):
    """A photo as a detector looks at it.

    Attributes:
        canvas: float32 (height, width, 3); what the photo does not cover is black.
        scale: (2,) pixels of the canvas for a pixel of the photo, across and down.
        border: Pixels of the canvas left of the photo, and above it.
    """

    canvas: NDArray[np.float32]
    scale: NDArray[np.float64]
    border: int

    def to_original(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Points (..., 2) of the canvas in pixels of the photo."""
        return np.asarray((points - self.border) / self.scale)


def letterbox(photo: Pixels, size: tuple[int, int], canvas: tuple[int, int], border: int = 0) -> LetterboxedImage:
    """Shrinks or enlarges a photo and lays it on black.

    Args:
        photo: (height, width, 3).
        size: (height, width) that the photo gets.
        canvas: (height, width) of what it is laid on.
        border: Pixels left free to its left and above.
    """
    height, width = size
    small = Image.fromarray(photo).resize((width, height), Image.Resampling.BILINEAR)
    black = np.zeros((*canvas, 3), dtype=np.float32)
    black[border : border + height, border : border + width] = np.asarray(small)
    return LetterboxedImage(black, np.array([width / photo.shape[1], height / photo.shape[0]]), border)


def open_network(path: Path, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> Any:
    """An ONNX Runtime session; see `networks.open_session`.

    Args:
        path: The `.onnx` file.
        inputs: What its inputs are called.
        outputs: What its outputs are called, in any order.

    Raises:
        DataError: The file is no such network.
    """
    session = open_session(path, fix="name the detector's .onnx file")
    has = [item.name for item in session.get_inputs()], sorted(item.name for item in session.get_outputs())
    if has != (list(inputs), sorted(outputs)):
        raise DataError(
            f"this network is another detector's: it gives {', '.join(has[1])}, not {', '.join(sorted(outputs))}",
            location=path,
            hint="name the weights of the detector, or the detector of the weights",
        )
    return session


def run_network(session: Any, blob: NDArray[np.float32], path: Path) -> dict[str, NDArray[np.float32]]:
    """The outputs by name for one input.

    Raises:
        DataError: The network cannot run on it.
    """
    return run_session(session, blob, path, "this detector", fix="name the detector's own weights")


def validate_options(score: float, **least: int) -> None:
    """Refuses a score outside of 0 to 1, and whole numbers below 32 or above 4096.

    Raises:
        ValueError: One is.
    """
    if not 0 < score < 1:
        raise ValueError(f"score={score} must lie between 0 and 1")
    for name, value in least.items():
        if not 32 <= value <= 4096:
            raise ValueError(f"{name}={value} must lie in 32 to 4096")
