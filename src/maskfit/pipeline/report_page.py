"""The report of a pipeline: what was voted, decided and submitted. The report of the run alone lies in its folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from maskfit.calibration import describe_decision_weights
from maskfit.html.page import render_page
from maskfit.labels.schema import LabelSchema
from maskfit.text import format_count


def render_report_page(
    *,
    name: str,
    schema: LabelSchema,
    run_scores: Mapping[str, Any],
    comparison: Mapping[str, Any],
    decisions: Mapping[str, Any],
    class_counts: Sequence[int],
) -> str:
    """Renders the page.

    Args:
        name: Name of the recipe.
        schema: The scored schema.
        run_scores: scores.json of the run.
        comparison: comparison.json of the ensemble.
        decisions: The chosen vote and its decision weights.
        class_counts: Photos of each class in the submission.

    Returns:
        A self-contained HTML document.
    """
    settings = comparison["settings"]
    rows = [
        (item["name"], (item["kind"],), (_format(item["macro_f1"]), _format_interval(item), _format(item["accuracy"])))
        for item in comparison["judged"]
    ]
    folds = [(f"fold{number}", (), (_format(score),)) for number, score in run_scores["per_fold"].items()]
    total = sum(class_counts)
    classes = [
        (schema.describe(index), (), (f"{count:,}", f"{count / max(total, 1):.1%}"))
        for index, count in enumerate(class_counts)
    ]
    return render_page(
        "maskfit.pipeline",
        "report_page.html.j2",
        title=f"{name}: from folds to a submission",
        subtitle=f"{format_count(len(folds), 'fold')} · top_k {settings['top_k']} · views {settings['tta']}",
        cards=_cards(schema, decisions, total),
        was_selected=decisions["chosen_as"] != decisions["vote"],
        rows=rows,
        folds=folds,
        drop_one=[f"{photos} photos: {line}" for photos, line in settings["drop_one"].items()],
        classes=classes,
    )


def _cards(schema: LabelSchema, decisions: Mapping[str, Any], photos: int) -> list[tuple[str, str, str, str]]:
    """(name, value, note, CSS class) of each card."""
    described = describe_decision_weights(schema, decisions["weights"])
    fit = decisions["fit"]
    if described:
        note = f"gain on other persons {fit['fitted']['gain']:+.4f}: {described}"
    else:
        note = "" if fit is None else fit["reason"]
    return [
        ("vote", decisions["vote"], f"macro F1 {decisions['held_out_macro_f1']:.4f} on held-out photos", "first"),
        ("decision", decisions["decide"] if described else "most probable class", note, ""),
        ("submission", f"{photos:,}", "photos in submission.csv", ""),
    ]


def _format(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _format_interval(item: Mapping[str, Any]) -> str:
    interval = item.get("intervals", {}).get("macro_f1")
    return f"{interval['low']:.3f} to {interval['high']:.3f}" if interval else ""
