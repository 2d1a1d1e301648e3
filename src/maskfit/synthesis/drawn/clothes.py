"""Clothes on the shoulders, scarves at the neck, hats on the head."""

from __future__ import annotations

import numpy as np

from maskfit.synthesis.drawn.canvas import Airbrush
from maskfit.synthesis.drawn.colors import Colour, dimmed, luminance, mixed
from maskfit.synthesis.drawn.curves import Points, ellipse, mirrored, moved, ribbon, spline, tapered
from maskfit.synthesis.drawn.drawing_context import DrawingContext
from maskfit.synthesis.drawn.hairstyles import STYLES

_FLOOR = 4.6


def _shoulders(easel: DrawingContext, dip: float, open_to: float) -> Points:
    """Outline of a garment in head units: ``dip`` is the neckline's depth, ``open_to`` its half width."""
    broad = 1.62 + 0.9 * easel.person.face.neck
    neck = easel.person.face.neck
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
    if dip > 2.4:  # a point, where the spline alone would round it off
        slope = np.linspace((0.0, dip), (open_to, 1.90), 12)
        half = [*slope[:-1].tolist(), *half[2:]]
    return spline(mirrored(half)[1:], closed=True)


def _folds(easel: DrawingContext, brush: Airbrush, colour: Colour) -> None:
    dark = dimmed(colour, 0.72)
    light = easel.scene.light
    x, y = easel.body([(-1.7 * (1 if light > 0 else -1), 2.9)])[0]
    brush.glow(x, y, easel.to_pixels(1.9), easel.to_pixels(2.2), dark, 0.60)
    x, y = easel.body([(0.0, 2.15)])[0]
    brush.glow(x, y, easel.to_pixels(1.0), easel.to_pixels(0.45), dark, 0.65)
    x, y = easel.body([(1.15 * (1 if light > 0 else -1), 2.4)])[0]
    brush.glow(x, y, easel.to_pixels(1.2), easel.to_pixels(0.8), dimmed(colour, 1.2), 0.55)


def draw_clothes(easel: DrawingContext) -> None:
    """Draws the garment over neck and shoulders."""
    kind, (colour, second) = easel.scene.clothes, easel.scene.cloth
    neck = easel.person.face.neck
    dip, open_to = {
        "v neck": (2.72, neck + 0.10),
        "shirt": (2.34, neck + 0.06),
        "jacket": (2.6, neck + 0.12),
        "turtleneck": (2.02, neck + 0.02),
    }.get(kind, (2.20, neck + 0.10))
    brush = easel.canvas.airbrush(colour)
    _folds(easel, brush, colour)
    if kind == "jacket":
        inner = easel.canvas.airbrush(second)
        _folds(easel, inner, second)
        easel.canvas.paint([easel.body(_shoulders(easel, 2.2, neck + 0.08))], inner)
    if kind == "hoodie":
        easel.canvas.fill(easel.body(ellipse(0, 1.72, neck + 0.22, 0.55)), dimmed(colour, 0.55))
    shape = easel.body(_shoulders(easel, dip, open_to))
    easel.canvas.paint([shape], brush)
    if kind in ("striped", "dotted"):
        _draw_print(easel, kind, shape, second)
    rim = easel.body(_shoulders(easel, dip, open_to))
    easel.canvas.fill(
        ribbon(_neckline(easel, rim), easel.to_pixels(0.05 if kind != "jacket" else 0.0)), dimmed(colour, 0.82)
    )
    {"shirt": _draw_collar, "jacket": _draw_lapels, "hoodie": _draw_hood, "turtleneck": _draw_roll}.get(
        kind, _no_detail
    )(easel, colour, second)
    for side in (-1, 1):
        fold = spline([(side * 1.56, 2.86), (side * 1.50, 3.3), (side * 1.52, _FLOOR)])
        easel.canvas.fill(tapered(easel.body(fold), easel.to_pixels(0.04)), dimmed(colour, 0.66), 0.6)


def _neckline(easel: DrawingContext, rim: Points) -> Points:
    middle = easel.body([(0, 0)])[0]
    near = (np.abs(rim[:, 0] - middle[0]) < easel.to_pixels(easel.person.face.neck + 0.16)) & (
        rim[:, 1] < middle[1] + easel.to_pixels(3.0)
    )
    line: Points = rim[near]
    order = np.argsort(line[:, 0])
    return np.take(line, order, axis=0)


