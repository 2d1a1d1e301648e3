"""Places labels beside boxes, so that they cover no other face, no other label and nothing beyond the photo.

A small deterministic search: every box gets its shortest label first, the largest box before smaller ones; then labels
are lengthened step by step where there is room. The same boxes always give the same places.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PixelBox = tuple[float, float, float, float]
"""Left, upper, right, lower in pixels of the picture."""

Size = tuple[float, float]
"""Width and height in pixels."""

MAX_INSIDE_FRACTION = 0.2
"""Fraction of a box's area that a label inside of it may cover."""

DISTANCES = (0.0, 0.7, 1.5, 2.4)
"""Distances of a label from its box that are tried, in heights of a line."""

MIN_REACHED = 0.7
"""Fraction of the labels that must have reached a length before any is made longer: one crowd, one level of detail."""

MAX_GAP = 3.0
"""Pixels between a label and its face up to which no line joins them."""

OVER_LABEL, OVER_FACE, OVER_OWN_FACE = 4.0, 2.0, 1.0
"""Cost of covering a pixel of another label, another face, and the own face, where it cannot be avoided."""

_Boxes = NDArray[np.float64]


@dataclass(frozen=True)
class Placement:
    """Where a label goes.

    Attributes:
        option: Index of the chosen label size.
        box: Its place.
        leader: (x, y, x, y) of a line from the label to its face; None where they touch.
    """

    option: int
    box: PixelBox
    leader: PixelBox | None = None


def place_labels(
    photo: Size, faces: Sequence[PixelBox], options: Sequence[Sequence[Size]], line_heights: Sequence[float]
) -> list[Placement | None]:
    """Chooses a size and a place for the label of every face.

    Args:
        photo: Width and height of the photo in pixels.
        faces: The box of each face, inside the photo.
        options: For each face the sizes of its possible labels, the shortest first; faces may have different numbers.
        line_heights: For each face the height of a line of its label in pixels.

    Returns:
        For each face the placement, inside the photo; None where not even the shortest label fits into it.
    """
    search = _Search(photo, faces, line_heights)
    order = sorted(range(len(faces)), key=lambda index: (-search.areas[index], index))
    for index in order:
        sizes = [number for number, size in enumerate(options[index]) if search.fits(size)]
        if sizes:
            search.place(index, sizes[0], options[index][sizes[0]], forced=True)
    longest = max((len(sizes) for sizes in options), default=0)
    for level in range(1, longest):
        candidates = [index for index in order if level < len(options[index]) and search.fits(options[index][level])]
        reached = sum(search.place(index, level, options[index][level]) for index in candidates)
        if reached < MIN_REACHED * len(candidates):
            break
    return search.placements


