"""Hair on cheeks, chin and lip."""

from __future__ import annotations

import numpy as np

from maskfit.synthesis.drawn.colors import Colour, dimmed, mixed
from maskfit.synthesis.drawn.curves import Points, ellipse, mirrored, spline, tapered
from maskfit.synthesis.drawn.drawing_context import DrawingContext
from maskfit.synthesis.drawn.features import MOUTH_LEVEL
from maskfit.synthesis.drawn.hair import shine
from maskfit.synthesis.drawn.head import outline_pixels


def beard_colour(easel: DrawingContext) -> Colour:
    """Gives the beard's colour, which greys before the hair."""
    return mixed(dimmed(easel.person.hair_colour, 0.9), (206, 204, 202), 0.75 * easel.person.years.beard_grey)


def _cheeks(easel: DrawingContext, reach: float) -> Points:
    """A beard over jaw and chin that hangs ``reach`` below the chin."""
    face = easel.person.face
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


def _stubble(easel: DrawingContext) -> Points:
    face = easel.person.face
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


def draw_beard(easel: DrawingContext) -> None:
    """Draws stubble or beard; the mouth is drawn over it."""
    kind = easel.person.adornment.beard
    if not kind:
        return
    colour, density = beard_colour(easel), easel.person.adornment.beard_density
    if kind == "stubble":
        with easel.canvas.inside(outline_pixels(easel)) as skin:
            shade = mixed(easel.tones.skin, colour, 0.55)
            skin.shadow(easel.face(_stubble(easel)), shade, 0.62 * density, easel.to_pixels(0.10))
        return
    if kind in ("short", "full"):
        shapes = [_cheeks(easel, 0.20 if kind == "full" else 0.035)]
    else:
        shapes = [_goatee(easel)] if kind == "goatee" else _moustache(easel)
    brush = easel.canvas.airbrush(colour)
    x, y = easel.to_pixel(0, easel.person.face.length + 0.1, 0.5)
    brush.glow(x, y, easel.to_pixels(0.5), easel.to_pixels(0.35), dimmed(colour, 0.72), 0.7)
    x, y = easel.to_pixel(0.3 * easel.scene.light, 1.2, 0.6)
    brush.glow(x, y, easel.to_pixels(0.35), easel.to_pixels(0.2), shine(colour), 0.5)
    pixels = [easel.face(shape) for shape in shapes]
    for shape in pixels:
        easel.canvas.shadow(shape, colour, 0.6, easel.to_pixels(0.035))
    easel.canvas.paint(pixels, brush, alpha=0.70 + 0.28 * density)
    _draw_bristles(easel, pixels[0], colour)


def _goatee(easel: DrawingContext) -> Points:
    face, wide = easel.person.face, easel.person.face.mouth_width
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


def _moustache(easel: DrawingContext) -> list[Points]:
    wide = easel.person.face.mouth_width
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


def _draw_bristles(easel: DrawingContext, shape: Points, colour: Colour) -> None:
    rng = np.random.default_rng([easel.person.seed, easel.person.number, 8])
    with easel.canvas.inside(shape) as hair:
        for _ in range(34):
            x, y = float(rng.uniform(-0.8, 0.8)), float(rng.uniform(0.75, 1.55))
            path = easel.face(spline([(x, y), (x * 0.96, y + 0.07), (x * 0.90, y + 0.13)], 4))
            white = rng.random() < easel.person.years.beard_grey
            tone = (226, 224, 220) if white else (dimmed(colour, 0.7) if rng.random() < 0.6 else shine(colour))
            hair.fill(tapered(path, easel.to_pixels(0.022)), tone, 0.5)


def draw_moustache_shadow(easel: DrawingContext) -> None:
    """Draws the faint shade that shaving leaves on a man's lip and jaw."""
    if easel.person.gender == "male" and not easel.person.adornment.beard:
        x, y = easel.to_pixel(0, 1.05)
        shade = mixed(easel.tones.skin, easel.person.hair_colour, 0.25)
        easel.canvas.shadow(
            ellipse(x, y, easel.to_pixels(0.55), easel.to_pixels(0.35)), shade, 0.22, easel.to_pixels(0.12)
        )
