"""Masks: surgical, folded, cup and cloth, worn correctly and incorrectly."""

from __future__ import annotations

import numpy as np

from maskfit.synthesis.drawn.canvas import Airbrush, Canvas
from maskfit.synthesis.drawn.colors import Color, blend, luminance, scale_brightness, shift_hsv
from maskfit.synthesis.drawn.curves import (
    Points,
    ellipse,
    interpolated,
    mirrored,
    resampled,
    ribbon,
    spline,
    tapered,
    translated,
)
from maskfit.synthesis.drawn.drawing_context import DrawingContext
from maskfit.synthesis.drawn.scene import MaskSpec

_COUNT = 49
# Right halves of the upper and lower rim of each kind, worn correctly, in head units.
_RIMS: dict[str, tuple[list[tuple[float, float]], list[tuple[float, float]]]] = {
    "surgical": (
        [(0.0, 0.19), (0.14, 0.21), (0.34, 0.31), (0.62, 0.36), (0.90, 0.37)],
        [(0.0, 1.60), (0.26, 1.56), (0.52, 1.38), (0.72, 1.14), (0.84, 0.92)],
    ),
    "kn95": (
        [(0.0, 0.15), (0.13, 0.18), (0.36, 0.29), (0.66, 0.40), (0.93, 0.46)],
        [(0.0, 1.66), (0.22, 1.57), (0.48, 1.36), (0.72, 1.06), (0.91, 0.76)],
    ),
    "cup": (
        [(0.0, 0.17), (0.16, 0.20), (0.40, 0.34), (0.62, 0.50), (0.74, 0.68)],
        [(0.0, 1.58), (0.24, 1.56), (0.50, 1.40), (0.67, 1.15), (0.74, 0.90)],
    ),
    "cloth": (
        [(0.0, 0.16), (0.15, 0.19), (0.38, 0.30), (0.66, 0.36), (0.92, 0.36)],
        [(0.0, 1.63), (0.26, 1.57), (0.52, 1.38), (0.74, 1.10), (0.89, 0.80)],
    ),
}
# Shift of the rims by wearing style: upper middle, upper end, lower middle, lower end.
_SLIPS = {"wear": (0.0, 0.0, 0.0, 0.0), "under nose": (0.545, 0.22, 0.12, 0.10), "chin": (0.99, 0.33, 0.28, 0.12)}


class MaskSheet:
    """A mask as a surface between an upper and a lower rim, both from left to right in head units.

    Args:
        ctx: Drawing context.
        mask: The mask.

    Attributes:
        upper: Upper rim, shape (49, 2).
        lower: Lower rim, shape (49, 2).
    """

    def __init__(self, ctx: DrawingContext, mask: MaskSpec) -> None:
        """Computes the rims; arguments as for the class."""
        upper_half, lower_half = _RIMS[mask.kind]
        slip = _SLIPS[mask.wearing_style]
        drop = ctx.person.face.length - 1.45
        self._easel = ctx
        self.upper = self._rim(upper_half, slip[0] + mask.height, slip[1] + mask.height * 0.5, mask)
        self.lower = self._rim(lower_half, slip[2] + drop, slip[3], mask)

    @staticmethod
    def _rim(half: list[tuple[float, float]], middle: float, end: float, mask: MaskSpec) -> Points:
        path = spline(mirrored(half))
        fraction = np.abs(path[:, 0]) / np.abs(path[:, 0]).max()
        path[:, 1] += middle + (end - middle) * fraction**1.4
        if mask.wearing_style == "chin":  # pulled down, the mask folds together and clings to the jaw
            path[:, 0] *= 1 - 0.10 * np.clip(path[:, 1] - 0.9, 0, 1)
        path[:, 1] += mask.tilt * path[:, 0]
        return resampled(path, _COUNT)

    def row(self, fraction: float, start: int = 0, stop: int = _COUNT) -> Points:
        """Computes a line across the mask.

        Args:
            fraction: Position down the mask, 0 to 1.
            start: First knot.
            stop: Knot after the last.

        Returns:
            Canvas pixels, shape (stop - start, 2).
        """
        return self._easel.face(interpolated(self.upper, self.lower, fraction)[start:stop])

    def column(self, fraction: float, start: float = 0.0, stop: float = 1.0) -> Points:
        """Computes a line down the mask.

        Args:
            fraction: Position across the mask, 0 left to 1 right.
            start: Start of the line as a fraction of the height.
            stop: End of the line as a fraction of the height.

        Returns:
            Canvas pixels, shape (13, 2).
        """
        index = min(_COUNT - 1, max(0, round(fraction * (_COUNT - 1))))
        ends = self.upper[index], self.lower[index]
        way = np.linspace(start, stop, 13)[:, None]
        return self._easel.face(ends[0] + (ends[1] - ends[0]) * way)

    def point(self, across: float, down: float) -> tuple[float, float]:
        """Computes a point on the mask.

        Args:
            across: Position across the mask, 0 left to 1 right.
            down: Position down the mask, 0 to 1.

        Returns:
            Canvas pixel (x, y).
        """
        index = min(_COUNT - 1, max(0, round(across * (_COUNT - 1))))
        x, y = self.upper[index] + (self.lower[index] - self.upper[index]) * down
        return self._easel.to_pixel(float(x), float(y))

    def outline(self) -> Points:
        """Computes the mask's outline in canvas pixels."""
        return np.concatenate([self._easel.face(self.upper), self._easel.face(self.lower)[::-1]])


