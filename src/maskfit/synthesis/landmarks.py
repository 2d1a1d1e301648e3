"""Facial landmarks of a photo: the five points of common face detectors and, where known, the chin."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Landmarks:
    """Facial landmarks in pixels of the photo; left and right are those of the image, not of the person.

    Attributes:
        left_eye: Center of the eye on the left.
        right_eye: Center of the eye on the right.
        nose: Tip of the nose.
        mouth_left: Corner of the mouth on the left.
        mouth_right: Corner of the mouth on the right.
        chin: Lowest point of the chin; None where it has to be estimated.
    """

    left_eye: Point
    right_eye: Point
    nose: Point
    mouth_left: Point
    mouth_right: Point
    chin: Point | None = None

    @property
    def points(self) -> NDArray[np.float64]:
        """The five points in the order of the fields, then the chin where known: float64 array of shape (5 or 6, 2)."""
        five = [self.left_eye, self.right_eye, self.nose, self.mouth_left, self.mouth_right]
        return np.array([*five, self.chin] if self.chin is not None else five, dtype=np.float64)

    @property
    def invalid_reason(self) -> str:
        """Why these points cannot belong to a usable face, such as a mouth above the eyes; "" where they can."""
        left, right, nose, mouth_left, mouth_right = self.points[:5]
        if not np.isfinite(self.points).all():
            return "a landmark is not a finite number"
        across, down = right - left, (mouth_left + mouth_right - left - right) / 2
        eyes, drop = float(np.hypot(*across)), float(np.hypot(*down))
        if eyes < 8:
            return f"the eyes are {eyes:.0f} pixels apart; a mask needs at least 8"
        if across[0] * down[1] - across[1] * down[0] <= 0 or drop < 0.4 * eyes:
            return "the mouth is not below the eyes"
        if drop > 3.2 * eyes:
            return "the head is turned too far to the side"
        along = float((nose - (left + right) / 2) @ down) / drop**2
        return "" if 0 < along < 1.1 else "the nose is not between eyes and mouth"
