"""Crop around a detected face, with margins and optional alignment by the eyes; a fallback box without a face."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from inspect import signature
from math import atan2, ceil, cos, degrees, floor, isfinite, radians, sin
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from maskfit.data.boxes import ROUNDING_STEP, Box, CropBox, clip_box, fit_to_aspect
from maskfit.data.detectors import (
    DETECTORS,
    CachedDetector,
    Face,
    check_detector,
    find_local_detector,
    load_detector,
    pin_detector_weights,
)
from maskfit.data.detectors.recognition import recognize_detector
from maskfit.pretrained_weights import DETECTOR_CACHE, use_file
from maskfit.registry import ComponentSpec

FaceSelection = Literal["largest", "central", "surest"]
MarginReference = Literal["face", "photo"]

MAX_MARGIN = 5.0
"""Maximum margin in face widths or heights; with more the crop would show little of the face."""

MAX_ROTATION = 45.0
"""Maximum alignment angle in degrees; a steeper eye line is more likely a wrong detection."""

FULL_IMAGE: Box = (0.0, 0.0, 1.0, 1.0)
"""The whole photo, in fractions of its size."""


PHOTO_SIDE = 640
"""Longer side in pixels, at least, at which the default detector sees photos that may show many people. Decoding a
larger photo takes longer than this adds."""

FACE_WIDTH, FACE_HEIGHT = 0.53, 0.51
"""Mean width and height of a face as fractions of the photo, measured on photos in the competition's layout."""

PORTRAIT_ASPECT = 3 / 4
"""Width / height of the competition's photos."""