def _no_detail(easel: DrawingContext, colour: Colour, second: Colour) -> None:
    """A plain garment has nothing more."""


def _draw_collar(easel: DrawingContext, colour: Colour, second: Colour) -> None:
    neck = easel.person.face.neck
    pale = dimmed(colour, 1.18 if luminance(colour) < 0.85 else 0.97)
    for side in (-1, 1):
        flap = np.array([(neck + 0.02, 1.74), (neck + 0.30, 1.98), (0.52, 2.46), (0.03, 2.20), (neck - 0.12, 1.96)]) * (
            side,
            1,
        )
        easel.canvas.shadow(
            moved(easel.body(flap), 0, easel.to_pixels(0.05)), (20, 18, 26), 0.30, easel.to_pixels(0.04)
        )
        easel.canvas.fill(easel.body(flap), pale if side * easel.scene.light > 0 else dimmed(pale, 0.92))
        easel.canvas.fill(
            ribbon(easel.body([flap[1], flap[2], flap[3]]), easel.to_pixels(0.014)), dimmed(colour, 0.7), 0.8
        )
    easel.canvas.fill(
        ribbon(easel.body([(0.02, 2.3), (0.04, _FLOOR)]), easel.to_pixels(0.022)), dimmed(colour, 0.72), 0.8
    )
    for y in (2.62, 3.05, 3.5):
        x, level = easel.body([(0.08, y)])[0]
        easel.canvas.fill(
            ellipse(x, level, easel.to_pixels(0.035), easel.to_pixels(0.035)), mixed(second, (250, 248, 244), 0.5)
        )


def _draw_lapels(easel: DrawingContext, colour: Colour, second: Colour) -> None:
    neck = easel.person.face.neck
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
        easel.canvas.shadow(
            moved(easel.body(lapel), 0, easel.to_pixels(0.04)), (20, 18, 26), 0.3, easel.to_pixels(0.04)
        )
        easel.canvas.fill(easel.body(lapel), dimmed(colour, 0.86 if side * easel.scene.light < 0 else 0.95))
        easel.canvas.fill(ribbon(easel.body(lapel[1:6]), easel.to_pixels(0.016)), dimmed(colour, 0.6), 0.7)


def _draw_hood(easel: DrawingContext, colour: Colour, second: Colour) -> None:
    neck = easel.person.face.neck
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
        easel.canvas.fill(easel.body(edge), dimmed(colour, 0.84 if side * easel.scene.light < 0 else 1.06))
        string = spline([(0.22, 2.36), (0.25, 2.7), (0.20, 3.05)]) * (side, 1)
        easel.canvas.fill(ribbon(easel.body(string), easel.to_pixels(0.035)), mixed((244, 242, 238), second, 0.15))


def _draw_roll(easel: DrawingContext, colour: Colour, second: Colour) -> None:
    neck = easel.person.face.neck + 0.03
    roll = spline(
        mirrored([(0.0, 1.70), (neck * 0.7, 1.66), (neck, 1.58), (neck + 0.07, 1.8), (neck + 0.05, 2.02), (0.0, 2.16)])[
            1:
        ],
        closed=True,
    )
    easel.canvas.fill(easel.body(roll), dimmed(colour, 0.93))
    for x in np.linspace(-0.9, 0.9, 11):
        rib = spline([(x * neck, 1.70 - 0.04 * abs(x)), (x * neck * 1.04, 1.9), (x * neck * 1.06, 2.08)])
        easel.canvas.fill(tapered(easel.body(rib), easel.to_pixels(0.025)), dimmed(colour, 0.72), 0.5)


def _draw_print(easel: DrawingContext, kind: str, shape: Points, ink: Colour) -> None:
    with easel.canvas.inside(shape) as cloth:
        if kind == "striped":
            for y in np.arange(2.1, 4.4, 0.34):
                band = spline([(-2.6, y + 0.32), (-1.3, y + 0.02), (0, y + 0.16), (1.3, y + 0.02), (2.6, y + 0.32)])
                cloth.fill(ribbon(easel.body(band), easel.to_pixels(0.14)), ink, 0.9)
            return
        for row in range(9):
            for column in range(-9, 10):
                x, y = easel.body([(column * 0.29 + 0.145 * (row % 2), 2.05 + row * 0.24)])[0]
                cloth.fill(ellipse(x, y, easel.to_pixels(0.055), easel.to_pixels(0.055), count=12), ink, 0.9)


