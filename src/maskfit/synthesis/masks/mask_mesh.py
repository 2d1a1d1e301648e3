"""A mask as a 3D mesh: rims from the tables, a bulge by shape, rotated with the head."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from maskfit.synthesis.drawn.curves import mirrored, resampled, spline
from maskfit.synthesis.masks.head_pose import EAR, Array, HeadPose, surface_depth
from maskfit.synthesis.masks.mask_sampling import MaskInstance
from maskfit.synthesis.masks.mask_types import MASK_TYPES, WEARING_STYLES, Half

ACROSS, DOWN = 49, 33
"""Knots of the mesh from left to right, and from the upper to the lower rim."""

_GAP = 0.045
"""Distance of the mask's inside from the skin, in head units."""


@dataclass(frozen=True)
class MaskMesh:
    """Mesh of a mask on a photo; arrays have the shape (DOWN, ACROSS, ...).

    Attributes:
        head: Vertices in head coordinates, shape (DOWN, ACROSS, 3).
        pixels: Vertices in pixels of the photo, shape (DOWN, ACROSS, 2).
        normals: Unit normals in camera coordinates, shape (DOWN, ACROSS, 3).
        straps: Polylines of the straps from the mask to the ear, each (points, 3) in head coordinates.
    """

    head: Array
    pixels: Array
    normals: Array
    straps: tuple[Array, ...]

    @property
    def faces(self) -> NDArray[np.bool_]:
        """Cells whose outside faces the camera, bool of shape (DOWN - 1, ACROSS - 1)."""
        inner = self.normals[:, :, 2]
        cells = (inner[1:, 1:] + inner[:-1, 1:] + inner[1:, :-1] + inner[:-1, :-1]) / 4
        return np.asarray(cells > 0.02)

    def translated(self, right: float, down: float) -> MaskMesh:
        """Returns the mesh shifted on the photo.

        Args:
            right: Shift in pixels.
            down: Shift in pixels.

        Returns:
            A new mesh; `head`, `normals` and `straps` are shared.
        """
        return replace(self, pixels=self.pixels + np.array((right, down)))


def build_mesh(instance: MaskInstance, pose: HeadPose) -> MaskMesh:
    """Builds the mesh of a mask on the mean head, rotated and projected by the photo's head pose.

    Args:
        instance: Mask and how it is worn.
        pose: Head pose on the photo.

    Returns:
        The mesh.
    """
    style = WEARING_STYLES[instance.style]
    head = _dangling_vertices(instance) if style.hangs else _worn_vertices(instance)
    rotated = pose.rotate(head)
    normals = np.cross(np.gradient(rotated, axis=1), np.gradient(rotated, axis=0))
    length = np.linalg.norm(normals, axis=-1, keepdims=True)
    return MaskMesh(head, pose.to_pixels(rotated), normals / np.maximum(length, 1e-9), _straps(instance, head))


def _worn_vertices(instance: MaskInstance) -> Array:
    kind, style = MASK_TYPES[instance.kind], WEARING_STYLES[instance.style]
    upper = _rim(kind.upper, style.upper, instance)
    lower = _rim(kind.lower, style.lower, instance)
    down = np.linspace(0, 1, DOWN)[:, None, None]
    flat = upper + (lower - upper) * down
    x, y = flat[..., 0], flat[..., 1]
    # The bulge belongs to the mask and moves with it; it must clear the nose where the mask still covers it.
    slip = style.upper[0] + instance.shift_y
    across = np.linspace(-1, 1, ACROSS)[None, :] * np.ones((DOWN, 1))
    depth = surface_depth(x, y) + _GAP + SHAPES[kind.shape](across, down[..., 0] * np.ones((1, ACROSS)), slip)
    return np.stack([x, y, depth], axis=-1)


def _rim(half: Half, slip: tuple[float, float], instance: MaskInstance) -> Array:
    path = spline(mirrored(half))
    reach = np.abs(path[:, 0]).max()
    fraction = np.abs(path[:, 0]) / reach
    path[:, 1] += instance.shift_y + slip[0] + (slip[1] - slip[0]) * fraction**1.3
    path[:, 0] *= instance.scale * WEARING_STYLES[instance.style].width
    path[:, 1] += instance.tilt * path[:, 0]
    path[:, 0] += instance.shift_x * (1 - fraction**2)
    return resampled(path, ACROSS)


def _nose(down: Array, slip: float) -> Array:
    """Computes how much nose and lips lift the mesh at each height: fully, or little once it has slipped below them."""
    high = np.interp(down, (0.0, 0.22, 0.50, 0.80, 1.0), (0.14, 0.40, 0.36, 0.16, 0.03))
    low = np.interp(down, (0.0, 0.3, 0.7, 1.0), (0.16, 0.20, 0.12, 0.03))
    fraction = float(np.clip((slip - 0.1) / 0.5, 0, 1))
    risen: Array = high + (low - high) * fraction
    return risen


def _tent(across: Array, down: Array, slip: float) -> Array:
    sides = 0.10 * np.sin(np.pi * np.clip(down, 0, 1)) * (1 - across**2)
    return _nose(down, slip) * np.exp(-((across / 0.46) ** 2)) + sides


def _flat(across: Array, down: Array, slip: float) -> Array:
    return _nose(down, slip) * 0.9 * np.exp(-((across / 0.52) ** 2)) + 0.04 * (1 - across**2)


def _beak(across: Array, down: Array, slip: float) -> Array:
    ridge = np.interp(down, (0.0, 0.18, 0.45, 0.75, 1.0), (0.16, 0.44, 0.58, 0.36, 0.06))
    bulge: Array = ridge * (1 - 0.35 * np.clip(slip, 0, 1)) * np.clip(1 - np.hypot(across, 0.04) / 0.98, 0, None) ** 1.1
    return bulge