def _shade(mask: MaskSpec, strength: float = 1.0) -> Color:
    if luminance(mask.color) < 0.3:
        return scale_brightness(mask.color, 1 - 0.45 * strength)
    return blend(mask.color, scale_brightness(shift_hsv(mask.color, saturation=1.25), 0.66), strength)


def draw_mask(ctx: DrawingContext) -> Points | None:
    """Draws the mask, unless it dangles: then `draw_dangling` draws it later, in front of the hair.

    Args:
        ctx: Drawing context.

    Returns:
        The mask's outline in canvas pixels; None where nothing was drawn.
    """
    mask = ctx.scene.mask
    if mask is None or mask.wearing_style == "dangle":
        return None
    sheet = MaskSheet(ctx, mask)
    outline = sheet.outline()
    canvas = ctx.canvas
    canvas.shadow(translated(outline, 0, ctx.to_pixels(0.05)), ctx.tones.deep, 0.45, ctx.to_pixels(0.06))
    _draw_loops(ctx, mask, sheet)
    brush = canvas.airbrush(mask.color)
    _shade_sheet(ctx, mask, sheet, brush)
    canvas.paint([outline], brush)
    with canvas.inside(outline) as fabric:
        _draw_pattern(ctx, mask, sheet, fabric)
        if mask.pattern:
            _shade_over_pattern(ctx, mask, sheet, fabric)
        {"surgical": _draw_pleats, "kn95": _draw_seam, "cup": _draw_cup, "cloth": _draw_stitches}[mask.kind](
            ctx, mask, sheet, fabric
        )
        _draw_creases(ctx, mask, sheet, fabric)
    rim = np.concatenate([outline, outline[:1]])
    canvas.fill(ribbon(rim, ctx.to_pixels(0.014)), _shade(mask, 1.0), 0.55)
    return outline


def _shade_sheet(ctx: DrawingContext, mask: MaskSpec, sheet: MaskSheet, brush: Airbrush) -> None:
    light, shade = ctx.scene.light, _shade(mask)
    bright = scale_brightness(mask.color, 1.35 if luminance(mask.color) > 0.3 else 1.16)
    down = 0.42 if mask.wearing_style == "wear" else 0.3
    dark_end = 0.04 if light > 0 else 0.96
    brush.glow(*sheet.point(dark_end, 0.5), ctx.to_pixels(0.62), ctx.to_pixels(0.9), shade, 0.55 + 0.35 * abs(light))
    brush.glow(*sheet.point(1 - dark_end, 0.5), ctx.to_pixels(0.30), ctx.to_pixels(0.7), shade, 0.55)
    brush.glow(*sheet.point(0.5, 1.06), ctx.to_pixels(0.75), ctx.to_pixels(0.36), shade, 0.85)
    lit = 0.5 + 0.09 * light
    brush.glow(*sheet.point(lit, down), ctx.to_pixels(0.30), ctx.to_pixels(0.36), bright, 0.95)
    if mask.wearing_style == "wear":  # the flanks of the nose under the fabric
        for side in (-1, 1):
            brush.glow(*sheet.point(0.5 + 0.13 * side, 0.17), ctx.to_pixels(0.16), ctx.to_pixels(0.24), shade, 0.5)


