"""Shared parts of the ONNX Runtime detectors: letterboxed input, sessions and checks of options."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray
from PIL import Image

from maskfit.data.detectors.interface import Pixels
from maskfit.errors import DataError
from maskfit.onnx_runtime import open_session, run_session


class LetterboxedImage(NamedTuple):
    """A photo resized and padded for a detector.

    Attributes:
        canvas: Input pixels, (height, width, 3); the padding is black.
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


def letterbox(
    photo: Pixels, size: tuple[int, int], canvas: tuple[int, int], border: int = 0, dtype: DTypeLike = np.float32
) -> LetterboxedImage:
    """Resizes a photo bilinearly and pads it with black.

    Args:
        photo: Image of shape (height, width, 3).
        size: (height, width) of the resized photo.
        canvas: (height, width) of the padded result.
        border: Padding to the left and above, in canvas pixels.
        dtype: Type of the padded result.

    Returns:
        The padded image and its mapping to the photo.
    """
    height, width = size
    resized = Image.fromarray(photo).resize((width, height), Image.Resampling.BILINEAR)
    padded = np.zeros((*canvas, 3), dtype=dtype)
    padded[border : border + height, border : border + width] = np.asarray(resized)
    return LetterboxedImage(padded, np.array([width / photo.shape[1], height / photo.shape[0]]), border)


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
