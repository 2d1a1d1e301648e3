"""Plot area, axes, ticks and bars that the SVG charts share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from markupsafe import Markup

WIDTH, HEIGHT = 440, 250
"""Size of a chart's view box, in SVG units."""

LEFT, RIGHT, TOP, BOTTOM = 44, 14, 12, 36
"""Margins around the plot area, in SVG units; the axis labels stand in them."""


@dataclass(frozen=True)
class PlotArea:
    """Maps data coordinates to SVG coordinates.

    Attributes:
        left: Smallest x of the data.
        right: Largest x of the data.
        low: Smallest y of the data.
        high: Largest y of the data.
    """

    left: float
    right: float
    low: float
    high: float

    def x(self, value: float) -> float:
        """Maps a data value to an SVG x coordinate.

        Args:
            value: The data value.

        Returns:
            The coordinate; the center where the x range is empty.
        """
        fraction = (value - self.left) / (self.right - self.left) if self.right > self.left else 0.5
        return LEFT + fraction * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        """Maps a data value to an SVG y coordinate.

        Args:
            value: The data value.

        Returns:
            The coordinate; the center where the y range is empty.
        """
        fraction = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return HEIGHT - BOTTOM - fraction * (HEIGHT - TOP - BOTTOM)


def find_ticks(low: float, high: float, max_ticks: int) -> list[float]:
    """Returns round numbers that cover a range.

    Args:
        low: Start of the range; the first tick is at or below it.
        high: End of the range; the last tick is at or above it.
        max_ticks: Approximate maximum number of steps between the ticks, >= 1.

    Returns:
        Ticks in ascending order, at least two.
    """
    span = max(high - low, 1e-9 + abs(high) * 1e-3)
    magnitude = 10 ** math.floor(math.log10(span / max_ticks))
    step = next(magnitude * factor for factor in (1, 2, 5, 10) if span / (magnitude * factor) <= max_ticks)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, 10) for number in range(first, max(last, first + 1) + 1)]


def draw_axes(
    area: PlotArea, x_ticks: Sequence[float], y_ticks: Sequence[float], x_label: str, tick_labels: Sequence[str] = ()
) -> list[str]:
    """Draws horizontal grid lines, tick labels and the name of the x axis.

    Args:
        area: Data range of the chart.
        x_ticks: Places of the ticks on the x axis.
        y_ticks: Places of the grid lines.
        x_label: Name of the x axis.
        tick_labels: Labels of the x ticks; default: their numbers.

    Returns:
        SVG elements.
    """
    parts = []
    for tick in y_ticks:
        y = area.y(tick)
        parts.append(f'<line class="grid" x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 7}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>')
    baseline = HEIGHT - BOTTOM + 16
    parts += [
        f'<text x="{area.x(tick):.1f}" y="{baseline}" text-anchor="middle">{escape(label)}</text>'
        for tick, label in zip(x_ticks, tick_labels or [f"{tick:g}" for tick in x_ticks], strict=True)
    ]
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text class="name" x="{middle:.1f}" y="{HEIGHT - 3}" text-anchor="middle">{escape(x_label)}</text>')
    return parts


def draw_bar(
    left: float, top: float, width: float, height: float, tooltip: str, css_class: str, opacity: float = 0.85
) -> str:
    """Draws a bar with a tooltip.

    Args:
        left: Left edge, in SVG units.
        top: Top edge, in SVG units.
        width: Width, in SVG units.
        height: Height, in SVG units; at least 0.5 is drawn.
        tooltip: Text shown on hovering; escaped here.
        css_class: Class of the style sheet that gives the color.
        opacity: 0 to 1.

    Returns:
        An SVG element.
    """
    box = f'x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{max(height, 0.5):.1f}"'
    return f'<rect class="{css_class}" opacity="{opacity:.2f}" rx="1.5" {box}><title>{escape(tooltip)}</title></rect>'


def draw_svg(parts: Sequence[str], label: str) -> Markup:
    """Wraps SVG elements into an image.

    Args:
        parts: SVG elements whose texts are escaped already.
        label: Description for screen readers; escaped here.

    Returns:
        An `<svg>` element.
    """
    return Markup(f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>')
