"""Values of the page's sections about predictions: scores, confusion matrices, slices and the worst mistakes.

Each function returns the variables of its section in `run_page.html.j2`, or None where the section is left out. Texts
are plain strings that the template escapes; charts are `Markup`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from maskfit.evaluation.bootstrap import Interval
from maskfit.evaluation.scores import ClassScore, Scores
from maskfit.html.page import breakable_name
from maskfit.html.svg_charts import confusion_table, score_bar
from maskfit.labels.schema import JOINT_HEAD, IntArray, LabelSchema
from maskfit.report import summary_text
from maskfit.report.run_statistics import RunStatistics, SliceStatistics
from maskfit.report.thumbnails import most_confident_errors, thumbnail
from maskfit.text import format_count

MAX_CLASSES = 80
"""Maximum number of classes whose confusion matrix is drawn; a larger one is unreadable, the list of errors is not."""

MAX_ERRORS_LISTED = 6
"""Maximum number of frequent errors that are listed."""

MAX_ERRORS_SHOWN = 24
"""Maximum number of worst mistakes that are shown as pictures."""

Values = dict[str, Any]
"""Variables of a template."""

Row = tuple[str, Sequence[str], Sequence[str]]
"""A row of a table: its heading, cells, and right-aligned numbers."""

MISSING = "–"
"""Shown in place of a number that is not defined."""


def number(value: float | None, digits: int = 3) -> str:
    """Formats a number.

    Args:
        value: The number; None where it is not defined.
        digits: Digits after the point.

    Returns:
        The text; a dash for None.
    """
    return MISSING if value is None else f"{value:.{digits}f}"


def card_values(statistics: RunStatistics) -> Values:
    """Collects the variables of the cards at the top: macro F1 and the accuracy of each attribute.

    Args:
        statistics: The run's statistics.

    Returns:
        The variables of the section.
    """
    scores = statistics.scores
    interval = scores.intervals.get("macro_f1")
    scale = None
    if interval is not None:
        scale = {
            "value": 100 * interval.value,
            "low": 100 * interval.low,
            "width": 100 * (interval.high - interval.low),
            "text": summary_text.format_interval(interval),
        }
    cards = []
    if len(statistics.run.schema.names) > 1:
        cards.append(
            ("all attributes correct", _percent(statistics, JOINT_HEAD), f"of {format_count(scores.known, 'photo')}")
        )
    for name, item in scores.per_attribute.items():
        cards.append((name, _percent(statistics, name), f"of photos correct · F1 {item.macro_f1:.3f}"))
    return {"macro_f1": number(scores.macro_f1), "defined": scores.macro_f1 is not None, "scale": scale, "rest": cards}


def _percent(statistics: RunStatistics, name: str) -> str:
    return f"{statistics.accuracy[name].photos.value:.1%}" if name in statistics.accuracy else MISSING


def fold_values(statistics: RunStatistics) -> Values | None:
    """Collects the variables of the section on the scores of all photos and of each fold.

    Args:
        statistics: The run's statistics.

    Returns:
        The variables of the section; None where it is left out.
    """
    if not statistics.per_fold:
        return None
    schema = statistics.run.schema
    rows = [_score_row("all photos", statistics.scores, schema)]
    rows += [_score_row(f"fold {fold}", item, schema) for fold, item in statistics.per_fold.items()]
    values = [item.macro_f1 for item in statistics.per_fold.values() if item.macro_f1 is not None]
    return {
        "summary": f"Macro F1 of the folds: {min(values):.3f} to {max(values):.3f}." if values else "",
        "header": ["", "Macro F1", "photos", "all correct", *(f"F1 {name}" for name in schema.names)],
        "rows": rows,
    }


def _score_row(name: str, scores: Scores, schema: LabelSchema) -> Row:
    bar = MISSING if scores.macro_f1 is None else score_bar(scores.macro_f1, scores.intervals.get("macro_f1"))
    per_attribute = (scores.per_attribute.get(attribute) for attribute in schema.names)
    f1 = (number(None if item is None else item.macro_f1) for item in per_attribute)
    return name, [bar], [f"{scores.photos:,}", number(scores.accuracy), *f1]


def attribute_values(statistics: RunStatistics) -> Values:
    """Collects the variables of the section with the confusion matrix of each attribute.

    Args:
        statistics: The run's statistics.

    Returns:
        The variables of the section.
    """
    figures = []
    for attribute in statistics.run.schema.attributes:
        name = attribute.name
        if name in statistics.accuracy:
            values = [attribute.display_name(code) for code in range(len(attribute.values))]
            table = confusion_table(statistics.confusions[name], values)
            figures.append((name, summary_text.confusion(statistics, name), table))
    return {"summary": summary_text.attributes(statistics), "figures": figures}


def class_values(statistics: RunStatistics) -> Values | None:
    """Collects the variables of the section with F1, precision and recall of every class.

    Args:
        statistics: The run's statistics.

    Returns:
        The variables of the section; None where it is left out.
    """
    schema, per_class = statistics.run.schema, statistics.scores.per_class
    if not per_class:
        return None
    max_support = max(item.support for item in per_class)
    rows, previous = [], None
    codes_of_classes = schema.to_attribute_indices(range(schema.num_classes)).tolist()
    for index, (item, codes) in enumerate(zip(per_class, codes_of_classes, strict=True)):
        names = [attribute.display_name(code) for attribute, code in zip(schema.attributes, codes, strict=True)]
        group = codes[0] if len(codes) > 1 else None
        row = _class_row(index, names, item, max_support)
        # A line separates the values of the first attribute.
        rows.append({**row, "line": previous not in (None, group)})
        previous = group
    header = ["", *schema.names, "F1", "precision", "recall", "photos"]
    return {"summary": summary_text.weakest(statistics), "header": header, "rows": rows}


def _class_row(index: int, names: Sequence[str], item: ClassScore, max_support: int) -> Values:
    absent = not item.support and not item.predicted
    bars = [score_bar(item.f1, item.interval), score_bar(item.precision), score_bar(item.recall)]
    return {
        "index": index,
        "names": list(names),
        "scores": [MISSING] * 3 if absent else bars,
        "support": f"{item.support:,}",
        "percent": 100 * item.support / max(max_support, 1),
    }


def confusion_values(statistics: RunStatistics) -> Values | None:
    """Collects the variables of the section with the confusion matrix of all classes and the most frequent errors.

    Args:
        statistics: The run's statistics.

    Returns:
        The variables of the section; None where it is left out.
    """
    schema, matrix = statistics.run.schema, statistics.confusions[JOINT_HEAD]
    if len(schema.names) < 2 or not matrix.sum():
        return None
    names = [schema.describe(index) for index in range(schema.num_classes)]
    table = None
    if schema.num_classes <= MAX_CLASSES:
        first = schema.attributes[0]
        columns = schema.num_classes // len(first.values)
        table = confusion_table(
            matrix, names, [(first.display_name(code), columns) for code in range(len(first.values))]
        )
    errors, total = int(matrix.sum() - np.trace(matrix)), int(matrix.sum())
    summary = f"The class of {errors:,} of {format_count(total, 'photo')} is wrong"
    if errors:
        single = _count_single_attribute_errors(schema, matrix)
        summary += f"; on {single:,} of them only one of the {len(schema.names)} attributes is wrong"
    return {"summary": f"{summary}.", "errors": _frequent_errors(matrix, names), "table": table}


def _count_single_attribute_errors(schema: LabelSchema, matrix: IntArray) -> int:
    """Number of photos on which exactly one attribute is wrong."""
    codes = schema.to_attribute_indices(range(schema.num_classes))
    differing = (codes[:, None, :] != codes[None, :, :]).sum(axis=2)
    return int(matrix[differing == 1].sum())


def _frequent_errors(matrix: IntArray, names: Sequence[str]) -> list[Row]:
    wrong = matrix * ~np.eye(len(matrix), dtype=bool)
    rows: list[Row] = []
    for cell in np.argsort(-wrong, axis=None, kind="stable")[:MAX_ERRORS_LISTED]:
        truth, predicted = divmod(int(cell), len(matrix))
        count = int(wrong[truth, predicted])
        if count:
            rows.append((names[truth], [names[predicted]], [f"{count:,}", f"{count / matrix[truth].sum():.0%}"]))
    return rows


def slice_values(statistics: RunStatistics) -> Values | None:
    """Collects the variables of the section on slices.

    It shows accuracy only: macro F1 of a slice would count the classes that the slice does not contain as 0.

    Args:
        statistics: The run's statistics.

    Returns:
        The variables of the section; None where it is left out.
    """
    names = statistics.run.schema.names
    main = JOINT_HEAD if JOINT_HEAD in statistics.accuracy else next(iter(statistics.accuracy), names[0])
    rest = [name for name in names if name != main]
    what = "all correct" if main == JOINT_HEAD else f"{main} correct"
    tables, sentences = [], []
    for column, parts in statistics.slices.items():
        rows = [_slice_row(value, part, main, rest) for value, part in parts.items()]
        tables.append({"column": column, "header": [column, what, "photos", "persons", *rest], "rows": rows})
        sentences.append(summary_text.slices(column, dict(parts), main))
    return {"summary": " ".join(filter(None, sentences)), "tables": tables} if tables else None


def _slice_row(value: str, part: SliceStatistics, main: str, rest: Sequence[str]) -> Row:
    def value_of(interval: Interval | None) -> str:
        return MISSING if interval is None else number(interval.value)

    accuracy = part.accuracy
    bar = score_bar(accuracy[main].value, accuracy[main]) if main in accuracy else MISSING
    numbers = [f"{part.photos:,}", f"{part.persons:,}", *(value_of(accuracy.get(name)) for name in rest)]
    return value, [bar], numbers


def worst_mistake_values(statistics: RunStatistics) -> Values | None:
    """Collects the variables of the section with the wrong predictions of the highest confidence, as pictures.

    Args:
        statistics: The run's statistics.

    Returns:
        The variables of the section; None where it is left out.
    """
    run = statistics.run
    truth, predictions = run.schema.to_class_index(run.truth), run.table.predictions
    photos = []
    for index, others in most_confident_errors(run, MAX_ERRORS_SHOWN):
        source = thumbnail(run.files[index])
        if source:
            photos.append(
                {
                    "source": source,
                    "name": run.table.names[index],
                    "breakable_name": breakable_name(run.table.names[index]),
                    "predicted": run.schema.describe(int(predictions[index])),
                    "label": run.schema.describe(int(truth[index])),
                    "confidence": f"{run.table.confidence[index]:.0%}",
                    "others": others,
                }
            )
    return {"photos": photos, "count": format_count(len(photos), "photo")} if photos else None
