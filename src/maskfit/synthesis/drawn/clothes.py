"""Clothes, scarves and headwear."""

from __future__ import annotations

import numpy as np

from maskfit.synthesis.drawn.canvas import Airbrush
from maskfit.synthesis.drawn.colors import Color, blend, luminance, scale_brightness
from maskfit.synthesis.drawn.curves import Points, ellipse, mirrored, ribbon, spline, tapered, translated
from maskfit.synthesis.drawn.drawing_context import DrawingContext
from maskfit.synthesis.drawn.hairstyles import STYLES

_FLOOR = 4.6


def _shoulders(ctx: DrawingContext, dip: float, open_to: float) -> Points:
    """Returns the outline of a garment in head units: ``dip`` is the neckline's depth, ``open_to`` its half width."""
    broad = 1.62 + 0.9 * ctx.person.face.neck
    neck = ctx.person.face.neck
    half = [
        (0.0, dip),
        (open_to * 0.55, dip - 0.10),
        (open_to, 1.90),
        (neck + 0.32, 1.93),
        (broad * 0.72, 2.12),
        (broad, 2.42),
        (broad + 0.22, 3.0),
        (broad + 0.3, _FLOOR),
        (0.0, _FLOOR),
    ]
    if dip > 2.4:  # a V neck's corner, which the spline alone would round off
        slope = np.linspace((0.0, dip), (open_to, 1.90), 12)
        half = [*slope[:-1].tolist(), *half[2:]]
    return spline(mirrored(half)[1:], closed=True)


def _folds(ctx: DrawingContext, brush: Airbrush, color: Color) -> None:
    dark = scale_brightness(color, 0.72)
    light = ctx.scene.light
    x, y = ctx.body([(-1.7 * (1 if light > 0 else -1), 2.9)])[0]
    brush.glow(x, y, ctx.to_pixels(1.9), ctx.to_pixels(2.2), dark, 0.60)
    x, y = ctx.body([(0.0, 2.15)])[0]
    brush.glow(x, y, ctx.to_pixels(1.0), ctx.to_pixels(0.45), dark, 0.65)
    x, y = ctx.body([(1.15 * (1 if light > 0 else -1), 2.4)])[0]
    brush.glow(x, y, ctx.to_pixels(1.2), ctx.to_pixels(0.8), scale_brightness(color, 1.2), 0.55)


def draw_clothes(ctx: DrawingContext) -> None:
    """Draws the garment over neck and shoulders."""
    kind, (color, second) = ctx.scene.clothes, ctx.scene.cloth
    neck = ctx.person.face.neck
    dip, open_to = {
        "v neck": (2.72, neck + 0.10),
        "shirt": (2.34, neck + 0.06),
        "jacket": (2.6, neck + 0.12),
        "turtleneck": (2.02, neck + 0.02),
    }.get(kind, (2.20, neck + 0.10))
    brush = ctx.canvas.airbrush(color)
    _folds(ctx, brush, color)
    if kind == "jacket":
        inner = ctx.canvas.airbrush(second)
        _folds(ctx, inner, second)
        ctx.canvas.paint([ctx.body(_shoulders(ctx, 2.2, neck + 0.08))], inner)
    if kind == "hoodie":
        ctx.canvas.fill(ctx.body(ellipse(0, 1.72, neck + 0.22, 0.55)), scale_brightness(color, 0.55))
    shape = ctx.body(_shoulders(ctx, dip, open_to))
    ctx.canvas.paint([shape], brush)
    if kind in ("striped", "dotted"):
        _draw_print(ctx, kind, shape, second)
    rim = ctx.body(_shoulders(ctx, dip, open_to))
    ctx.canvas.fill(
        ribbon(_neckline(ctx, rim), ctx.to_pixels(0.05 if kind != "jacket" else 0.0)), scale_brightness(color, 0.82)
    )
    {"shirt": _draw_collar, "jacket": _draw_lapels, "hoodie": _draw_hood, "turtleneck": _draw_roll}.get(
        kind, _no_detail
    )(ctx, color, second)
    for side in (-1, 1):
        fold = spline([(side * 1.56, 2.86), (side * 1.50, 3.3), (side * 1.52, _FLOOR)])
        ctx.canvas.fill(tapered(ctx.body(fold), ctx.to_pixels(0.04)), scale_brightness(color, 0.66), 0.6)


