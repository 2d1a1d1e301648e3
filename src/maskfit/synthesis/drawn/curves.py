"""Smooth paths from a few points: splines, ellipses, ribbons of changing width."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]
PointsLike = Points | Sequence[Sequence[float]]


@lru_cache(maxsize=16)
def _catmull_rom_weights(samples: int) -> Points:
    t = np.arange(samples) / samples
    return 0.5 * np.stack(
        [-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, -(t**2) + t**3], axis=1
    )


def as_points(points: PointsLike) -> Points:
    """Gives a float array of shape (n, 2)."""
    return np.asarray(points, dtype=np.float64).reshape(-1, 2)


def translated(points: Points, right: float, down: float) -> Points:
    """Gives points shifted to the right and down."""
    shifted: Points = points + np.array((right, down))
    return shifted


def spline(points: PointsLike, samples: int = 8, *, closed: bool = False) -> Points:
    """Gives a Catmull-Rom curve through every point.

    Args:
        points: Control points, shape (n, 2), n at least 2.
        samples: Points drawn per stretch between two control points.
        closed: Whether the last point is joined to the first.
    """
    knots = as_points(points)
    ring = np.concatenate([knots[-1:], knots, knots[:2]]) if closed else np.concatenate([knots[:1], knots, knots[-1:]])
    stretches = np.stack([ring[:-3], ring[1:-2], ring[2:-1], ring[3:]], axis=1)
    curve = np.einsum("tk,nkd->ntd", _catmull_rom_weights(samples), stretches).reshape(-1, 2)
    return curve if closed else np.concatenate([curve, knots[-1:]])


def mirrored(points: PointsLike) -> Points:
    """Gives the path left to right from its right half, whose first point lies on the middle line."""
    half = as_points(points)
    left = half[:0:-1] * (-1.0, 1.0)
    return np.concatenate([left, half])


@lru_cache(maxsize=16)
def _circle(count: int) -> Points:
    angle = np.arange(count) * (2 * np.pi / count)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def ellipse(x: float, y: float, rx: float, ry: float, *, turn: float = 0.0, count: int = 28) -> Points:
    """Gives the rim of an ellipse; ``turn`` is in radians, clockwise on the picture."""
    rim = _circle(count) * (rx, ry)
    if turn:
        cos, sin = np.cos(turn), np.sin(turn)
        rim = rim @ np.array([[cos, sin], [-sin, cos]])
    return translated(rim, x, y)


def ribbon(path: PointsLike, width: float | npt.ArrayLike) -> Points:
    """Gives the outline of a stroke along an open path.

    Args:
        path: Points of the middle line, shape (n, 2).
        width: One width for all, or one per point; a width of 0 makes a pointed end.
    """
    line = as_points(path)
    step = _steps(line)
    length = np.maximum(np.hypot(step[:, 0], step[:, 1]), 1e-6)
    reach = np.asarray(width, dtype=np.float64) / (2 * length)
    half = step[:, ::-1] * (-1.0, 1.0) * reach[:, None]
    return np.concatenate([line + half, (line - half)[::-1]])


def _steps(line: Points) -> Points:
    # np.gradient does the same five times slower on such short paths.
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
    """Gives a brush stroke that is ``width`` wide in the middle and thins to the shares ``start`` and ``end``."""
    line = as_points(path)
    return ribbon(line, width * _taper(len(line), start, end))


def interpolated(first: Points, second: Points, fraction: float) -> Points:
    """Gives the path that lies ``share`` of the way from one path to another of the same length."""
    return first + (second - first) * fraction


def resampled(path: PointsLike, count: int) -> Points:
    """Gives ``count`` points at equal distances along an open path."""
    line = as_points(path)
    step = np.hypot(*np.diff(line, axis=0).T)
    along = np.concatenate([[0.0], np.cumsum(step)])
    where = np.linspace(0.0, along[-1], count)
    return np.stack([np.interp(where, along, line[:, 0]), np.interp(where, along, line[:, 1])], axis=1)


def scalloped(path: PointsLike, bump: float, height: float) -> Points:
    """Gives a path with round bumps to its left-hand side, such as the rim of curly hair.

    Args:
        path: Open path.
        bump: Length of one bump along the path.
        height: How far a bump stands out.
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
