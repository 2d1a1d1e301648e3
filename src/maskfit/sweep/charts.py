"""Pictures of a sweep, as inline SVG: its history, what each value did, how trials learned."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from maskfit.html.svg_axes import PlotArea, draw_axes, draw_svg, find_ticks
from maskfit.html.svg_charts import Line, line_chart
from maskfit.sweep.search_space import Dimension, Range
from maskfit.sweep.study import TrialRecord, format_value

MOST_LABEL = 14
"""Letters of a choice's name below the axis; all of it is said on hovering."""

MOST_CURVES = 40
"""Trials whose curves are drawn: the best ones and those that were given up latest."""


def history_chart(trials: Sequence[TrialRecord], best: int) -> str:
    """Each trial's score in order, and the best so far as a line."""
    scored = [item for item in trials if item.score is not None]
    top, steps = 0.0, []
    for item in trials:
        if item.state == "done" and item.score is not None:
            top = max(top, item.score)
        steps.append((float(item.number), top if top else math.nan))
    scores = [item.score or 0.0 for item in scored]
    y_ticks = find_ticks(min(scores), max(scores), 5)
    frame = PlotArea(0, max(item.number for item in trials), y_ticks[0], y_ticks[-1])
    x_ticks = sorted({round(tick) for tick in find_ticks(0, frame.right, 8) if tick <= frame.right})
    parts = draw_axes(frame, x_ticks, y_ticks, "trial")
    known = [(x, y) for x, y in steps if math.isfinite(y)]
    places = [f"{frame.x(x):.1f} {frame.y(y):.1f}" for x, y in known]
    if places:
        parts.append(f'<g class="series" style="--c:var(--line0)"><path d="M{"L".join(places)}"/></g>')
    parts += [_dot(frame, float(item.number), item, item.number == best) for item in scored]
    return draw_svg(parts, "macro F1 of each trial, in order")


def importance_chart(importances: Sequence[tuple[str, float]]) -> str:
    """Bars of the shares of the scores' variance, the largest first, as rows of HTML."""
    rows = [
        f'<tr><th scope="row">{escape(name)}</th><td><span class="meter"><b>{share:.0%}</b>'
        f'<i><u style="width:{100 * share:.1f}%"></u></i></span></td></tr>'
        for name, share in importances
    ]
    return f'<div class="wide"><table><tbody>{"".join(rows)}</tbody></table></div>'


def slice_chart(name: str, dimension: Dimension, trials: Sequence[TrialRecord], best: int) -> str:
    """Scores over one value; an empty text where no trial that was scored drew it."""
    drawn = [item for item in trials if name in item.params and item.score is not None]
    if not drawn:
        return ""
    scores = [item.score or 0.0 for item in drawn]
    y_ticks = find_ticks(min(scores), max(scores), 4)
    if isinstance(dimension, Range):
        places = [_place(float(item.params[name]), dimension) for item in drawn]
        frame = PlotArea(_place(dimension.low, dimension), _place(dimension.high, dimension), y_ticks[0], y_ticks[-1])
        ticks, labels = _range_ticks(dimension)
    else:
        known = [option.label for option in dimension.options]
        places = [float(known.index(item.params[name])) for item in drawn]
        frame = PlotArea(-0.5, len(known) - 0.5, y_ticks[0], y_ticks[-1])
        ticks, labels = [float(place) for place in range(len(known))], [_short(str(label)) for label in known]
    parts = draw_axes(frame, ticks, y_ticks, name, labels)
    for place, item in zip(places, drawn, strict=True):
        parts.append(_dot(frame, place, item, item.number == best, f", {format_value(item.params[name])}"))
    return draw_svg(parts, f"macro F1 over {name}")


def curves_chart(trials: Sequence[TrialRecord], best: int) -> str:
    """Macro F1 from epoch to epoch; trials that were given up are dashed."""
    ranked = sorted((item for item in trials if item.steps), key=lambda item: -(item.score or 0.0))[:MOST_CURVES]
    lines = [
        Line(
            f"trial {item.number}",
            tuple((float(step + 1), value) for step, value in item.steps),
            color=0 if item.number == best else 2,
            dashed=item.state != "done",
            marker="max" if item.number == best else "",
        )
        for item in reversed(ranked)
    ]
    return line_chart(lines, "macro F1 of each trial from epoch to epoch", "epoch, of all folds")


def _dot(frame: PlotArea, x: float, item: TrialRecord, best: bool, more: str = "") -> str:
    score = item.score or 0.0
    text = f"trial {item.number}{more}: {score:.4f}{'' if item.state == 'done' else f', {item.state}'}"
    kind = "ring" if best else item.state
    radius = 5 if best else 3
    return (
        f'<g class="series" style="--c:var(--line{0 if best else 2})"><circle class="{kind}" cx="{frame.x(x):.1f}" '
        f'cy="{frame.y(score):.1f}" r="{radius}"><title>{escape(text)}</title></circle></g>'
    )


def _place(value: float, dimension: Range) -> float:
    return math.log10(value) if dimension.log else float(value)


def _range_ticks(dimension: Range) -> tuple[list[float], list[str]]:
    """Where the numbers of an axis stand, and the numbers."""
    if not dimension.log:
        ticks = [
            tick for tick in find_ticks(dimension.low, dimension.high, 6) if dimension.low <= tick <= dimension.high
        ]
        return ticks, [f"{tick:g}" for tick in ticks]
    low, high = math.log10(dimension.low), math.log10(dimension.high)
    powers = range(math.floor(low), math.ceil(high) + 1)
    # Powers of ten, and where these are few the numbers between as well.
    factors = (1,) if high - low > 2 else (1, 2, 5)
    values = [factor * 10.0**power for power in powers for factor in factors]
    inside = [value for value in values if low - 1e-9 <= math.log10(value) <= high + 1e-9]
    return [math.log10(value) for value in inside], [f"{value:g}" for value in inside]


def _short(label: str) -> str:
    return label if len(label) <= MOST_LABEL else f"{label[: MOST_LABEL - 1]}…"
