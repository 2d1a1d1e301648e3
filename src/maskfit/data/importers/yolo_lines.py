"""Lines of YOLO's label files: boxes, with a confidence, a track or landmarks behind them, and polygons.

Only the count of numbers tells them apart, and two counts have two meanings: six are a triangle, or a box with a
confidence and the number of a track; fourteen a polygon of seven corners, or a box with the five landmarks of a face.
`kpt_shape` in `data.yaml` decides, or else the other lines.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from maskfit.data.importers.interface import Box

NOT_YOLO = "the line is not 'class x_center y_center width height'"
OTHER_KEYPOINTS = "the line has another number of landmarks than kpt_shape says"

TRACKED = 6
"""Numbers of a triangle, or of a box with a confidence and the number of a track."""

LANDMARKED = 14
"""Numbers of a polygon of seven corners, or of a box with five landmarks, as yolov5-face has them."""

FEWEST_WITH_MORE = 15
"""Least odd count of numbers that is read: a box, five landmarks and a confidence. A polygon has an even count."""

MISSING_LANDMARK = (-1.0, -1.0)
"""A landmark that is not on the photo, as yolov5-face has it; no corner of a polygon lies there."""

SLACK = 0.25
"""By how much of the box landmarks may lie outside of it."""


class LineReader:
    """Reads the lines of label files that belong together.

    Args:
        lines: All their lines.
        keypoints: What `kpt_shape` says: the number of landmarks, 0 for polygons, and of values of each; None where
            it is not there.
    """

    def __init__(self, lines: Iterable[str], keypoints: tuple[int, int] | None = None) -> None:
        self._keypoints = keypoints
        forms = [(line, parsed[1]) for line in lines if (parsed := _to_numbers(line)) and len(parsed[1]) >= TRACKED]
        self._landmarked = {len(numbers) for _, numbers in forms if _misses_landmark(numbers)}
        polygons = {len(numbers) for _, numbers in forms if len(numbers) % 2 == 0} - self._landmarked
        tracked = {_is_tracked(line, numbers) for line, numbers in forms if len(numbers) == TRACKED}
        has_triangle, has_track = False in tracked, True in tracked
        has_other_polygons = bool(polygons - {TRACKED, LANDMARKED})
        has_corners = any(len(numbers) == LANDMARKED and not _has_landmarks_inside(numbers) for _, numbers in forms)
        self._is_triangle = None if has_track == has_triangle and not has_other_polygons else not has_track
        is_polygon = has_corners or has_other_polygons or (has_triangle and not has_track)
        self._is_polygon = True if is_polygon else None

    def read(self, line: str) -> tuple[int, Box] | None:
        """Reads a line.

        Args:
            line: The line.

        Returns:
            The class and the box: left, upper, right, lower as fractions of the photo; None where it is none.

        Raises:
            ValueError: The line has two meanings, and nothing decides between them.
        """
        parsed = _to_numbers(line)
        if parsed is None:
            return None
        index, numbers = parsed
        is_polygon = self._find_form(line, numbers)
        if is_polygon is None:
            return None
        return index, _extent(numbers) if is_polygon else _box(numbers)

    def explain(self, line: str) -> str:
        """Returns why a line is not read.

        Args:
            line: A line that `read` gives None for.

        Returns:
            The reason.
        """
        return OTHER_KEYPOINTS if self._keypoints and self._keypoints[0] and is_label_line(line) else NOT_YOLO

    def _find_form(self, line: str, numbers: Sequence[float]) -> bool | None:
        """Whether the numbers are a polygon and no box; None where they are neither."""
        count = len(numbers)
        if count in (4, 5):
            return False
        is_even = count >= TRACKED and count % 2 == 0
        if self._keypoints is not None:
            landmarks, values = self._keypoints
            if not landmarks:
                return True if is_even else None
            return False if count - 4 - landmarks * values in (0, 1, 2) or count == TRACKED else None
        if not is_even:
            return False if count >= FEWEST_WITH_MORE else None
        if count in self._landmarked:
            return False
        if count == TRACKED:
            is_tracked = _is_tracked(line, numbers)
            if is_tracked is not None:
                return not is_tracked
            if self._is_triangle is None:
                raise ValueError(
                    "the line is a triangle, or a box with a confidence and the number of a track",
                    "remove the track numbers, the last column; or, where these are polygons, write kpt_shape: [0, 2] "
                    "into data.yaml",
                )
            return self._is_triangle
        if count == LANDMARKED and self._is_polygon is None:
            raise ValueError(
                "the line is a polygon of seven corners, or a box with five landmarks",
                "write kpt_shape: [5, 2] into data.yaml where these are landmarks, kpt_shape: [0, 2] where they are "
                "polygons",
            )
        return True


def is_label_line(line: str) -> bool:
    """Returns whether a line has the form of a label, whichever it is.

    Args:
        line: The line.

    Returns:
        Whether it is a class and the numbers of a box or polygon.
    """
    parsed = _to_numbers(line)
    if parsed is None:
        return False
    count = len(parsed[1])
    return count in (4, 5) or (count >= TRACKED and (count % 2 == 0 or count >= FEWEST_WITH_MORE))


def _to_numbers(line: str) -> tuple[int, list[float]] | None:
    """The class of a line and the numbers behind it; None where they are none."""
    try:
        # numpy.savetxt writes the class as 1.0 or 1.000000e+00.
        code, *numbers = (float(part) for part in line.split())
    except ValueError:
        return None
    if code < 0 or not code.is_integer() or not all(math.isfinite(number) for number in numbers):
        return None
    return int(code), numbers


def _box(numbers: Sequence[float]) -> Box:
    x, y, width, height = numbers[:4]
    return (x - width / 2, y - height / 2, x + width / 2, y + height / 2)


def _extent(numbers: Sequence[float]) -> Box:
    return (min(numbers[::2]), min(numbers[1::2]), max(numbers[::2]), max(numbers[1::2]))


def _is_tracked(line: str, numbers: Sequence[float]) -> bool | None:
    """Whether the last number is that of a track, no fraction; None where it may be either, as 0 and 1 may."""
    if numbers[-1] > 1 and numbers[-1].is_integer():
        return True
    return None if line.split()[-1].isdecimal() else False


def _misses_landmark(numbers: Sequence[float]) -> bool:
    return MISSING_LANDMARK in zip(numbers[4::2], numbers[5::2], strict=False)


def _has_landmarks_inside(numbers: Sequence[float]) -> bool:
    """Whether all that follows a box lies in it, as landmarks do; corners of a polygon seldom do by chance."""
    left, upper, right, lower = _box(numbers)
    x, y = SLACK * (right - left), SLACK * (lower - upper)
    return all(
        left - x <= across <= right + x and upper - y <= down <= lower + y
        for across, down in zip(numbers[4::2], numbers[5::2], strict=True)
    )
