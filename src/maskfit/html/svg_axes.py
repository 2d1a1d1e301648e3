"""What every chart stands on: the frame from data to places in the picture, round ticks, axes, bars."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 440, 250
LEFT, RIGHT, TOP, BOTTOM = 44, 14, 12, 36


@dataclass(frozen=True)
class PlotArea:
    """From data to places in the picture."""

    left: float
    right: float
    low: float
    high: float

    def x(self, value: float) -> float:
        """How far to the right, in the picture's units."""
        share = (value - self.left) / (self.right - self.left) if self.right > self.left else 0.5
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        """How far down, in the picture's units."""
        share = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)


def find_ticks(low: float, high: float, most: int) -> list[float]:
    """At most about `most` round numbers from at or below `low` to at or above `high`."""
    span = max(high - low, 1e-9 + abs(high) * 1e-3)
    rough = 10 ** math.floor(math.log10(span / most))
    step = next(rough * factor for factor in (1, 2, 5, 10) if span / (rough * factor) <= most)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, 10) for number in range(first, max(last, first + 1) + 1)]


def draw_axes(
    frame: PlotArea, x_ticks: Sequence[float], y_ticks: Sequence[float], x_name: str, x_names: Sequence[str] = ()
) -> list[str]:
    """Lines across at the y ticks, and the numbers and the name of both axes; `x_names` stand in the place of x's."""
    parts = []
    for tick in y_ticks:
        y = frame.y(tick)
        parts.append(f'<line class="grid" x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 7}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>')
    low = HEIGHT - BOTTOM + 16
    said = x_names or [f"{tick:g}" for tick in x_ticks]
    parts += [
        f'<text x="{frame.x(tick):.1f}" y="{low}" text-anchor="middle">{escape(name)}</text>'
        for tick, name in zip(x_ticks, said, strict=True)
    ]
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text class="name" x="{middle:.1f}" y="{HEIGHT - 3}" text-anchor="middle">{escape(x_name)}</text>')
    return parts


def draw_bar(left: float, top: float, width: float, height: float, said: str, kind: str, weight: float = 0.85) -> str:
    """A bar of a style sheet's kind that says what it is on hovering."""
    place = f'x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{max(height, 0.5):.1f}"'
    return f'<rect class="{kind}" opacity="{weight:.2f}" rx="1.5" {place}><title>{escape(said)}</title></rect>'


def draw_svg(parts: Sequence[str], label: str) -> str:
    """The picture of these parts; the label is for those who cannot see it."""
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>'
