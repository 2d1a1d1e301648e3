"""Pieces of the report: charts as inline SVG, confusions and bars as HTML. Colours come from the page's style sheet.

Each function gives markup that is safe to put into a page: every word that comes from outside is escaped here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from maskfit.evaluation.bootstrap import Interval
from maskfit.evaluation.metrics import ReliabilityCurve
from maskfit.html.svg_axes import BOTTOM, HEIGHT, TOP, PlotArea, draw_axes, draw_bar, draw_svg, find_ticks
from maskfit.labels.schema import IntArray

COLOURS = 8
"""How many line colours the style sheet has, `--line0` and up; more lines use them again."""


@dataclass(frozen=True)
class Line:
    """A line of a chart.

    Attributes:
        name: Shown on hovering over a point.
        points: (x, y); a y that is not finite leaves a gap.
        colour: Its number among the colours.
        dashed: Whether it is the lesser one of a pair.
        mark: Where to put a ring: `max`, `min` or nothing.
    """

    name: str
    points: tuple[tuple[float, float], ...]
    colour: int = 0
    dashed: bool = False
    marker: str = ""


def line_chart(lines: Sequence[Line], label: str, x_name: str) -> str:
    """Lines over a shared x, as SVG; an empty text where there is not one finite point.

    Args:
        lines: What to draw.
        label: What it shows, for those who cannot see it.
        x_name: What stands on the x axis; its ticks are whole numbers.
    """
    points = [(x, y) for line in lines for x, y in line.points if math.isfinite(y)]
    if not points:
        return ""
    xs, ys = zip(*points, strict=True)
    y_ticks = find_ticks(min(ys), max(ys), 5)
    x_ticks = sorted({round(tick) for tick in find_ticks(min(xs), max(xs), 8) if min(xs) <= round(tick) <= max(xs)})
    frame = PlotArea(min(xs), max(xs), min(y_ticks[0], *ys), max(y_ticks[-1], *ys))
    drawn = [_line(line, frame) for line in lines]
    return draw_svg([*draw_axes(frame, x_ticks, y_ticks, x_name), *drawn], label)


def reliability_chart(
    before: ReliabilityCurve, after: ReliabilityCurve, names: tuple[str, str] = ("before", "after")
) -> str:
    """How often answers of each probability were right, before and after something was done, against the diagonal.

    On the diagonal a probability means what it says; below it answers are surer than they should be.
    """
    bins = [(before, 1, True), (after, 0, False)]
    least = min(float(min(*item.confidence, *item.accuracy)) for item, _, _ in bins)
    # Where nearly everything is sure and right, the whole square would show one spot in its corner.
    low = next(start for start in (0.95, 0.9, 0.8, 0.6, 0.4, 0.0) if start <= least or start == 0.0)
    frame = PlotArea(low, 1, low, 1)
    marks = [round(low + (1 - low) * step / 4, 4) for step in range(5)]
    parts = draw_axes(frame, marks, marks, "probability of the answer")
    ends = (frame.x(low), frame.y(low), frame.x(1), frame.y(1))
    parts.append('<line class="even" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>'.format(*ends))
    for (item, colour, dashed), name in zip(bins, names, strict=True):
        points = tuple(zip(item.confidence.tolist(), item.accuracy.tolist(), strict=True))
        said = [
            f"{name}: {photos:,} photos, {sure:.1%} sure, {right:.1%} right"
            for photos, sure, right in zip(*item, strict=True)
        ]
        parts.append(_line(Line(name, points, colour, dashed=dashed), frame, said))
    return draw_svg(parts, f"calibration error {before.error():.3f} {names[0]}, {after.error():.3f} {names[1]}")


def age_chart(ages: Sequence[tuple[float, int, int]], edges: Sequence[float] = (), near: float = 0) -> str:
    """The share of wrong answers at each age in years; the fewer photos an age has, the paler it is.

    Args:
        ages: (years, photos, wrong answers).
        edges: Ages at which a band ends; each gets a line and its number.
        near: How many years on each side of an edge are shaded.
    """
    shares = [wrong / photos if photos else 0.0 for _, photos, wrong in ages]
    low, high = min(age for age, *_ in ages) - 0.5, max(age for age, *_ in ages) + 0.5
    y_ticks = find_ticks(0, max(*shares, 0.1), 4)
    frame = PlotArea(low, high, 0, y_ticks[-1])
    shades = [_shade(frame, max(edge - near, low + 0.5), min(edge + near, high + 0.5)) for edge in edges if near]
    x_ticks = [round(tick) for tick in find_ticks(low, high, 8) if low <= tick <= high]
    parts = [*filter(None, shades), *draw_axes(frame, x_ticks, y_ticks, "age in years")]
    width = max(1.5, (frame.x(1) - frame.x(0)) - 1.5)
    most = max(photos for _, photos, _ in ages)
    for (age, photos, wrong), share in zip(ages, shares, strict=True):
        said = f"{age:g} years: {wrong:,} of {photos:,} wrong"
        tall = frame.y(0) - frame.y(share)
        # An age of seven photos, one person, says little and should not shout.
        weight = 0.3 + 0.6 * math.sqrt(photos / max(most, 1))
        parts.append(draw_bar(frame.x(age) - width / 2, frame.y(share), width, tall, said, "bad", weight))
    for edge in edges:
        if low < edge < high:
            x = frame.x(edge - 0.5)
            parts.append(f'<line class="even" x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{HEIGHT - BOTTOM}"/>')
            parts.append(f'<text x="{x:.1f}" y="{TOP - 2}" text-anchor="middle">{edge:g}</text>')
    return draw_svg(parts, "share of wrong answers by age")


def _shade(frame: PlotArea, start: float, end: float) -> str:
    """A stripe from one year to before another; nothing where none of it is in the picture."""
    if end <= start:
        return ""
    left, width = frame.x(start - 0.5), frame.x(end - 0.5) - frame.x(start - 0.5)
    tall = HEIGHT - BOTTOM - TOP
    return f'<rect class="near" x="{left:.1f}" y="{TOP}" width="{width:.1f}" height="{tall}"/>'


def stacked_chart(
    bars: Sequence[tuple[float, Sequence[int]]],
    step: float,
    label: str,
    x_name: str,
    *,
    names: Sequence[str] = ("",),
    unit: str = "photos",
    edges: Sequence[float] = (),
) -> str:
    """Counts over a number, as bars of one or several parts above each other.

    Args:
        bars: (where a bar begins, the count of each part).
        step: How wide a bar is, in the number.
        label: What it shows, for those who cannot see it.
        x_name: What stands on the x axis.
        names: What the parts are, shown on hovering; each has the line colour of its place.
        unit: What is counted.
        edges: Numbers at which a band begins; each gets a line and its number above it.
    """
    low, high = min(start for start, _ in bars), max(start for start, _ in bars) + step
    y_ticks = find_ticks(0, max(sum(counts) for _, counts in bars), 4)
    frame = PlotArea(low, high, 0, y_ticks[-1])
    parts = draw_axes(frame, [tick for tick in find_ticks(low, high, 8) if low <= tick <= high], y_ticks, x_name)
    width = frame.x(low + step) - frame.x(low)
    for start, counts in bars:
        below = 0
        span = f"{start:g}" if step == 1 else f"{start:g} to {start + step:g}"
        for place, (name, count) in enumerate(zip(names, counts, strict=True)):
            if count:
                said = f"{span}{f', {name}' if name else ''}: {count:,} {unit}"
                top, height = frame.y(below + count), frame.y(below) - frame.y(below + count)
                one = draw_bar(frame.x(start) + width * 0.06, top, width * 0.88, height, said, "bar")
                parts.append(f'<g style="--accent:var(--line{place % COLOURS})">{one}</g>' if name else one)
                below += count
    for edge in edges:
        if low < edge < high:
            x = frame.x(edge)
            parts.append(f'<line class="even" x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{HEIGHT - BOTTOM}"/>')
            parts.append(f'<text x="{x:.1f}" y="{TOP - 2}" text-anchor="middle">{edge:g}</text>')
    return draw_svg(parts, label)


def score_bar(value: float, around: Interval | None = None) -> str:
    """A number from 0 to 1 with a bar, and its interval as a line across the bar's end."""
    whisker = ""
    if around is not None:
        left, width = 100 * around.low, 100 * (around.high - around.low)
        said = f"{around.level:.0%} interval {around.low:.3f} to {around.high:.3f}"
        whisker = f'<s style="left:{left:.1f}%;width:{width:.1f}%" title="{said}"></s>'
    return f'<span class="meter"><b>{value:.3f}</b><i><u style="width:{100 * value:.1f}%"></u>{whisker}</i></span>'