def _shade_over_pattern(ctx: DrawingContext, mask: MaskSpec, sheet: MaskSheet, fabric: Canvas) -> None:
    dark_end = 0.0 if ctx.scene.light > 0 else 1.0
    for end, size in ((dark_end, 0.42), (1 - dark_end, 0.24)):
        x, y = sheet.point(end, 0.5)
        fabric.shadow(ellipse(x, y, ctx.to_pixels(size), ctx.to_pixels(0.7)), (40, 36, 48), 0.34, ctx.to_pixels(0.14))
    x, y = sheet.point(0.5, 1.05)
    fabric.shadow(ellipse(x, y, ctx.to_pixels(0.5), ctx.to_pixels(0.22)), (40, 36, 48), 0.34, ctx.to_pixels(0.12))


def _draw_loops(ctx: DrawingContext, mask: MaskSpec, sheet: MaskSheet) -> None:
    width = ctx.to_pixels(0.030 if mask.kind != "cup" else 0.050)
    color = mask.accent if mask.kind != "cup" else blend(mask.accent, (226, 200, 120), 0.5)
    for side, index in ((-1, 0), (1, _COUNT - 1)):
        top, low = sheet.upper[index], sheet.lower[index]
        if mask.kind == "cup":
            paths = [
                [(top[0], top[1] + 0.04), (side * 0.88, 0.25), (side * 0.985, -0.22), (side * 0.97, -0.5)],
                [(low[0], low[1] - 0.04), (side * 0.84, 0.86), (side * 0.95, 0.66)],
            ]
        else:
            paths = [
                [tuple(top), (side * 0.98, (top[1] * 0.45 + 0.02)), (side * 1.06, 0.02)],
                [tuple(low), (side * 0.955, low[1] * 0.45 + 0.28), (side * 1.02, 0.36)],
            ]
        for path in paths:
            curve = spline(path)
            depth = np.linspace(float(ctx.depth(curve[:1])[0]), -0.05, len(curve))
            pixels = ctx.face(curve, depth)
            ctx.canvas.fill(ribbon(translated(pixels, 0, ctx.to_pixels(0.018)), width), ctx.tones.deep, 0.30)
            ctx.canvas.fill(ribbon(pixels, width), color)
            ctx.canvas.fill(ribbon(translated(pixels, 0, width * 0.3), width * 0.35), scale_brightness(color, 0.8), 0.6)


def _draw_pleats(ctx: DrawingContext, mask: MaskSpec, sheet: MaskSheet, fabric: Canvas) -> None:
    shade = _shade(mask)
    squeezed = mask.wearing_style == "chin"
    for fraction in (0.36, 0.55, 0.74) if not squeezed else (0.28, 0.5, 0.74):
        path = sheet.row(fraction + 0.03 * (mask.variety - 0.5))
        fabric.shadow(
            ribbon(translated(path, 0, ctx.to_pixels(0.035)), ctx.to_pixels(0.07)), shade, 0.55, ctx.to_pixels(0.022)
        )
        fabric.fill(tapered(path, ctx.to_pixels(0.026), 0.6, 0.6), shade, 0.9)
        fabric.fill(
            tapered(path - (0, ctx.to_pixels(0.022)), ctx.to_pixels(0.02), 0.5, 0.5),
            scale_brightness(mask.color, 1.4),
            0.55,
        )
    hem = sheet.row(0.09)
    fabric.fill(ribbon(hem, ctx.to_pixels(0.014)), shade, 0.6)
    fabric.fill(ribbon(sheet.row(0.94), ctx.to_pixels(0.014)), shade, 0.6)
    wire = sheet.row(0.045, 15, 34)
    fabric.fill(ribbon(wire, ctx.to_pixels(0.045)), scale_brightness(mask.color, 1.3), 0.7)
    for end in (0.045, 0.955):
        fabric.fill(ribbon(sheet.column(end), ctx.to_pixels(0.012)), shade, 0.6)


def _draw_seam(ctx: DrawingContext, mask: MaskSpec, sheet: MaskSheet, fabric: Canvas) -> None:
    shade = _shade(mask)
    dark_first = ctx.scene.light > 0
    half = np.concatenate([sheet.row(0.0, 0, 25), sheet.column(0.5), sheet.row(1.0, 0, 25)[::-1]])
    other = np.concatenate([sheet.row(0.0, 24), sheet.row(1.0, 24)[::-1], sheet.column(0.5)[::-1]])
    fabric.fill(half if dark_first else other, shade, 0.35)
    seam = sheet.column(0.5)
    fabric.fill(ribbon(seam, ctx.to_pixels(0.030)), shade, 0.85)
    fabric.fill(
        ribbon(seam - (ctx.to_pixels(0.022) * (-1 if dark_first else 1), 0), ctx.to_pixels(0.016)),
        scale_brightness(mask.color, 1.4),
        0.8,
    )
    for fraction in (0.055, 0.945):
        for dash in range(3, 46, 2):
            fabric.fill(ribbon(sheet.row(fraction, dash, dash + 2), ctx.to_pixels(0.013)), shade, 0.9)
    for end, lean in ((0.10, -1), (0.90, 1)):
        fabric.fill(ribbon(sheet.column(end), ctx.to_pixels(0.016)), shade, 0.7)
        fabric.fill(tapered(_fold(sheet, end, lean), ctx.to_pixels(0.03)), shade, 0.5)
    if mask.variety > 0.5:
        fabric.fill(ribbon(sheet.row(0.09, 17, 32), ctx.to_pixels(0.05)), blend(shade, (190, 194, 198), 0.6), 0.85)


