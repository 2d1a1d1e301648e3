"""Writes the HTML page of one run."""

from __future__ import annotations

from pathlib import Path

from maskfit.file_io import write_text
from maskfit.html.page import read_text, render_page
from maskfit.labels.schema import JOINT_HEAD, LabelSchema
from maskfit.report import summary_text
from maskfit.report.calibration_sections import (
    CLASS_NAME,
    abstention_values,
    age_values,
    calibration_values,
    decision_values,
    learning_curve_values,
)
from maskfit.report.prediction_sections import (
    attribute_values,
    card_values,
    class_values,
    confusion_values,
    fold_values,
    slice_values,
    worst_mistake_values,
)
from maskfit.report.run_statistics import RunStatistics
from maskfit.text import format_count


def write_page(path: Path, statistics: RunStatistics) -> Path:
    """Writes the page of one run.

    Args:
        path: Where to write; an existing file is replaced.
        statistics: The run's statistics.

    Returns:
        `path`.
    """
    run = statistics.run
    folds = f" · {format_count(len(statistics.per_fold), 'fold')}" if statistics.per_fold else ""
    classes = f"{run.schema.num_classes} classes: {' × '.join(run.schema.names)}"
    text = render_page(
        "maskfit.report",
        "run_page.html.j2",
        title=run.title,
        subtitle=f"{format_count(len(run.table), 'photo')} of "
        f"{format_count(run.num_persons, 'person')} · {classes}{folds}",
        style=style(),
        task=task(run.schema),
        held_out=summary_text.held_out(run.persons_named),
        points=summary_points(statistics),
        cards=card_values(statistics),
        attributes=attribute_values(statistics),
        ages=age_values(statistics),
        classes=class_values(statistics),
        confusion=confusion_values(statistics),
        calibration=calibration_values(statistics),
        abstention=abstention_values(statistics),
        decisions=decision_values(statistics),
        slices=slice_values(statistics),
        worst=worst_mistake_values(statistics),
        folds=fold_values(statistics),
        curves=learning_curve_values(statistics),
        warnings=list(run.warnings),
        metadata=dict(run.metadata),
    )
    return write_text(path, text)


def summary_points(statistics: RunStatistics) -> list[tuple[str, str]]:
    """Summarizes a run in a few sentences.

    Args:
        statistics: The run's statistics.

    Returns:
        (sentence, anchor of the section that shows it); sentences are plain text.
    """
    points = [
        (summary_text.few_persons(statistics), "classes"),
        (summary_text.headline(statistics), "classes"),
        (summary_text.bundled_start(statistics), "settings"),
        (summary_text.attributes(statistics), "attributes"),
    ]
    if statistics.ages is not None:
        points.append((summary_text.ages(statistics.ages), "ages"))
        points.append((summary_text.years(statistics.years), "ages"))
    points.append((summary_text.score_interval_text(statistics), "classes"))
    points.append((summary_text.hold_out_more(statistics), "classes"))
    points.append((summary_text.best_epoch(statistics), "learning-curves"))
    points.append((summary_text.weakest(statistics), "classes"))
    if JOINT_HEAD in statistics.calibration:
        points.append((summary_text.calibration(statistics.calibration[JOINT_HEAD], CLASS_NAME), "calibration"))
    return [(sentence, anchor) for sentence, anchor in points if sentence]


def task(schema: LabelSchema) -> str:
    """Describes what the models predict: each attribute with its values.

    Args:
        schema: Scored label schema.

    Returns:
        A sentence; plain text.
    """
    values = [
        f"{item.name} ({', '.join(map(item.display_name, range(len(item.values))))})" for item in schema.attributes
    ]
    return f"Task: for each photo, predict {summary_text.join_with_and(values)}."


def style() -> str:
    """Returns the CSS of the report pages, which is added to the CSS that all pages share."""
    return read_text("maskfit.report", "run.css")
