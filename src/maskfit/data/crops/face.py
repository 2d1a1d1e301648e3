"""The crop round a face: found by a detector, widened, turned level if wanted; without a face, a fallback."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import atan2, cos, degrees, isfinite, radians, sin
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from maskfit.data.boxes import ROUNDING_STEP, Box, CropBox, clip_box, fit_to_aspect
from maskfit.data.detectors import CachedDetector, Face, check_detector, load_detector, pin_detector_weights
from maskfit.registry import ComponentSpec

FaceSelection = Literal["largest", "central", "surest"]
MarginReference = Literal["face", "photo"]

MAX_MARGIN = 5.0
"""Widths of a face; more than that is no crop of a face."""

MAX_ROTATION = 45.0
"""Degrees; eyes that lie steeper than this are rather found wrongly."""

FULL_IMAGE: Box = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True)
class FaceCrop:
    """The box of a face with margins round it, in the network's aspect and inside the photo.

    Args:
        detector: A name of `DETECTORS`, or a part with its options: `{name: yunet, side: 640}`.
        weights: The detector's weights, a local file; left out, the published ones from the cache, or fetched once.
        sha256: Of the weights, as model files say it; `weights` is then only their name.
        left: Margin, in widths of the face.
        right: The same.
        top: Margin above, in heights of the face.
        bottom: The same below.
        of: What the margins are shares of: the face, or the photo.
        choose: Which of several faces: the largest, the most central, or the one the detector is surest of.
        align: Whether to turn the box so that the eyes are level, where the detector knows them. It is then not moved
            into the photo: what lies beyond repeats the photo's edge.
        squeeze: Whether to take the box as it is, clipped, and squeeze it into the network's aspect, instead of
            widening it to that aspect.
        fallback: Left, upper, right, lower in shares of the photo: what to look at where no face is found, fitted to
            the network's aspect in the same way.
    """

    detector: str | Mapping[str, Any] = "yunet"
    weights: str | None = None
    sha256: str | None = None
    left: float = 0.25
    right: float = 0.25
    top: float = 0.25
    bottom: float = 0.25
    scale_relative_to: MarginReference = "face"
    face_selection: FaceSelection = "largest"
    align: bool = False
    ignore_aspect: bool = False
    fallback: Sequence[float] = field(default=FULL_IMAGE)

    def __post_init__(self) -> None:
        for name in ("left", "right", "top", "bottom"):
            if not -0.4 <= getattr(self, name) <= MAX_MARGIN:
                raise ValueError(f"{name}={getattr(self, name)} must lie in -0.4 to {MAX_MARGIN:g}")
        for name, known in (
            ("scale_relative_to", get_args(MarginReference)),
            ("face_selection", get_args(FaceSelection)),
            ("align", (True, False)),
            ("ignore_aspect", (True, False)),
        ):
            if getattr(self, name) not in known:
                raise ValueError(f"{name}={getattr(self, name)!r} must be one of {', '.join(map(str, known))}")
        if len(self.fallback) != 4 or not all(isfinite(share) for share in self.fallback):
            raise ValueError(f"fallback={list(self.fallback)} must be left, upper, right, lower")
        left, upper, right, lower = self.fallback
        if not (0 <= left < right <= 1 and 0 <= upper < lower <= 1):
            raise ValueError(f"fallback={list(self.fallback)} must be shares of the photo, left < right, upper < lower")
        check_detector(self._part)

    @property
    def _part(self) -> ComponentSpec:
        return ComponentSpec.model_validate(self.detector)

    @cached_property
    def _finder(self) -> CachedDetector:
        return load_detector(self._part, pin_detector_weights(self._part, self.weights, self.sha256))

    def pinned(self) -> dict[str, Any]:
        """The options that say by content which weights are meant, and no place on this machine.

        Raises:
            DataError: The weights are not here and cannot be fetched, or cannot be read.
            MissingExtraError: The detector needs an extra.
        """
        weights = pin_detector_weights(self._part, self.weights, self.sha256)
        # Opened, not only looked for: before thousands of photos are decoded it should be known that it can be.
        load_detector(self._part, weights)
        return {} if weights is None else {"weights": weights.name, "sha256": weights.sha256}

    def detect_faces(self, photo: NDArray[np.uint8]) -> tuple[Face, ...]:
        """Every face on a photo, the one that is taken first."""
        height, width = photo.shape[:2]
        ways = {
            "largest": lambda face: -_area(face.box),
            "central": lambda face: _distance(face.box, width, height),
            "surest": lambda face: -face.score,
        }
        return tuple(sorted(self._finder.detect_one(photo), key=ways[self.face_selection]))

    def box(self, photo: NDArray[np.uint8], aspect: float) -> CropBox:
        return self.box_from_faces(self.detect_faces(photo), photo, aspect)

    def box_from_faces(self, faces: Sequence[Face], photo: NDArray[np.uint8], aspect: float) -> CropBox:
        """What is cut from a photo on which these faces were found.

        Args:
            faces: As `faces` gives them.
            photo: (height, width, 3).
            aspect: Width over height of the result; with `squeeze` it changes nothing.
        """
        height, width = photo.shape[:2]
        if not faces:
            shares = self.fallback
            box = (shares[0] * width, shares[1] * height, shares[2] * width, shares[3] * height)
            return CropBox(self._fitted(self._inner(box, aspect), aspect, width, height), fallback=True)
        left, upper, right, lower = faces[0].box
        across, down = (right - left, lower - upper) if self.scale_relative_to == "face" else (width, height)
        box = (
            left - self.left * across,
            upper - self.top * down,
            right + self.right * across,
            lower + self.bottom * down,
        )
        angle = _angle(faces[0]) if self.align else 0.0
        if angle:
            return CropBox(_turned(box, faces[0].box, angle, None if self.ignore_aspect else aspect), angle)
        return CropBox(self._fitted(box, aspect, width, height))

    def _inner(self, box: Box, aspect: float) -> Box:
        """The largest box of an aspect in the middle of a box: a fallback is not to grow beyond what it says."""
        left, upper, right, lower = box
        if self.ignore_aspect:
            return box
        wide = min(right - left, (lower - upper) * aspect)
        x, y = (left + right) / 2, (upper + lower) / 2
        return (x - wide / 2, y - wide / aspect / 2, x + wide / 2, y + wide / aspect / 2)

    def _fitted(self, box: Box, aspect: float, width: int, height: int) -> Box:
        return clip_box(box, width, height) if self.ignore_aspect else fit_to_aspect(box, aspect, width, height)


def level1_06(
    detector: str | Mapping[str, Any] = "mtcnn", weights: str | None = None, sha256: str | None = None
) -> FaceCrop:
    """Seed s3's crop: the largest box of MTCNN, 30 pixels wider to the left, right and below, 60 above, on photos of
    384 x 512, squeezed into the network's format; rows 86 to 426 and columns 64 to 320 where there is none.

    Here all of these are shares of the photo.
    """
    return FaceCrop(
        detector,
        weights,
        sha256,
        left=30 / 384,
        right=30 / 384,
        top=60 / 512,
        bottom=30 / 512,
        scale_relative_to="photo",
        ignore_aspect=True,
        fallback=(64 / 384, 86 / 512, 320 / 384, 426 / 512),
    )


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _distance(box: Box, width: int, height: int) -> float:
    return ((box[0] + box[2] - width) / width) ** 2 + ((box[1] + box[3] - height) / height) ** 2


def _angle(face: Face) -> float:
    """How far the line of the eyes falls to the right, in degrees, in steps that no machine's last bits reach."""
    if face.landmarks is None:
        return 0.0
    (x, y), (other_x, other_y) = face.landmarks[:2]
    angle = degrees(atan2(other_y - y, other_x - x))
    return round(angle / ROUNDING_STEP) * ROUNDING_STEP if abs(angle) <= MAX_ROTATION else 0.0


def _turned(box: Box, face: Box, angle: float, aspect: float | None) -> Box:
    """A box turned with its face about the face's middle, widened to an aspect; returned unturned about its own."""
    left, upper, right, lower = box
    wide, high = right - left, lower - upper
    if aspect is not None:
        wide, high = max(wide, high * aspect), max(high, wide / aspect)
    x, y = (face[0] + face[2]) / 2, (face[1] + face[3]) / 2
    across, down, turn = (left + right) / 2 - x, (upper + lower) / 2 - y, radians(angle)
    x, y = x + cos(turn) * across - sin(turn) * down, y + sin(turn) * across + cos(turn) * down
    edges = (x - wide / 2, y - high / 2, x + wide / 2, y + high / 2)
    low_x, low_y, high_x, high_y = (round(edge / ROUNDING_STEP) * ROUNDING_STEP for edge in edges)
    return (low_x, low_y, max(high_x, low_x + 1), max(high_y, low_y + 1))
