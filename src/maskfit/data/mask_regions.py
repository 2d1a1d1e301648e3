"""OpenCV, which only some parts need, and the regions of a mask that it finds."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskfit.errors import MissingExtraError

ForegroundMap = NDArray[np.uint8]
"""How much of each pixel is the subject, (height, width), 0 to 255; of any resolution."""
Mask = NDArray[np.bool_]
"""(height, width)."""


def import_cv2(asking: str) -> Any:
    """The module `cv2`.

    Args:
        asking: What needs it, for the message.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        return importlib.import_module("cv2")
    except ImportError:
        raise MissingExtraError(asking, "background") from None


def connected_region(cv2: Any, mask: Mask, row: int, column: int) -> Mask:
    """The connected region of a mask that holds a pixel, its holes filled; nothing where the pixel is not in the mask.

    Pixels are connected by their sides.
    """
    _, marks = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)
    if not mask[row, column]:
        return np.zeros_like(mask)
    region = marks == marks[row, column]
    # What cannot be reached from outside is a hole.
    _, around = cv2.connectedComponents(np.pad(~region, 1, constant_values=True).astype(np.uint8), connectivity=4)
    return np.asarray(around[1:-1, 1:-1] != around[0, 0])


def largest_region_box(cv2: Any, mask: Mask) -> tuple[int, int, int, int] | None:
    """Left, upper, right, lower of the largest connected region of a mask; None where the mask is empty."""
    count, _, facts, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    if count < 2:
        return None
    left, upper, wide, high, _ = (int(fact) for fact in facts[1 + int(np.argmax(facts[1:, 4]))])
    return left, upper, left + wide, upper + high
