"""A supersampled canvas: shapes with hard edges, filled with soft colors.

Shapes are filled without antialiasing on a canvas larger than the image, which is reduced at the end. Soft color
gradients are painted on a small airbrush image and enlarged through the shape's outline, since blurring at full size is
slow.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from maskfit.synthesis.drawn.colors import Color, to_uint8
from maskfit.synthesis.drawn.curves import Points

SUPERSAMPLING = 2
"""Canvas pixels per image pixel, in each direction."""
_AIRBRUSH_DIVISOR = 8
_SHADOW_DIVISOR = 4
_STRENGTHS = 64

Box = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels."""


@lru_cache(maxsize=_STRENGTHS + 1)
def _soft_disc(level: int) -> Image.Image:
    axis = np.linspace(-1.0, 1.0, 49)
    distance = np.hypot(axis[:, None], axis[None, :]).clip(0, 1)
    fall = 0.5 * (1 + np.cos(np.pi * distance))
    return Image.fromarray((fall * (255 * level / _STRENGTHS)).astype(np.uint8))


def _box_of(points: Points, pad: float, size: tuple[int, int]) -> Box | None:
    low, high = points.min(axis=0), points.max(axis=0)
    left, top = max(0, math.floor(low[0] - pad)), max(0, math.floor(low[1] - pad))
    right, bottom = min(size[0], math.ceil(high[0] + pad) + 1), min(size[1], math.ceil(high[1] + pad) + 1)
    return (left, top, right, bottom) if right > left and bottom > top else None


def _flat(points: Points) -> list[float]:
    values: list[float] = points.ravel().tolist()
    return values


