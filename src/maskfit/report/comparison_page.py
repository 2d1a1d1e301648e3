"""Writes the HTML page that compares several runs, each with the first."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from markupsafe import Markup

from maskfit.evaluation.bootstrap import Interval, smallest_change_shown
from maskfit.file_io import write_text
from maskfit.html.page import breakable_name, render_page
from maskfit.html.svg_charts import NUM_COLORS, Line, line_chart, score_bar
from maskfit.labels.schema import JOINT_HEAD
from maskfit.report import summary_text
from maskfit.report.calibration_sections import CLASS_NAME, fold_line
from maskfit.report.prediction_sections import MISSING, Row, Values, number
from maskfit.report.run_comparison import Comparison, RunDifference
from maskfit.report.run_page import style, task
from maskfit.report.run_statistics import RunStatistics
from maskfit.report.thumbnails import thumbnail
from maskfit.text import format_count

MAX_SHOWN = 12
"""Maximum number of photos shown per pair of runs that disagree."""

AGE_STEP = 5
"""Years of age per point of a curve; single years have too few photos."""

MIN_F1_SCALE = 0.02
"""F1 difference that gets the deepest color at least, so that tiny differences stay pale."""


def write_comparison_page(path: Path, comparison: Comparison) -> Path:
    """Writes the page of several runs.

    Args:
        path: Where to write; an existing file is replaced.
        comparison: The comparison.

    Returns:
        `path`.
    """
    run = comparison.runs[0].run
    names = summary_text.join_with_and([f"“{name}”" for name in comparison.names])
    text = render_page(
        "maskfit.report",
        "comparison_page.html.j2",
        title=f"Comparison of {format_count(len(comparison.runs), 'run')}",
        subtitle=f"{format_count(len(run.table), 'photo')} of "
        f"{format_count(run.num_persons, 'person')} that all runs evaluated · {names}",
        style=style(),
        task=task(run.schema),
        names=list(comparison.names),
        points=_points(comparison),
        legend=[(name, color % NUM_COLORS, "") for color, name in enumerate(comparison.names)],
        scores=_scores(comparison),
        differences=_differences(comparison),
        held_out=summary_text.held_out(comparison.runs[0].run.persons_named),
        classes=_classes(comparison),
        agreement=_agreement(comparison),
        disagreements=_disagreements(comparison),
        calibration=_calibration(comparison),
        ages=_ages(comparison),
        age_step=AGE_STEP,
        curves=_curves(comparison),
        settings=_settings(comparison),
    )
    return write_text(path, text)


def _points(comparison: Comparison) -> list[tuple[str, str]]:
    """(sentence, anchor of the section that shows it)."""
    first = comparison.names[0]
    points: list[tuple[str, str]] = []
    for name, difference in zip(comparison.names[1:], comparison.differences, strict=True):
        if JOINT_HEAD in difference.macro_f1:
            if difference.predicted_differently[JOINT_HEAD]:
                text = _verdict(name, first, "macro F1", difference.macro_f1[JOINT_HEAD])
            else:
                persons = comparison.runs[0].run.num_persons
                text = (
                    f"{name} predicts no photo of {format_count(persons, 'person')} differently from {first}; a change "
                    f"on {smallest_change_shown(persons):.1%} of persons or more would have been seen."
                )
            points.append((text, "differences"))
        for attribute, change in difference.accuracy.items():
            if attribute != JOINT_HEAD and (change.low > 0 or change.high < 0):
                amount = f"{100 * abs(change.value):.1f} percentage points {'more' if change.value > 0 else 'fewer'}"
                text = f"{name} predicts {attribute} correctly on {amount} of the photos than {first}."
                points.append((text, "differences"))
    if comparison.macro_f1_by_labels:
        text = f"The runs have different labels for up to {format_count(max(comparison.relabeled), 'photo')}"
        points.append((f"{text}; this page uses those of {first}.", "scores"))
    if comparison.left_out:
        points.append(
            (
                f"Up to {format_count(comparison.left_out, 'photo was', 'photos were')} not "
                "evaluated by all runs and are left out.",
                "scores",
            )
        )
    return points


def _verdict(name: str, first: str, metric: str, difference: Interval) -> str:
    size = (
        f"{abs(difference.value):.3f} in {metric} (95% confidence interval {summary_text.format_interval(difference)})"
    )
    if difference.low > 0:
        return f"{name} is better than {first} by {size}; the difference is significant."
    if difference.high < 0:
        return f"{name} is worse than {first} by {size}; the difference is significant."
    return f"{name} and {first} differ by {size}; the difference may be chance."


def _head_name(name: str) -> str:
    return CLASS_NAME if name == JOINT_HEAD else name


def _scores(comparison: Comparison) -> Values:
    schema = comparison.runs[0].run.schema
    rows: list[Row] = []
    for name, statistics in zip(comparison.names, comparison.runs, strict=True):
        item = statistics.scores
        bar = MISSING if item.macro_f1 is None else score_bar(item.macro_f1, item.intervals.get("macro_f1"))
        per_attribute = (item.per_attribute.get(attribute) for attribute in schema.names)
        f1 = (number(None if own is None else own.macro_f1) for own in per_attribute)
        rows.append((name, [bar], [number(item.accuracy), *f1, number(item.log_loss)]))
    by_labels: list[Row] = [
        (f"labels of {name}", [], [number(value) for value in values])
        for name, values in zip(comparison.names, comparison.macro_f1_by_labels, strict=False)
    ]
    header = ["", "Macro F1", "all correct", *(f"F1 {name}" for name in schema.names), "log loss"]
    return {"header": header, "rows": rows, "by_labels": by_labels}


def _differences(comparison: Comparison) -> list[Values]:
    """A table for each later run."""
    schema = comparison.runs[0].run.schema
    intervals = [
        item
        for difference in comparison.differences
        for item in (*difference.macro_f1.values(), *difference.accuracy.values())
    ]
    scale = max([0.001, *(abs(end) for item in intervals for end in (item.low, item.high))])
    tables: list[Values] = []
    for name, difference in zip(comparison.names[1:], comparison.differences, strict=True):
        rows = []
        for attribute in (JOINT_HEAD, *schema.names):
            if attribute in difference.macro_f1:
                what = _head_name(attribute)
                rows.append(_difference_row(f"macro F1 of {what}", difference.macro_f1[attribute], scale))
                rows.append(_difference_row(f"accuracy of {what}", difference.accuracy[attribute], scale))
        tables.append({"name": name, "rows": rows})
    return tables


def _difference_row(name: str, difference: Interval, scale: float) -> Values:
    kind = "better" if difference.low > 0 else "worse" if difference.high < 0 else ""
    text = f"{difference.low:+.3f} to {difference.high:+.3f}"
    return {
        "name": name,
        "kind": kind,
        "value": f"{difference.value:+.3f}",
        "interval": text,
        "chart": _whisker(difference, scale, text),
    }


def _whisker(difference: Interval, scale: float, label: str) -> Markup:
    """A confidence interval as a horizontal line around its value, with a dotted line at 0; numbers only, no names."""
    low, value, high = (50 + 48 * end / scale for end in (difference.low, difference.value, difference.high))
    ends = (("zero", 50.0, 50.0, 0.0, 10.0), ("bar", low, high, 5.0, 5.0), ("spot", value, value, 1.5, 8.5))
    lines = "".join(
        f'<line class="{part}" x1="{left:.1f}" x2="{right:.1f}" y1="{top:g}" y2="{bottom:g}" '
        'vector-effect="non-scaling-stroke"/>'
        for part, left, right, top, bottom in ends
    )
    head = f'<svg class="whisker" viewBox="0 0 100 10" preserveAspectRatio="none" role="img" aria-label="{label}">'
    return Markup(f"{head}{lines}</svg>")


def _classes(comparison: Comparison) -> Values | None:
    """F1 of each class and run; the color is the difference to the first run."""
    schema = comparison.runs[0].run.schema
    first = comparison.runs[0].scores.per_class
    if not first:
        return None
    intervals = [item for difference in comparison.differences for item in difference.per_class if item]
    scale = max([MIN_F1_SCALE, *(abs(item.value) for item in intervals)])
    rows = []
    for index in range(schema.num_classes):
        support = first[index].support
        cells = [{"kind": "plain", "f1": f"{first[index].f1:.3f}"} if support else None]
        for statistics, difference in zip(comparison.runs[1:], comparison.differences, strict=True):
            cells.append(_class_cell(statistics.scores.per_class[index].f1, difference.per_class[index], scale))
        rows.append({"index": index, "name": schema.describe(index), "cells": cells, "support": f"{support:,}"})
    sentences = [
        _count_changes(name, item) for name, item in zip(comparison.names[1:], comparison.differences, strict=True)
    ]
    return {"summary": " ".join(sentences), "rows": rows}


def _count_changes(name: str, difference: RunDifference) -> str:
    """How many classes have a significantly different F1."""
    better = sum(bool(item and item.low > 0) for item in difference.per_class)
    worse = sum(bool(item and item.high < 0) for item in difference.per_class)
    total = sum(item is not None for item in difference.per_class)
    return (
        f"{name}: of {total} classes, {better or 'none'} significantly better, {worse or 'none'} significantly worse."
    )


def _class_cell(f1: float, difference: Interval | None, scale: float) -> dict[str, str] | None:
    if difference is None:
        return None
    return {
        "kind": "right" if difference.value > 0 else "wrong",
        "f1": f"{f1:.3f}",
        "change": f"{difference.value:+.2f}",
        "depth": f"{0.75 * abs(difference.value) / scale:.2f}",
        "title": f"{difference.value:+.3f}, {difference.low:+.3f} to {difference.high:+.3f}",
        "significant": "yes" if difference.low > 0 or difference.high < 0 else "",
    }


def _agreement(comparison: Comparison) -> Values:
    first = comparison.names[0]
    tables, sentences = [], []
    for name, difference in zip(comparison.names[1:], comparison.differences, strict=True):
        rows = []
        for attribute, item in difference.agreement.items():
            counts = (item.both, item.only_first, item.only_other, item.neither)
            total = sum(counts)
            cells = [(f"{count:,}", f"{count / total:.0%}") for count in counts]
            rows.append({"name": _head_name(attribute), "cells": cells})
            if attribute == JOINT_HEAD:
                fraction = summary_text.as_percent_text((item.only_first + item.only_other) / total, "photos")
                sentences.append(f"Exactly one of {name} and {first} is correct on {fraction}.")
        header = ["", "both correct", f"only {first}", f"only {name}", "both wrong"]
        tables.append({"header": header, "rows": rows})
    return {"summary": " ".join(sentences), "tables": tables}


def _disagreements(comparison: Comparison) -> list[Values]:
    """For each later run, photos that exactly one of it and the first run predicts correctly."""
    if not any(comparison.runs[0].run.files):
        return []
    groups: list[Values] = []
    for name, statistics, difference in zip(
        comparison.names[1:], comparison.runs[1:], comparison.differences, strict=True
    ):
        photos = [_photo(comparison, statistics, name, index) for index in difference.disagreements[:MAX_SHOWN]]
        readable = [photo for photo in photos if photo]
        if readable:
            groups.append({"name": name, "photos": readable})
    return groups


def _photo(comparison: Comparison, statistics: RunStatistics, name: str, index: int) -> Values | None:
    first = comparison.runs[0].run
    source = thumbnail(first.files[index] or statistics.run.files[index])
    if not source:
        return None
    truth = int(first.schema.to_class_index(first.truth[[index]])[0])
    predictions = []
    for run_name, run in ((comparison.names[0], first), (name, statistics.run)):
        predicted = int(run.table.predictions[index])
        text = f"{first.schema.describe(predicted)} {run.table.confidence[index]:.0%}"
        predictions.append({"run": run_name, "text": text, "wrong": predicted != truth})
    return {
        "source": source,
        "name": first.table.names[index],
        "breakable_name": breakable_name(first.table.names[index]),
        "predictions": predictions,
        "label": first.schema.describe(truth),
    }


def _calibration(comparison: Comparison) -> list[Values]:
    """A row for each run and attribute."""
    names = comparison.runs[0].run.schema.names
    heads = (JOINT_HEAD, *names) if len(names) > 1 else names
    rows: list[Values] = []
    for color, (name, statistics) in enumerate(zip(comparison.names, comparison.runs, strict=True)):
        for head in heads:
            if head in statistics.calibration:
                fit = statistics.calibration[head]
                values = (fit.before.error, fit.after.error, fit.before.log_loss.value, fit.after.log_loss.value)
                cells = [f"{fit.temperature:.2f}", *map(number, values)]
                rows.append({"run": name, "color": color % NUM_COLORS, "cells": [_head_name(head)], "numbers": cells})
    return rows


def _ages(comparison: Comparison) -> Markup:
    """Error rate by age, a line for each run; empty where no age is known."""
    lines = []
    for color, (name, statistics) in enumerate(zip(comparison.names, comparison.runs, strict=True)):
        if statistics.ages is not None:
            starts = sorted({AGE_STEP * math.floor(years / AGE_STEP) for years, _, _ in statistics.ages.rows})
            points = []
            for start in starts:
                inside = [row for row in statistics.ages.rows if start <= row[0] < start + AGE_STEP]
                rate = 100 * sum(row[2] for row in inside) / sum(row[1] for row in inside)
                points.append((start + AGE_STEP / 2, rate))
            lines.append(Line(name, tuple(points), color))
    return line_chart(lines, "wrong predictions by age", "age in years") if lines else Markup("")


def _curves(comparison: Comparison) -> list[tuple[str, Markup]]:
    """(title, chart) of the mean over the folds at each epoch."""
    charts = []
    for title, name in (("Validation loss", "valid_loss"), ("Validation macro F1", "valid_macro_f1")):
        lines = [
            _mean_line(color, run_name, statistics, name)
            for color, (run_name, statistics) in enumerate(zip(comparison.names, comparison.runs, strict=True))
        ]
        chart = line_chart(lines, title, "epoch")
        if chart:
            charts.append((title, chart))
    return charts


def _mean_line(color: int, run_name: str, statistics: RunStatistics, metric: str) -> Line:
    folds = [fold_line(color, fold, history, metric).points for fold, history in statistics.run.histories.items()]
    values: dict[float, list[float]] = {}
    for x, y in (point for points in folds for point in points):
        if math.isfinite(y):
            values.setdefault(x, []).append(y)
    points = tuple((x, float(np.mean(values[x]))) for x in sorted(values))
    return Line(run_name, points, color, marker="min" if metric.endswith("loss") else "max")


def _settings(comparison: Comparison) -> list[Row]:
    """Recipe keys that differ, and machine and time."""
    settings = [{**statistics.run.settings, **_machine(statistics)} for statistics in comparison.runs]
    keys = dict.fromkeys(key for item in settings for key in item)
    rows: list[Row] = []
    for key in keys:
        values = [item.get(key, MISSING) for item in settings]
        if len(set(values)) > 1:
            rows.append((key, values, []))
    return rows


def _machine(statistics: RunStatistics) -> dict[str, str]:
    metadata = statistics.run.metadata
    return {name: metadata[name] for name in ("device", "maskfit version", "training time") if name in metadata}
