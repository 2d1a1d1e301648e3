"""One photo from a person and a scene: the layers in order, the camera, and where the features lie."""

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
from maskfit.synthesis.drawn.scene import MaskLook, Scene, sample_scene
from maskfit.synthesis.landmarks import Landmarks, Point

SIZE = (384, 512)
SMALLEST = 32
Rectangle = tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True)
class DrawnLandmarks(Landmarks):
    """Where features lie, in pixels of the picture, with what only who drew it knows.

    Args:
        chin: Lowest point of the chin.
        face: Box round the face from forehead to chin without ears and hair: left, top, right, bottom.
        mask: Outline of the mask as a polygon, or None.
    """

    chin: Point
    face: Rectangle
    mask: tuple[Point, ...] | None

    @property
    def mask_box(self) -> Rectangle | None:
        """Box round the mask: left, top, right, bottom; None where there is no mask."""
        if self.mask is None:
            return None
        x, y = [point[0] for point in self.mask], [point[1] for point in self.mask]
        return min(x), min(y), max(x), max(y)


@dataclass(frozen=True)
class RenderedPhoto:
    """A drawn photo and the truth about it.

    Args:
        image: The picture, RGB.
        landmarks: Where the features lie.
        mask: "wear", "incorrect" or "not_wear".
        style: The kind of mask and how it is worn, such as "cloth dots, under nose"; "bare" without one.
        quality: JPEG quality to save with, so that photos differ in it too.
    """

    image: Image.Image
    landmarks: DrawnLandmarks
    mask: str
    style: str
    quality: int


def render_photo(person: Person, name: str, *, size: tuple[int, int] = SIZE) -> RenderedPhoto:
    """Draws one photo of a person.

    The same person and name give the same pixels, whatever else has been drawn.

    Args:
        person: Who is drawn, from `draw_person`.
        name: "mask1" to "mask5", "incorrect_mask" or "normal".
        size: Width and height of the picture in pixels, each at least 32.

    Raises:
        DataError: There is no photo of that name, or the size is too small.
    """
    if min(size) < SMALLEST:
        raise DataError(
            f"a drawn photo cannot be {size[0]} x {size[1]} pixels", hint=f"give at least {SMALLEST} each way"
        )
    scene = sample_scene(person, name)
    easel = DrawingContext(person, scene, size)
    outline = _draw_layers(easel)
    image = _through_camera(easel.canvas.finished(), scene)
    state = {"mask": "wear", "inco": "incorrect", "norm": "not_wear"}[name[:4]]
    return RenderedPhoto(image, _landmarks(easel, outline), state, _style_of(scene.mask), scene.quality)


def _draw_layers(easel: DrawingContext) -> Points | None:
    """Draws from back to front and gives the mask's outline in canvas pixels."""
    background.draw_backdrop(easel)
    return draw_figure(easel)


def draw_figure(easel: DrawingContext) -> Points | None:
    """Draws the person over what is on the canvas, and gives the mask's outline in canvas pixels."""
    hidden = easel.person.adornment.headwear in ("headscarf", "turban")
    if not hidden:
        hair.draw_back(easel)
    head.draw_neck(easel)
    clothes.draw_clothes(easel)
    clothes.draw_headscarf_drape(easel)
    clothes.draw_scarf(easel)
    if easel.person.adornment.headwear != "headscarf":
        head.draw_ears(easel)
    head.draw_skin(easel)
    features.draw_nose(easel)
    beard.draw_moustache_shadow(easel)
    beard.draw_beard(easel)
    features.draw_mouth(easel)
    head.draw_lines(easel)
    features.draw_eyes(easel)
    features.draw_brows(easel)
    outline = masks.draw_mask(easel)
    if not hidden:
        hair.draw_front(easel)
        head.draw_earrings(easel)
    clothes.draw_headwear(easel)
    features.draw_glasses(easel)
    dangling = masks.draw_dangling(easel)
    return outline if dangling is None else dangling


def _through_camera(image: Image.Image, scene: Scene) -> Image.Image:
    """Light from the side, exposure, warmth, blur and noise."""
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
        # Highlights roll off instead of clipping, as film and phones do.
        lit = np.where(lit > 0.82, 0.82 + 0.18 * np.tanh((lit - 0.82) / 0.18), lit)
        table += np.round(lit * 255).clip(0, 255).astype(int).tolist()
    image = image.point(table)
    if scene.blur * width > 0.3:
        image = image.filter(ImageFilter.BoxBlur(scene.blur * width))
    rng = np.random.default_rng(scene.texture_seed + 1)
    grain = Image.fromarray(rng.integers(0, 2 * scene.noise + 1, (height, width), dtype=np.uint8))
    return ImageChops.add(image, Image.merge("RGB", (grain, grain, grain)), 1, -scene.noise)


def _style_of(look: MaskLook | None) -> str:
    if look is None:
        return "bare"
    kind = f"{look.kind} {look.pattern}".strip()
    return kind if look.worn == "wear" else f"{kind}, {look.worn}"


def _landmarks(easel: DrawingContext, outline: Points | None) -> DrawnLandmarks:
    person, face = easel.person, easel.person.face

    def spot(x: float, y: float, depth: float | None = None) -> Point:
        left, top = easel.to_pixel(x, y, depth)
        return round(left / SUPERSAMPLING, 2), round(top / SUPERSAMPLING, 2)

    corners = features.mouth_corners(easel)
    rim = head.outline_pixels(easel) / SUPERSAMPLING
    low, high = rim.min(axis=0).round(2), rim.max(axis=0).round(2)
    polygon = None
    if outline is not None:
        polygon = tuple((round(float(x), 2), round(float(y), 2)) for x, y in outline / SUPERSAMPLING)
    return DrawnLandmarks(
        left_eye=spot(-face.eye_apart, 0.0),
        right_eye=spot(face.eye_apart, 0.0),
        nose=spot(0.0, person.face.nose_length - 0.10),
        mouth_left=spot(*corners[0]),
        mouth_right=spot(*corners[1]),
        chin=spot(0.0, face.length, 0.55),
        face=(float(low[0]), float(low[1]), float(high[0]), float(high[1])),
        mask=polygon,
    )