def _neckline(ctx: DrawingContext, rim: Points) -> Points:
    middle = ctx.body([(0, 0)])[0]
    vary = (np.abs(rim[:, 0] - middle[0]) < ctx.to_pixels(ctx.person.face.neck + 0.16)) & (
        rim[:, 1] < middle[1] + ctx.to_pixels(3.0)
    )
    line: Points = rim[vary]
    order = np.argsort(line[:, 0])
    return np.take(line, order, axis=0)


def _no_detail(ctx: DrawingContext, color: Color, second: Color) -> None:
    """Draws nothing: a plain garment has no detail."""


def _draw_collar(ctx: DrawingContext, color: Color, second: Color) -> None:
    neck = ctx.person.face.neck
    pale = scale_brightness(color, 1.18 if luminance(color) < 0.85 else 0.97)
    for side in (-1, 1):
        flap = np.array([(neck + 0.02, 1.74), (neck + 0.30, 1.98), (0.52, 2.46), (0.03, 2.20), (neck - 0.12, 1.96)]) * (
            side,
            1,
        )
        ctx.canvas.shadow(translated(ctx.body(flap), 0, ctx.to_pixels(0.05)), (20, 18, 26), 0.30, ctx.to_pixels(0.04))
        ctx.canvas.fill(ctx.body(flap), pale if side * ctx.scene.light > 0 else scale_brightness(pale, 0.92))
        ctx.canvas.fill(
            ribbon(ctx.body([flap[1], flap[2], flap[3]]), ctx.to_pixels(0.014)), scale_brightness(color, 0.7), 0.8
        )
    ctx.canvas.fill(
        ribbon(ctx.body([(0.02, 2.3), (0.04, _FLOOR)]), ctx.to_pixels(0.022)), scale_brightness(color, 0.72), 0.8
    )
    for y in (2.62, 3.05, 3.5):
        x, level = ctx.body([(0.08, y)])[0]
        ctx.canvas.fill(
            ellipse(x, level, ctx.to_pixels(0.035), ctx.to_pixels(0.035)), blend(second, (250, 248, 244), 0.5)
        )


def _draw_lapels(ctx: DrawingContext, color: Color, second: Color) -> None:
    neck = ctx.person.face.neck
    for side in (-1, 1):
        lapel = np.array(
            [
                (neck + 0.06, 1.78),
                (neck + 0.34, 2.0),
                (0.98, 2.55),
                (0.72, 2.66),
                (0.78, 2.8),
                (0.06, 3.75),
                (0.02, 3.2),
                (neck - 0.06, 2.2),
            ]
        ) * (side, 1)
        ctx.canvas.shadow(translated(ctx.body(lapel), 0, ctx.to_pixels(0.04)), (20, 18, 26), 0.3, ctx.to_pixels(0.04))
        ctx.canvas.fill(ctx.body(lapel), scale_brightness(color, 0.86 if side * ctx.scene.light < 0 else 0.95))
        ctx.canvas.fill(ribbon(ctx.body(lapel[1:6]), ctx.to_pixels(0.016)), scale_brightness(color, 0.6), 0.7)


def _draw_hood(ctx: DrawingContext, color: Color, second: Color) -> None:
    neck = ctx.person.face.neck
    for side in (-1, 1):
        edge = spline(
            [
                (neck + 0.05, 1.60),
                (neck + 0.42, 1.82),
                (neck + 0.24, 2.22),
                (0.0, 2.48),
                (neck - 0.1, 2.18),
                (neck + 0.06, 1.9),
            ],
            closed=True,
        ) * (side, 1)
        ctx.canvas.fill(ctx.body(edge), scale_brightness(color, 0.84 if side * ctx.scene.light < 0 else 1.06))
        string = spline([(0.22, 2.36), (0.25, 2.7), (0.20, 3.05)]) * (side, 1)
        ctx.canvas.fill(ribbon(ctx.body(string), ctx.to_pixels(0.035)), blend((244, 242, 238), second, 0.15))


