"""Bar chart of the gradients of all layers, from the input on the left to the heads on the right."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from markupsafe import Markup

from maskfit.explain.gradient_check import MESSAGES, LayerGradient

WIDTH, HEIGHT, LEFT, BOTTOM = 960, 300, 56, 34
"""Size of the view box, and the margins that hold the axes, in SVG units."""

MAX_GRID_LINES = 8
"""Approximate maximum number of horizontal grid lines, for any range of the gradients."""

COLORS = {
    "fine": "#2f6f8f",
    "vanishing": "#c58b00",
    "exploding": "#b3261e",
    "not a number": "#b3261e",
    "zero": "#7a4fa3",
    "none": "#7a4fa3",
    "frozen": "#9aa3a8",
}
"""Color by verdict; the text next to the chart names the problems too, so that color is not the only cue."""


def depth_chart(layers: Sequence[LayerGradient]) -> Markup:
    """Draws the RMS of each layer's gradient on a logarithmic scale.

    A layer without a finite, positive gradient is a cross at the bottom; tooltips have names and numbers.

    Args:
        layers: Layers in the order of the forward pass.

    Returns:
        An `<svg>` element.
    """
    values = [layer.rms for layer in layers if math.isfinite(layer.rms) and layer.rms > 0]
    high = math.ceil(math.log10(max(values))) if values else 0
    low = min(math.floor(math.log10(min(values))) if values else -1, high - 1)
    step = (WIDTH - LEFT - 8) / max(len(layers), 1)
    marks = [_mark(layer, LEFT + index * step, step, low, high) for index, layer in enumerate(layers)]
    return Markup(
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" xmlns="http://www.w3.org/2000/svg" font-size="12" '
        f'font-family="sans-serif"><title>Gradient of each layer, from the input to the heads</title>'
        f"{_axis(low, high)}{''.join(marks)}"
        f'<text x="{LEFT}" y="{HEIGHT - 8}" fill="currentColor">input</text>'
        f'<text x="{WIDTH - 8}" y="{HEIGHT - 8}" text-anchor="end" fill="currentColor">heads</text></svg>'
    )


def _bar_height(rms: float, low: int, high: int) -> float:
    fraction = (math.log10(rms) - low) / (high - low)
    return fraction * (HEIGHT - BOTTOM - 12)


def _axis(low: int, high: int) -> str:
    every = max(math.ceil((high - low) / MAX_GRID_LINES), 1)
    parts = []
    for power in range(low, high + 1, every):
        y = HEIGHT - BOTTOM - _bar_height(10.0**power, low, high)
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - 8}" y1="{y:.1f}" y2="{y:.1f}" stroke="currentColor" opacity="0.15"/>'
            f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end" fill="currentColor">1e{power}</text>'
        )
    return "".join(parts)


def _mark(layer: LayerGradient, left: float, step: float, low: int, high: int) -> str:
    color, bottom = COLORS[layer.verdict], HEIGHT - BOTTOM
    number = f"{layer.rms:.2e}" if math.isfinite(layer.rms) else "no number"
    text = f"{layer.name} ({layer.layer_type}): {number}; {MESSAGES[layer.verdict]}"
    title = f"<title>{escape(text)}</title>"
    if math.isfinite(layer.rms) and layer.rms > 0:
        height = max(_bar_height(layer.rms, low, high), 1.0)
        return (
            f'<rect x="{left:.2f}" y="{bottom - height:.1f}" width="{max(step * 0.8, 0.6):.2f}" height="{height:.1f}" '
            f'fill="{color}">{title}</rect>'
        )
    middle, size = left + step / 2, max(min(step / 2, 5), 2)
    return (
        f'<path d="M{middle - size:.1f} {bottom - 2 * size:.1f}l{2 * size:.1f} {2 * size:.1f}m0 {-2 * size:.1f}'
        f'l{-2 * size:.1f} {2 * size:.1f}" stroke="{color}" stroke-width="2" fill="none">{title}</path>'
    )