def draw_scarf(easel: DrawingContext) -> None:
    """Draws a scarf round the neck: cloth below the chin that is no mask."""
    if not easel.scene.scarf:
        return
    colour = easel.scene.cloth[1]
    loop = spline(
        mirrored([(0.0, 1.72), (0.5, 1.62), (0.86, 1.50), (1.02, 1.78), (0.86, 2.18), (0.4, 2.42), (0.0, 2.48)])[1:],
        closed=True,
    )
    shape = easel.body(loop)
    easel.canvas.shadow(moved(shape, 0, easel.to_pixels(0.08)), (24, 20, 28), 0.35, easel.to_pixels(0.08))
    brush = easel.canvas.airbrush(colour)
    _folds(easel, brush, colour)
    tail = easel.body(spline([(0.2, 2.2), (0.72, 2.2), (0.86, 3.2), (0.9, 4.2), (0.34, 4.2), (0.3, 3.2)], closed=True))
    easel.canvas.paint([tail, shape], brush)
    with easel.canvas.inside(shape) as cloth:
        for level in (1.86, 2.06, 2.26):
            fold = spline([(-0.95, level - 0.16), (-0.3, level + 0.08), (0.4, level + 0.06), (0.98, level - 0.22)])
            cloth.fill(tapered(easel.body(fold), easel.to_pixels(0.05)), dimmed(colour, 0.68), 0.7)


def draw_headwear(easel: DrawingContext) -> None:
    """Draws what is worn on the head."""
    kind, colour = easel.person.adornment.headwear, easel.person.adornment.headwear_colour
    if not kind:
        return
    top = STYLES[easel.person.hair].top * 0.35
    brush = easel.canvas.airbrush(colour)
    light = easel.scene.light
    brush.glow(
        *easel.to_pixel(0.4 * light, -1.3, 0.3), easel.to_pixels(0.7), easel.to_pixels(0.45), dimmed(colour, 1.3), 0.7
    )
    for side in (-1, 1):
        brush.glow(
            *easel.to_pixel(side * 1.1, -0.8, 0.0),
            easel.to_pixels(0.5),
            easel.to_pixels(0.8),
            dimmed(colour, 0.66),
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
    }[kind](easel, brush, colour, top)


def _headscarf(easel: DrawingContext, brush: Airbrush, colour: Colour, top: float) -> None:
    outer = mirrored([(0.0, -1.56), (0.62, -1.42), (1.02, -0.95), (1.13, -0.2), (1.12, 0.6), (1.05, 1.2), (0.96, 1.75)])
    inner = mirrored(
        [(0.0, -0.98), (0.42, -0.90), (0.72, -0.62), (0.86, -0.1), (0.87, 0.42), (0.76, 0.92), (0.58, 1.30)]
    )
    rim, hole = spline(outer), spline(inner)
    easel.canvas.paint([np.concatenate([easel.face(rim, 0.0), easel.face(hole)[::-1]])], brush)
    for share in (0.3, 0.62):
        count = min(len(rim), len(hole))
        fold = rim[:count] + (hole[:count] - rim[:count]) * share
        easel.canvas.fill(tapered(easel.face(fold[6:-6], 0.1), easel.to_pixels(0.03)), dimmed(colour, 0.7), 0.6)


def draw_headscarf_drape(easel: DrawingContext) -> None:
    """Draws the part of a headscarf that lies under the chin and over the shoulders; the face comes on top."""
    if easel.person.adornment.headwear != "headscarf":
        return
    colour = easel.person.adornment.headwear_colour
    brush = easel.canvas.airbrush(dimmed(colour, 0.9))
    x, y = easel.to_pixel(0, 1.55, 0.3)
    brush.glow(x, y, easel.to_pixels(0.8), easel.to_pixels(0.4), dimmed(colour, 0.6), 0.9)
    drape = spline(
        mirrored([(0.0, 0.9), (0.9, 0.9), (1.08, 1.3), (1.12, 1.9), (1.42, 2.3), (1.2, 2.75), (0.5, 2.95), (0.0, 3.0)])[
            1:
        ],
        closed=True,
    )
    easel.canvas.paint([easel.body(drape)], brush)
    for side in (-1, 1):
        fold = spline([(side * 0.75, 1.7), (side * 0.3, 2.3), (-side * 0.3, 2.7)])
        easel.canvas.fill(tapered(easel.body(fold), easel.to_pixels(0.05)), dimmed(colour, 0.68), 0.6)


