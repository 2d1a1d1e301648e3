"""Hair behind the neck and over the head."""

from __future__ import annotations

import numpy as np

from maskfit.synthesis.drawn.canvas import Airbrush
from maskfit.synthesis.drawn.colors import Color, blend, luminance, scale_brightness, shift_hsv
from maskfit.synthesis.drawn.curves import (
    Points,
    ellipse,
    interpolated,
    resampled,
    ribbon,
    scalloped,
    spline,
    tapered,
    translated,
)
from maskfit.synthesis.drawn.drawing_context import DrawingContext
from maskfit.synthesis.drawn.hairstyles import STYLES, HairStyle

_STRANDS = 26


def _style(ctx: DrawingContext) -> HairStyle:
    return STYLES[ctx.person.hair]


def highlight_color(color: Color) -> Color:
    """Returns the color of highlights on hair: dark hair has cooler and weaker ones than fair hair."""
    return blend(shift_hsv(color, saturation=0.85), (255, 240, 220), 0.20 if luminance(color) < 0.3 else 0.30)


def _depths(color: Color) -> Color:
    return scale_brightness(shift_hsv(color, saturation=1.1), 0.68)


def _hair_rng(ctx: DrawingContext) -> np.random.Generator:
    # Seeded by the person: locks are the same in all photos.
    return np.random.default_rng([ctx.person.seed, ctx.person.number, 7])


def _textured(style: HairStyle, path: Points) -> Points:
    """Adds the bumps of the hair's texture to an outline; the outside is on the left of the path."""
    if style.texture == "curly":
        return scalloped(path, 0.24, 0.075)
    if style.texture == "coily":
        return scalloped(path, 0.13, 0.035)
    return path


def draw_back(ctx: DrawingContext) -> None:
    """Draws the hair behind the neck and shoulders, and tied hair."""
    style, color = _style(ctx), ctx.person.hair_color
    dark = blend(color, _depths(color), 0.75)
    if style.tied:
        _draw_tied(ctx, style, color)
    if style.back is None:
        return
    side, end, spread = 0.98 + style.side, style.back, style.spread
    half = [
        (0.0, -1.0),
        (side * 0.8, -0.8),
        (side, 0.0),
        (side + spread * 0.5, 0.9),
        (side + spread, end * 0.75),
        (side + spread * 0.8, end - 0.08),
        (0.62, end + 0.05),
        (0.0, end),
    ]
    right = spline(half)
    if style.texture == "wavy":
        right[:, 0] += 0.05 * np.sin(right[:, 1] * 6.0) * (right[:, 1] > 0.2)
    rim = np.concatenate([right[::-1] * (-1, 1), right])
    rim = _textured(style, rim)
    brush = ctx.canvas.airbrush(dark)
    x, y = ctx.to_pixel(0, 1.1, 0)
    brush.glow(x, y, ctx.to_pixels(1.0), ctx.to_pixels(1.2), _depths(dark), 0.9)
    ctx.canvas.paint([ctx.face(rim, -0.25)], brush)


def _draw_tied(ctx: DrawingContext, style: HairStyle, color: Color) -> None:
    brush = ctx.canvas.airbrush(blend(color, _depths(color), 0.35))
    if style.tied == "braids":
        for side in (-1, 1):
            for index in range(7):
                x, y = side * (0.98 + 0.05 * np.sin(index * 0.7)), 0.62 + 0.24 * index
                knot = ellipse(x, y, 0.155 - 0.008 * index, 0.15, turn=side * 0.5)
                ctx.canvas.fill(ctx.face(knot, -0.1), blend(color, _depths(color), 0.25 + 0.35 * (index % 2)))
        return
    side = 1 if ctx.person.hair_side > 0 else -1
    if style.tied == "ponytail":
        tail = spline(
            [
                (side * 0.35, -1.2),
                (side * 1.05, -1.05),
                (side * 1.32, -0.2),
                (side * 1.28, 0.8),
                (side * 1.10, 1.55),
                (side * 0.95, 0.9),
                (side * 0.8, 0.0),
            ],
            closed=True,
        )
        brush.glow(
            *ctx.to_pixel(side * 1.22, -0.3, -0.3), ctx.to_pixels(0.25), ctx.to_pixels(0.7), highlight_color(color), 0.6
        )
        ctx.canvas.paint([ctx.face(tail, -0.35)], brush)
        return
    x, y, size = (0.05 * side, -1.62, 0.40) if style.tied == "top bun" else (side * 0.78, 0.72, 0.36)
    ball = ctx.face(_textured(style, ellipse(x, y, size, size * 0.86)), -0.3)
    brush.glow(
        *ctx.to_pixel(x - 0.08, y - 0.12, -0.3), ctx.to_pixels(0.26), ctx.to_pixels(0.18), highlight_color(color), 0.7
    )
    ctx.canvas.paint([ball], brush)
    for turn in (0.55, 0.8):
        curl = ellipse(x, y + 0.03, size * turn, size * turn * 0.8)[12:26]
        ctx.canvas.fill(tapered(ctx.face(curl, -0.3), ctx.to_pixels(0.03)), _depths(color), 0.5)


