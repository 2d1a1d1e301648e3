"""Values of the page's sections on errors by age, calibration, abstention, learning curves and settings.

Each function returns the variables of its section in `run_page.html.j2`, or None where the section is left out. Texts
are plain strings that the template escapes; charts are `Markup`.
"""

from __future__ import annotations

import math

import numpy as np

from maskfit.calibration import describe_decision_weights
from maskfit.evaluation.selective_prediction import RiskCoverage
from maskfit.html.svg_charts import NUM_COLORS, Line, age_chart, line_chart, reliability_chart
from maskfit.labels.schema import JOINT_HEAD
from maskfit.report import summary_text
from maskfit.report.prediction_sections import MISSING, Row, Values, number
from maskfit.report.run_data import History
from maskfit.report.run_statistics import NEAR_YEARS, TARGET_ACCURACY, RunStatistics

NUM_POINTS = 40
"""Number of points of a risk-coverage curve."""

MIN_COVERAGE = 0.05
"""Smallest coverage of a risk-coverage curve; below it single photos make the curve jump."""

OBJECTIVE_NAMES = summary_text.OBJECTIVE_NAMES
"""Objectives of decision weights in sentences and tables."""

CLASS_NAME = "the class"
"""Name of the combination of all attributes in sentences and tables."""


def age_values(statistics: RunStatistics) -> Values | None:
    """Collects the variables of the section on errors by age.

    Args:
        statistics: The run's statistics.

    Returns:
        The variables of the section; None where it is left out.
    """
    found = statistics.ages
    if found is None:
        return None
    return {
        "attribute": found.attribute,
        "summary": " ".join(filter(None, (summary_text.ages(found), summary_text.years(statistics.years)))),
        "near": NEAR_YEARS,
        "chart": age_chart(found.rows, found.bin_edges, NEAR_YEARS),
    }


def calibration_values(statistics: RunStatistics) -> Values | None:
    """Collects the variables of the section on calibration, before and after temperature scaling.

    Args:
        statistics: The run's statistics.

    Returns:
        The variables of the section; None where it is left out.
    """
    fits = statistics.calibration
    if not fits:
        return None
    names = [name for name in fits if name != JOINT_HEAD or len(statistics.run.schema.names) > 1]
    titles = {name: CLASS_NAME if name == JOINT_HEAD else name for name in names}
    rows: list[Row] = []
    for name in names:
        fit = fits[name]
        before, after = fit.before, fit.after
        values = (before.error, after.error, before.log_loss.value, after.log_loss.value)
        gain = f"{fit.gain.value:.3f} ({summary_text.format_interval(fit.gain)})"
        rows.append((titles[name], [], [f"{fit.temperature:.2f}", *map(number, values), gain]))
    return {
        "summary": " ".join(
            [
                *(summary_text.calibration(fits[name], titles[name]) for name in names),
                *summary_text.temperature_limits(
                    {titles[name]: fits[name].temperature for name in names}, statistics.run.num_persons
                ),
            ]
        ),
        "charts": [
            (titles[name].capitalize(), reliability_chart(fits[name].before.bins, fits[name].after.bins))
            for name in names
        ],
        "rows": rows,
    }


def abstention_values(statistics: RunStatistics) -> Values | None:
    """Collects the variables of the section on abstention.

    Args:
        statistics: The run's statistics.

    Returns:
        The variables of the section; None where it is left out.
    """
    if not statistics.thresholds:
        return None
    curves = statistics.risk_coverage
    lines = [Line(name, _risk_points(curve), color) for color, (name, curve) in enumerate(curves.items())]
    rows: list[Row] = []
    for name, item in statistics.thresholds.items():
        # A threshold of 1 means that no prediction is confident enough, 0 that none has to be withheld.
        threshold = (
            "always" if item.probability >= 1 else MISSING if item.probability == 0 else number(item.probability)
        )
        accuracy = MISSING
        if item.accuracy is not None and item.probability < 1:
            accuracy = f"{item.accuracy.value:.3f} ({summary_text.format_interval(item.accuracy)})"
        coverage = f"{item.coverage.value:.0%}"
        area = number(curves[name].area())
        rows.append((name, [], [threshold, number(item.overall_accuracy.value), coverage, accuracy, area]))
    return {
        "summary": " ".join(summary_text.abstention(statistics)),
        "target": summary_text.as_percent_text(TARGET_ACCURACY, "predictions"),
        "legend": [(name, color % NUM_COLORS, "") for color, name in enumerate(curves)],
        "chart": line_chart(
            lines, "wrong predictions by coverage", "photos with a prediction, of 100; highest probability first"
        ),
        "rows": rows,
    }


