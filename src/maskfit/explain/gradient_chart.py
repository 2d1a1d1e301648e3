"""Gradients over depth as a picture: a bar for each layer, from the photo on the left to the heads on the right."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from maskfit.explain.gradient_check import WORDS, LayerGradient

WIDTH, HEIGHT, LEFT, BOTTOM = 960, 300, 56, 34
"""Of the picture in pixels, and what the axes take of it."""

COLOURS = {
    "fine": "#2f6f8f",
    "vanishing": "#c58b00",
    "exploding": "#b3261e",
    "not a number": "#b3261e",
    "zero": "#7a4fa3",
    "none": "#7a4fa3",
    "frozen": "#9aa3a8",
}
"""By verdict. What is wrong is also named in words beside the picture, so that nothing hangs on colour."""


def depth_chart(layers: Sequence[LayerGradient]) -> str:
    """An SVG whose bars are the root mean square of each layer's gradient, on a scale of powers of ten.

    A layer without a number stands as a cross at the foot; each says its name and number when pointed at.
    """
    means = [layer.mean for layer in layers if math.isfinite(layer.mean) and layer.mean > 0]
    high = math.ceil(math.log10(max(means))) if means else 0
    low = min(math.floor(math.log10(min(means))) if means else -1, high - 1)
    step = (WIDTH - LEFT - 8) / max(len(layers), 1)
    marks = [_mark(layer, LEFT + place * step, step, low, high) for place, layer in enumerate(layers)]
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" xmlns="http://www.w3.org/2000/svg" font-size="12" '
        f'font-family="sans-serif"><title>Gradient of each layer, from the photo to the heads</title>'
        f"{_axis(low, high)}{''.join(marks)}"
        f'<text x="{LEFT}" y="{HEIGHT - 8}" fill="currentColor">photo</text>'
        f'<text x="{WIDTH - 8}" y="{HEIGHT - 8}" text-anchor="end" fill="currentColor">heads</text></svg>'
    )


def _height(mean: float, low: int, high: int) -> float:
    share = (math.log10(mean) - low) / (high - low)
    return share * (HEIGHT - BOTTOM - 12)


def _axis(low: int, high: int) -> str:
    # At most eight lines, however many powers of ten there are.
    every = max(math.ceil((high - low) / 8), 1)
    parts = []
    for power in range(low, high + 1, every):
        y = HEIGHT - BOTTOM - _height(10.0**power, low, high)
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - 8}" y1="{y:.1f}" y2="{y:.1f}" stroke="currentColor" opacity="0.15"/>'
            f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end" fill="currentColor">1e{power}</text>'
        )
    return "".join(parts)


def _mark(layer: LayerGradient, left: float, step: float, low: int, high: int) -> str:
    colour, foot = COLOURS[layer.verdict], HEIGHT - BOTTOM
    number = f"{layer.mean:.2e}" if math.isfinite(layer.mean) else "no number"
    title = f"<title>{escape(layer.name)} ({layer.kind}): {number}; {escape(WORDS[layer.verdict])}</title>"
    if math.isfinite(layer.mean) and layer.mean > 0:
        tall = max(_height(layer.mean, low, high), 1.0)
        return (
            f'<rect x="{left:.2f}" y="{foot - tall:.1f}" width="{max(step * 0.8, 0.6):.2f}" height="{tall:.1f}" '
            f'fill="{colour}">{title}</rect>'
        )
    middle, reach = left + step / 2, max(min(step / 2, 5), 2)
    return (
        f'<path d="M{middle - reach:.1f} {foot - 2 * reach:.1f}l{2 * reach:.1f} {2 * reach:.1f}m0 {-2 * reach:.1f}'
        f'l{-2 * reach:.1f} {2 * reach:.1f}" stroke="{colour}" stroke-width="2" fill="none">{title}</path>'
    )
