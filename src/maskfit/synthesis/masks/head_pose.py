"""Head pose: a mean head in 3D, rotated until its features match the landmarks of a photo.

Head coordinates: one unit is the distance between the pupils of a frontal face, x to the right of the image, y down
with the eyes at 0, z towards the viewer. The proportions are those of adults in anthropometry textbooks: pupils 63 mm
apart, cheekbones 135 mm, eyes to chin 115 mm.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskfit.synthesis.landmarks import Landmarks

Array = NDArray[np.float64]
"""A float64 array."""

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
"""Head coordinates of eyes, tip of the nose, corners of the mouth and chin of the mean head, shape (6, 3)."""

EAR = np.array((1.12, 0.22, -1.22))
"""Head coordinates of the point where the right ear joins the head, at half its height."""

_START = np.array((0.0, 0.0, 0.0, 1.0))
"""Mean yaw, pitch and roll in radians, and vertical stretch."""
_SPREAD = np.array((0.6, 0.11, 1.5, 0.08))
"""Standard deviations of yaw, pitch and roll in radians and of the vertical stretch, about the mean `_START`."""

_NOISE = 0.06
"""Standard deviation of people's features about those of the mean head, in head units."""

_STEPS = 12
"""Gauss-Newton iterations."""


def surface_depth(x: Array, y: Array) -> Array:
    """Computes the depth z of the head's surface without the nose: a tube that narrows towards the chin.

    Args:
        x: Head coordinates, any shape.
        y: Head coordinates, of the same shape.

    Returns:
        Depth in head units, of the same shape.
    """
    half = 1.15 - 0.26 * np.clip((y - 0.8) / 1.0, 0, 1.2)
    round_off = np.sqrt(np.clip(1 - (x / half) ** 2, 0.0, 1.0))
    recede = 0.10 * np.clip((y - 0.9) / 0.9, 0, None) ** 2 + 1.1 * np.clip(y - 1.78, 0, None)
    depth: Array = -1.63 + 1.88 * round_off - recede
    return depth


@dataclass(frozen=True)
class HeadPose:
    """Pose of the mean head on a photo.

    Attributes:
        rotation: Rotation from head to camera coordinates, shape (3, 3).
        unit: Pixels per head unit.
        stretch: Vertical scale of the face.
        origin: Pixel of the point between the eyes, shape (2,).
        anchors: Pixels of the rotated head's features, shape (features, 2).
        offsets: Offsets from there to the photo's landmarks in pixels, shape (features, 2).
        yaw: Radians; positive where the head is turned to the right of the image.
    """

    rotation: Array
    unit: float
    stretch: float
    origin: Array
    anchors: Array
    offsets: Array
    yaw: float

    def rotate(self, points: Array) -> Array:
        """Transforms head coordinates into camera coordinates.

        Args:
            points: Head coordinates, shape (..., 3).

        Returns:
            Camera coordinates in head units, z towards the viewer, shape (..., 3).
        """
        rotated: Array = (points * (1.0, self.stretch, 1.0)) @ self.rotation.T
        return rotated

    def to_pixels(self, rotated: Array) -> Array:
        """Projects camera coordinates to pixels, warped so that features meet the photo's landmarks.

        Args:
            rotated: Camera coordinates, shape (..., 3).

        Returns:
            Pixels, shape (..., 2).
        """
        flat = rotated[..., :2] * self.unit + self.origin
        apart = flat[..., None, :] - self.anchors
        weight = np.exp(-(apart**2).sum(-1) / (2 * (0.55 * self.unit) ** 2))
        # The 0.25 fades the offsets out where no feature is near: jaw and ears stay those of the mean head.
        bend = (weight[..., None] * self.offsets).sum(-2) / (weight.sum(-1)[..., None] + 0.25)
        pixels: Array = flat + bend
        return pixels

    def project(self, points: Array) -> Array:
        """Projects head coordinates, shape (..., 3), to pixels, shape (..., 2)."""
        return self.to_pixels(self.rotate(points))

    def project_surface(self, x: Array, y: Array) -> Array:
        """Projects points on the head's surface to pixels.

        Args:
            x: Head coordinates, any shape.
            y: Head coordinates, of the same shape.

        Returns:
            Pixels, shape (..., 2).
        """
        return self.project(np.stack([x, y, surface_depth(x, y)], axis=-1))


def fit_pose(landmarks: Landmarks) -> HeadPose:
    """Fits the mean head's pose to landmarks by regularized least squares; residuals become a local warp.

    The fit weighs the features' distances against how far heads usually turn and how much faces differ in length: five
    points alone do not distinguish a lowered head from a short nose. Scale and position follow from each rotation by
    least
    squares.

    Args:
        landmarks: Landmarks on the photo, with or without the chin.

    Returns:
        The pose.
    """
    seen = landmarks.points
    model = FEATURES[: len(seen)]
    across, down = seen[1] - seen[0], seen[3:5].mean(0) - seen[:2].mean(0)
    state = _START.copy()
    # Roll from the line of the eyes and the midline together: for a face in profile either alone is unreliable.
    state[2] = np.arctan2(across[1] - down[0], across[0] + down[1])

    def residuals(values: Array) -> Array:
        flat, _, _ = _project(model, values, seen)
        unit = np.hypot(*(seen - seen.mean(0)).T).mean()
        return np.concatenate([((flat - seen) / (unit * _NOISE)).ravel(), (values - _START) / _SPREAD])

    for _ in range(_STEPS):
        error = residuals(state)
        jacobian = np.stack([(residuals(state + step) - error) / 1e-4 for step in np.eye(4) * 1e-4], axis=1)
        state = state - np.linalg.solve(jacobian.T @ jacobian + 1e-3 * np.eye(4), jacobian.T @ error)
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
    """Returns the pixels of the rotated features at their best fit, pixels per unit, and the origin's pixel."""
    flat = ((model * (1.0, state[3], 1.0)) @ _rotation(state).T)[:, :2]
    middle, target = flat.mean(0), seen.mean(0)
    unit = float(((flat - middle) * (seen - target)).sum() / ((flat - middle) ** 2).sum())
    return (flat - middle) * unit + target, unit, target - middle * unit
