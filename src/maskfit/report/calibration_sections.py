"""Sections about how far answers can be trusted: errors by age, calibration, and answers held back; then the run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

import numpy as np

from maskfit.evaluation.selective_prediction import RiskCoverage
from maskfit.html.page import section, table
from maskfit.html.svg_charts import COLOURS, Line, age_chart, line_chart, reliability_chart
from maskfit.labels.schema import JOINT_HEAD
from maskfit.report import summary_text
from maskfit.report.prediction_sections import lead_paragraph, number, table_row
from maskfit.report.run_data import History
from maskfit.report.run_statistics import NEAR, WANTED, RunStatistics

POINTS = 40
"""How many points a curve of doubt has."""

LEAST = 0.05
"""The least coverage that a curve of doubt shows: below it, single photos make it jump."""


def ages_section(figures: RunStatistics) -> str:
    """Wrong answers by years, with the borders of the bands."""
    found = figures.ages
    if found is None:
        return ""
    said = f"{NEAR} years on each side of a border are shaded; a pale bar is few photos."
    how = f"The share of photos at each age whose {found.attribute} was answered wrong. {said}"
    body = f"<figure>{age_chart(found.rows, found.edges, NEAR)}</figure>"
    title = f"Mistakes by {found.attribute}"
    return section(
        title, lead_paragraph(summary_text.ages(found), how), f'<div class="one">{body}</div>', anchor="ages"
    )


def calibration_section(figures: RunStatistics) -> str:
    """Whether a probability means what it says, before and after one temperature."""
    found = figures.calibration
    if not found:
        return ""
    names = [name for name in found if name != JOINT_HEAD or len(figures.material.scheme.names) > 1]
    told = {name: "the class" if name == JOINT_HEAD else name for name in names}
    charts = "".join(
        f"<figure><figcaption>{escape(told[name].capitalize())}</figcaption>"
        f"{reliability_chart(found[name].before.bins, found[name].after.bins)}</figure>"
        for name in names
    )
    rows = []
    for name in names:
        item = found[name]
        gain = f"{item.gain.value:.3f} ({summary_text.format_interval(item.gain)})"
        before, after = item.before, item.after
        figures_of = (before.error, after.error, before.log_loss.value, after.log_loss.value)
        rows.append(table_row(told[name], [], [f"{item.temperature:.2f}", *map(number, figures_of), gain]))
    header = ["", "temperature", "error before", "after", "log loss before", "after", "log loss less (95%)"]
    said = " ".join(summary_text.calibration(found[name], told[name]) for name in names)
    how = (
        "On the dotted line a probability means what it says; below it the run is too sure. Dots are equally many "
        "photos. Afterwards every probability p is p^(1/T), with one temperature T fitted to other persons than those "
        "it is judged on. The error is the mean distance from the line (ECE)."
    )
    key = '<ul class="legend"><li><i class="dash" style="--c:var(--line1)"></i>as it came</li>'
    key += '<li><i style="--c:var(--line0)"></i>with a temperature</li></ul>'
    body = f'{key}<div class="pair">{charts}</div>{table(header, rows, 1)}'
    return section(
        "Does a probability mean what it says?", lead_paragraph(said, how), body, "long", anchor="calibration"
    )


def selective_prediction_section(figures: RunStatistics) -> str:
    """What holding back unsure answers is worth."""
    if not figures.thresholds:
        return ""
    lines = [Line(name, _falling(curve), place) for place, (name, curve) in enumerate(figures.doubts.items())]
    keys = "".join(
        f'<li><i style="--c:var(--line{place % COLOURS})"></i>{escape(name)}</li>'
        for place, name in enumerate(figures.doubts)
    )
    chart = line_chart(
        lines, "wrong answers by how many photos are answered", "photos answered, of 100; the surest first"
    )
    rows = []
    for name, item in figures.thresholds.items():
        below = "none is sure" if item.probability >= 1 else "–" if item.probability == 0 else f"{item.probability:.3f}"
        right = (
            "–"
            if item.accuracy is None or item.probability >= 1
            else f"{item.accuracy.value:.3f} ({summary_text.format_interval(item.accuracy)})"
        )
        numbers = [
            below,
            number(item.overall_accuracy.value),
            f"{item.coverage.value:.0%}",
            right,
            number(figures.doubts[name].area()),
        ]
        rows.append(table_row(name, [], numbers))
    header = ["", "not sure below", "right of all", "stay answered", "right of those (95%)", "mean risk"]
    how = (
        f"The curves: wrong answers of 100, when only the surest are given. The table: the lowest probability from "
        f"which on {summary_text.as_percent_text(WANTED)} answers are right, and what it does to persons it was not fitted to."
    )
    body = f'<ul class="legend">{keys}</ul><div class="one"><figure>{chart}</figure></div>{table(header, rows, 1)}'
    return section(
        "Rather say “not sure”?", lead_paragraph(" ".join(summary_text.doubt(figures)), how), body, anchor="doubt"
    )


def _falling(curve: RiskCoverage) -> tuple[tuple[float, float], ...]:
    """(photos answered, wrong answers) of 100 each, at `POINTS` places."""
    wanted = np.linspace(LEAST, 1, POINTS)
    places = np.unique(np.minimum(np.searchsorted(curve.coverage, wanted - 1e-9), len(curve.coverage) - 1))
    return tuple((100 * float(curve.coverage[place]), 100 * float(curve.risk[place])) for place in places)


def curves_section(figures: RunStatistics) -> str:
    """The learning curves of each fold."""
    histories = figures.material.histories
    panels = {"Loss": ("train_loss", "valid_loss"), "Macro F1": ("valid_macro_f1",)}
    charts = []
    for title, names in panels.items():
        lines = [
            fold_line(place, fold, history, name)
            for place, (fold, history) in enumerate(histories.items())
            for name in names
        ]
        chart = line_chart(lines, title, "epoch")
        if chart:
            charts.append(f"<figure><figcaption>{title}</figcaption>{chart}</figure>")
    if not charts:
        return ""
    keys = [f'<li><i style="--c:var(--line{n % COLOURS})"></i>fold {fold}</li>' for n, fold in enumerate(histories)]
    keys += ["<li><i></i>persons held out</li>", '<li><i class="dash"></i>persons trained on</li>']
    body = f'<ul class="legend">{"".join(keys)}</ul><div class="pair">{"".join(charts)}</div>'
    how = "Each line is a fold; a ring marks its best epoch, which is the one that is kept."
    return section("How it learned", lead_paragraph(summary_text.curves(figures), how), body, anchor="curves")


def fold_line(colour: int, fold: int, history: History, name: str) -> Line:
    """A fold's values of one name over its epochs; a name that an epoch lacks leaves a gap."""
    rows = ((row.get("epoch", place), row.get(name)) for place, row in enumerate(history))
    points = tuple((float(x), math.nan if y is None else float(y)) for x, y in rows)
    if name.startswith("train"):
        return Line(f"fold {fold} training", points, colour, dashed=True)
    return Line(f"fold {fold} held out", points, colour, marker="min" if name.endswith("loss") else "max")


def facts_section(facts: dict[str, str], remarks: Sequence[str]) -> str:
    """What was done."""
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts.items())
    notes = "".join(f"<p>{escape(remark)}</p>" for remark in remarks)
    return section("Data and recipe", "", f'{notes}<dl class="facts">{rows}</dl>', anchor="facts")
