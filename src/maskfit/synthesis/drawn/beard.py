"""Facial hair."""

from __future__ import annotations

import numpy as np

from maskfit.synthesis.drawn.colors import Color, blend, scale_brightness
from maskfit.synthesis.drawn.curves import Points, ellipse, mirrored, spline, tapered
from maskfit.synthesis.drawn.drawing_context import DrawingContext
from maskfit.synthesis.drawn.features import MOUTH_LEVEL
from maskfit.synthesis.drawn.hair import highlight_color
from maskfit.synthesis.drawn.head import outline_pixels


def beard_color(ctx: DrawingContext) -> Color:
    """Returns the color of the beard, which turns gray before the hair."""
    return blend(scale_brightness(ctx.person.hair_color, 0.9), (206, 204, 202), 0.75 * ctx.person.aging.beard_gray)


def _cheeks(ctx: DrawingContext, reach: float) -> Points:
    """Returns the outline of a beard over jaw and chin that ends ``reach`` below the chin."""
    face = ctx.person.face
    rim = [
        (0.0, face.length + reach),
        (face.chin + 0.14, face.length - 0.06 + reach),
        (face.jaw + 0.06, 1.10 + reach * 0.6),
        (face.jaw + 0.18, 0.78),
        (0.965, 0.30),
        (0.90, -0.02),
        (0.86, 0.25),
        (0.74, 0.62),
        (0.54, 0.80),
        (face.mouth_width + 0.03, MOUTH_LEVEL - 0.12),
        (0.2, MOUTH_LEVEL - 0.17),
        (0.0, MOUTH_LEVEL - 0.15),
    ]
    return spline(mirrored(rim)[1:], closed=True)


def _stubble(ctx: DrawingContext) -> Points:
    face = ctx.person.face
    rim = [
        (0.0, face.length + 0.05),
        (face.chin + 0.2, face.length),
        (face.jaw + 0.14, 1.06),
        (0.98, 0.60),
        (0.93, 0.36),
        (0.80, 0.72),
        (0.56, 0.90),
        (0.42, 0.84),
        (0.2, MOUTH_LEVEL - 0.20),
        (0.0, MOUTH_LEVEL - 0.18),
    ]
    return spline(mirrored(rim)[1:], closed=True)


def draw_beard(ctx: DrawingContext) -> None:
    """Draws stubble or beard; the mouth is drawn over it later."""
    kind = ctx.person.accessories.beard
    if not kind:
        return
    color, density = beard_color(ctx), ctx.person.accessories.beard_density
    if kind == "stubble":
        with ctx.canvas.inside(outline_pixels(ctx)) as skin:
            shade = blend(ctx.tones.skin, color, 0.55)
            skin.shadow(ctx.face(_stubble(ctx)), shade, 0.62 * density, ctx.to_pixels(0.10))
        return
    if kind in ("short", "full"):
        shapes = [_cheeks(ctx, 0.20 if kind == "full" else 0.035)]
    else:
        shapes = [_goatee(ctx)] if kind == "goatee" else _moustache(ctx)
    brush = ctx.canvas.airbrush(color)
    x, y = ctx.to_pixel(0, ctx.person.face.length + 0.1, 0.5)
    brush.glow(x, y, ctx.to_pixels(0.5), ctx.to_pixels(0.35), scale_brightness(color, 0.72), 0.7)
    x, y = ctx.to_pixel(0.3 * ctx.scene.light, 1.2, 0.6)
    brush.glow(x, y, ctx.to_pixels(0.35), ctx.to_pixels(0.2), highlight_color(color), 0.5)
    pixels = [ctx.face(shape) for shape in shapes]
    for shape in pixels:
        ctx.canvas.shadow(shape, color, 0.6, ctx.to_pixels(0.035))
    ctx.canvas.paint(pixels, brush, alpha=0.70 + 0.28 * density)
    _draw_bristles(ctx, pixels[0], color)


def _goatee(ctx: DrawingContext) -> Points:
    face, wide = ctx.person.face, ctx.person.face.mouth_width
    rim = [
        (0.0, face.length + 0.05),
        (face.chin * 0.8, face.length),
        (wide + 0.04, 1.14),
        (wide + 0.06, MOUTH_LEVEL),
        (wide - 0.06, MOUTH_LEVEL - 0.13),
        (0.15, MOUTH_LEVEL - 0.18),
        (0.0, MOUTH_LEVEL - 0.15),
    ]
    return spline(mirrored(rim)[1:], closed=True)


def _moustache(ctx: DrawingContext) -> list[Points]:
    wide = ctx.person.face.mouth_width
    half = [
        (0.0, MOUTH_LEVEL - 0.15),
        (0.16, MOUTH_LEVEL - 0.18),
        (wide * 0.8, MOUTH_LEVEL - 0.11),
        (wide + 0.06, MOUTH_LEVEL + 0.02),
        (wide * 0.75, MOUTH_LEVEL - 0.03),
        (0.14, MOUTH_LEVEL - 0.06),
        (0.0, MOUTH_LEVEL - 0.07),
    ]
    return [spline(mirrored(half)[1:], closed=True)]


def _draw_bristles(ctx: DrawingContext, shape: Points, color: Color) -> None:
    rng = np.random.default_rng([ctx.person.seed, ctx.person.number, 8])
    with ctx.canvas.inside(shape) as hair:
        for _ in range(34):
            x, y = float(rng.uniform(-0.8, 0.8)), float(rng.uniform(0.75, 1.55))
            path = ctx.face(spline([(x, y), (x * 0.96, y + 0.07), (x * 0.90, y + 0.13)], 4))
            white = rng.random() < ctx.person.aging.beard_gray
            tone = (
                (226, 224, 220)
                if white
                else (scale_brightness(color, 0.7) if rng.random() < 0.6 else highlight_color(color))
            )
            hair.fill(tapered(path, ctx.to_pixels(0.022)), tone, 0.5)


def draw_moustache_shadow(ctx: DrawingContext) -> None:
    """Draws the faint shade of a shaved beard."""
    if ctx.person.gender == "male" and not ctx.person.accessories.beard:
        x, y = ctx.to_pixel(0, 1.05)
        shade = blend(ctx.tones.skin, ctx.person.hair_color, 0.25)
        ctx.canvas.shadow(ellipse(x, y, ctx.to_pixels(0.55), ctx.to_pixels(0.35)), shade, 0.22, ctx.to_pixels(0.12))