def decision_values(statistics: RunStatistics) -> Values | None:
    """Collects the variables of the section on decision weights.

    Args:
        statistics: The run's statistics.

    Returns:
        The variables of the section; None where it is left out.
    """
    fits = [fit for fit in statistics.decisions.values() if fit.fitted is not None]
    if not fits:
        return None
    schema = statistics.run.schema
    rows: list[Row] = []
    for fit in fits:
        fitted = fit.fitted
        assert fitted is not None
        gain = f"{fitted.gain:+.3f} ({fitted.gain_low:+.3f} to {fitted.gain_high:+.3f})"
        weights = describe_decision_weights(schema, fitted.weights) or "all 1"
        cells = [weights if fit.kept else f"not kept: {weights}"]
        rows.append((OBJECTIVE_NAMES[fit.objective], cells, [number(fitted.before), number(fitted.after), gain]))
    return {"summary": " ".join(map(summary_text.decisions, fits)), "rows": rows}


def _risk_points(curve: RiskCoverage) -> tuple[tuple[float, float], ...]:
    """(coverage, risk) in percent, at `NUM_POINTS` places."""
    coverages = np.linspace(MIN_COVERAGE, 1, NUM_POINTS)
    places = np.unique(np.minimum(np.searchsorted(curve.coverage, coverages - 1e-9), len(curve.coverage) - 1))
    return tuple((100 * float(curve.coverage[place]), 100 * float(curve.risk[place])) for place in places)


def learning_curve_values(statistics: RunStatistics) -> Values | None:
    """Collects the variables of the section with the learning curves of each fold.

    Args:
        statistics: The run's statistics.

    Returns:
        The variables of the section; None where it is left out.
    """
    histories = statistics.run.histories
    panels = {"Loss": ("train_loss", "valid_loss"), "Macro F1": ("valid_macro_f1",)}
    charts = []
    for title, names in panels.items():
        lines = [
            fold_line(color, fold, history, name)
            for color, (fold, history) in enumerate(histories.items())
            for name in names
        ]
        chart = line_chart(lines, title, "epoch")
        if chart:
            charts.append((title, chart))
    if not charts:
        return None
    legend: list[tuple[str, int | None, str]] = [
        (f"fold {fold}", color % NUM_COLORS, "") for color, fold in enumerate(histories)
    ]
    legend += [("validation", None, ""), ("training", None, "dash")]
    return {"summary": summary_text.curves(statistics), "charts": charts, "legend": legend}


def fold_line(color: int, fold: int, history: History, name: str) -> Line:
    """Makes the line of one metric of a fold over its epochs.

    Args:
        color: Index of the line color.
        fold: Number of the fold.
        history: Logged metrics of the fold.
        name: Metric, such as `train_loss`; an epoch without it leaves a gap.

    Returns:
        The line; dashed for a training metric, with a ring at the best epoch for a validation metric.
    """
    # From 1, as the terminal counts; metrics.csv counts from 0.
    rows = ((row.get("epoch", index) + 1, row.get(name)) for index, row in enumerate(history))
    points = tuple((float(x), math.nan if y is None else float(y)) for x, y in rows)
    if name.startswith("train"):
        return Line(f"fold {fold} training", points, color, dashed=True)
    return Line(f"fold {fold} validation", points, color, marker="min" if name.endswith("loss") else "max")