def _fold(sheet: MaskSheet, end: float, lean: int) -> Points:
    return np.array(
        [sheet.point(end, 0.55), sheet.point(end - 0.10 * lean, 0.62), sheet.point(end - 0.22 * lean, 0.66)]
    )


def _draw_cup(ctx: DrawingContext, mask: MaskSpec, sheet: MaskSheet, fabric: Canvas) -> None:
    shade, unit = _shade(mask), ctx.to_pixels(1)
    x, y = sheet.point(0.5, 0.52)
    for size, alpha in ((0.56, 0.35), (0.50, 0.25)):
        ring = ellipse(x, y, size * unit, size * unit * 1.02, count=40)
        fabric.fill(ribbon(np.concatenate([ring, ring[:1]]), 0.016 * unit), shade, alpha + 0.3)
    clip = sheet.row(0.075, 16, 33)
    fabric.fill(ribbon(clip, 0.075 * unit), (176, 180, 186))
    fabric.fill(ribbon(clip - (0, 0.018 * unit), 0.02 * unit), (226, 230, 234))
    if mask.variety > 0.55:
        x, y = sheet.point(0.62, 0.60)
        gray = blend(mask.color, (150, 156, 164), 0.6)
        fabric.fill(ellipse(x + 0.01 * unit, y + 0.02 * unit, 0.19 * unit, 0.19 * unit), shade, 0.8)
        fabric.fill(ellipse(x, y, 0.18 * unit, 0.18 * unit), gray)
        fabric.fill(ellipse(x, y, 0.13 * unit, 0.13 * unit), scale_brightness(gray, 0.85))
        for slot in (-0.06, 0.0, 0.06):
            bar = np.array([(x - 0.09 * unit, y + slot * unit), (x + 0.09 * unit, y + slot * unit)])
            fabric.fill(ribbon(bar, 0.02 * unit), scale_brightness(gray, 1.3))


def _draw_stitches(ctx: DrawingContext, mask: MaskSpec, sheet: MaskSheet, fabric: Canvas) -> None:
    shade = _shade(mask)
    thread = shade if luminance(mask.color) > 0.3 else scale_brightness(mask.color, 1.3)
    for fraction in (0.06, 0.94):
        for dash in range(1, 47, 2):
            fabric.fill(ribbon(sheet.row(fraction, dash, dash + 2), ctx.to_pixels(0.015)), thread, 0.75)
    if mask.variety > 0.4 or mask.wearing_style == "chin":
        fabric.fill(ribbon(sheet.column(0.5), ctx.to_pixels(0.020)), shade, 0.75)
    else:
        for fraction in (0.34, 0.62):
            fabric.shadow(ribbon(sheet.row(fraction), ctx.to_pixels(0.06)), shade, 0.7, ctx.to_pixels(0.02))


def _draw_creases(ctx: DrawingContext, mask: MaskSpec, sheet: MaskSheet, fabric: Canvas) -> None:
    shade = _shade(mask)
    for end, lean in ((0.0, 1), (1.0, -1)):
        for down, reach, bend in ((0.14, 0.17, 0.10), (0.82, 0.15, -0.10)):
            path = spline(
                [
                    sheet.point(end, down),
                    sheet.point(end + lean * reach * 0.5, down + bend * 0.7),
                    sheet.point(end + lean * reach, down + bend),
                ]
            )
            fabric.fill(tapered(path, ctx.to_pixels(0.026)), shade, 0.55)