@dataclass(frozen=True)
class FaceCrop:
    """The box of a face with margins, widened to the network's aspect ratio and moved inside the photo.

    Args:
        detector: A name of `DETECTORS`, or a component with options: `{name: yunet, side: 640}`.
        weights: Local file with the detector's weights; by default the published ones: those that ship with maskfit, or
            those of the cache, downloaded once.
        sha256: SHA-256 of the weights, as model files store it; `weights` is then only their file name.
        left: Left margin as a fraction of the face's width, in -0.4 to 5.
        right: Right margin as a fraction of the face's width, in -0.4 to 5.
        top: Top margin as a fraction of the face's height, in -0.4 to 5.
        bottom: Bottom margin as a fraction of the face's height, in -0.4 to 5.
        scale_relative_to: Whether the margins are fractions of the size of the `face` or of the `photo`.
        face_selection: Which of several faces to crop: the `largest`, the most `central`, or the `surest` (highest
            detection score).
        align: Whether to rotate the box so that the eyes are level, where the detector gives landmarks. A rotated box
            is not moved inside the photo; edge pixels are repeated beyond it.
        ignore_aspect: Whether to clip the box instead of widening it to the network's aspect ratio, and to resize it
            non-uniformly.
        fallback: Box to crop where no face is found: left, upper, right, lower as fractions of the photo, fitted to
            the network's aspect ratio in the same way.

    Raises:
        ValueError: An option is out of range or not one of its choices.
        RecipeError: The detector or one of its options is unknown.
    """

    detector: str | Mapping[str, Any] = "bundled"
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

    @property
    def detector_name(self) -> str:
        """Name of the detector in `DETECTORS`."""
        return ComponentSpec.model_validate(self.detector).name

    @property
    def side(self) -> int | None:
        """The detector's option `side`: longer side in pixels at which it sees a photo; None where it has none."""
        parameter = signature(DETECTORS[self.detector_name]).parameters.get("side")
        return None if parameter is None else int(self._spec.options.get("side", parameter.default))

    @property
    def min_score(self) -> float | None:
        """The detector's option `score`: the lowest score of a face; None where it has none."""
        parameter = signature(DETECTORS[self.detector_name]).parameters.get("score")
        return None if parameter is None else float(self._spec.options.get("score", parameter.default))

    def with_side(self, side: int) -> FaceCrop:
        """Returns a crop whose detector sees photos at another size.

        Args:
            side: Longer side in pixels.

        Returns:
            The crop.

        Raises:
            RecipeError: The detector has no such option.
        """
        spec = self._spec
        return replace(self, detector={**spec.options, "name": spec.name, "side": side})

    def __post_init__(self) -> None:
        for name in ("left", "right", "top", "bottom"):
            if not -0.4 <= getattr(self, name) <= MAX_MARGIN:
                raise ValueError(f"{name}={getattr(self, name)} must lie in -0.4 to {MAX_MARGIN:g}")
        for name, choices in (
            ("scale_relative_to", get_args(MarginReference)),
            ("face_selection", get_args(FaceSelection)),
            ("align", (True, False)),
            ("ignore_aspect", (True, False)),
        ):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name}={getattr(self, name)!r} must be one of {', '.join(map(str, choices))}")
        if len(self.fallback) != 4 or not all(isfinite(edge) for edge in self.fallback):
            raise ValueError(f"fallback={list(self.fallback)} must be left, upper, right, lower")
        left, upper, right, lower = self.fallback
        if not (0 <= left < right <= 1 and 0 <= upper < lower <= 1):
            raise ValueError(
                f"fallback={list(self.fallback)} must be fractions of the photo in 0 to 1, left < right, upper < lower"
            )
        check_detector(self._spec)

    @property
    def _spec(self) -> ComponentSpec:
        return ComponentSpec.model_validate(self.detector)

    @cached_property
    def _detector(self) -> CachedDetector:
        return load_detector(self._spec, pin_detector_weights(self._spec, self.weights, self.sha256))

    def pinned(self) -> dict[str, Any]:
        """Returns the options that name the detector, and its weights by their SHA-256 instead of a local path.

        Returns:
            `detector`, as a later version may have another default, `weights` (file name) and `sha256`; without the
            last two for a detector without separate weights.

        Raises:
            DataError: The weights are missing and cannot be downloaded, or cannot be read.
            MissingExtraError: The detector needs an extra.
        """
        weights = pin_detector_weights(self._spec, self.weights, self.sha256)
        # Loaded, not only located: a detector that cannot run must fail before thousands of photos are decoded.
        load_detector(self._spec, weights)
        named: dict[str, Any] = {"detector": self._spec.model_dump(mode="json")}
        return named if weights is None else {**named, "weights": weights.name, "sha256": weights.sha256}

    def detect_faces(self, photo: NDArray[np.uint8], keep: bool = True) -> tuple[Face, ...]:
        """Detects all faces on a photo.

        Args:
            photo: Image of shape (height, width, 3).
            keep: Whether the same pixels may come again, so that the faces are kept.

        Returns:
            The faces sorted by `face_selection`; the first one is cropped.
        """
        height, width = photo.shape[:2]
        sort_keys = {
            "largest": lambda face: -_area(face.box),
            "central": lambda face: _distance_to_center(face.box, width, height),
            "surest": lambda face: -face.score,
        }
        return tuple(sorted(self._detector.detect_one(photo, keep), key=sort_keys[self.face_selection]))

    def box(self, photo: NDArray[np.uint8], aspect: float) -> CropBox:
        """Returns the box around the selected face.

        Args:
            photo: Image of shape (height, width, 3).
            aspect: Width / height of the network's input; not used with `ignore_aspect`.

        Returns:
            The crop box.
        """
        return self.box_from_faces(self.detect_faces(photo), photo, aspect)

    def box_from_faces(self, faces: Sequence[Face], photo: NDArray[np.uint8], aspect: float) -> CropBox:
        """Returns the box around the first of the detected faces.

        Args:
            faces: Result of `detect_faces`.
            photo: Image of shape (height, width, 3).
            aspect: Width / height of the network's input; not used with `ignore_aspect`.

        Returns:
            The crop box; the fallback box where `faces` is empty.
        """
        height, width = photo.shape[:2]
        if not faces:
            edges = self.fallback
            box = (edges[0] * width, edges[1] * height, edges[2] * width, edges[3] * height)
            return CropBox(self._fit(self._shrink_to_aspect(box, aspect), aspect, width, height), fallback=True)
        left, upper, right, lower = faces[0].box
        unit_x, unit_y = (right - left, lower - upper) if self.scale_relative_to == "face" else (width, height)
        box = (
            left - self.left * unit_x,
            upper - self.top * unit_y,
            right + self.right * unit_x,
            lower + self.bottom * unit_y,
        )
        angle = _eye_angle(faces[0]) if self.align else 0.0
        if angle:
            return CropBox(_rotate_about_face(box, faces[0].box, angle, None if self.ignore_aspect else aspect), angle)
        return CropBox(self._fit(box, aspect, width, height))

    def _shrink_to_aspect(self, box: Box, aspect: float) -> Box:
        """The largest centered box of an aspect ratio inside a box, so that a fallback never exceeds its setting."""
        left, upper, right, lower = box
        if self.ignore_aspect:
            return box
        box_width = min(right - left, (lower - upper) * aspect)
        x, y = (left + right) / 2, (upper + lower) / 2
        return (x - box_width / 2, y - box_width / aspect / 2, x + box_width / 2, y + box_width / aspect / 2)

    def _fit(self, box: Box, aspect: float, width: int, height: int) -> Box:
        return clip_box(box, width, height) if self.ignore_aspect else fit_to_aspect(box, aspect, width, height)


def level1_06(
    detector: str | Mapping[str, Any] = "mtcnn", weights: str | None = None, sha256: str | None = None
) -> FaceCrop:
    """Builds the crop of project level1-06: the largest MTCNN box with fixed margins, resized non-uniformly.

    On 384 x 512 photos the margins are 30 pixels left, right and below and 60 above; without a face, rows 86 to 426
    and columns 64 to 320 are cropped. Here all of these are fractions of the photo's size.

    Args:
        detector: As for `FaceCrop`.
        weights: As for `FaceCrop`.
        sha256: As for `FaceCrop`.

    Returns:
        The configured face crop.
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


class HasBox(Protocol):
    """Interface of `crops.Crop`, repeated here because `crops` imports this package's modules."""

    def box(self, photo: NDArray[np.uint8], aspect: float) -> Box | CropBox:
        """Returns the region of a photo to crop; see `crops.Crop.box`.

        Args:
            photo: Image of shape (height, width, 3).
            aspect: Width / height of the network's input.

        Returns:
            The box.
        """
        ...


