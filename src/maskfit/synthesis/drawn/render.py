"""Renders one photo of a person in a scene: layers from back to front, camera effects, ground truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageChops, ImageFilter

from maskfit.errors import DataError
from maskfit.synthesis.drawn import background, beard, clothes, features, hair, head, masks
from maskfit.synthesis.drawn.canvas import SUPERSAMPLING
from maskfit.synthesis.drawn.curves import Points
from maskfit.synthesis.drawn.drawing_context import DrawingContext
from maskfit.synthesis.drawn.person import Person
from maskfit.synthesis.drawn.scene import MaskSpec, Scene, sample_scene
from maskfit.synthesis.landmarks import Landmarks, Point

SIZE = (384, 512)
"""Default width and height of a photo in pixels, those of the competition."""
MIN_SIZE = 32
"""Minimum width and height in pixels."""
Rectangle = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels."""


@dataclass(frozen=True, kw_only=True)
class DrawnLandmarks(Landmarks):
    """Ground-truth landmarks in pixels of the image, with the boxes of face and mask.

    Attributes:
        chin: Lowest point of the chin; always known.
        face: Box of the face from forehead to chin without ears and hair: left, top, right, bottom.
        mask: Outline of the mask as a polygon; None without a mask.
    """

    chin: Point
    face: Rectangle
    mask: tuple[Point, ...] | None

    @property
    def mask_box(self) -> Rectangle | None:
        """Bounding box of the mask: left, top, right, bottom; None without a mask."""
        if self.mask is None:
            return None
        x, y = [point[0] for point in self.mask], [point[1] for point in self.mask]
        return min(x), min(y), max(x), max(y)


@dataclass(frozen=True)
class RenderedPhoto:
    """A rendered photo and its ground truth.

    Attributes:
        image: The image, RGB.
        landmarks: Landmarks and boxes.
        mask: Mask state: "wear", "incorrect" or "not_wear".
        style: Kind of mask and how it is worn, such as "cloth dots, under nose"; "bare" without a mask.
        quality: JPEG quality to save with, which varies between photos.
    """

    image: Image.Image
    landmarks: DrawnLandmarks
    mask: str
    style: str
    quality: int


def render_photo(person: Person, name: str, *, size: tuple[int, int] = SIZE) -> RenderedPhoto:
    """Renders one photo of a person; the same person and name give the same pixels.

    Args:
        person: A person from `sample_person`.
        name: "mask1" to "mask5", "incorrect_mask" or "normal".
        size: Width and height of the image in pixels, each >= 32.

    Returns:
        The image and its ground truth.

    Raises:
        DataError: Unknown photo name, or the size is too small.
    """
    if min(size) < MIN_SIZE:
        raise DataError(
            f"size must be >= {MIN_SIZE} x {MIN_SIZE} pixels, got {size[0]} x {size[1]}", hint="choose a larger size"
        )
    scene = sample_scene(person, name)
    ctx = DrawingContext(person, scene, size)
    outline = _draw_layers(ctx)
    image = _apply_camera(ctx.canvas.finished(), scene)
    state = {"mask": "wear", "inco": "incorrect", "norm": "not_wear"}[name[:4]]
    return RenderedPhoto(image, _landmarks(ctx, outline), state, _style_of(scene.mask), scene.quality)


def _draw_layers(ctx: DrawingContext) -> Points | None:
    """Draws all layers from back to front; returns the mask's outline in canvas pixels."""
    background.draw_background(ctx)
    return draw_figure(ctx)


def draw_figure(ctx: DrawingContext) -> Points | None:
    """Draws the person over the canvas.

    Args:
        ctx: Drawing context.

    Returns:
        The mask's outline in canvas pixels; None without a mask.
    """
    hidden = ctx.person.accessories.headwear in ("headscarf", "turban")
    if not hidden:
        hair.draw_back(ctx)
    head.draw_neck(ctx)
    clothes.draw_clothes(ctx)
    clothes.draw_headscarf_drape(ctx)
    clothes.draw_scarf(ctx)
    if ctx.person.accessories.headwear != "headscarf":
        head.draw_ears(ctx)
    head.draw_skin(ctx)
    features.draw_nose(ctx)
    beard.draw_moustache_shadow(ctx)
    beard.draw_beard(ctx)
    features.draw_mouth(ctx)
    head.draw_lines(ctx)
    features.draw_eyes(ctx)
    features.draw_brows(ctx)
    outline = masks.draw_mask(ctx)
    if not hidden:
        hair.draw_front(ctx)
        head.draw_earrings(ctx)
    clothes.draw_headwear(ctx)
    features.draw_glasses(ctx)
    dangling = masks.draw_dangling(ctx)
    return outline if dangling is None else dangling


def _apply_camera(image: Image.Image, scene: Scene) -> Image.Image:
    """Applies light from the side, exposure, color temperature, blur and noise."""
    width, height = image.size
    ramp = np.linspace(0.0, 0.22 * abs(scene.light), width)
    ramp = ramp[::-1] if scene.light > 0 else ramp
    veil = Image.fromarray(np.tile(np.round(ramp * 255).astype(np.uint8), (height, 1)))
    image.paste(Image.new("RGB", (width, height), (28, 22, 40)), (0, 0), veil)
    gains = (1 + 0.05 * scene.warmth, 1 + 0.008 * scene.warmth, 1 - 0.07 * scene.warmth)
    values = np.arange(256) / 255
    table: list[int] = []
    for gain in gains:
        lit = values * gain * scene.exposure
        # Highlights roll off instead of clipping, as in film and phone cameras.
        lit = np.where(lit > 0.82, 0.82 + 0.18 * np.tanh((lit - 0.82) / 0.18), lit)
        table += np.round(lit * 255).clip(0, 255).astype(int).tolist()
    image = image.point(table)
    if scene.blur * width > 0.3:
        image = image.filter(ImageFilter.BoxBlur(scene.blur * width))
    rng = np.random.default_rng(scene.texture_seed + 1)
    grain = Image.fromarray(rng.integers(0, 2 * scene.noise + 1, (height, width), dtype=np.uint8))
    return ImageChops.add(image, Image.merge("RGB", (grain, grain, grain)), 1, -scene.noise)


def _style_of(mask: MaskSpec | None) -> str:
    if mask is None:
        return "bare"
    kind = f"{mask.kind} {mask.pattern}".strip()
    return kind if mask.wearing_style == "wear" else f"{kind}, {mask.wearing_style}"


def _landmarks(ctx: DrawingContext, outline: Points | None) -> DrawnLandmarks:
    person, face = ctx.person, ctx.person.face

    def spot(x: float, y: float, depth: float | None = None) -> Point:
        left, top = ctx.to_pixel(x, y, depth)
        return round(left / SUPERSAMPLING, 2), round(top / SUPERSAMPLING, 2)

    corners = features.mouth_corners(ctx)
    rim = head.outline_pixels(ctx) / SUPERSAMPLING
    low, high = rim.min(axis=0).round(2), rim.max(axis=0).round(2)
    polygon = None
    if outline is not None:
        polygon = tuple((round(float(x), 2), round(float(y), 2)) for x, y in outline / SUPERSAMPLING)
    return DrawnLandmarks(
        left_eye=spot(-face.eye_spacing, 0.0),
        right_eye=spot(face.eye_spacing, 0.0),
        nose=spot(0.0, person.face.nose_length - 0.10),
        mouth_left=spot(*corners[0]),
        mouth_right=spot(*corners[1]),
        chin=spot(0.0, face.length, 0.55),
        face=(float(low[0]), float(low[1]), float(high[0]), float(high[1])),
        mask=polygon,
    )