def _headband(easel: DrawingContext, brush: Airbrush, colour: Colour, top: float) -> None:
    high = 1.22 + top
    path = spline(mirrored([(0.0, -high), (0.5, -high + 0.08), (0.85, -high + 0.42), (1.0, -0.32)]))
    band = ribbon(easel.face(path, 0.25), easel.to_pixels(0.17))
    easel.canvas.paint([band], brush)


def _beanie(easel: DrawingContext, brush: Airbrush, colour: Colour, top: float) -> None:
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
    easel.canvas.paint([easel.face(crown, 0.15)], brush)
    cuff = spline(
        mirrored([(0.0, -0.98), (0.6, -0.92), (1.05, -0.74), (1.07, -0.42), (0.62, -0.60), (0.0, -0.68)])[1:],
        closed=True,
    )
    shape = easel.face(cuff, 0.25)
    easel.canvas.shadow(moved(shape, 0, easel.to_pixels(0.05)), easel.tones.deep, 0.4, easel.to_pixels(0.05))
    easel.canvas.fill(shape, dimmed(colour, 0.86))
    with easel.canvas.inside(shape) as knit:
        for x in np.linspace(-1.0, 1.0, 19):
            rib = easel.face([(x, -1.0), (x * 1.01, -0.4)], 0.25)
            knit.fill(ribbon(rib, easel.to_pixels(0.022)), dimmed(colour, 0.68), 0.55)


def _beret(easel: DrawingContext, brush: Airbrush, colour: Colour, top: float) -> None:
    side = 1 if easel.person.hair_side > 0 else -1
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
    easel.canvas.paint([easel.face(shape, 0.15)], brush)
    band = spline([(-0.92, -0.84), (-0.4, -0.96), (0.3, -0.96), (0.92, -0.80)]) * (side, 1)
    easel.canvas.fill(ribbon(easel.face(band, 0.3), easel.to_pixels(0.09)), dimmed(colour, 0.7))


def _cap(easel: DrawingContext, brush: Airbrush, colour: Colour, top: float) -> None:
    crown = spline(
        mirrored([(0.0, -1.66 - top), (0.55, -1.54 - top), (0.95, -1.14), (1.03, -0.62), (0.6, -0.74), (0.0, -0.80)])[
            1:
        ],
        closed=True,
    )
    easel.canvas.paint([easel.face(crown, 0.15)], brush)
    for x in (-0.42, 0.42):
        seam = spline([(x * 0.2, -1.62 - top), (x * 0.9, -1.3), (x, -0.8)])
        easel.canvas.fill(tapered(easel.face(seam, 0.3), easel.to_pixels(0.02)), dimmed(colour, 0.7), 0.7)
    brim = spline(
        mirrored([(0.0, -0.92), (0.5, -0.88), (0.90, -0.74), (0.88, -0.60), (0.5, -0.60), (0.0, -0.62)])[1:],
        closed=True,
    )
    shape = easel.face(brim, 1.05)
    easel.canvas.shadow(moved(shape, 0, easel.to_pixels(0.14)), easel.tones.deep, 0.5, easel.to_pixels(0.07))
    easel.canvas.fill(shape, dimmed(colour, 0.78))
    easel.canvas.fill(
        tapered(
            easel.face(spline([(-0.85, -0.72), (-0.4, -0.84), (0.4, -0.84), (0.85, -0.72)]), 1.05),
            easel.to_pixels(0.03),
        ),
        dimmed(colour, 1.2),
        0.7,
    )


def _turban(easel: DrawingContext, brush: Airbrush, colour: Colour, top: float) -> None:
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
    pixels = easel.face(shape, 0.12)
    easel.canvas.shadow(moved(pixels, 0, easel.to_pixels(0.05)), easel.tones.deep, 0.35, easel.to_pixels(0.05))
    easel.canvas.paint([pixels], brush)
    with easel.canvas.inside(pixels) as cloth:
        for index in range(5):
            drop = 0.22 * index
            for side in (-1, 1):
                fold = spline(
                    [(side * -0.12, -1.86 + drop), (side * 0.5, -1.62 + drop), (side * 1.12, -0.92 + drop * 0.8)]
                )
                cloth.fill(tapered(easel.face(fold, 0.2), easel.to_pixels(0.035)), dimmed(colour, 0.7), 0.6)
