"""A mean head in space, turned until its features meet those of a photo.

Head coordinates: one unit is the distance between the pupils of a face seen from the front, x to the right of the
picture, y down with the eyes at 0, z towards the viewer. The proportions are those of adults in textbooks of
anthropometry: pupils 63 mm apart, cheekbones 135 mm, eyes to chin 115 mm.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskfit.synthesis.landmarks import Landmarks

Array = NDArray[np.float64]

FEATURES = np.array(
    [
        (-0.50, 0.00, 0.00),
        (0.50, 0.00, 0.00),
        (0.00, 0.60, 0.52),
        (-0.40, 1.14, 0.16),
        (0.40, 1.14, 0.16),
        (0.00, 1.80, 0.20),
    ]
)
"""Eyes, tip of the nose, corners of the mouth and chin of the mean head."""

EAR = np.array((1.12, 0.22, -1.22))
"""Where the right ear joins the head, at the height of its middle."""

_START = np.array((0.0, 0.0, 0.0, 1.0))
_SPREAD = np.array((0.6, 0.11, 1.5, 0.08))
"""Yaw, pitch, roll in radians and the face's stretch: the mean head's own, and how far faces spread about them."""

_NOISE = 0.06
"""How far features of people lie from the mean head's, in head units."""

_STEPS = 12


def surface_depth(x: Array, y: Array) -> Array:
    """How far the head's surface stands out at a place, without the nose: a tube that narrows to the chin."""
    half = 1.15 - 0.26 * np.clip((y - 0.8) / 1.0, 0, 1.2)
    round_off = np.sqrt(np.clip(1 - (x / half) ** 2, 0.0, 1.0))
    recede = 0.10 * np.clip((y - 0.9) / 0.9, 0, None) ** 2 + 1.1 * np.clip(y - 1.78, 0, None)
    depth: Array = -1.63 + 1.88 * round_off - recede
    return depth


@dataclass(frozen=True)
class HeadPose:
    """How the mean head lies on a photo.

    Attributes:
        rotation: From head to camera coordinates, shape (3, 3).
        unit: Pixels of one head unit.
        stretch: Factor on heights below the eyes.
        origin: Pixel of the point between the eyes.
        knots: Pixels of the features of the turned head, shape (features, 2).
        pulls: How far from there the photo's own features lie, in pixels.
        yaw: Radians; positive where the head is turned to the right of the picture.
    """

    rotation: Array
    unit: float
    stretch: float
    origin: Array
    anchors: Array
    offsets: Array
    yaw: float

    def rotate(self, points: Array) -> Array:
        """Camera coordinates of head points, (..., 3) to (..., 3): head units, z towards the viewer."""
        rotated: Array = (points * (1.0, self.stretch, 1.0)) @ self.rotation.T
        return rotated

    def to_pixels(self, rotated: Array) -> Array:
        """Pixels of camera coordinates, (..., 3) to (..., 2), bent so that features meet the photo's own."""
        flat = rotated[..., :2] * self.unit + self.origin
        apart = flat[..., None, :] - self.anchors
        weight = np.exp(-(apart**2).sum(-1) / (2 * (0.55 * self.unit) ** 2))
        # The 0.25 lets go of the features' pull where none is near: jaw and ears stay those of the mean head.
        bend = (weight[..., None] * self.offsets).sum(-2) / (weight.sum(-1)[..., None] + 0.25)
        pixels: Array = flat + bend
        return pixels

    def project(self, points: Array) -> Array:
        """Pixels of head points, (..., 3) to (..., 2)."""
        return self.to_pixels(self.rotate(points))

    def project_surface(self, x: Array, y: Array) -> Array:
        """Pixels of places on the head's surface."""
        return self.project(np.stack([x, y, surface_depth(x, y)], axis=-1))


def fit_pose(landmarks: Landmarks) -> HeadPose:
    """Turns the mean head so that its features come near the photo's; what remains is bent away.

    The fit weighs the features' distances against how far faces usually turn and how much they differ in length: five
    points alone do not tell a lowered head from a short nose. Scale and place follow from each turn by least squares.
    """
    seen = landmarks.points
    model = FEATURES[: len(seen)]
    across, down = seen[1] - seen[0], seen[3:5].mean(0) - seen[:2].mean(0)
    state = _START.copy()
    # From the line of the eyes and that of the middle together: for a face in profile either alone is frail.
    state[2] = np.arctan2(across[1] - down[0], across[0] + down[1])

    def misses(values: Array) -> Array:
        flat, _, _ = _project(model, values, seen)
        unit = np.hypot(*(seen - seen.mean(0)).T).mean()
        return np.concatenate([((flat - seen) / (unit * _NOISE)).ravel(), (values - _START) / _SPREAD])

    for _ in range(_STEPS):
        error = misses(state)
        slopes = np.stack([(misses(state + step) - error) / 1e-4 for step in np.eye(4) * 1e-4], axis=1)
        state = state - np.linalg.solve(slopes.T @ slopes + 1e-3 * np.eye(4), slopes.T @ error)
        state[:2] = np.clip(state[:2], (-1.25, -0.6), (1.25, 0.6))
    flat, unit, origin = _project(model, state, seen)
    return HeadPose(_rotation(state), unit, float(state[3]), origin, flat, seen - flat, float(state[0]))


def _rotation(state: Array) -> Array:
    yaw, pitch, roll = state[:3]
    across = np.array([(np.cos(yaw), 0, np.sin(yaw)), (0, 1, 0), (-np.sin(yaw), 0, np.cos(yaw))])
    nod = np.array([(1, 0, 0), (0, np.cos(pitch), np.sin(pitch)), (0, -np.sin(pitch), np.cos(pitch))])
    lean = np.array([(np.cos(roll), -np.sin(roll), 0), (np.sin(roll), np.cos(roll), 0), (0, 0, 1)])
    rotation: Array = lean @ nod @ across
    return rotation


def _project(model: Array, state: Array, seen: Array) -> tuple[Array, float, Array]:
    """Pixels of the turned features where they fit the seen ones best, the unit, and the pixel of the origin."""
    flat = ((model * (1.0, state[3], 1.0)) @ _rotation(state).T)[:, :2]
    middle, target = flat.mean(0), seen.mean(0)
    unit = float(((flat - middle) * (seen - target)).sum() / ((flat - middle) ** 2).sum())
    return (flat - middle) * unit + target, unit, target - middle * unit