def _outer_rim(ctx: DrawingContext, style: HairStyle) -> Points:
    """Returns the outer outline of the hair, from the left end over the crown to the right end, in head units."""
    top, side, fall = style.top, style.side, style.fall
    lean = 0.10 * ctx.person.hair_side if style.front in ("swept", "tousled") else 0.0
    right = [
        (0.48 + 0.3 * side + lean, -1.34 - top * 0.80),
        (0.84 + 0.7 * side, -1.02 - top * 0.42),
        (0.985 + side, -0.45 - top * 0.10),
        (1.0 + side, min(0.0, fall)),
    ]
    if fall > 0.45:
        width = 1.0 + side + 0.4 * style.spread
        right += [(width, fall * 0.5), (width - 0.02, fall * 0.82), (width - 0.16, fall)]
    else:
        right[-1] = (0.965 + side * 0.6, fall - 0.12)
        right.append((0.95, fall))
    half = np.array(right)
    left = half[::-1] * (-1, 1) + (2 * lean, 0) * (np.arange(len(half))[::-1] == 0)[:, None]
    path = spline(np.concatenate([left, [(lean, -1.46 - top)], half]))
    if style.texture == "wavy" and fall > 0.45:
        path[:, 0] += 0.05 * np.sin(path[:, 1] * 6.0) * np.clip(path[:, 1], 0, 0.5) * 2 * np.sign(path[:, 0])
    return path


def _inner_rim(ctx: DrawingContext, style: HairStyle) -> Points:
    """Returns the hairline over forehead and temples, from the left end to the right end, in head units."""
    aging, part, fall = ctx.person.aging, ctx.person.hair_side, style.fall
    back, end = aging.receding, style.fall
    sign = 1.0 if part > 0 else -1.0
    temple = [(0.90, end), (0.875, -0.12), (0.83, -0.46)]
    if fall > 0.45:
        width = 0.80 if style.front != "bangs" else 0.78
        temple = [(0.84, fall), (0.80, fall * 0.72), (0.86, fall * 0.42), (0.88, 0.1), (width, -0.40)]
    right = np.array(temple)
    left = right * (-1, 1)
    corner = (0.60 - 0.08 * back, -0.80 - 0.34 * back)
    if style.front == "up":
        over = [
            (-corner[0], corner[1]),
            (-0.32, -0.95 - 0.14 * back),
            (0.0, -0.97 - 0.12 * back),
            (0.32, -0.95 - 0.14 * back),
            corner,
        ]
    elif style.front == "bangs":
        lift = 0.18 * back
        over = [
            (-0.60, -0.44 - lift),
            (-0.30, -0.50 - lift),
            (0.0, -0.47 - lift),
            (0.30, -0.50 - lift),
            (0.60, -0.44 - lift),
        ]
    elif style.front == "tousled":
        over = [
            (-0.62, -0.66 - 0.3 * back),
            (-0.34, -0.60 - 0.3 * back),
            (-0.05, -0.74 - 0.3 * back),
            (0.26, -0.58 - 0.3 * back),
            (0.60, -0.68 - 0.3 * back),
        ]
    elif style.front == "swept":
        over = [
            (-0.72, -0.52 - 0.35 * back),
            (-0.42, -0.72 - 0.25 * back),
            (0.0, -0.90 - 0.1 * back),
            (0.38, -1.02 - 0.05 * back),
            (0.68, -0.78 - 0.25 * back),
        ]
        over = over if sign > 0 else [(-x, y) for x, y in reversed(over)]
    else:
        middle = 0.55 * part
        over = [
            (-0.66, -0.52),
            (-0.36 + 0.5 * middle, -0.84),
            (middle, -1.10),
            (0.36 + 0.5 * middle, -0.84),
            (0.66, -0.52),
        ]
        over = [(x, y - 0.16 * back) for x, y in over]
    return spline(np.concatenate([left, over, right[::-1]]))