def _blown_up(image: Image.Image, size: tuple[int, int], box: tuple[float, ...] | None = None) -> Image.Image:
    """Enlarges a soft image; the last doubling repeats pixels, which the final reduction undoes."""
    half = (max(1, size[0] // 2), max(1, size[1] // 2))
    smooth = image.resize(
        half, Image.Resampling.BILINEAR, box=None if box is None else (box[0], box[1], box[2], box[3])
    )
    return smooth.resize(size, Image.Resampling.NEAREST)


class Airbrush:
    """A small image of soft colors that covers the whole canvas; coordinates are those of the canvas.

    Args:
        size: Width and height of the canvas in canvas pixels.
        color: Initial color.
    """

    def __init__(self, size: tuple[int, int], color: Color) -> None:
        """Fills the image with one color; arguments as for the class."""
        self.divisor = _AIRBRUSH_DIVISOR
        self.image = Image.new("RGB", (-(-size[0] // self.divisor), -(-size[1] // self.divisor)), to_uint8(color))

    def glow(self, x: float, y: float, rx: float, ry: float, color: Color, strength: float) -> None:
        """Paints a soft ellipse.

        Args:
            x: Center in canvas pixels.
            y: Center in canvas pixels.
            rx: Horizontal radius, at which the color fades to nothing.
            ry: Vertical radius.
            color: The color.
            strength: Opacity at the center, 0 to 1.
        """
        rx, ry, x, y = (value / self.divisor for value in (rx, ry, x, y))
        width, height = max(2, round(2 * rx)), max(2, round(2 * ry))
        level = round(min(max(strength, 0.0), 1.0) * _STRENGTHS)
        disc = _soft_disc(level).resize((width, height), Image.Resampling.BILINEAR)
        self.image.paste(to_uint8(color), (round(x - width / 2), round(y - height / 2)), disc)

    def blob(self, points: Points, color: Color, strength: float, blur: float) -> None:
        """Paints a shape with soft edges.

        Args:
            points: Outline in canvas pixels, shape (n, 2).
            color: The color.
            strength: Opacity, 0 to 1.
            blur: Blur radius in canvas pixels.
        """
        small = points / self.divisor
        radius = blur / self.divisor
        box = _box_of(small, 2.5 * radius + 1, self.image.size)
        if box is None:
            return
        shape = Image.new("L", (box[2] - box[0], box[3] - box[1]), 0)
        ImageDraw.Draw(shape).polygon(_flat(small - box[:2]), fill=round(255 * min(max(strength, 0.0), 1.0)))
        self.image.paste(to_uint8(color), box[:2], shape.filter(ImageFilter.GaussianBlur(radius)))

    def gradient(self, top: float, bottom: float, color: Color, strength: float) -> None:
        """Paints a vertical gradient over the whole image.

        Args:
            top: Height at which the opacity is 0.
            bottom: Height at which it is `strength`; may lie above `top`.
            color: The color.
            strength: Maximum opacity, 0 to 1.
        """
        rows = (np.arange(self.image.height) + 0.5) * self.divisor
        fraction = ((rows - top) / (bottom - top if bottom != top else 1e-6)).clip(0, 1) * strength
        column = Image.fromarray((fraction[:, None] * 255).astype(np.uint8)).resize(self.image.size)
        self.image.paste(to_uint8(color), (0, 0), column)


class Canvas:
    """The supersampled image that shapes are drawn on.

    Args:
        size: Width and height of the final image in pixels.

    Attributes:
        image: The supersampled image.
        origin: Position of `image` on the whole canvas; not (0, 0) for a part given by `inside`.
        whole_size: Width and height of the whole canvas.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        """Creates a black canvas; arguments as for the class."""
        self.image = Image.new("RGB", (size[0] * SUPERSAMPLING, size[1] * SUPERSAMPLING))
        self.origin = (0, 0)
        self.whole_size = self.image.size
        self._draw = ImageDraw.Draw(self.image, "RGBA")

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the whole canvas in canvas pixels."""
        return self.whole_size

    def airbrush(self, color: Color) -> Airbrush:
        """Creates an airbrush filled with one color."""
        return Airbrush(self.whole_size, color)

    def fill(self, points: Points, color: Color, alpha: float = 1.0) -> None:
        """Fills a shape.

        Args:
            points: Outline in canvas pixels, shape (n, 2).
            color: The color.
            alpha: Opacity, 0 to 1.
        """
        ink = (*to_uint8(color), round(255 * min(max(alpha, 0.0), 1.0)))
        self._draw.polygon(_flat(points - self.origin), fill=ink)

    def fill_all(self, shapes: Sequence[Points], color: Color, alpha: float = 1.0) -> None:
        """Fills several shapes with one color.

        Args:
            shapes: Outlines in canvas pixels.
            color: The color.
            alpha: Opacity of each, 0 to 1.
        """
        for shape in shapes:
            self.fill(shape, color, alpha)

    def paint(self, shapes: Sequence[Points], brush: Airbrush, alpha: float = 1.0) -> None:
        """Fills the union of shapes with the airbrush's image.

        Args:
            shapes: Outlines in canvas pixels.
            brush: Source of the colors.
            alpha: Opacity, 0 to 1.
        """
        offset = [shape - self.origin for shape in shapes]
        box = _box_of(np.concatenate(offset), 1, self.image.size)
        if box is None:
            return
        stencil = Image.new("L", (box[2] - box[0], box[3] - box[1]), 0)
        pen = ImageDraw.Draw(stencil)
        for shape in offset:
            pen.polygon(_flat(shape - box[:2]), fill=round(255 * alpha))
        corner = np.array([*self.origin, *self.origin], dtype=float) + box
        limits = (*brush.image.size, *brush.image.size)
        source = tuple(np.minimum(corner / brush.divisor, limits).tolist())
        self.image.paste(_blown_up(brush.image, stencil.size, source), box[:2], stencil)

    def cover(self, brush: Airbrush) -> None:
        """Fills the whole canvas with the airbrush's image."""
        self.image.paste(_blown_up(brush.image, self.image.size))

    def shadow(self, points: Points, color: Color, strength: float, blur: float) -> None:
        """Draws a shape with soft edges over the canvas.

        Args:
            points: Outline in canvas pixels, shape (n, 2).
            color: The color.
            strength: Opacity, 0 to 1.
            blur: Blur radius in canvas pixels.
        """
        small = (points - self.origin) / _SHADOW_DIVISOR
        radius = blur / _SHADOW_DIVISOR
        limit = (-(-self.image.width // _SHADOW_DIVISOR), -(-self.image.height // _SHADOW_DIVISOR))
        box = _box_of(small, 2.5 * radius + 1, limit)
        if box is None:
            return
        shape = Image.new("L", (box[2] - box[0], box[3] - box[1]), 0)
        ImageDraw.Draw(shape).polygon(_flat(small - box[:2]), fill=round(255 * min(max(strength, 0.0), 1.0)))
        shape = shape.filter(ImageFilter.GaussianBlur(radius))
        stencil = _blown_up(shape, (shape.width * _SHADOW_DIVISOR, shape.height * _SHADOW_DIVISOR))
        # Pillow pastes an image through a mask twice as fast as a plain color.
        tint = Image.new("RGB", stencil.size, to_uint8(color))
        self.image.paste(tint, (box[0] * _SHADOW_DIVISOR, box[1] * _SHADOW_DIVISOR), stencil)

    @contextmanager
    def inside(self, outline: Points) -> Iterator[Canvas]:
        """Yields a canvas whose strokes are clipped to an outline.

        Args:
            outline: Clipping polygon in canvas pixels, shape (n, 2).

        Yields:
            The clipped canvas; its content is copied back on exit.
        """
        box = _box_of(outline - self.origin, 1, self.image.size) or (0, 0, 1, 1)
        part = Canvas.__new__(Canvas)
        part.image = self.image.crop(box)
        part.origin = (self.origin[0] + box[0], self.origin[1] + box[1])
        part.whole_size = self.whole_size
        part._draw = ImageDraw.Draw(part.image, "RGBA")
        yield part
        stencil = Image.new("L", part.image.size, 0)
        ImageDraw.Draw(stencil).polygon(_flat(outline - part.origin), fill=255)
        self.image.paste(part.image, box[:2], stencil)

    def finished(self) -> Image.Image:
        """Returns the antialiased image at its final size."""
        return self.image.reduce(SUPERSAMPLING)