def confusion_table(matrix: IntArray, names: Sequence[str], groups: Sequence[tuple[str, int]] = ()) -> str:
    """A confusion as a table: rows are the truth, columns the answers; colour is the share of the row.

    Right answers and mistakes have colours of their own, so that a thin class's mistakes are seen beside a thick one.

    Args:
        matrix: (classes, classes) counts.
        names: What the classes are; with groups, columns are headed by their numbers alone.
        groups: Headings over runs of columns, each with its length.
    """
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    starts = set(np.cumsum([0, *(length for _, length in groups)])[1:-1].tolist()) if groups else set()
    heads = [str(number) if groups else name for number, name in enumerate(names)]
    top = "".join(f'<th colspan="{length}" class="edge">{escape(name)}</th>' for name, length in groups)
    cells = "".join(f"<th scope=col{_edge(n, starts)}>{escape(head)}</th>" for n, head in enumerate(heads))
    rows = [f"<tr><td></td>{top}</tr>"] if groups else []
    rows.append(f"<tr><th class=corner>truth ↓ &nbsp; answer →</th>{cells}</tr>")
    for number, name in enumerate(names):
        lead = f"<small>{number}</small> " if groups else ""
        cells = "".join(
            _heat_cell(int(count), float(share), n == number, n in starts, f"{name} answered as {names[n]}")
            for n, (count, share) in enumerate(zip(matrix[number], shares[number], strict=True))
        )
        line = " class=line" if number in starts else ""
        rows.append(f"<tr{line}><th scope=row>{lead}{escape(name)}</th>{cells}</tr>")
    return f'<div class="wide"><table class="heat{" many" if len(names) > 8 else ""}">{"".join(rows)}</table></div>'