def crop_single_face(crop: HasBox, photo: NDArray[np.uint8], face: Face, aspect: float) -> CropBox:
    """Returns the crop box for one of possibly several faces on a photo.

    A face crop uses the given face. Any other crop was trained on portraits, so it is applied to a portrait: the part
    of the photo in which the face is as large and as central as on the competition's photos.

    Args:
        crop: A crop of `crops.CROPS`.
        photo: Image of shape (height, width, 3).
        face: A face that a detector found on it.
        aspect: Width / height of the network's input.

    Returns:
        The crop box in pixels of the photo.
    """
    if isinstance(crop, FaceCrop):
        return crop.box_from_faces([face], photo, aspect)
    left, upper, right, lower = portrait_around(face.box, photo.shape[1], photo.shape[0])
    found = crop.box(photo[upper:lower, left:right], aspect)
    crop_box = found if isinstance(found, CropBox) else CropBox(found)
    box = crop_box.box
    return replace(crop_box, box=(box[0] + left, box[1] + upper, box[2] + left, box[3] + upper))


def portrait_around(box: Box, width: int, height: int) -> tuple[int, int, int, int]:
    """Returns the part of a photo in which a face is as large and central as on the competition's photos.

    Args:
        box: The face: left, upper, right, lower in pixels.
        width: Width of the photo in pixels.
        height: Height of the photo in pixels.

    Returns:
        Left, upper, right, lower in whole pixels, clipped to the photo.
    """
    portrait_height = max((box[3] - box[1]) / FACE_HEIGHT, (box[2] - box[0]) / FACE_WIDTH / PORTRAIT_ASPECT)
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    left, right = (min(max(x + side * portrait_height * PORTRAIT_ASPECT / 2, 0.0), float(width)) for side in (-1, 1))
    upper, lower = (min(max(y + side * portrait_height / 2, 0.0), float(height)) for side in (-1, 1))
    # The center of a face that is partly outside may lie beyond the edge; at least one pixel is kept.
    first_column, first_row = min(floor(left), width - 1), min(floor(upper), height - 1)
    return first_column, first_row, max(ceil(right), first_column + 1), max(ceil(lower), first_row + 1)


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _distance_to_center(box: Box, width: int, height: int) -> float:
    return ((box[0] + box[2] - width) / width) ** 2 + ((box[1] + box[3] - height) / height) ** 2


def _eye_angle(face: Face) -> float:
    """The clockwise angle of the eye line in degrees, rounded so that it is the same on every machine."""
    if face.landmarks is None:
        return 0.0
    (x, y), (other_x, other_y) = face.landmarks[:2]
    angle = degrees(atan2(other_y - y, other_x - x))
    return round(angle / ROUNDING_STEP) * ROUNDING_STEP if abs(angle) <= MAX_ROTATION else 0.0


def _rotate_about_face(box: Box, face: Box, angle: float, aspect: float | None) -> Box:
    """Widens a box to an aspect ratio and moves its center as a rotation about the face's center does.

    The box is returned unrotated; `CropBox.angle` rotates it about its own center.
    """
    left, upper, right, lower = box
    width, height = right - left, lower - upper
    if aspect is not None:
        width, height = max(width, height * aspect), max(height, width / aspect)
    x, y = (face[0] + face[2]) / 2, (face[1] + face[3]) / 2
    offset_x, offset_y, theta = (left + right) / 2 - x, (upper + lower) / 2 - y, radians(angle)
    x, y = (
        x + cos(theta) * offset_x - sin(theta) * offset_y,
        y + sin(theta) * offset_x + cos(theta) * offset_y,
    )
    edges = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    low_x, low_y, high_x, high_y = (round(edge / ROUNDING_STEP) * ROUNDING_STEP for edge in edges)
    return (low_x, low_y, max(high_x, low_x + 1), max(high_y, low_y + 1))


def default_detector() -> FaceCrop | None:
    """Returns the detector where none is named and no model brings one.

    That is the file which MASKFIT_DETECTORS names, if it names a file; otherwise the first of `DETECTORS` that this
    machine can open without a download. It sees photos at `PHOTO_SIDE`.

    Returns:
        A crop with it; None if there is none.

    Raises:
        DataError: MASKFIT_DETECTORS names a file that is none of a face detector.
    """
    named = os.environ.get(DETECTOR_CACHE.env_var)
    if named and Path(named).is_file():
        kind = ComponentSpec.create(recognize_detector(Path(named)))
        return _for_photos(FaceCrop(kind.model_dump(mode="json"), named, use_file(Path(named)).sha256))
    name = find_local_detector()
    return None if name is None else _for_photos(FaceCrop(name))


def _for_photos(crop: FaceCrop) -> FaceCrop:
    return crop.with_side(PHOTO_SIDE) if crop.side and crop.side < PHOTO_SIDE else crop
