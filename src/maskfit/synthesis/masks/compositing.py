"""Composites a mask onto a photo: shaded, blurred and with the noise of the photo, with its shadow and straps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from maskfit.synthesis.drawn.curves import ribbon
from maskfit.synthesis.landmarks import Landmarks
from maskfit.synthesis.masks.head_pose import Array, fit_pose
from maskfit.synthesis.masks.mask_mesh import MaskMesh, build_mesh, upsample
from maskfit.synthesis.masks.mask_sampling import MaskInstance
from maskfit.synthesis.masks.mask_types import MASK_TYPES
from maskfit.synthesis.masks.photometry import Photometry, Pixels, measure_photometry
from maskfit.synthesis.masks.texture import FabricTexture, render_fabric

_OVERSAMPLING = 4
"""Factor by which outlines are drawn larger before they are reduced (antialiasing)."""

_MAX_SAMPLES = 1400
"""Texture samples across a mask; a face for which more are needed is larger than any network's input."""

_STRAP_WIDTHS = {"loops": 0.045, "bands": 0.065, "none": 0.0}
"""Width of the straps in head units, by strap type."""

_SHADOW = 0.34
"""Maximum opacity of the shadow along the rim."""

Box = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels of the photo."""


@dataclass(frozen=True)
class MaskedPhoto:
    """A photo with a mask composited onto it.

    Attributes:
        pixels: The photo, uint8 of shape (height, width, 3).
        mask: Alpha of the mask without straps, 0 to 1, of shape (height, width).
        touched: Pixels changed by mask, straps or shadow, bool of shape (height, width).
        box: Bounding box of the visible part of the mask; (0, 0, 0, 0) where nothing is visible.
        visible: Fraction of the mask's area that lies within the photo.
    """

    pixels: Pixels
    mask: Array
    touched: NDArray[np.bool_]
    box: Box
    visible: float


class PreparedFace:
    """A bare photo with its head pose and photometry, computed once for any number of masks.

    Args:
        pixels: RGB photo, uint8 of shape (height, width, 3).
        landmarks: Facial landmarks on it.

    Attributes:
        pixels: The photo; never modified.
        landmarks: The landmarks given.
        pose: Head pose fitted to the landmarks.
        photometry: Illumination, blur and noise measured on the photo.
    """

    def __init__(self, pixels: Pixels, landmarks: Landmarks) -> None:
        """Fits the head pose and measures the photometry; arguments as for the class."""
        self.pixels = pixels
        self.landmarks = landmarks
        self.pose = fit_pose(landmarks)
        self.photometry = measure_photometry(pixels, self.pose)

    def apply_mask(self, instance: MaskInstance) -> MaskedPhoto:
        """Composites a mask onto a copy of the photo; deterministic for equal arguments.

        Args:
            instance: Mask and how it is worn.

        Returns:
            The masked photo with the mask's alpha and box.
        """
        mesh = build_mesh(instance, self.pose)
        straps = tuple(self.pose.project(line) for line in mesh.straps)
        left, top, right, bottom = self._window([mesh.pixels.reshape(-1, 2), *straps])
        result, touched = self.pixels.copy(), np.zeros(self.pixels.shape[:2], dtype=bool)
        mask = np.zeros(touched.shape)
        if right <= left or bottom <= top:
            return MaskedPhoto(result, mask, touched, (0, 0, 0, 0), 0.0)
        window = (slice(top, bottom), slice(left, right))
        mesh, straps = mesh.translated(-left, -top), tuple(line - (left, top) for line in straps)
        alpha, visible = _silhouette(mesh, right - left, bottom - top)
        result[window], touched[window], mask[window] = self._draw(instance, mesh, straps, alpha, result[window])
        return MaskedPhoto(result, mask, touched, _box_of(mask), visible)

    def _window(self, shapes: list[Array]) -> Box:
        """Computes the part of the photo that mask, straps and shadow can reach."""
        points, pad = np.concatenate(shapes), 0.35 * self.pose.unit + 4
        height, width = self.pixels.shape[:2]
        low, high = np.floor(points.min(0) - pad).astype(int), np.ceil(points.max(0) + pad).astype(int)
        return max(int(low[0]), 0), max(int(low[1]), 0), min(int(high[0]), width), min(int(high[1]), height)

    def _draw(
        self, instance: MaskInstance, mesh: MaskMesh, straps: tuple[Array, ...], alpha: Array, pixels: Pixels
    ) -> tuple[Pixels, NDArray[np.bool_], Array]:
        """Returns the pixels of a window with the mask on them, which of them changed, and the mask's alpha."""
        shadow = _shadow_of(alpha, self.pose.unit)
        photo = pixels / 255.0 * (1 - _SHADOW * shadow[..., None] * np.array((0.85, 1.0, 1.05)))
        touched = shadow > 0
        rng = np.random.default_rng([instance.seed, 7])
        strap = np.array(instance.strap) / 255 * 0.92
        layers = [
            (
                np.broadcast_to(_expose(strap, self.photometry), pixels.shape),
                self._strap_alpha(instance, mesh, straps, pixels),
            ),
            (self._render_fabric_layer(instance, mesh, alpha), alpha),
        ]
        for layer, outline in layers:
            color, cover = self._apply_camera(layer, outline, rng)
            photo = photo * (1 - cover[..., None]) + color * cover[..., None]
            touched = touched | (cover > 0)
        drawn = np.clip(np.rint(photo * 255), 0, 255).astype(np.uint8)
        return np.where(touched[..., None], drawn, pixels), touched, cover

    def _render_fabric_layer(self, instance: MaskInstance, mesh: MaskMesh, alpha: Array) -> Array:
        """Renders the mask's colors at the window's size; undefined where alpha is 0."""
        height, width = alpha.shape
        span = np.ptp(mesh.pixels.reshape(-1, 2), axis=0).max()
        columns = int(np.clip(round(2.4 * span), 160, _MAX_SAMPLES))
        rows = round(columns * 0.86)
        fabric = render_fabric(instance, rows, columns)
        color = fabric.color * (_shading(mesh, fabric, self.photometry) * fabric.shade)[..., None]
        color = _expose(color * instance.brightness, self.photometry)
        spots = upsample(mesh.pixels, rows, columns).reshape(-1, 2)
        front = upsample(mesh.normals[..., 2:], rows, columns).ravel() > 0
        return _splat(spots[front], color.reshape(-1, 3)[front], width, height)

    def _strap_alpha(self, instance: MaskInstance, mesh: MaskMesh, straps: tuple[Array, ...], pixels: Pixels) -> Array:
        """Computes the alpha of the straps: none behind the head, none where hair hides them."""
        height, width = pixels.shape[:2]
        broad = max(0.9, _STRAP_WIDTHS[MASK_TYPES[instance.kind].straps] * self.pose.unit)
        canvas = Image.new("L", (width * _OVERSAMPLING, height * _OVERSAMPLING), 0)
        pen = ImageDraw.Draw(canvas)
        for line, spots in zip(mesh.straps, straps, strict=True):
            # The side of a head faces the camera where the outward direction from its axis does.
            outward = self.pose.rotate(np.stack([line[:, 0], 0 * line[:, 1], 0.9 + 0.55 * line[:, 2]], -1))[:, 2]
            for first in range(len(line) - 1):
                if outward[first : first + 2].min() > 0.02:
                    stroke = ribbon(spots[first : first + 2] * _OVERSAMPLING, broad * _OVERSAMPLING)
                    pen.polygon(stroke.ravel().tolist(), fill=255)
        cover = np.asarray(canvas.reduce(_OVERSAMPLING), dtype=np.float64) / 255
        soft = Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(max(0.5, 0.03 * self.pose.unit)))
        unlike = np.abs(np.asarray(soft) / 255 - self.photometry.skin).sum(-1)
        seen: Array = cover * np.clip((0.85 - unlike) / 0.25, 0.0, 1.0)
        return seen

    def _apply_camera(self, color: Array, cover: Array, rng: np.random.Generator) -> tuple[Array, Array]:
        """Applies the photo's blur and noise to a layer."""
        # Averaging over pixels has already blurred the layer with a sigma of about 0.4 pixels.
        blur = float(np.sqrt(max(self.photometry.blur**2 - 0.4**2, 0.0)))
        if blur > 0.2:
            soft = _blurred(cover, blur)
            parts = _blurred(color * cover[..., None], blur)
            color = np.where(soft[..., None] > 1e-3, parts / np.maximum(soft[..., None], 1e-3), color)
            cover = soft
        if self.photometry.noise > 0.3:
            grain_noise = rng.normal(0, self.photometry.noise / 255, cover.shape)
            colored = rng.normal(0, 0.35 * self.photometry.noise / 255, color.shape) * (1 - self.photometry.grayness)
            color = color + grain_noise[..., None] + colored
        return np.clip(color, 0, 1), cover