def draw_front(ctx: DrawingContext) -> None:
    """Draws the hair over the head, thinned by age."""
    style, person = _style(ctx), ctx.person
    outer = _outer_rim(ctx, style)
    inner = _inner_rim(ctx, style)
    outer, inner = resampled(outer, 97), resampled(inner, 97)
    if person.aging.bald > 0.45 and style.fall < 0.45:
        _draw_ring(ctx, style)
        return
    if style.front in ("bangs", "tousled"):
        inner = _jagged(ctx, inner)
    color = person.hair_color
    brush = _combed(ctx, style, color)
    outside = ctx.face(_textured(style, outer), 0.0)
    inside = ctx.face(inner)
    shape = np.concatenate([outside, inside[::-1]])
    if not style.close:  # the hair's shadow on the forehead
        ctx.canvas.shadow(translated(shape, 0, ctx.to_pixels(0.06)), ctx.tones.deep, 0.38, ctx.to_pixels(0.05))
    if style.close:
        ctx.canvas.paint([shape], brush, alpha=0.78)
        return
    ctx.canvas.paint([shape], brush)
    _draw_strands(ctx, style, outer, inner, shape)


def _jagged(ctx: DrawingContext, inner: Points) -> Points:
    rng = _hair_rng(ctx)
    middle = np.abs(inner[:, 0]) < 0.74
    teeth = np.zeros(len(inner))
    teeth[::4] = rng.uniform(0.02, 0.09, len(teeth[::4]))
    teeth[2::4] = -rng.uniform(0.0, 0.03, len(teeth[2::4]))
    high = inner[:, 1] < -0.2
    return inner + np.stack([np.zeros(len(inner)), teeth * middle * high], axis=1)


def _combed(ctx: DrawingContext, style: HairStyle, color: Color) -> Airbrush:
    brush = ctx.canvas.airbrush(color)
    light = ctx.scene.light
    for side in (-1, 1):
        x, y = ctx.to_pixel(side * (1.0 + style.side), -0.1, 0)
        dark = 0.85 if side * light < 0 else 0.55
        brush.glow(x, y, ctx.to_pixels(0.42), ctx.to_pixels(1.3), _depths(color), dark)
        if style.fall > 0.6:
            x, y = ctx.to_pixel(side * 0.86, style.fall * 0.6, 0)
            brush.glow(x, y, ctx.to_pixels(0.34), ctx.to_pixels(0.8), _depths(color), 0.45)
    x, y = ctx.to_pixel(0.45 * light, -1.22 - 0.45 * style.top, 0.3)
    gleam = 0.85 if style.texture != "coily" else 0.45
    brush.glow(x, y, ctx.to_pixels(0.62), ctx.to_pixels(0.26), highlight_color(color), gleam)
    if style.fall > 0.6:
        for side in (-1, 1):
            x, y = ctx.to_pixel(side * (0.95 + style.side * 0.6), 0.35, 0)
            brush.glow(x, y, ctx.to_pixels(0.2), ctx.to_pixels(0.45), highlight_color(color), 0.5)
    gray = ctx.person.aging.gray
    if gray > 0.1:  # temples turn first
        for side in (-1, 1):
            x, y = ctx.to_pixel(side * 0.94, -0.2, 0)
            brush.glow(
                x,
                y,
                ctx.to_pixels(0.30),
                ctx.to_pixels(0.5),
                blend(color, (206, 204, 202), 0.55),
                min(0.85, 1.6 * gray),
            )
    return brush


