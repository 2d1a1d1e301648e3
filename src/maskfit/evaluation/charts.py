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
from maskfit.evaluation.metrics import Reliability
from maskfit.labels import Codes

WIDTH, HEIGHT = 440, 250
LEFT, RIGHT, TOP, BOTTOM = 44, 14, 12, 36
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
    mark: str = ""


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
    y_ticks = _ticks(min(ys), max(ys), 5)
    x_ticks = sorted({round(tick) for tick in _ticks(min(xs), max(xs), 8) if min(xs) <= round(tick) <= max(xs)})
    frame = _Frame(min(xs), max(xs), min(y_ticks[0], *ys), max(y_ticks[-1], *ys))
    drawn = [_line(line, frame) for line in lines]
    return _svg([*_axes(frame, x_ticks, y_ticks, x_name), *drawn], label)


def reliability_chart(bins: Reliability) -> str:
    """How often answers of each confidence were right, against the diagonal where it would be the same.

    The fewer photos a bin has, the paler it is.
    """
    frame = _Frame(0, 1, 0, 1)
    count = len(bins.photos)
    parts = _axes(frame, [0, 0.25, 0.5, 0.75, 1], [0, 0.25, 0.5, 0.75, 1], "probability of the answer")
    for number, (photos, sure, right) in enumerate(zip(*bins, strict=True)):
        if photos:
            left, width = frame.x(number / count) + 1, (frame.x(1) - frame.x(0)) / count - 2
            said = f"{photos:,} photos, {sure:.0%} sure, {right:.0%} right"
            # A bin of three photos says little and should not shout.
            weight = 0.2 + 0.7 * math.sqrt(photos / bins.photos.max())
            parts.append(_bar(left, frame.y(right), width, frame.y(0) - frame.y(right), said, "bar", weight))
    ends = (frame.x(0), frame.y(0), frame.x(1), frame.y(1))
    parts.append('<line class="even" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>'.format(*ends))
    return _svg(parts, f"calibration: expected error {bins.error():.3f}")


def age_chart(ages: Sequence[tuple[float, int, int]], edges: Sequence[float] = ()) -> str:
    """The share of wrong answers at each age in years.

    Args:
        ages: (years, photos, wrong answers).
        edges: Ages at which a band ends; each gets a line.
    """
    shares = [wrong / photos if photos else 0.0 for _, photos, wrong in ages]
    low, high = min(age for age, *_ in ages) - 0.5, max(age for age, *_ in ages) + 0.5
    ticks = _ticks(0, max(*shares, 0.1), 4)
    frame = _Frame(low, high, 0, ticks[-1])
    parts = _axes(frame, [round(tick) for tick in _ticks(low, high, 8) if low <= tick <= high], ticks, "age in years")
    width = max(1.5, (frame.x(1) - frame.x(0)) - 1.5)
    for (age, photos, wrong), share in zip(ages, shares, strict=True):
        said = f"{age:g} years: {wrong:,} of {photos:,} wrong"
        parts.append(_bar(frame.x(age) - width / 2, frame.y(share), width, frame.y(0) - frame.y(share), said, "bad"))
    for edge in edges:
        if low < edge < high:
            x = frame.x(edge - 0.5)
            parts.append(f'<line class="even" x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{HEIGHT - BOTTOM}"/>')
    return _svg(parts, "share of wrong answers by age")


def stacked_chart(
    bars: Sequence[tuple[float, Sequence[int]]], step: float, label: str, x_name: str, *, names: Sequence[str] = ("",),
    unit: str = "photos", edges: Sequence[float] = (),
) -> str:  # fmt: skip
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
    ticks = _ticks(0, max(sum(counts) for _, counts in bars), 4)
    frame = _Frame(low, high, 0, ticks[-1])
    parts = _axes(frame, [tick for tick in _ticks(low, high, 8) if low <= tick <= high], ticks, x_name)
    width = frame.x(low + step) - frame.x(low)
    for start, counts in bars:
        below = 0
        span = f"{start:g}" if step == 1 else f"{start:g} to {start + step:g}"
        for place, (name, count) in enumerate(zip(names, counts, strict=True)):
            if count:
                said = f"{span}{f', {name}' if name else ''}: {count:,} {unit}"
                top, height = frame.y(below + count), frame.y(below) - frame.y(below + count)
                bar = _bar(frame.x(start) + width * 0.06, top, width * 0.88, height, said, "bar")
                parts.append(f'<g style="--accent:var(--line{place % COLOURS})">{bar}</g>' if name else bar)
                below += count
    for edge in edges:
        if low < edge < high:
            x = frame.x(edge)
            parts.append(f'<line class="even" x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{HEIGHT - BOTTOM}"/>')
            parts.append(f'<text x="{x:.1f}" y="{TOP - 2}" text-anchor="middle">{edge:g}</text>')
    return _svg(parts, label)