def _silhouette(mesh: MaskMesh, width: int, height: int) -> tuple[Array, float]:
    """Computes the mesh's alpha per pixel and the fraction of its area that lies within the window."""
    corners = mesh.pixels
    left, top = np.floor(corners.reshape(-1, 2).min(0)).astype(int) - 1
    right, bottom = np.ceil(corners.reshape(-1, 2).max(0)).astype(int) + 2
    canvas = Image.new("L", ((right - left) * _OVERSAMPLING, (bottom - top) * _OVERSAMPLING), 0)
    pen = ImageDraw.Draw(canvas)
    # Every second knot: an outline of 24 segments already looks smooth.
    scaled = (corners[::2, ::2] - (left, top)) * _OVERSAMPLING
    faces = mesh.faces[::2, ::2] | mesh.faces[1::2, ::2] | mesh.faces[::2, 1::2] | mesh.faces[1::2, 1::2]
    quads = np.stack([scaled[:-1, :-1], scaled[:-1, 1:], scaled[1:, 1:], scaled[1:, :-1]], axis=2)[faces]
    for quad in quads.reshape(-1, 8).tolist():
        pen.polygon(quad, fill=255)
    whole = np.asarray(canvas.reduce(_OVERSAMPLING), dtype=np.float64) / 255
    alpha = np.zeros((height, width))
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
    if x1 > x0 and y1 > y0:
        alpha[y0:y1, x0:x1] = whole[y0 - top : y1 - top, x0 - left : x1 - left]
    return alpha, float(alpha.sum() / max(float(whole.sum()), 1e-9))