def _draw_roll(ctx: DrawingContext, color: Color, second: Color) -> None:
    neck = ctx.person.face.neck + 0.03
    roll = spline(
        mirrored([(0.0, 1.70), (neck * 0.7, 1.66), (neck, 1.58), (neck + 0.07, 1.8), (neck + 0.05, 2.02), (0.0, 2.16)])[
            1:
        ],
        closed=True,
    )
    ctx.canvas.fill(ctx.body(roll), scale_brightness(color, 0.93))
    for x in np.linspace(-0.9, 0.9, 11):
        rib = spline([(x * neck, 1.70 - 0.04 * abs(x)), (x * neck * 1.04, 1.9), (x * neck * 1.06, 2.08)])
        ctx.canvas.fill(tapered(ctx.body(rib), ctx.to_pixels(0.025)), scale_brightness(color, 0.72), 0.5)


def _draw_print(ctx: DrawingContext, kind: str, shape: Points, ink: Color) -> None:
    with ctx.canvas.inside(shape) as cloth:
        if kind == "striped":
            for y in np.arange(2.1, 4.4, 0.34):
                band = spline([(-2.6, y + 0.32), (-1.3, y + 0.02), (0, y + 0.16), (1.3, y + 0.02), (2.6, y + 0.32)])
                cloth.fill(ribbon(ctx.body(band), ctx.to_pixels(0.14)), ink, 0.9)
            return
        for row in range(9):
            for column in range(-9, 10):
                x, y = ctx.body([(column * 0.29 + 0.145 * (row % 2), 2.05 + row * 0.24)])[0]
                cloth.fill(ellipse(x, y, ctx.to_pixels(0.055), ctx.to_pixels(0.055), count=12), ink, 0.9)


def draw_scarf(ctx: DrawingContext) -> None:
    """Draws a scarf round the neck: cloth below the chin that is not a mask."""
    if not ctx.scene.scarf:
        return
    color = ctx.scene.cloth[1]
    loop = spline(
        mirrored([(0.0, 1.72), (0.5, 1.62), (0.86, 1.50), (1.02, 1.78), (0.86, 2.18), (0.4, 2.42), (0.0, 2.48)])[1:],
        closed=True,
    )
    shape = ctx.body(loop)
    ctx.canvas.shadow(translated(shape, 0, ctx.to_pixels(0.08)), (24, 20, 28), 0.35, ctx.to_pixels(0.08))
    brush = ctx.canvas.airbrush(color)
    _folds(ctx, brush, color)
    tail = ctx.body(spline([(0.2, 2.2), (0.72, 2.2), (0.86, 3.2), (0.9, 4.2), (0.34, 4.2), (0.3, 3.2)], closed=True))
    ctx.canvas.paint([tail, shape], brush)
    with ctx.canvas.inside(shape) as cloth:
        for level in (1.86, 2.06, 2.26):
            fold = spline([(-0.95, level - 0.16), (-0.3, level + 0.08), (0.4, level + 0.06), (0.98, level - 0.22)])
            cloth.fill(tapered(ctx.body(fold), ctx.to_pixels(0.05)), scale_brightness(color, 0.68), 0.7)


def draw_headwear(ctx: DrawingContext) -> None:
    """Draws the headwear."""
    kind, color = ctx.person.accessories.headwear, ctx.person.accessories.headwear_color
    if not kind:
        return
    top = STYLES[ctx.person.hair].top * 0.35
    brush = ctx.canvas.airbrush(color)
    light = ctx.scene.light
    brush.glow(
        *ctx.to_pixel(0.4 * light, -1.3, 0.3),
        ctx.to_pixels(0.7),
        ctx.to_pixels(0.45),
        scale_brightness(color, 1.3),
        0.7,
    )
    for side in (-1, 1):
        brush.glow(
            *ctx.to_pixel(side * 1.1, -0.8, 0.0),
            ctx.to_pixels(0.5),
            ctx.to_pixels(0.8),
            scale_brightness(color, 0.66),
            0.8,
        )
    {
        "headscarf": _headscarf,
        "headband": _headband,
        "beanie": _beanie,
        "beret": _beret,
        "cap": _cap,
        "turban": _turban,
        "flat cap": _cap,
    }[kind](ctx, brush, color, top)


