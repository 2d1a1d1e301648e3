"""The page of a sweep: the best trial and how far to believe it, then what made trials good, then every trial."""

from __future__ import annotations

from html import escape

from markupsafe import Markup

from maskfit.html.page import card, page, section, table
from maskfit.sweep.charts import curves_chart, history_chart, importance_chart, slice_chart
from maskfit.sweep.results import SweepResults
from maskfit.sweep.study import format_value

STYLE = """.series .done { opacity: .75; }
.series .pruned, .series .running { fill: none; stroke: var(--c); opacity: .6; }
.best th, .best td { font-weight: 600; }
pre { overflow-x: auto; font-size: 13px; margin: 0; }
"""


def render_page(results: SweepResults) -> str:
    """The page as HTML."""
    sections = [
        _cards(results),
        _best(results),
        _history(results),
        _importances(results),
        _slices(results),
        _trials(results),
    ]
    subtitle = f"{len(results.trials):,} trials · {results.photos:,} held-out photos of {results.persons:,} persons"
    return page(f"Sweep of {results.name}", subtitle, sections, STYLE)


def _cards(results: SweepResults) -> str:
    best = results.best
    low, high = best.facts.get("low"), best.facts.get("high")
    around = "optimistic: see below" if low is None else f"{low:.3f} to {high:.3f} over persons; optimistic: see below"
    seconds = sum(item.facts.get("seconds", 0.0) for item in results.trials)
    cards = [
        card("best macro F1", f"{best.score or 0.0:.4f}", f"trial {best.number}, {around}", "first"),
        card("done", f"{results.count('done'):,}", "trials that came to their end"),
        card("given up", f"{results.count('pruned'):,}", "early, behind the others"),
        card(
            "failed", f"{results.count('failed'):,}", "reasons in the table", "ill" if results.count("failed") else ""
        ),
        card("hours", f"{seconds / 3600:.2f}", "of all trials together"),
    ]
    return Markup(f'<div class="cards">{"".join(cards)}</div>')


def _best(results: SweepResults) -> str:
    words = "\n".join(f"{name}: {format_value(value)}" for name, value in results.best.params.items())
    lead = f"{escape(results.reliability_note)} The whole recipe is in <code>{escape(results.folder.best.name)}</code>."
    return section("The best trial", Markup(lead), Markup(f"<pre>{escape(words)}</pre>"))


def _history(results: SweepResults) -> str:
    best = results.best.number
    history = history_chart(results.trials, best)
    curves = curves_chart(results.trials, best)
    body = (
        f'<div class="pair"><figure><figcaption>Trials in order <span>the line is the best so far; open circles were '
        f"given up</span></figcaption>{history}</figure>"
        f"<figure><figcaption>From epoch to epoch <span>dashed: given up</span></figcaption>{curves}</figure></div>"
    )
    return section("How it went", "", Markup(body))


def _importances(results: SweepResults) -> str:
    ranked = sorted(results.importances.items(), key=lambda item: -item[1])
    if not ranked:
        return ""
    left_out = [name for name in results.dimensions if name not in results.importances]
    rest = f" Left out, since not every trial drew it: {', '.join(left_out)}." if left_out else ""
    remark = (
        "The share of the scores' variance among trials that came to their end which each value accounts for (fANOVA). "
        f"With few trials it is a hint, no more.{rest}"
    )
    return section("What mattered", remark, Markup(importance_chart(ranked)))


def _slices(results: SweepResults) -> str:
    figures = []
    for name, dimension in results.dimensions.items():
        chart = slice_chart(name, dimension, results.trials, results.best.number)
        if chart:
            figures.append(f"<figure><figcaption>{escape(name)}</figcaption>{chart}</figure>")
    remark = "Each circle is a trial; the ring is the best one, open circles were given up and scored where they stood."
    return section("Value by value", remark, Markup(f'<div class="pair">{"".join(figures)}</div>'), "long")


def _trials(results: SweepResults) -> str:
    rows = []
    for item in sorted(results.trials, key=lambda item: (item.state != "done", -(item.score or 0.0))):
        score = "–" if item.score is None else f"{item.score:.4f}"
        note = str(item.facts.get("reason", "")) if item.state == "failed" else ""
        if "same_as" in item.facts:
            note = f"the values of trial {item.facts['same_as']}"
        seconds = f"{item.facts.get('seconds', 0.0):,.0f}"
        numbers = "".join(f'<td class="number">{cell}</td>' for cell in (score, str(len(item.steps)), seconds))
        values = "".join(f"<td>{escape(format_value(item.params.get(name, '')))}</td>" for name in results.dimensions)
        kind = ' class="best"' if item.number == results.best.number else ""
        rows.append(
            f'<tr{kind}><th scope="row">{item.number}</th><td>{item.state}</td>{values}{numbers}'
            f"<td>{escape(note)}</td></tr>"
        )
    header = ["trial", "state", *results.dimensions, "macro F1", "epochs", "seconds", ""]
    return section(
        "Every trial",
        "The best first.",
        table(header, [Markup(row) for row in rows], 2 + len(results.dimensions)),
        "long",
    )
