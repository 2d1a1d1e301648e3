"""Charts of a sweep as inline SVG: scores in order, score against each parameter, learning curves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from markupsafe import Markup

from maskfit.html.svg_axes import PlotArea, draw_axes, draw_svg, find_ticks
from maskfit.html.svg_charts import Line, line_chart
from maskfit.sweep.search_space import Dimension, Range
from maskfit.sweep.study import TrialRecord, format_value

MAX_TICK_LABEL = 14
"""Characters of a choice's label below the axis, so that labels do not overlap; the tooltip shows all of it."""

MAX_CURVES = 40
"""Number of trials whose learning curves are drawn; more are unreadable."""


def history_chart(trials: Sequence[TrialRecord], best: int) -> Markup:
    """Draws each trial's score in order, and the best score so far as a line.

    Args:
        trials: Trials by number; at least one has a score.
        best: Number of the best trial, which gets a ring.

    Returns:
        An `<svg>` element.
    """
    scored = [item for item in trials if item.score is not None]
    best_so_far, steps = 0.0, []
    for item in trials:
        if item.state == "done" and item.score is not None:
            best_so_far = max(best_so_far, item.score)
        steps.append((float(item.number), best_so_far if best_so_far else math.nan))
    scores = [item.score or 0.0 for item in scored]
    y_ticks = find_ticks(min(scores), max(scores), 5)
    area = PlotArea(0, max(item.number for item in trials), y_ticks[0], y_ticks[-1])
    x_ticks = sorted({round(tick) for tick in find_ticks(0, area.right, 8) if tick <= area.right})
    parts = draw_axes(area, x_ticks, y_ticks, "trial")
    points = [f"{area.x(x):.1f} {area.y(y):.1f}" for x, y in steps if math.isfinite(y)]
    if points:
        parts.append(f'<g class="series" style="--c:var(--line0)"><path d="M{"L".join(points)}"/></g>')
    parts += [_marker(area, float(item.number), item, item.number == best) for item in scored]
    return draw_svg(parts, "macro F1 of each trial, in order")


def slice_chart(name: str, dimension: Dimension, trials: Sequence[TrialRecord], best: int) -> Markup:
    """Draws the trials' scores against one parameter.

    Args:
        name: Name of the parameter.
        dimension: Its range or choices.
        trials: All trials.
        best: Number of the best trial, which gets a ring.

    Returns:
        An `<svg>` element; empty if no trial with a score has the parameter.
    """
    shown = [item for item in trials if name in item.params and item.score is not None]
    if not shown:
        return Markup("")
    scores = [item.score or 0.0 for item in shown]
    y_ticks = find_ticks(min(scores), max(scores), 4)
    if isinstance(dimension, Range):
        xs = [_to_axis(float(item.params[name]), dimension) for item in shown]
        area = PlotArea(
            _to_axis(dimension.low, dimension), _to_axis(dimension.high, dimension), y_ticks[0], y_ticks[-1]
        )
        ticks, labels = _range_ticks(dimension)
    else:
        choices = [option.label for option in dimension.options]
        xs = [float(choices.index(item.params[name])) for item in shown]
        area = PlotArea(-0.5, len(choices) - 0.5, y_ticks[0], y_ticks[-1])
        ticks, labels = [float(index) for index in range(len(choices))], [_shorten(str(label)) for label in choices]
    parts = draw_axes(area, ticks, y_ticks, name, labels)
    for x, item in zip(xs, shown, strict=True):
        parts.append(_marker(area, x, item, item.number == best, f", {format_value(item.params[name])}"))
    return draw_svg(parts, f"macro F1 over {name}")


def curves_chart(trials: Sequence[TrialRecord], best: int) -> Markup:
    """Draws macro F1 over epochs for the `MAX_CURVES` trials with the highest scores; all but done ones are dashed.

    Args:
        trials: All trials.
        best: Number of the best trial, which has a color of its own.

    Returns:
        An `<svg>` element; empty if no trial finished an epoch.
    """
    ranked = sorted((item for item in trials if item.steps), key=lambda item: -(item.score or 0.0))[:MAX_CURVES]
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
    return line_chart(lines, "macro F1 of each trial over epochs", "epoch, counted over all folds")


def _marker(area: PlotArea, x: float, item: TrialRecord, best: bool, more: str = "") -> str:
    score = item.score or 0.0
    tooltip = f"trial {item.number}{more}: {score:.4f}{'' if item.state == 'done' else f', {item.state}'}"
    css_class = "ring" if best else item.state
    radius = 5 if best else 3
    return (
        f'<g class="series" style="--c:var(--line{0 if best else 2})"><circle class="{css_class}" cx="{area.x(x):.1f}" '
        f'cy="{area.y(score):.1f}" r="{radius}"><title>{escape(tooltip)}</title></circle></g>'
    )


def _to_axis(value: float, dimension: Range) -> float:
    return math.log10(value) if dimension.log else float(value)


def _range_ticks(dimension: Range) -> tuple[list[float], list[str]]:
    """Positions and labels of an axis' ticks."""
    if not dimension.log:
        ticks = [
            tick for tick in find_ticks(dimension.low, dimension.high, 6) if dimension.low <= tick <= dimension.high
        ]
        return ticks, [f"{tick:g}" for tick in ticks]
    low, high = math.log10(dimension.low), math.log10(dimension.high)
    powers = range(math.floor(low), math.ceil(high) + 1)
    # Powers of ten; where the axis has at most two decades, also 2 and 5 times these.
    factors = (1,) if high - low > 2 else (1, 2, 5)
    values = [factor * 10.0**power for power in powers for factor in factors]
    inside = [value for value in values if low - 1e-9 <= math.log10(value) <= high + 1e-9]
    return [math.log10(value) for value in inside], [f"{value:g}" for value in inside]


def _shorten(label: str) -> str:
    return label if len(label) <= MAX_TICK_LABEL else f"{label[: MAX_TICK_LABEL - 1]}…"
