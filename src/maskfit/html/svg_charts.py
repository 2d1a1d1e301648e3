"""Charts as inline SVG, and confusion matrices and score bars as HTML; the page's style sheet gives the colors.

Every function returns `Markup` that is safe to insert into a page: names that come from outside are escaped here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from markupsafe import Markup

from maskfit.evaluation.bootstrap import Interval
from maskfit.evaluation.metrics import ReliabilityCurve
from maskfit.html.svg_axes import BOTTOM, HEIGHT, TOP, PlotArea, draw_axes, draw_bar, draw_svg, find_ticks
from maskfit.labels.schema import IntArray
from maskfit.text import format_count

NUM_COLORS = 8
"""Number of line colors in the style sheet, `--line0` to `--line7`; further lines start over."""


@dataclass(frozen=True)
class Line:
    """A line of a chart.

    Attributes:
        name: Shown in the tooltips of its points.
        points: (x, y) pairs; a y that is not finite leaves a gap.
        color: Index of its color; taken modulo `NUM_COLORS`.
        dashed: Whether the line is dashed.
        marker: "max" or "min" puts a ring around the point with the largest or smallest y; "" puts none.
    """

    name: str
    points: tuple[tuple[float, float], ...]
    color: int = 0
    dashed: bool = False
    marker: str = ""


def line_chart(lines: Sequence[Line], label: str, x_label: str) -> Markup:
    """Draws lines over a common x axis.

    Args:
        lines: Lines to draw.
        label: Description for screen readers.
        x_label: Name of the x axis; its ticks are integers.

    Returns:
        An `<svg>` element; empty where no point is finite.
    """
    points = [(x, y) for line in lines for x, y in line.points if math.isfinite(y)]
    if not points:
        return Markup("")
    xs, ys = zip(*points, strict=True)
    y_ticks = find_ticks(min(ys), max(ys), 5)
    x_ticks = sorted({round(tick) for tick in find_ticks(min(xs), max(xs), 8) if min(xs) <= round(tick) <= max(xs)})
    area = PlotArea(min(xs), max(xs), min(y_ticks[0], *ys), max(y_ticks[-1], *ys))
    return draw_svg([*draw_axes(area, x_ticks, y_ticks, x_label), *(_line(line, area) for line in lines)], label)


def reliability_chart(
    before: ReliabilityCurve, after: ReliabilityCurve, names: tuple[str, str] = ("before", "after")
) -> Markup:
    """Draws two reliability diagrams over each other: accuracy over confidence, with the diagonal.

    On the diagonal the accuracy equals the confidence; below it the model is overconfident.

    Args:
        before: Bins of the first diagram, drawn dashed.
        after: Bins of the second diagram, drawn solid.
        names: Names of both in tooltips and description.

    Returns:
        An `<svg>` element.
    """
    curves = [(before, 1, True), (after, 0, False)]
    smallest = min(float(min(*curve.confidence, *curve.accuracy)) for curve, _, _ in curves)
    # Where nearly all predictions are confident and correct, the full unit square would show one dot in its corner.
    low = next(start for start in (0.95, 0.9, 0.8, 0.6, 0.4, 0.0) if start <= smallest or start == 0.0)
    area = PlotArea(low, 1, low, 1)
    ticks = [round(low + (1 - low) * step / 4, 4) for step in range(5)]
    parts = draw_axes(area, ticks, ticks, "confidence (predicted probability)")
    ends = (area.x(low), area.y(low), area.x(1), area.y(1))
    parts.append('<line class="even" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>'.format(*ends))
    for (curve, color, dashed), name in zip(curves, names, strict=True):
        points = tuple(zip(curve.confidence.tolist(), curve.accuracy.tolist(), strict=True))
        tooltips = [
            f"{name}: {format_count(photos, 'photo')}, confidence {confidence:.1%}, accuracy {accuracy:.1%}"
            for photos, confidence, accuracy in zip(*curve, strict=True)
        ]
        parts.append(_line(Line(name, points, color, dashed=dashed), area, tooltips))
    return draw_svg(parts, f"calibration error {before.error():.3f} {names[0]}, {after.error():.3f} {names[1]}")


def age_chart(ages: Sequence[tuple[float, int, int]], edges: Sequence[float] = (), near: float = 0) -> Markup:
    """Draws the error rate at each age; the fewer photos an age has, the paler its bar.

    Args:
        ages: (age in years, number of photos, number of errors).
        edges: Ages at which a class begins; each gets a line and its number.
        near: Years on each side of an edge that are shaded.

    Returns:
        An `<svg>` element.
    """
    rates = [errors / photos if photos else 0.0 for _, photos, errors in ages]
    low, high = min(age for age, *_ in ages) - 0.5, max(age for age, *_ in ages) + 0.5
    y_ticks = find_ticks(0, max(*rates, 0.1), 4)
    area = PlotArea(low, high, 0, y_ticks[-1])
    shades = [_shade(area, max(edge - near, low + 0.5), min(edge + near, high + 0.5)) for edge in edges if near]
    x_ticks = [round(tick) for tick in find_ticks(low, high, 8) if low <= tick <= high]
    parts = [*filter(None, shades), *draw_axes(area, x_ticks, y_ticks, "age in years")]
    width = max(1.5, (area.x(1) - area.x(0)) - 1.5)
    max_photos = max(photos for _, photos, _ in ages)
    for (age, photos, errors), rate in zip(ages, rates, strict=True):
        tooltip = f"{age:g} years: {errors:,} of {photos:,} wrong"
        # A rate of one person's seven photos is little evidence, so its bar is pale.
        opacity = 0.3 + 0.6 * math.sqrt(photos / max(max_photos, 1))
        left, height = area.x(age) - width / 2, area.y(0) - area.y(rate)
        parts.append(draw_bar(left, area.y(rate), width, height, tooltip, "bad", opacity))
    # Ages are whole years, so a class that begins at 30 begins between the bars of 29 and 30.
    parts += [line for edge in edges if low < edge < high for line in _edge_lines(area.x(edge - 0.5), edge)]
    return draw_svg(parts, "error rate by age")


def _edge_lines(x: float, edge: float) -> tuple[str, str]:
    """A dotted vertical line and the number above it."""
    return (
        f'<line class="even" x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{HEIGHT - BOTTOM}"/>',
        f'<text x="{x:.1f}" y="{TOP - 2}" text-anchor="middle">{edge:g}</text>',
    )


def _shade(area: PlotArea, start: float, end: float) -> str:
    """A stripe from the year `start` to before the year `end`; empty where none of it lies in the chart."""
    if end <= start:
        return ""
    left, width = area.x(start - 0.5), area.x(end - 0.5) - area.x(start - 0.5)
    height = HEIGHT - BOTTOM - TOP
    return f'<rect class="near" x="{left:.1f}" y="{TOP}" width="{width:.1f}" height="{height}"/>'


def stacked_chart(
    bars: Sequence[tuple[float, Sequence[int]]],
    step: float,
    label: str,
    x_label: str,
    *,
    names: Sequence[str] = ("",),
    unit: str = "photos",
    edges: Sequence[float] = (),
) -> Markup:
    """Draws a histogram whose bars may be stacked.

    Args:
        bars: (left edge of the bar, count of each part).
        step: Width of a bar, in data units.
        label: Description for screen readers.
        x_label: Name of the x axis.
        names: Names of the parts in tooltips; a named part has the line color of its position.
        unit: What is counted.
        edges: Values that get a dotted line and their number above it.

    Returns:
        An `<svg>` element.
    """
    low, high = min(start for start, _ in bars), max(start for start, _ in bars) + step
    y_ticks = find_ticks(0, max(sum(counts) for _, counts in bars), 4)
    area = PlotArea(low, high, 0, y_ticks[-1])
    parts = draw_axes(area, [tick for tick in find_ticks(low, high, 8) if low <= tick <= high], y_ticks, x_label)
    width = area.x(low + step) - area.x(low)
    for start, counts in bars:
        below = 0
        span = f"{start:g}" if step == 1 else f"{start:g} to {start + step:g}"
        for color, (name, count) in enumerate(zip(names, counts, strict=True)):
            if count:
                tooltip = f"{span}{f', {name}' if name else ''}: {count:,} {unit}"
                top, height = area.y(below + count), area.y(below) - area.y(below + count)
                bar = draw_bar(area.x(start) + width * 0.06, top, width * 0.88, height, tooltip, "bar")
                parts.append(f'<g style="--accent:var(--line{color % NUM_COLORS})">{bar}</g>' if name else bar)
                below += count
    parts += [line for edge in edges if low < edge < high for line in _edge_lines(area.x(edge), edge)]
    return draw_svg(parts, label)


def score_bar(value: float, interval: Interval | None = None) -> Markup:
    """Draws a number from 0 to 1 as a bar, with its confidence interval as a line across the bar's end.

    Args:
        value: The number.
        interval: Its interval; None draws no line.

    Returns:
        HTML.
    """
    whisker = ""
    if interval is not None:
        left, width = 100 * interval.low, 100 * (interval.high - interval.low)
        tooltip = f"{interval.level:.0%} confidence interval {interval.low:.3f} to {interval.high:.3f}"
        whisker = f'<s style="left:{left:.1f}%;width:{width:.1f}%" title="{tooltip}"></s>'
    bar = f'<i><u style="width:{100 * value:.1f}%"></u>{whisker}</i>'
    return Markup(f'<span class="meter"><b>{value:.3f}</b>{bar}</span>')


def confusion_table(matrix: IntArray, names: Sequence[str], groups: Sequence[tuple[str, int]] = ()) -> Markup:
    """Renders a confusion matrix: rows are true classes, columns predicted ones, color the fraction of the row.

    Correct predictions and errors have different colors, so that errors of a rare class are visible next to a frequent
    class.

    Args:
        matrix: (classes, classes) counts.
        names: Names of the classes; with `groups` the columns are headed by class indices only.
        groups: Headings over consecutive columns, each with its number of columns.

    Returns:
        An HTML table.
    """
    fractions = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    starts = set(np.cumsum([0, *(length for _, length in groups)])[1:-1].tolist()) if groups else set()
    heads = [str(index) if groups else name for index, name in enumerate(names)]
    top = "".join(f'<th colspan="{length}" class="edge">{escape(name)}</th>' for name, length in groups)
    cells = "".join(f"<th scope=col{_edge(n, starts)}>{escape(head)}</th>" for n, head in enumerate(heads))
    rows = [f"<tr><td></td>{top}</tr>"] if groups else []
    rows.append(f"<tr><th class=corner>true ↓ &nbsp; predicted →</th>{cells}</tr>")
    for index, name in enumerate(names):
        lead = f"<small>{index}</small> " if groups else ""
        cells = "".join(
            _heat_cell(int(count), float(fraction), n == index, n in starts, f"{name} predicted as {names[n]}")
            for n, (count, fraction) in enumerate(zip(matrix[index], fractions[index], strict=True))
        )
        line = " class=line" if index in starts else ""
        rows.append(f"<tr{line}><th scope=row>{lead}{escape(name)}</th>{cells}</tr>")
    many = " many" if len(names) > 8 else ""
    return Markup(f'<div class="wide"><table class="heat{many}">{"".join(rows)}</table></div>')


def _heat_cell(count: int, fraction: float, correct: bool, edge: bool, tooltip: str) -> str:
    kinds = ["right" if correct else "wrong"] + ["edge"] * edge
    if not count:
        return f'<td class="{"edge " * edge}none">·</td>'
    # The square root makes the small fractions of errors visible and keeps their order.
    depth = math.sqrt(fraction)
    kinds += ["deep"] * (depth > 0.6)
    title = f"{escape(tooltip)}: {format_count(count, 'photo')}, {fraction:.1%}"
    return f'<td class="{" ".join(kinds)}" style="--a:{depth:.2f}" title="{title}">{count:,}</td>'


def _edge(index: int, starts: set[int]) -> str:
    return " class=edge" if index in starts else ""


def _line(line: Line, area: PlotArea, tooltips: Sequence[str] = ()) -> str:
    """A path with gaps, points with tooltips, and a ring at the marked point.

    `tooltips` has one text per point, where all points are finite; default: the line's name and the point's numbers.
    """
    color = f'style="--c:var(--line{line.color % NUM_COLORS})"'
    path, pen = "", "M"
    finite = []
    for x, y in line.points:
        if math.isfinite(y):
            path, pen = f"{path}{pen}{area.x(x):.1f} {area.y(y):.1f}", "L"
            finite.append((x, y))
        else:
            pen = "M"
    # The dots of a hundred epochs would hide the line; they are visible only where there are few.
    radius = 2.2 if len(finite) <= 15 else 0
    dots = "".join(
        f'<circle cx="{area.x(x):.1f}" cy="{area.y(y):.1f}" r="{radius or 4}"{"" if radius else " class=ghost"}>'
        f"<title>{escape(text)}</title></circle>"
        for (x, y), text in zip(finite, tooltips or [f"{line.name}, {x:g}: {y:.4g}" for x, y in finite], strict=True)
    )
    ring = ""
    if line.marker and finite:
        x, y = (max if line.marker == "max" else min)(finite, key=lambda point: point[1])
        ring = f'<circle class="ring" cx="{area.x(x):.1f}" cy="{area.y(y):.1f}" r="5"/>'
    dashed = " dashed" if line.dashed else ""
    return f'<g class="series{dashed}" {color}><path d="{path}"/>{dots}{ring}</g>'