def meter(value: float, around: Interval | None = None) -> str:
    """A number from 0 to 1 with a bar, and its interval as a line across the bar's end."""
    whisker = ""
    if around is not None:
        left, width = 100 * around.low, 100 * (around.high - around.low)
        said = f"{around.level:.0%} interval {around.low:.3f} to {around.high:.3f}"
        whisker = f'<s style="left:{left:.1f}%;width:{width:.1f}%" title="{said}"></s>'
    return f'<span class="meter"><b>{value:.3f}</b><i><u style="width:{100 * value:.1f}%"></u>{whisker}</i></span>'


def heat_table(matrix: Codes, names: Sequence[str], groups: Sequence[tuple[str, int]] = ()) -> str:
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


@dataclass(frozen=True)
class _Frame:
    """From data to places in the picture."""

    left: float
    right: float
    low: float
    high: float

    def x(self, value: float) -> float:
        share = (value - self.left) / (self.right - self.left) if self.right > self.left else 0.5
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)


def _ticks(low: float, high: float, most: int) -> list[float]:
    """At most about `most` round numbers from at or below `low` to at or above `high`."""
    span = max(high - low, 1e-9 + abs(high) * 1e-3)
    rough = 10 ** math.floor(math.log10(span / most))
    step = next(rough * factor for factor in (1, 2, 5, 10) if span / (rough * factor) <= most)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, 10) for number in range(first, max(last, first + 1) + 1)]


def _axes(frame: _Frame, x_ticks: Sequence[float], y_ticks: Sequence[float], x_name: str) -> list[str]:
    parts = []
    for tick in y_ticks:
        y = frame.y(tick)
        parts.append(f'<line class="grid" x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 7}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>')
    low = HEIGHT - BOTTOM + 16
    parts += [f'<text x="{frame.x(tick):.1f}" y="{low}" text-anchor="middle">{tick:g}</text>' for tick in x_ticks]
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text class="name" x="{middle:.1f}" y="{HEIGHT - 3}" text-anchor="middle">{escape(x_name)}</text>')
    return parts


def _line(line: Line, frame: _Frame) -> str:
    """A path with gaps, dots that answer to hovering, and a ring at its best point."""
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
    radius = 2.2 if len(known) <= 12 else 0
    dots = "".join(
        f'<circle cx="{frame.x(x):.1f}" cy="{frame.y(y):.1f}" r="{radius or 4}"{"" if radius else " class=ghost"}>'
        f"<title>{escape(line.name)}, {x:g}: {y:.4g}</title></circle>"
        for x, y in known
    )
    ring = ""
    if line.mark and known:
        x, y = (max if line.mark == "max" else min)(known, key=lambda point: point[1])
        ring = f'<circle class="ring" cx="{frame.x(x):.1f}" cy="{frame.y(y):.1f}" r="5"/>'
    dashed = " dashed" if line.dashed else ""
    return f'<g class="series{dashed}" {colour}><path d="{path}"/>{dots}{ring}</g>'


def _bar(left: float, top: float, width: float, height: float, said: str, kind: str, weight: float = 0.85) -> str:
    place = f'x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{max(height, 0.5):.1f}"'
    return f'<rect class="{kind}" opacity="{weight:.2f}" rx="1.5" {place}><title>{escape(said)}</title></rect>'


def _svg(parts: Sequence[str], label: str) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>'
