"""Smooth paths from control points: splines, ellipses, strokes of varying width."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]
"""Points of shape (n, 2)."""
PointsLike = Points | Sequence[Sequence[float]]


@lru_cache(maxsize=16)
def _catmull_rom_weights(samples: int) -> Points:
    t = np.arange(samples) / samples
    return 0.5 * np.stack(
        [-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, -(t**2) + t**3], axis=1
    )


def as_points(points: PointsLike) -> Points:
    """Converts points to a float64 array of shape (n, 2)."""
    return np.asarray(points, dtype=np.float64).reshape(-1, 2)


def translated(points: Points, right: float, down: float) -> Points:
    """Translates points.

    Args:
        points: Shape (n, 2).
        right: Shift in x.
        down: Shift in y.

    Returns:
        New points.
    """
    shifted: Points = points + np.array((right, down))
    return shifted


def spline(points: PointsLike, samples: int = 8, *, closed: bool = False) -> Points:
    """Computes a Catmull-Rom spline through every control point.

    Args:
        points: Control points, shape (n, 2), n >= 2.
        samples: Points per segment between two control points.
        closed: Whether the last point is joined to the first.

    Returns:
        Points on the curve, shape (m, 2).
    """
    knots = as_points(points)
    ring = np.concatenate([knots[-1:], knots, knots[:2]]) if closed else np.concatenate([knots[:1], knots, knots[-1:]])
    stretches = np.stack([ring[:-3], ring[1:-2], ring[2:-1], ring[3:]], axis=1)
    curve = np.einsum("tk,nkd->ntd", _catmull_rom_weights(samples), stretches).reshape(-1, 2)
    return curve if closed else np.concatenate([curve, knots[-1:]])


def mirrored(points: PointsLike) -> Points:
    """Completes a path from its right half, whose first point lies on the axis x = 0.

    Args:
        points: Right half, shape (n, 2).

    Returns:
        The path from left to right, shape (2n - 1, 2).
    """
    half = as_points(points)
    left = half[:0:-1] * (-1.0, 1.0)
    return np.concatenate([left, half])


@lru_cache(maxsize=16)
def _circle(count: int) -> Points:
    angle = np.arange(count) * (2 * np.pi / count)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def ellipse(x: float, y: float, rx: float, ry: float, *, turn: float = 0.0, count: int = 28) -> Points:
    """Computes the outline of an ellipse.

    Args:
        x: Center.
        y: Center.
        rx: Horizontal radius.
        ry: Vertical radius.
        turn: Rotation in radians, clockwise in the image.
        count: Number of points.

    Returns:
        Shape (count, 2).
    """
    rim = _circle(count) * (rx, ry)
    if turn:
        cos, sin = np.cos(turn), np.sin(turn)
        rim = rim @ np.array([[cos, sin], [-sin, cos]])
    return translated(rim, x, y)


def ribbon(path: PointsLike, width: float | npt.ArrayLike) -> Points:
    """Computes the outline of a stroke along an open path.

    Args:
        path: Points of the middle line, shape (n, 2).
        width: One width for all points, or one per point; 0 makes a pointed end.

    Returns:
        Closed outline, shape (2n, 2).
    """
    line = as_points(path)
    step = _steps(line)
    length = np.maximum(np.hypot(step[:, 0], step[:, 1]), 1e-6)
    reach = np.asarray(width, dtype=np.float64) / (2 * length)
    half = step[:, ::-1] * (-1.0, 1.0) * reach[:, None]
    return np.concatenate([line + half, (line - half)[::-1]])


def _steps(line: Points) -> Points:
    # np.gradient is five times slower on such short paths.
    step = np.empty_like(line)
    step[1:-1] = line[2:] - line[:-2]
    step[0], step[-1] = line[1] - line[0], line[-1] - line[-2]
    return step


@lru_cache(maxsize=64)
def _taper(count: int, start: float, end: float) -> Points:
    t = np.linspace(0.0, 1.0, count)
    bulge: Points = np.sqrt(np.sin(np.pi * np.clip(t, 0, 1)).clip(0))
    return np.maximum(bulge, start * (1 - t) ** 2 + end * t**2)


def tapered(path: PointsLike, width: float, start: float = 0.0, end: float = 0.0) -> Points:
    """Computes the outline of a brush stroke that is widest in the middle.

    Args:
        path: Points of the middle line, shape (n, 2).
        width: Width in the middle.
        start: Width at the start as a fraction of `width`.
        end: Width at the end as a fraction of `width`.

    Returns:
        Closed outline, shape (2n, 2).
    """
    line = as_points(path)
    return ribbon(line, width * _taper(len(line), start, end))


def interpolated(first: Points, second: Points, fraction: float) -> Points:
    """Interpolates between two paths of the same length.

    Args:
        first: Path at fraction 0, shape (n, 2).
        second: Path at fraction 1, shape (n, 2).
        fraction: Position between them, 0 to 1.

    Returns:
        Shape (n, 2).
    """
    return first + (second - first) * fraction


def resampled(path: PointsLike, count: int) -> Points:
    """Resamples an open path at equal arc length.

    Args:
        path: Points, shape (n, 2).
        count: Number of points of the result.

    Returns:
        Shape (count, 2).
    """
    line = as_points(path)
    step = np.hypot(*np.diff(line, axis=0).T)
    along = np.concatenate([[0.0], np.cumsum(step)])
    where = np.linspace(0.0, along[-1], count)
    return np.stack([np.interp(where, along, line[:, 0]), np.interp(where, along, line[:, 1])], axis=1)


def scalloped(path: PointsLike, bump: float, height: float) -> Points:
    """Adds round bumps to the left-hand side of a path, such as the outline of curly hair.

    Args:
        path: Open path, shape (n, 2).
        bump: Length of one bump along the path.
        height: Height of a bump.

    Returns:
        Points of the bumpy path.
    """
    line = as_points(path)
    total = float(np.hypot(*np.diff(line, axis=0).T).sum())
    bumps = max(2, round(total / max(bump, 1e-6)))
    even = resampled(line, bumps * 7 + 1)
    step = _steps(even)
    length = np.maximum(np.hypot(step[:, 0], step[:, 1]), 1e-6)
    normal = step[:, ::-1] * (1.0, -1.0) / length[:, None]
    rise = np.abs(np.sin(np.pi * np.arange(len(even)) / 7)) ** 0.7
    return even + normal * (height * (rise - 0.35))[:, None]
