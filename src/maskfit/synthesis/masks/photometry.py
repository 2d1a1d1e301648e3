"""Photometry of a photo: its illumination, blur and noise, to be reproduced on what is composited into it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from maskfit.synthesis.masks.head_pose import HeadPose

Array = NDArray[np.float64]
Pixels = NDArray[np.uint8]

_WEIGHTS = np.array((0.299, 0.587, 0.114))
"""Luma weights of RGB (ITU-R BT.601)."""
_SKIN_CHROMA = np.array((1.26, 0.94, 0.80))
"""Mean color of skin of all tones under white light, divided by its luminance."""

_OWN_BLUR = 0.8
"""Sigma that `estimate_blur` measures on edges without any blur."""

_SKIN_LUMINANCE = 0.60
"""Mean luminance, 0 to 1, of well-lit skin in portraits."""


@dataclass(frozen=True)
class Photometry:
    """Illumination and camera of a photo.

    Attributes:
        exposure: Brightness of a white object on the face, about 1 in a well-exposed photo.
        color_cast: Factors on red, green and blue, shape (3,).
        gradient: Change of log brightness per head unit, to the right and down.
        skin: Mean skin color, 0 to 1, shape (3,).
        grayness: 1 for a grayscale photo, 0 for one with colors.
        blur: Sigma of the edge blur in pixels.
        noise: Standard deviation of the noise, 0 to 255.
    """

    exposure: float
    color_cast: Array
    gradient: tuple[float, float]
    skin: Array
    grayness: float
    blur: float
    noise: float


def measure_photometry(pixels: Pixels, pose: HeadPose) -> Photometry:
    """Estimates illumination from the skin under the eyes and the whole photo, blur and noise from the face.

    Args:
        pixels: RGB photo, uint8 of shape (height, width, 3).
        pose: Head pose on it.

    Returns:
        The photometry.
    """
    places, colors = _skin_samples(pixels, pose)
    luminance = colors @ _WEIGHTS
    skin = np.median(colors, axis=0)
    tone = float(skin @ _WEIGHTS)
    whole = pixels[:: max(1, pixels.shape[0] // 96), :: max(1, pixels.shape[1] // 96)].reshape(-1, 3) / 255.0
    bright = float(np.quantile(whole @ _WEIGHTS, 0.98))
    # A dim face is dark skin or low light; the brightest parts of the photo help to separate the two.
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
    """Returns points in head coordinates that likely show skin, and the photo's colors there, 0 to 1."""
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
    # Outliers are hair, hands, background or a beard.
    away = np.abs(colors - np.median(colors, axis=0)).sum(1)
    near = away <= np.quantile(away, 0.75)
    return places[near], colors[near]


def _fit_slope(places: Array, values: Array) -> tuple[float, float]:
    matrix = np.column_stack([np.ones(len(places)), places])
    # Ridge regularization: a few samples must not give a steep gradient.
    fit = np.linalg.solve(matrix.T @ matrix + np.diag((0, 8.0, 16.0)), matrix.T @ values)
    return float(np.clip(fit[1], -0.55, 0.55)), float(np.clip(fit[2], -0.30, 0.18))


def _crop_face(pixels: Pixels, pose: HeadPose) -> Array:
    """Returns the luminance of the square around eyes, nose and mouth, where every face has edges and skin."""
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
    """Estimates the sigma of an image's blur from its sharpest edges.

    Across an edge of some contrast, blurred by a Gaussian, the steepest slope is contrast / (2.507 sigma).

    Args:
        luminance: Values 0 to 255, shape (height, width).

    Returns:
        Sigma in pixels, 0 to 6; 0.6 where the image has no edge.
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
    # Subtract the blur of the pixel grid and of the finite differences.
    return float(np.sqrt(np.clip(best**2 - _OWN_BLUR**2, 0.0, 36.0))) if np.isfinite(best) else 0.6


def estimate_noise(luminance: Array) -> float:
    """Estimates the noise on the smooth parts of an image (Immerkaer 1996, by a quantile of his kernel's response).

    Args:
        luminance: Values 0 to 255, shape (height, width).

    Returns:
        Standard deviation, 0 to 12; 0 for images smaller than 8 pixels.
    """
    if min(luminance.shape) < 8:
        return 0.0
    rows = luminance[:-2] - 2 * luminance[1:-1] + luminance[2:]
    both = rows[:, :-2] - 2 * rows[:, 1:-1] + rows[:, 2:]
    # The 0.4 quantile: smooth blocks of a JPEG are exactly flat and carry no information about the sensor noise.
    return float(np.clip(np.quantile(np.abs(both), 0.4) / (0.524 * 6), 0, 12))
