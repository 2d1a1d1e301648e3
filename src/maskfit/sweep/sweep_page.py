"""The report page of a sweep: the best trial, the reliability of its score, parameter effects and all trials."""

from __future__ import annotations

from typing import Any

from maskfit.html.page import read_text, render_page
from maskfit.sweep.charts import curves_chart, history_chart, slice_chart
from maskfit.sweep.results import SweepResults
from maskfit.sweep.study import TrialRecord, format_value
from maskfit.text import format_count


def render_sweep_page(results: SweepResults) -> str:
    """Renders the page.

    Args:
        results: The sweep's results.

    Returns:
        A self-contained HTML document.
    """
    best = results.best.number
    ranked = sorted(results.importances.items(), key=lambda item: -item[1])
    charts = {
        name: slice_chart(name, parameter, results.trials, best) for name, parameter in results.parameters.items()
    }
    trials = sorted(results.trials, key=lambda item: (item.state != "done", -(item.score or 0.0)))
    return render_page(
        "maskfit.sweep",
        "sweep_page.html.j2",
        title=f"Sweep of {results.name}",
        subtitle=f"{format_count(len(results.trials), 'trial')} · "
        f"{format_count(results.photos, 'held-out photo')} of {format_count(results.persons, 'person')}",
        style=read_text("maskfit.sweep", "sweep_page.css"),
        cards=_cards(results),
        best_file=results.folder.best.name,
        best_params="\n".join(f"{name}: {format_value(value)}" for name, value in results.best.params.items()),
        reliability_note=results.reliability_note,
        history=history_chart(results.trials, best),
        curves=curves_chart(results.trials, best),
        importances=ranked,
        not_compared=[name for name in results.parameters if name not in results.importances],
        slices=[(name, chart) for name, chart in charts.items() if chart],
        header=["trial", "state", *results.parameters, "macro F1", "epochs", "seconds", ""],
        num_text_columns=2 + len(results.parameters),
        trials=[_table_row(item, results) for item in trials],
    )


def _cards(results: SweepResults) -> list[tuple[str, str, str, str]]:
    """(name, value, note, CSS class) of each card."""
    best = results.best
    low, high = best.metadata.get("low"), best.metadata.get("high")
    interval = "" if low is None else f"{low:.3f} to {high:.3f} over persons; "
    seconds = sum(item.metadata.get("seconds", 0.0) for item in results.trials)
    failed = results.count("failed")
    return [
        ("best macro F1", f"{best.score or 0.0:.4f}", f"trial {best.number}, {interval}optimistic: see below", "first"),
        ("done", f"{results.count('done'):,}", "trials that were trained to the end", ""),
        ("pruned", f"{results.count('pruned'):,}", "trials that were stopped early", ""),
        ("failed", f"{failed:,}", "reasons in the table", "ill" if failed else ""),
        ("hours", f"{seconds / 3600:.2f}", "of all trials together", ""),
    ]


def _table_row(trial: TrialRecord, results: SweepResults) -> dict[str, Any]:
    note = str(trial.metadata.get("reason", "")) if trial.state == "failed" else ""
    if "same_as" in trial.metadata:
        note = f"same values as trial {trial.metadata['same_as']}"
    score = "–" if trial.score is None else f"{trial.score:.4f}"
    return {
        "number": trial.number,
        "state": trial.state,
        "best": trial.number == results.best.number,
        "params": [format_value(trial.params.get(name, "")) for name in results.parameters],
        "numbers": [score, len(trial.steps), f"{trial.metadata.get('seconds', 0.0):,.0f}"],
        "note": note,
    }