def _cup(across: Array, down: Array, slip: float) -> Array:
    around = (across / 1.02) ** 2 + ((down - 0.52) / 0.54) ** 2
    bulge: Array = 0.05 + 0.56 * np.sqrt(np.clip(1 - around, 0, 1)) * (1 - 0.2 * np.clip(slip, 0, 1))
    return bulge


def _seam(across: Array, down: Array, slip: float) -> Array:
    return _nose(down, slip) * 1.18 * np.clip(1 - np.hypot(across, 0.10) / 0.95, 0, None) ** 1.25


def _cling(across: Array, down: Array, slip: float) -> Array:
    return _nose(down, slip) * 1.06 * np.clip(1 - np.hypot(across, 0.06) / 0.72, 0, None) ** 1.35


SHAPES: dict[str, Callable[[Array, Array, float], Array]] = {
    "tent": _tent,
    "flat": _flat,
    "beak": _beak,
    "cup": _cup,
    "seam": _seam,
    "cling": _cling,
}
"""Bulge of each shape off the head: (across -1 to 1, down 0 to 1, slip in head units) to depth in head units."""


def _dangling_vertices(instance: MaskInstance) -> Array:
    """Builds a mask that hangs from one ear: its long side vertical, seen half from the side."""
    rng = np.random.default_rng(instance.seed)
    sway, open_ = rng.uniform(-0.10, 0.10), rng.uniform(0.30, 0.46)
    along = np.linspace(0, 1, ACROSS)[None, :]
    wide = np.linspace(-1, 1, DOWN)[:, None]
    hollow = np.sin(np.pi * along) ** 0.6
    x = 1.10 + sway * along + wide * open_ * (0.55 + 0.45 * hollow) - 0.04 * wide**2
    y = 0.62 + 1.28 * along + 0.07 * wide * (1 - 2 * along) + 0 * x
    z = -0.95 + 0.10 * hollow * (1 - wide**2) + 0 * x
    # The first side must stay on the left of the second one, or the outside would face away from the camera.
    grid = np.stack([instance.side * x, y, z], axis=-1)
    return grid if instance.side < 0 else grid[::-1]


def _straps(instance: MaskInstance, head: Array) -> tuple[Array, ...]:
    kind, style = MASK_TYPES[instance.kind], WEARING_STYLES[instance.style]
    if kind.straps == "none":
        return ()
    if style.hangs:
        ear = EAR * (instance.side, 1, 1)
        ends = head[(3, -4), 0]
        tips = head[(3, -4), -1]
        sag = (tips[0] + tips[1]) / 2 + (0.04, 0.36, 0)
        up = tuple(_curve(end, (end + ear) / 2 + (0, -0.06, 0.05), ear - (0, 0.1, 0)) for end in ends)
        return (*up, _curve(tips[0], (tips[0] + sag) / 2 + (0, 0.1, 0), sag), _curve(tips[1], (tips[1] + sag) / 2, sag))
    lines = []
    for side, column in ((-1, 0), (1, ACROSS - 1)):
        ear = EAR * (side, 1, 1)
        top, low = head[1, column], head[DOWN - 2, column]
        if kind.straps == "bands":
            back = np.array((side * 1.18, -0.55, -1.2)), np.array((side * 1.12, 0.85, -1.3))
            lines += [_over_skin(top, back[0]), _over_skin(low, back[1])]
        else:
            lines += [_over_skin(top, ear - (0, 0.20, 0)), _over_skin(low, ear - (0, -0.22, 0))]
    return tuple(lines)


def _curve(first: Array, bend: Array, last: Array) -> Array:
    return _polynomial_curve([tuple(first), tuple(bend), tuple(last)])


def _polynomial_curve(points: list[tuple[float, ...]]) -> Array:
    """Returns a smooth polyline of 25 points through points in space."""
    knots = np.array(points)
    where = np.linspace(0, 1, len(knots))
    fine = np.linspace(0, 1, 25)
    fit = np.polyfit(where, knots, len(knots) - 1)
    return np.stack([np.polyval(fit[:, axis], fine) for axis in range(3)], axis=-1)


def _over_skin(first: Array, last: Array) -> Array:
    """Returns a polyline from mask to ear that follows the head where a straight one would cut through it."""
    line = first + (last - first) * np.linspace(0, 1, 25)[:, None]
    line[:, 2] = np.maximum(line[:, 2], surface_depth(line[:, 0], line[:, 1]) + 0.02)
    return line


@lru_cache(maxsize=32)
def interpolation_weights(fine: int, coarse: int) -> Array:
    """Computes the weights of linear interpolation between evenly spaced knots.

    Args:
        fine: Number of samples.
        coarse: Number of knots, >= 2.

    Returns:
        Read-only array of shape (fine, coarse).
    """
    where = np.linspace(0, coarse - 1, fine)
    low = np.minimum(where.astype(int), coarse - 2)
    weights = np.zeros((fine, coarse))
    weights[np.arange(fine), low] = 1 - (where - low)
    weights[np.arange(fine), low + 1] = where - low
    weights.flags.writeable = False
    return weights


def upsample(grid: Array, rows: int, columns: int) -> Array:
    """Upsamples a grid bilinearly.

    Args:
        grid: Values of shape (DOWN, ACROSS, channels).
        rows: Number of rows of the result.
        columns: Number of columns of the result.

    Returns:
        Values of shape (rows, columns, channels).
    """
    finer: Array = np.einsum(
        "rd,dac,ka->rkc",
        interpolation_weights(rows, grid.shape[0]),
        grid,
        interpolation_weights(columns, grid.shape[1]),
        optimize=True,
    )
    return finer