def _shading(mesh: MaskMesh, fabric: FabricTexture, photometry: Photometry) -> Array:
    """Computes the brightness factor from light direction, fabric relief and gradient, of shape (rows, columns)."""
    rows, columns = fabric.height.shape
    normals = upsample(mesh.normals, rows, columns)
    where = upsample(mesh.head[..., :2], rows, columns)
    sun = np.array((np.clip(1.6 * photometry.gradient[0], -0.75, 0.75), -0.42, 0.85))
    sun = sun / np.linalg.norm(sun)
    facing = 0.62 + 0.42 * np.clip(normals @ sun, 0, 1)
    # Slopes of the fabric's own relief; the mesh is about 2.2 head units wide and 1.7 high.
    rise = np.gradient(fabric.height, axis=0) * rows / 1.7
    lean = np.gradient(fabric.height, axis=1) * columns / 2.2
    relief = np.clip(0.55 * rise - 0.9 * sun[0] * lean, -0.30, 0.22)
    fall = np.exp(
        np.clip(
            0.8 * photometry.gradient[0] * where[..., 0] + 0.6 * photometry.gradient[1] * (where[..., 1] - 0.9),
            -0.6,
            0.35,
        )
    )
    shading: Array = facing * (1 + relief) * fall
    return shading


def _expose(color: Array, photometry: Photometry) -> Array:
    """Applies the photo's exposure and color cast, rolls off highlights, and desaturates on grayscale photos."""
    lit = color * photometry.exposure * photometry.color_cast
    lit = np.where(lit > 0.82, 0.82 + 0.18 * np.tanh((lit - 0.82) / 0.18), lit)
    # Haze and the sensor's black level keep photos from reaching full black.
    lit = lit * 0.97 + 0.02 * photometry.exposure
    gray = lit @ np.array((0.299, 0.587, 0.114))
    exposed: Array = lit + (gray[..., None] - lit) * photometry.grayness
    return exposed


def _splat(spots: Array, colors: Array, width: int, height: int) -> Array:
    """Averages the samples that fall on each pixel; empty pixels get the average of their neighbors."""
    columns, rows = np.floor(spots[:, 0]).astype(int), np.floor(spots[:, 1]).astype(int)
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    index = rows[inside] * width + columns[inside]
    count = np.bincount(index, minlength=width * height).reshape(height, width).astype(np.float64)
    sums = [np.bincount(index, colors[inside, channel], width * height).reshape(height, width) for channel in range(3)]
    layer = np.stack(sums, -1) / np.maximum(count, 1)[..., None]
    known = (count > 0).astype(np.float64)
    for radius in (1.5, 6.0):
        weight = _blurred(known, radius)[..., None]
        fill = _blurred(layer * known[..., None], radius) / np.maximum(weight, 1e-6)
        layer = np.where((known > 0)[..., None], layer, fill)
        known = np.maximum(known, (weight[..., 0] > 0.02).astype(np.float64))
    return layer


def _blurred(plane: Array, radius: float) -> Array:
    """Gaussian blur of values 0 to 1, shape (height, width) or (height, width, 3); exactly 0 away from any value."""
    high = Image.fromarray(np.clip(plane * 255, 0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(radius))
    return np.asarray(high, dtype=np.float64) / 255


def _shadow_of(alpha: Array, unit: float) -> Array:
    """Computes a soft shadow around the mask, stronger below it since light mostly comes from above."""
    close = _blurred(alpha, max(0.6, 0.035 * unit))
    drop = round(0.06 * unit)
    below = np.zeros_like(alpha)
    below[drop:] = alpha[: len(alpha) - drop]
    wide = _blurred(below, max(1.0, 0.075 * unit))
    shadow: Array = np.maximum(0.75 * close, wide) * (1 - alpha)
    return np.where(shadow > 0.02, shadow, 0.0)


def _box_of(mask: Array) -> Box:
    rows, columns = np.flatnonzero((mask > 0.5).any(1)), np.flatnonzero((mask > 0.5).any(0))
    if not len(rows):
        return 0, 0, 0, 0
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
