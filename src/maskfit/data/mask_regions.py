"""Connected regions of binary masks, and the import of OpenCV, which is an extra."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskfit.errors import MissingExtraError

ForegroundMap = NDArray[np.uint8]
"""Opacity of the subject per pixel, (height, width), 0 to 255; of any resolution."""
Mask = NDArray[np.bool_]
"""Binary mask, (height, width)."""


def import_cv2(feature: str) -> Any:
    """Imports OpenCV.

    Args:
        feature: What needs it, for the error message.

    Returns:
        The module `cv2`.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        return importlib.import_module("cv2")
    except ImportError:
        raise MissingExtraError(feature, "background") from None


def connected_region(cv2: Any, mask: Mask, row: int, column: int) -> Mask:
    """Returns the 4-connected region of a mask that contains a pixel, with its holes filled.

    Args:
        cv2: Result of `import_cv2`.
        mask: The mask.
        row: Row of the pixel.
        column: Column of the pixel.

    Returns:
        The region; empty where the pixel is not in the mask.
    """
    _, components = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)
    if not mask[row, column]:
        return np.zeros_like(mask)
    region = components == components[row, column]
    # A hole is a part of the complement that is not connected to the outside.
    _, outside = cv2.connectedComponents(np.pad(~region, 1, constant_values=True).astype(np.uint8), connectivity=4)
    return np.asarray(outside[1:-1, 1:-1] != outside[0, 0])


def largest_region_box(cv2: Any, mask: Mask) -> tuple[int, int, int, int] | None:
    """Returns the bounding box of the largest 8-connected region of a mask.

    Args:
        cv2: Result of `import_cv2`.
        mask: The mask.

    Returns:
        Left, upper, right, lower in pixels; None where the mask is empty.
    """
    count, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    if count < 2:
        return None
    left, upper, width, height, _ = (int(value) for value in stats[1 + int(np.argmax(stats[1:, 4]))])
    return left, upper, left + width, upper + height