class _Search:
    """Labels that were placed so far, and the places that are free."""

    def __init__(self, photo: Size, faces: Sequence[PixelBox], line_heights: Sequence[float]) -> None:
        self.photo = photo
        self.faces: _Boxes = np.array(faces, dtype=np.float64).reshape(-1, 4)
        self.areas = np.prod(self.faces[:, 2:] - self.faces[:, :2], axis=1)
        self.placements: list[Placement | None] = [None] * len(faces)
        self._line_heights = line_heights
        # Of each face its label, and the line to it.
        self._labels: _Boxes = np.zeros((2, len(faces), 4))

    def fits(self, size: Size) -> bool:
        return size[0] < self.photo[0] and size[1] < self.photo[1]

    def place(self, index: int, option: int, size: Size, *, forced: bool = False) -> bool:
        """Moves a face's label to the best free place for a size; returns whether there is one.

        Forced, it is placed all the same where it covers the least.
        """
        places, is_inside = self._candidates(index, size)
        leaders = _leaders(places, self.faces[index])
        others = np.arange(len(self.faces)) != index
        labels = self._labels[:, others].reshape(-1, 4)
        obstacles = np.concatenate([self.faces[[index]], self.faces[others], labels])
        covered = _overlaps(places, obstacles)
        crossed = _overlaps(_widen(leaders), obstacles[1:]).sum(axis=1)
        free = (covered[:, 1:].sum(axis=1) + crossed + np.where(is_inside, 0, covered[:, 0])) == 0
        if free.any():
            best = int(np.argmax(free))  # candidates come in the order of preference
        elif forced:
            costs = np.full(len(obstacles), OVER_LABEL)
            costs[: len(self.faces)] = OVER_FACE
            costs[0] = OVER_OWN_FACE
            best = int(np.argmin(covered @ costs + crossed))
        else:
            return False
        x0, y0, x1, y1 = places[best].tolist()
        a0, b0, a1, b1 = leaders[best].tolist()
        is_apart = max(abs(a1 - a0), abs(b1 - b0)) > MAX_GAP
        self.placements[index] = Placement(option, (x0, y0, x1, y1), (a0, b0, a1, b1) if is_apart else None)
        self._labels[0, index] = places[best]
        self._labels[1, index] = _widen(leaders[[best]])[0] if is_apart else 0
        return True

    def _candidates(self, index: int, size: Size) -> tuple[_Boxes, NDArray[np.bool_]]:
        """Returns (candidates, 4) places in the photo in the order of preference, and which may cover the own face."""
        width, height = size
        left, upper, right, lower = self.faces[index].tolist()
        columns = (left, right - width, (left + right - width) / 2)
        rows = (upper, lower - height, (upper + lower - height) / 2)
        corners: list[tuple[float, float, bool]] = []
        for factor in DISTANCES:
            gap = factor * self._line_heights[index] + 1
            above, below, before, after = upper - height - gap, lower + gap, left - width - gap, right + gap
            corners += [(column, above, False) for column in columns]
            corners += [(column, below, False) for column in columns]
            if not factor and width * height <= MAX_INSIDE_FRACTION * self.areas[index]:
                corners += [(left + 2, lower - height - 2, True)]
            corners += [(after, row, False) for row in rows]
            corners += [(before, row, False) for row in rows]
            if factor:
                corners += [(column, row, False) for row in (above, below) for column in (after, before)]
        # The corner of the own box, for where nothing is free.
        corners.append((left + 2, upper + 2, False))
        table = np.array([corner[:2] for corner in corners])
        # At an edge of the photo a place is moved inside.
        table = np.clip(table, 0, np.array(self.photo) - size - 1)
        return np.concatenate([table, table + size], axis=1), np.array([corner[2] for corner in corners])


def _overlaps(places: _Boxes, obstacles: _Boxes) -> NDArray[np.float64]:
    """Returns (places, obstacles) areas in pixels that each place shares with each obstacle."""
    (x0, y0, x1, y1), (u0, v0, u1, v1) = places.T[:, :, None], obstacles.T[:, None, :]
    width = np.maximum(np.minimum(x1, u1) - np.maximum(x0, u0), 0)
    return np.asarray(width * np.maximum(np.minimum(y1, v1) - np.maximum(y0, v0), 0))


def _leaders(places: _Boxes, face: NDArray[np.float64]) -> _Boxes:
    """Returns the shortest line from each place to a face: (x, y) on the place and (x, y) on the face."""
    ends = []
    for low, high in ((0, 2), (1, 3)):
        # Where the sides overlap, the line runs through the middle of the overlap.
        middle = (np.maximum(places[:, low], face[low]) + np.minimum(places[:, high], face[high])) / 2
        start = np.where(places[:, high] < face[low], places[:, high], middle)
        start = np.where(places[:, low] > face[high], places[:, low], start)
        end = np.where(places[:, high] < face[low], face[low], middle)
        end = np.where(places[:, low] > face[high], face[high], end)
        ends.append((start, end))
    (x0, x1), (y0, y1) = ends
    return np.stack([x0, y0, x1, y1], axis=1)


def _widen(lines: _Boxes) -> _Boxes:
    """Returns the boxes around lines; those of touching labels have no area."""
    low, high = np.minimum(lines[:, :2], lines[:, 2:]), np.maximum(lines[:, :2], lines[:, 2:])
    margin = np.where((high - low).max(axis=1, keepdims=True) > MAX_GAP, 1.0, 0.0)
    return np.concatenate([low - margin, high + margin], axis=1)
