"""Backgrounds: a wall, a room, lights at dusk, a park."""

from __future__ import annotations

import numpy as np

from maskfit.synthesis.drawn.canvas import Airbrush
from maskfit.synthesis.drawn.colors import Color, blend, scale_brightness, shift_hsv
from maskfit.synthesis.drawn.curves import Points, ellipse, spline
from maskfit.synthesis.drawn.drawing_context import DrawingContext


def _rectangle(left: float, top: float, right: float, bottom: float) -> Points:
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)])


def draw_background(ctx: DrawingContext) -> None:
    """Fills the canvas with the scene's background, blurred as if out of focus."""
    wall, other = ctx.scene.walls
    width, height = ctx.canvas.size
    brush = ctx.canvas.airbrush(wall)
    kind = ctx.scene.background
    if kind in ("gradient", "room"):
        brush.gradient(
            height * 0.1, height, blend(wall, other, 0.8) if kind == "gradient" else scale_brightness(wall, 0.86), 0.95
        )
    if kind in ("plain", "gradient"):
        bright = 0.3 + 0.25 * abs(ctx.scene.light)
        brush.glow(
            width * (0.5 + 0.35 * ctx.scene.light),
            height * 0.32,
            width * 0.85,
            height * 0.65,
            scale_brightness(wall, 1.45),
            bright,
        )
    draw = {"room": _paint_room, "bokeh": _paint_dusk, "outdoors": _paint_park}.get(kind)
    if draw is not None:
        draw(brush, ctx, width, height, wall, other)
    ctx.canvas.cover(brush)
    if kind == "bokeh":
        _draw_lights(ctx, width, height, other)


def _paint_room(brush: Airbrush, ctx: DrawingContext, width: int, height: int, wall: Color, other: Color) -> None:
    rng, soft = ctx.rng, width * 0.004
    dark = scale_brightness(wall, 0.72)
    left_first = bool(rng.random() < 0.5)

    def at(x: float) -> float:
        return x * width if left_first else (1 - x) * width

    if rng.random() < 0.6:  # a window and its light
        glass = blend((206, 228, 240), other, 0.2)
        brush.blob(_rectangle(at(-0.05), height * 0.06, at(0.27), height * 0.55), (246, 244, 240), 1.0, soft)
        brush.blob(_rectangle(at(-0.05), height * 0.085, at(0.245), height * 0.525), glass, 1.0, soft)
        brush.blob(_rectangle(at(0.10), height * 0.085, at(0.118), height * 0.525), (246, 244, 240), 1.0, soft)
        brush.glow(at(0.12), height * 0.3, width * 0.5, height * 0.4, (255, 250, 238), 0.45)
    else:  # shelves with books
        for level in (0.16, 0.34):
            x = 0.0
            while x < 0.24:
                wide, tall = rng.uniform(0.018, 0.04), rng.uniform(0.08, 0.14)
                book = shift_hsv(
                    other, hue=float(rng.uniform(-0.3, 0.3)), saturation=1.5, value=float(rng.uniform(0.5, 0.95))
                )
                top = height * (level + 0.02 + 0.15 - tall)
                brush.blob(_rectangle(at(x), top, at(x + wide), height * (level + 0.17)), book, 0.9, soft)
                x += wide + 0.003
            start, stop = sorted((at(-0.01), at(0.26)))
            brush.blob(_rectangle(start, height * (level + 0.17), stop, height * (level + 0.19)), dark, 1.0, soft)
    if rng.random() < 0.6:  # a picture on the wall
        brush.blob(_rectangle(at(0.76), height * 0.10, at(0.95), height * 0.27), (248, 246, 240), 1.0, soft)
        brush.blob(
            _rectangle(at(0.785), height * 0.12, at(0.925), height * 0.25),
            blend(other, (226, 150, 110), 0.4),
            1.0,
            soft,
        )
        brush.blob(
            ellipse(at(0.87), height * 0.22, width * 0.05, height * 0.03), scale_brightness(other, 0.6), 0.9, soft
        )
    else:
        _paint_plant(brush, at(0.9), height * 0.62, width, rng)
    brush.blob(_rectangle(-9, height * 0.80, width + 9, height + 9), blend(dark, (150, 110, 84), 0.4), 1.0, soft)


def _paint_plant(brush: Airbrush, x: float, y: float, width: int, rng: np.random.Generator) -> None:
    for _ in range(9):
        angle, length = rng.uniform(-2.6, -0.5), width * rng.uniform(0.14, 0.26)
        tip = (x + np.cos(angle) * length, y + np.sin(angle) * length)
        middle = ((x + tip[0]) / 2, (y + tip[1]) / 2)
        off = width * 0.028
        leaf = spline(
            [
                (x, y),
                (middle[0] - off * np.sin(angle), middle[1] + off * np.cos(angle)),
                tip,
                (middle[0] + off * np.sin(angle), middle[1] - off * np.cos(angle)),
            ],
            5,
            closed=True,
        )
        brush.blob(leaf, shift_hsv((96, 142, 104), value=float(rng.uniform(0.75, 1.15))), 0.95, width * 0.004)


def _paint_dusk(brush: Airbrush, ctx: DrawingContext, width: int, height: int, wall: Color, other: Color) -> None:
    deep = scale_brightness(shift_hsv(wall, saturation=1.6), 0.62)
    brush.gradient(height, -height * 0.3, deep, 0.95)
    brush.glow(width * (0.5 + 0.3 * ctx.scene.light), height * 0.5, width * 0.8, height * 0.5, other, 0.25)


def _draw_lights(ctx: DrawingContext, width: int, height: int, other: Color) -> None:
    rng = ctx.rng
    for _ in range(16):
        x, y, size = rng.uniform(0, width), rng.uniform(0, height * 0.8), width * rng.uniform(0.03, 0.09)
        color = blend(shift_hsv(other, hue=float(rng.uniform(-0.08, 0.08)), saturation=1.5), (255, 240, 214), 0.5)
        strength = float(rng.uniform(0.15, 0.42))
        ctx.canvas.fill(ellipse(x, y, size, size), color, strength)
        ctx.canvas.fill(ellipse(x, y, size * 0.9, size * 0.9), color, strength * 0.5)


def _paint_park(brush: Airbrush, ctx: DrawingContext, width: int, height: int, wall: Color, other: Color) -> None:
    rng = ctx.rng
    brush.gradient(-2, -1, (190, 216, 234), 1.0)
    brush.gradient(height * 0.2, height * 0.7, (236, 238, 232), 0.8)
    green = blend((124, 160, 112), other, 0.25)
    for index in range(7):
        x, y = width * (index / 6 + rng.uniform(-0.06, 0.06)), height * rng.uniform(0.40, 0.52)
        size = width * rng.uniform(0.13, 0.24)
        brush.blob(
            ellipse(x, y, size, size * 1.1), shift_hsv(green, value=float(rng.uniform(0.72, 1.1))), 0.95, width * 0.014
        )
    brush.blob(
        _rectangle(-9, height * 0.56, width + 9, height + 9), blend(green, (206, 206, 150), 0.35), 1.0, width * 0.02
    )
