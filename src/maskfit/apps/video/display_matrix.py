"""Turns frames upright by the display matrix that cameras write beside the pixels.

A phone stores frames as its sensor delivers them, and in the container how a player must turn or mirror them. PyAV's
`rotation` is the angle of that matrix alone: a mirrored video has the angle 0 or -180, as if it were not mirrored.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, cast

import numpy as np

from maskfit.data.image_decoding import Pixels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from av import VideoFrame
    from av.sidedata.sidedata import SideData

ROTATIONS = {0: (1, 0, 0, 1), 1: (0, -1, 1, 0), 2: (-1, 0, 0, -1), 3: (0, 1, -1, 0)}
"""Display matrix by quarter turns counterclockwise."""


def read_display_matrix(frame: VideoFrame) -> tuple[int, int, int, int]:
    """Reads how a frame is to be shown.

    Args:
        frame: A decoded frame.

    Returns:
        (a, b, c, d) of FFmpeg's display matrix, of which only signs and relative sizes count: the pixel at (x, y), to
        the right and down, is shown at (a x + c y, b x + d y). (1, 0, 0, 1) where nothing is declared.
    """
    # Not frame.side_data: the frame would keep it, and it the frame, until Python looks for cycles, and a stream would
    # grow by every frame until then (findings/pyav_side_data_cycle.sh).
    from av.sidedata.sidedata import SideDataContainer

    try:
        data = SideDataContainer(frame).get("DISPLAYMATRIX")  # type: ignore[call-arg]  # its stub has no arguments
    except ValueError:
        # PyAV 18 cannot list the side data of a frame that has a kind newer than its table, such as EXIF in MJPEG.
        return ROTATIONS[round(frame.rotation / 90) % 4]
    if data is None:
        return ROTATIONS[0]
    values = array("i", bytes(cast("SideData", data)))
    return values[0], values[1], values[3], values[4]


def orient(pixels: Pixels, matrix: Sequence[int]) -> Pixels:
    """Applies the nearest of the eight orientations.

    Args:
        pixels: Frame of shape (height, width, 3).
        matrix: (a, b, c, d) as `read_display_matrix` returns it.

    Returns:
        The frame as it is to be shown, contiguous; without a copy where nothing changes.
    """
    a, b, c, d = matrix
    if abs(b) + abs(c) > abs(a) + abs(d):
        pixels = pixels.swapaxes(0, 1)
        flip_columns, flip_rows = c < 0, b < 0
    else:
        flip_columns, flip_rows = a < 0, d < 0
    return np.ascontiguousarray(pixels[:: -1 if flip_rows else 1, :: -1 if flip_columns else 1])
