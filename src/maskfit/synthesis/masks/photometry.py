"""What a photo says about its light and its camera, so that what is put into it looks taken by the same one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from maskfit.synthesis.masks.head_pose import HeadPose

Array = NDArray[np.float64]
Pixels = NDArray[np.uint8]

_WEIGHTS = np.array((0.299, 0.587, 0.114))
_SKIN_CHROMA = np.array((1.26, 0.94, 0.80))
"""Mean color of skin of all tones under white light, over its luminance."""

_OWN_BLUR = 0.8
"""Deviation that `find_blur` sees on edges without any blur."""

_SKIN_LUMINANCE = 0.60
"""Mean luminance, 0 to 1, of well-lit skin in portraits."""


@dataclass(frozen=True)
class Photometry:
    """How a photo was lit and taken.

    Attributes:
        level: Brightness of a white thing on the face, about 1 in a well-exposed photo.
        cast: Factors on red, green and blue.
        slope: How the logarithm of brightness grows per head unit to the right and downwards.
        skin: Mean color of the skin, 0 to 1.
        greyness: 1 for a photo without colors, 0 for one with.
        blur: Deviation in pixels of the blur of its edges.
        grain: Deviation of the noise, 0 to 255.
    """

    exposure: float
    color_cast: Array
    gradient: tuple[float, float]
    skin: Array
    grayness: float
    blur: float
    noise: float


def measure_photometry(pixels: Pixels, pose: HeadPose) -> Photometry:
    """Reads the light from the skin under the eyes and from the whole photo, the blur and the grain from the face."""
    places, colors = _skin_samples(pixels, pose)
    luminance = colors @ _WEIGHTS
    skin = np.median(colors, axis=0)
    tone = float(skin @ _WEIGHTS)
    whole = pixels[:: max(1, pixels.shape[0] // 96), :: max(1, pixels.shape[1] // 96)].reshape(-1, 3) / 255.0
    bright = float(np.quantile(whole @ _WEIGHTS, 0.98))
    # A dim face may be dark skin or little light. The brightest things on the photo tell the two apart in part.
    exposure = max(0.52 * tone / _SKIN_LUMINANCE + 0.48 * bright, min(0.95 * bright, 0.25 + 1.6 * tone))
    chroma = float((whole.max(1) - whole.min(1)).mean() / max(float(whole.max(1).mean()), 1e-3))
    grayness = float(np.clip((0.07 - chroma) / 0.05, 0, 1))
    color_cast = (skin / max(tone, 1e-3) / _SKIN_CHROMA) ** 0.45
    color_cast = color_cast / float(color_cast @ _WEIGHTS)
    gradient = _fit_slope(places, np.log(np.maximum(luminance, 0.02)))
    face = _crop_face(pixels, pose)
    return Photometry(
        float(np.clip(exposure, 0.30, 1.12)),
        color_cast,
        gradient,
        skin,
        grayness,
        estimate_blur(face),
        estimate_noise(face),
    )


def _skin_samples(pixels: Pixels, pose: HeadPose) -> tuple[Array, Array]:
    """Places in head coordinates that likely show skin, and the photo's colors there, 0 to 1."""
    x, y = (axis.ravel() for axis in np.meshgrid(np.linspace(-0.7, 0.7, 29), np.linspace(0.22, 1.5, 27)))
    mouth = (x / 0.52) ** 2 + ((y - 1.14) / 0.24) ** 2 < 1
    x, y = x[~mouth], y[~mouth]
    smooth = np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(max(0.6, 0.04 * pose.unit))))
    spots = np.rint(pose.project_surface(x, y)).astype(int)
    height, width = pixels.shape[:2]
    inside = (spots[:, 0] >= 0) & (spots[:, 0] < width) & (spots[:, 1] >= 0) & (spots[:, 1] < height)
    if not inside.any():
        return np.zeros((1, 2)), np.array([pixels.reshape(-1, 3).mean(0) / 255])
    colors = smooth[spots[inside, 1], spots[inside, 0]] / 255.0
    places = np.stack([x[inside], y[inside]], axis=1)
    # Hair, hands and background differ from most of it; so does a beard, which is no skin either.
    away = np.abs(colors - np.median(colors, axis=0)).sum(1)
    near = away <= np.quantile(away, 0.75)
    return places[near], colors[near]


def _fit_slope(places: Array, values: Array) -> tuple[float, float]:
    matrix = np.column_stack([np.ones(len(places)), places])
    # The small ridge keeps a handful of samples from telling of a steep slope.
    fit = np.linalg.solve(matrix.T @ matrix + np.diag((0, 8.0, 16.0)), matrix.T @ values)
    return float(np.clip(fit[1], -0.55, 0.55)), float(np.clip(fit[2], -0.30, 0.18))


def _crop_face(pixels: Pixels, pose: HeadPose) -> Array:
    """Luminance of the square about eyes, nose and mouth, where every face has edges and skin."""
    x, y = pose.project(np.array((0.0, 0.5, 0.2)))
    reach = 1.1 * pose.unit
    height, width = pixels.shape[:2]
    left, right = np.clip((round(x - reach), round(x + reach)), 0, width)
    top, bottom = np.clip((round(y - reach), round(y + reach)), 0, height)
    if right - left < 12 or bottom - top < 12:
        left, top, right, bottom = 0, 0, width, height
    face: Array = pixels[top:bottom, left:right] @ _WEIGHTS
    return face


def estimate_blur(luminance: Array) -> float:
    """The deviation, in pixels, of the blur of a picture's sharpest edges; 0 to 6, 0.6 where there is no edge.

    Across an edge of some contrast that was blurred by a Gaussian, the steepest slope is the contrast over 2.5 times
    the deviation.
    """
    best = np.inf
    for axis in (0, 1):
        if luminance.shape[axis] < 16:
            continue
        rows = luminance if axis == 1 else luminance.T
        steep = np.abs(rows[:, 2:] - rows[:, :-2]) / 2
        wide = np.lib.stride_tricks.sliding_window_view(rows, 9, axis=1)
        contrast = (wide.max(-1) - wide.min(-1))[:, 2:-2]
        steep = steep[:, 5 : 5 + contrast.shape[1]] if steep.shape[1] > contrast.shape[1] + 5 else steep[:, 5:]
        contrast = contrast[:, : steep.shape[1]]
        clear = (contrast > max(24.0, float(np.quantile(contrast, 0.8)))) & (steep > 2)
        if clear.sum() >= 12:
            best = min(best, float(np.quantile(contrast[clear] / (2.507 * steep[clear]), 0.10)))
    # What pixels and their differences blur themselves is taken off again.
    return float(np.sqrt(np.clip(best**2 - _OWN_BLUR**2, 0.0, 36.0))) if np.isfinite(best) else 0.6


def estimate_noise(luminance: Array) -> float:
    """The deviation of a picture's noise on its smooth parts (Immerkaer's kernel, by its median)."""
    if min(luminance.shape) < 8:
        return 0.0
    rows = luminance[:-2] - 2 * luminance[1:-1] + luminance[2:]
    both = rows[:, :-2] - 2 * rows[:, 1:-1] + rows[:, 2:]
    # Pixels of a JPEG's smooth blocks are equal to the bit; they say nothing of the noise before it.
    return float(np.clip(np.quantile(np.abs(both), 0.4) / (0.524 * 6), 0, 12))