def _headscarf(ctx: DrawingContext, brush: Airbrush, color: Color, top: float) -> None:
    outer = mirrored([(0.0, -1.56), (0.62, -1.42), (1.02, -0.95), (1.13, -0.2), (1.12, 0.6), (1.05, 1.2), (0.96, 1.75)])
    inner = mirrored(
        [(0.0, -0.98), (0.42, -0.90), (0.72, -0.62), (0.86, -0.1), (0.87, 0.42), (0.76, 0.92), (0.58, 1.30)]
    )
    rim, hole = spline(outer), spline(inner)
    ctx.canvas.paint([np.concatenate([ctx.face(rim, 0.0), ctx.face(hole)[::-1]])], brush)
    for fraction in (0.3, 0.62):
        count = min(len(rim), len(hole))
        fold = rim[:count] + (hole[:count] - rim[:count]) * fraction
        ctx.canvas.fill(tapered(ctx.face(fold[6:-6], 0.1), ctx.to_pixels(0.03)), scale_brightness(color, 0.7), 0.6)


def draw_headscarf_drape(ctx: DrawingContext) -> None:
    """Draws the part of a headscarf under the chin and over the shoulders; the face is drawn over it later."""
    if ctx.person.accessories.headwear != "headscarf":
        return
    color = ctx.person.accessories.headwear_color
    brush = ctx.canvas.airbrush(scale_brightness(color, 0.9))
    x, y = ctx.to_pixel(0, 1.55, 0.3)
    brush.glow(x, y, ctx.to_pixels(0.8), ctx.to_pixels(0.4), scale_brightness(color, 0.6), 0.9)
    drape = spline(
        mirrored([(0.0, 0.9), (0.9, 0.9), (1.08, 1.3), (1.12, 1.9), (1.42, 2.3), (1.2, 2.75), (0.5, 2.95), (0.0, 3.0)])[
            1:
        ],
        closed=True,
    )
    ctx.canvas.paint([ctx.body(drape)], brush)
    for side in (-1, 1):
        fold = spline([(side * 0.75, 1.7), (side * 0.3, 2.3), (-side * 0.3, 2.7)])
        ctx.canvas.fill(tapered(ctx.body(fold), ctx.to_pixels(0.05)), scale_brightness(color, 0.68), 0.6)


def _headband(ctx: DrawingContext, brush: Airbrush, color: Color, top: float) -> None:
    high = 1.22 + top
    path = spline(mirrored([(0.0, -high), (0.5, -high + 0.08), (0.85, -high + 0.42), (1.0, -0.32)]))
    band = ribbon(ctx.face(path, 0.25), ctx.to_pixels(0.17))
    ctx.canvas.paint([band], brush)


def _beanie(ctx: DrawingContext, brush: Airbrush, color: Color, top: float) -> None:
    crown = spline(
        mirrored(
            [
                (0.0, -1.74 - top),
                (0.5, -1.62 - top),
                (0.92, -1.2 - top * 0.5),
                (1.06, -0.62),
                (0.7, -0.55),
                (0.0, -0.60),
            ]
        )[1:],
        closed=True,
    )
    ctx.canvas.paint([ctx.face(crown, 0.15)], brush)
    cuff = spline(
        mirrored([(0.0, -0.98), (0.6, -0.92), (1.05, -0.74), (1.07, -0.42), (0.62, -0.60), (0.0, -0.68)])[1:],
        closed=True,
    )
    shape = ctx.face(cuff, 0.25)
    ctx.canvas.shadow(translated(shape, 0, ctx.to_pixels(0.05)), ctx.tones.deep, 0.4, ctx.to_pixels(0.05))
    ctx.canvas.fill(shape, scale_brightness(color, 0.86))
    with ctx.canvas.inside(shape) as knit:
        for x in np.linspace(-1.0, 1.0, 19):
            rib = ctx.face([(x, -1.0), (x * 1.01, -0.4)], 0.25)
            knit.fill(ribbon(rib, ctx.to_pixels(0.022)), scale_brightness(color, 0.68), 0.55)