def _heat_cell(count: int, share: float, right: bool, edge: bool, said: str) -> str:
    kinds = ["right" if right else "wrong"] + ["edge"] * edge
    if not count:
        return f'<td class="{"edge " * edge}none">·</td>'
    # The root lifts the small shares that mistakes are, without hiding which one is larger.
    depth = math.sqrt(share)
    kinds += ["deep"] * (depth > 0.6)
    title = f"{escape(said)}: {count:,} photos, {share:.1%}"
    return f'<td class="{" ".join(kinds)}" style="--a:{depth:.2f}" title="{title}">{count:,}</td>'


def _edge(number: int, starts: set[int]) -> str:
    return " class=edge" if number in starts else ""


def _line(line: Line, frame: PlotArea, said: Sequence[str] = ()) -> str:
    """A path with gaps, dots that answer to hovering, and a ring at its best point.

    What the dots say is the line's name and numbers, or `said`, a text for each point where all are finite.
    """
    colour = f'style="--c:var(--line{line.colour % COLOURS})"'
    path, pen = "", "M"
    known = []
    for x, y in line.points:
        if math.isfinite(y):
            path, pen = f"{path}{pen}{frame.x(x):.1f} {frame.y(y):.1f}", "L"
            known.append((x, y))
        else:
            pen = "M"
    # A hundred epochs of visible dots would hide the line; they are shown only where there are few.
    radius = 2.2 if len(known) <= 15 else 0
    dots = "".join(
        f'<circle cx="{frame.x(x):.1f}" cy="{frame.y(y):.1f}" r="{radius or 4}"{"" if radius else " class=ghost"}>'
        f"<title>{escape(text)}</title></circle>"
        for (x, y), text in zip(known, said or [f"{line.name}, {x:g}: {y:.4g}" for x, y in known], strict=True)
    )
    ring = ""
    if line.marker and known:
        x, y = (max if line.marker == "max" else min)(known, key=lambda point: point[1])
        ring = f'<circle class="ring" cx="{frame.x(x):.1f}" cy="{frame.y(y):.1f}" r="5"/>'
    dashed = " dashed" if line.dashed else ""
    return f'<g class="series{dashed}" {colour}><path d="{path}"/>{dots}{ring}</g>'