def _draw_strands(ctx: DrawingContext, style: HairStyle, outer: Points, inner: Points, shape: Points) -> None:
    if style.texture in ("curly", "coily"):
        _draw_curls(ctx, style, outer, inner, shape)
        return
    color, rng = ctx.person.hair_color, _hair_rng(ctx)
    dark, light = _depths(color), highlight_color(color)
    silver = ctx.person.aging.gray
    long = style.fall > 0.45 or style.front == "curtain"
    with ctx.canvas.inside(shape) as lock:
        for _ in range(_STRANDS if long else 20):
            gray = rng.random() < 0.55 * silver
            tone = (218, 216, 214) if gray else (dark if rng.random() < 0.6 else light)
            fraction, start = rng.uniform(0.05, 0.95), int(rng.integers(2, 80))
            stretch = int(rng.integers(10, 30))
            if long or rng.random() < 0.3:
                path = interpolated(outer, inner, fraction)[start : start + stretch]
            else:
                # Strands of short hair run from the rim to the crown, not along the rim.
                index = int(rng.integers(8, 89))
                goal = min(96, max(0, index + int(rng.integers(4, 12) * np.sign(ctx.person.hair_side))))
                path = spline([inner[index], (inner[index] + outer[goal]) / 2 + (0, -0.05), outer[goal]])
                path = path[int(len(path) * rng.uniform(0, 0.3)) : int(len(path) * rng.uniform(0.6, 1.0))]
            if len(path) > 3:
                lock.fill(tapered(ctx.face(path, 0.2), ctx.to_pixels(rng.uniform(0.014, 0.034))), tone, 0.42)


def _draw_curls(ctx: DrawingContext, style: HairStyle, outer: Points, inner: Points, shape: Points) -> None:
    color, rng = ctx.person.hair_color, _hair_rng(ctx)
    size = 0.10 if style.texture == "curly" else 0.06
    with ctx.canvas.inside(shape) as lock:
        for _ in range(46):
            index = int(rng.integers(2, 95))
            x, y = outer[index] + (inner[index] - outer[index]) * rng.uniform(0.05, 0.9)
            turn = float(rng.uniform(0, 6.28))
            curl = ellipse(float(x), float(y), size, size * 0.8, turn=turn)[: int(rng.integers(10, 18))]
            tone = highlight_color(color) if rng.random() < 0.4 else _depths(color)
            tone = (222, 220, 218) if rng.random() < 0.5 * ctx.person.aging.gray else tone
            lock.fill(ribbon(ctx.face(curl, 0.1), ctx.to_pixels(0.026)), tone, 0.45)


def _draw_ring(ctx: DrawingContext, style: HairStyle) -> None:
    """Draws hair with a bald crown: hair at the sides, a highlight above."""
    color = ctx.person.hair_color
    brush = _combed(ctx, style, color)
    x, y = ctx.to_pixel(0.25 * ctx.scene.light, -1.12, 0.4)
    gleam = ellipse(x, y, ctx.to_pixels(0.30), ctx.to_pixels(0.13))
    ctx.canvas.shadow(gleam, ctx.tones.light, 0.8, ctx.to_pixels(0.08))
    for side in (-1, 1):
        puff = style.side * 0.6
        tuft = spline(
            [
                (0.90, 0.12),
                (0.875, -0.12),
                (0.82, -0.40),
                (0.80, -0.66),
                (0.88 + puff, -0.72),
                (0.985 + puff, -0.5),
                (1.02 + puff, -0.2),
                (0.97, 0.08),
            ],
            closed=True,
        ) * (side, 1)
        ctx.canvas.paint([ctx.face(_rough(tuft, ctx), 0.08)], brush)


def _rough(path: Points, ctx: DrawingContext) -> Points:
    return path + _hair_rng(ctx).normal(0, 0.008, path.shape)