def _draw_pattern(ctx: DrawingContext, mask: MaskSpec, sheet: MaskSheet, fabric: Canvas) -> None:
    unit, ink = ctx.to_pixels(1), mask.ink
    if mask.pattern == "dots":
        size = 0.030 + 0.03 * mask.variety
        columns = 15 if mask.variety < 0.5 else 11
        for line in range(8):
            for step in range(columns):
                x, y = sheet.point((step + 0.5 * (line % 2)) / (columns - 1), 0.06 + line / 7.6)
                fabric.fill(ellipse(x, y, size * unit, size * unit, count=14), ink, 0.92)
    elif mask.pattern == "stripes":
        for step in range(6 if mask.variety < 0.5 else 9):
            if mask.variety < 0.5:
                fabric.fill(ribbon(sheet.row(0.06 + step * 0.18), 0.09 * unit), ink, 0.88)
            else:
                fabric.fill(ribbon(sheet.column(0.06 + step * 0.11), 0.07 * unit), ink, 0.88)
    elif mask.pattern == "checks":
        for step in range(9):
            fabric.fill(ribbon(sheet.column(0.055 + step * 0.11), 0.085 * unit), ink, 0.42)
        for step in range(6):
            fabric.fill(ribbon(sheet.row(0.07 + step * 0.17), 0.095 * unit), ink, 0.42)
    elif mask.pattern == "flowers":
        _draw_flowers(ctx, mask, sheet, fabric)


def _draw_flowers(ctx: DrawingContext, mask: MaskSpec, sheet: MaskSheet, fabric: Canvas) -> None:
    unit = ctx.to_pixels(1)
    heart: Color = (238, 196, 84) if mask.ink[2] > 150 else (250, 240, 220)
    for line in range(4):
        for step in range(6):
            x, y = sheet.point((step + 0.5 * (line % 2)) / 5.4, 0.12 + line * 0.25)
            spin = (line * 6 + step) * 0.9
            for petal in range(5):
                angle = spin + petal * 1.2566
                px, py = x + 0.052 * unit * np.cos(angle), y + 0.052 * unit * np.sin(angle)
                fabric.fill(ellipse(px, py, 0.044 * unit, 0.044 * unit, count=12), mask.ink, 0.95)
            fabric.fill(ellipse(x, y, 0.032 * unit, 0.032 * unit, count=10), heart)


def draw_dangling(ctx: DrawingContext) -> Points | None:
    """Draws a mask that hangs from one ear.

    Args:
        ctx: Drawing context.

    Returns:
        The mask's outline in canvas pixels; None where no mask dangles.
    """
    mask = ctx.scene.mask
    if mask is None or mask.wearing_style != "dangle":
        return None
    side, unit, canvas = mask.side, ctx.to_pixels(1), ctx.canvas
    sway = 0.06 * (mask.variety - 0.5)
    corners = np.array(
        [
            (0.86, 0.64),
            (1.10, 0.58),
            (1.36, 0.66),
            (1.42 + sway, 1.1),
            (1.38 + sway, 1.62),
            (1.10 + sway, 1.70),
            (0.86 + sway, 1.58),
            (0.82 + sway, 1.1),
        ]
    )
    shape = ctx.face(spline(corners, closed=True) * (side, 1), 0.05)
    canvas.shadow(translated(shape, -0.03 * unit, 0.04 * unit), (30, 22, 26), 0.4, ctx.to_pixels(0.07))
    for x in (0.90, 1.32):
        strap = spline([(x, 0.66), (0.5 * x + 0.52, 0.32), (1.04, 0.02)]) * (side, 1)
        canvas.fill(ribbon(ctx.face(strap, 0.0), 0.03 * unit), mask.accent)
    for x in (0.90, 1.34):
        strap = spline([(x + sway, 1.60), (0.5 * x + 0.56 + sway, 2.02), (1.12 + sway, 2.1)]) * (side, 1)
        canvas.fill(ribbon(ctx.face(strap, 0.0), 0.028 * unit), mask.accent)
    brush = canvas.airbrush(mask.color)
    brush.glow(*ctx.to_pixel(side * 0.9, 1.2, 0.05), 0.35 * unit, 0.7 * unit, _shade(mask), 0.8)
    brush.glow(
        *ctx.to_pixel(side * 1.24, 0.95, 0.05), 0.25 * unit, 0.35 * unit, scale_brightness(mask.color, 1.35), 0.8
    )
    canvas.paint([shape], brush)
    with canvas.inside(shape) as fabric:
        for x in (0.98, 1.12, 1.26):
            pleat = spline([(x, 0.55), (x + 0.01 + sway * 0.5, 1.1), (x + sway, 1.72)]) * (side, 1)
            fabric.fill(tapered(ctx.face(pleat, 0.05), 0.028 * unit, 0.6, 0.6), _shade(mask), 0.9)
    return shape