def _beret(ctx: DrawingContext, brush: Airbrush, color: Color, top: float) -> None:
    side = 1 if ctx.person.hair_side > 0 else -1
    shape = spline(
        [
            (-0.92, -0.86),
            (-0.98, -1.3),
            (-0.4, -1.66 - top),
            (0.5, -1.74 - top),
            (1.22, -1.45),
            (1.28, -1.05),
            (0.9, -0.82),
            (0.3, -0.98),
            (-0.4, -0.98),
        ],
        closed=True,
    ) * (side, 1)
    ctx.canvas.paint([ctx.face(shape, 0.15)], brush)
    band = spline([(-0.92, -0.84), (-0.4, -0.96), (0.3, -0.96), (0.92, -0.80)]) * (side, 1)
    ctx.canvas.fill(ribbon(ctx.face(band, 0.3), ctx.to_pixels(0.09)), scale_brightness(color, 0.7))


def _cap(ctx: DrawingContext, brush: Airbrush, color: Color, top: float) -> None:
    crown = spline(
        mirrored([(0.0, -1.66 - top), (0.55, -1.54 - top), (0.95, -1.14), (1.03, -0.62), (0.6, -0.74), (0.0, -0.80)])[
            1:
        ],
        closed=True,
    )
    ctx.canvas.paint([ctx.face(crown, 0.15)], brush)
    for x in (-0.42, 0.42):
        seam = spline([(x * 0.2, -1.62 - top), (x * 0.9, -1.3), (x, -0.8)])
        ctx.canvas.fill(tapered(ctx.face(seam, 0.3), ctx.to_pixels(0.02)), scale_brightness(color, 0.7), 0.7)
    brim = spline(
        mirrored([(0.0, -0.92), (0.5, -0.88), (0.90, -0.74), (0.88, -0.60), (0.5, -0.60), (0.0, -0.62)])[1:],
        closed=True,
    )
    shape = ctx.face(brim, 1.05)
    ctx.canvas.shadow(translated(shape, 0, ctx.to_pixels(0.14)), ctx.tones.deep, 0.5, ctx.to_pixels(0.07))
    ctx.canvas.fill(shape, scale_brightness(color, 0.78))
    ctx.canvas.fill(
        tapered(
            ctx.face(spline([(-0.85, -0.72), (-0.4, -0.84), (0.4, -0.84), (0.85, -0.72)]), 1.05),
            ctx.to_pixels(0.03),
        ),
        scale_brightness(color, 1.2),
        0.7,
    )


def _turban(ctx: DrawingContext, brush: Airbrush, color: Color, top: float) -> None:
    shape = spline(
        mirrored(
            [
                (0.0, -1.92),
                (0.6, -1.80),
                (1.1, -1.35),
                (1.2, -0.75),
                (1.0, -0.30),
                (0.8, -0.48),
                (0.45, -0.72),
                (0.0, -0.92),
            ]
        )[1:],
        closed=True,
    )
    pixels = ctx.face(shape, 0.12)
    ctx.canvas.shadow(translated(pixels, 0, ctx.to_pixels(0.05)), ctx.tones.deep, 0.35, ctx.to_pixels(0.05))
    ctx.canvas.paint([pixels], brush)
    with ctx.canvas.inside(pixels) as cloth:
        for index in range(5):
            drop = 0.22 * index
            for side in (-1, 1):
                fold = spline(
                    [(side * -0.12, -1.86 + drop), (side * 0.5, -1.62 + drop), (side * 1.12, -0.92 + drop * 0.8)]
                )
                cloth.fill(tapered(ctx.face(fold, 0.2), ctx.to_pixels(0.035)), scale_brightness(color, 0.7), 0.6)
