"""The page of several runs, each against the first."""

from __future__ import annotations

import math
from html import escape
from pathlib import Path

import numpy as np

from maskfit.evaluation.bootstrap import Interval
from maskfit.file_io import write_text
from maskfit.html.page import page, section, table
from maskfit.html.svg_charts import COLOURS, Line, line_chart, score_bar
from maskfit.labels.schema import JOINT_HEAD
from maskfit.report import summary_text
from maskfit.report.calibration_sections import fold_line
from maskfit.report.prediction_sections import WHISKER, lead_paragraph, number, table_row
from maskfit.report.run_comparison import Comparison, RunDifference
from maskfit.report.run_page import style, summary_section
from maskfit.report.run_statistics import RunStatistics
from maskfit.report.thumbnails import thumbnail

SHOWN = 12
"""How many photos are shown that two runs disagree about."""

YEARS = 5
"""How many years of age are one point of a curve."""


def write_comparison_page(path: Path, found: Comparison) -> Path:
    """Writes the page of several runs; one that is there is replaced."""
    material = found.runs[0].material
    sections = [
        summary_section(_points(found), material.scheme),
        _scores(found),
        _differences(found),
        _classes(found),
        _agreement(found),
        _disputed(found),
        _sureness(found),
        _ages(found),
        _curves(found),
        _settings(found),
    ]
    persons = len(set(material.persons.tolist()))
    names = summary_text.join_with_and([f"“{name}”" for name in found.names])
    subtitle = f"{len(material.table):,} photos of {persons:,} persons that all of them judged · {names}"
    return write_text(path, page(f"{len(found.runs)} runs beside each other", subtitle, sections, style()))


def _points(found: Comparison) -> list[tuple[str, str]]:
    first, said = found.names[0], []
    for name, against in zip(found.names[1:], found.against, strict=True):
        if JOINT_HEAD in against.macro_f1:
            said.append((_verdict(name, first, "macro F1", against.macro_f1[JOINT_HEAD]), "differences"))
        for attribute, apart in against.right.items():
            if attribute != JOINT_HEAD and (apart.low > 0 or apart.high < 0):
                points = f"{100 * abs(apart.value):.1f} of 100 photos {'more' if apart.value > 0 else 'fewer'}"
                said.append((f"{name} reads {attribute} right for {points} than {first}.", "differences"))
    if found.truths:
        most = max(found.relabelled)
        said.append(
            (f"The runs were given different labels for up to {most:,} photos; here those of {first} count.", "scores")
        )
    if found.left_out:
        said.append((f"Up to {found.left_out:,} photos were not judged by all runs and are left out.", "scores"))
    return said


def _verdict(name: str, first: str, what: str, apart: Interval) -> str:
    size = f"{abs(apart.value):.3f} in {what} ({summary_text.format_interval(apart)})"
    if apart.low > 0:
        return f"{name} is better than {first} by {size}: more than chance."
    if apart.high < 0:
        return f"{name} is worse than {first} by {size}: more than chance."
    return f"{name} and {first} cannot be told apart: they differ by {size}, and that may be chance."


def _scores(found: Comparison) -> str:
    scheme = found.runs[0].material.scheme
    rows = []
    for place, (name, figures) in enumerate(zip(found.names, found.runs, strict=True)):
        item = figures.scores
        main = "–" if item.macro_f1 is None else score_bar(item.macro_f1, item.intervals.get("macro_f1"))
        each = (item.per_attribute.get(attribute) for attribute in scheme.names)
        f1 = (number(None if own is None else own.macro_f1) for own in each)
        cells = [number(item.accuracy), *f1, number(item.log_loss)]
        rows.append(_coloured(place, table_row(name, [main], cells)))
    header = ["", "Macro F1", "all right", *(f"F1 {name}" for name in scheme.names), "log loss"]
    body = table(header, rows, 2)
    if found.truths:
        by = [
            table_row(f"by the labels of {name}", [], [number(value) for value in row])
            for name, row in zip(found.names, found.truths, strict=False)
        ]
        body += f"<h3>Macro F1 by the labels of each</h3>{table(['', *found.names], by, 1)}"
    how = f"{WHISKER} Overlapping intervals do not mean that two runs are alike: see the differences."
    return section("Scores", lead_paragraph("", how), body, anchor="scores")


def _coloured(place: int, row: str) -> str:
    """A row whose heading bears the run's colour."""
    return row.replace('<th scope="row">', f'<th scope="row" class="run" style="--c:var(--line{place % COLOURS})">', 1)


def _differences(found: Comparison) -> str:
    scheme = found.runs[0].material.scheme
    every = [item for against in found.against for item in (*against.macro_f1.values(), *against.right.values())]
    reach = max([0.001, *(abs(end) for item in every for end in (item.low, item.high))])
    parts = []
    for name, against in zip(found.names[1:], found.against, strict=True):
        rows = []
        for attribute in (JOINT_HEAD, *scheme.names):
            if attribute in against.macro_f1:
                what = "the class" if attribute == JOINT_HEAD else attribute
                rows.append(_difference(f"Macro F1, {what}", against.macro_f1[attribute], reach))
                rows.append(_difference(f"right, {what}", against.right[attribute], reach))
        parts.append(f"<h3>{escape(name)} less {escape(found.names[0])}</h3>")
        parts.append(table(["", "", "difference", "95% interval"], rows, 2))
    how = (
        "Right of the dotted line is better than the first run. Both are judged on the same persons drawn anew, so "
        "that what both find hard cancels out. A difference is coloured where its interval leaves out 0."
    )
    return section("Differences", lead_paragraph("", how), "".join(parts), "long", anchor="differences")


def _difference(name: str, apart: Interval, reach: float) -> str:
    kind = "better" if apart.low > 0 else "worse" if apart.high < 0 else ""
    low, spot, high = (50 + 48 * value / reach for value in (apart.low, apart.value, apart.high))
    ends = (("zero", 50.0, 50.0, 0.0, 10.0), ("bar", low, high, 5.0, 5.0), ("spot", spot, spot, 1.5, 8.5))
    drawn = "".join(
        f'<line class="{part}" x1="{left:.1f}" x2="{right:.1f}" y1="{top:g}" y2="{bottom:g}" '
        'vector-effect="non-scaling-stroke"/>'
        for part, left, right, top, bottom in ends
    )
    said = f"{apart.low:+.3f} to {apart.high:+.3f}"
    head = f'<svg class="whisker" viewBox="0 0 100 10" preserveAspectRatio="none" role="img" aria-label="{said}">'
    picture = f"{head}{drawn}</svg>"
    cells = f'<td class="number"><b>{apart.value:+.3f}</b></td><td class="number">{said}</td>'
    return f'<tr class="{kind}"><th scope="row">{escape(name)}</th><td class="grow">{picture}</td>{cells}</tr>'


def _classes(found: Comparison) -> str:
    """F1 of each class and run; colour is the difference to the first."""
    scheme = found.runs[0].material.scheme
    first = found.runs[0].scores.per_class
    if not first:
        return ""
    largest = max([0.02, *(abs(item.value) for against in found.against for item in against.per_class if item)])
    rows = []
    for place in range(scheme.num_classes):
        cells = [f'<td class="plain">{first[place].f1:.3f}</td>' if first[place].support else '<td class="none">–</td>']
        for figures, against in zip(found.runs[1:], found.against, strict=True):
            cells.append(_class_cell(figures.scores.per_class[place].f1, against.per_class[place], largest))
        head = f'<th scope="row"><small>{place}</small> {escape(scheme.describe(place))}</th>'
        rows.append(f'<tr>{head}{"".join(cells)}<td class="count">{first[place].support:,}</td></tr>')
    heads = "".join(f"<th scope=col>{escape(name)}</th>" for name in (*found.names, "photos"))
    top = f'<tr><th class="corner">class</th>{heads}</tr>'
    body = f'<div class="wide"><table class="heat runs">{top}{"".join(rows)}</table></div>'
    sure = [_moved(name, against) for name, against in zip(found.names[1:], found.against, strict=True)]
    how = (
        "F1 of each class. Green is better than the first run, orange worse, deeper a larger difference; bold where "
        "the interval leaves out 0. Of many classes one in twenty is bold by chance."
    )
    return section("Classes", lead_paragraph(" ".join(sure), how), body, "long", anchor="classes")


def _moved(name: str, against: RunDifference) -> str:
    """How many classes a run reads better or worse than chance explains."""
    better = sum(bool(item and item.low > 0) for item in against.per_class)
    worse = sum(bool(item and item.high < 0) for item in against.per_class)
    total = sum(item is not None for item in against.per_class)
    return f"{name}: of {total} classes {better or 'none'} better and {worse or 'none'} worse by more than chance."


def _class_cell(f1: float, apart: Interval | None, largest: float) -> str:
    if apart is None:
        return '<td class="none">–</td>'
    kind = "right" if apart.value > 0 else "wrong"
    depth = 0.75 * abs(apart.value) / largest
    said = f"{apart.value:+.3f}, {apart.low:+.3f} to {apart.high:+.3f}"
    shown = f"<b>{f1:.3f}</b>" if apart.low > 0 or apart.high < 0 else f"{f1:.3f}"
    return f'<td class="{kind}" style="--a:{depth:.2f}" title="{said}">{shown} <small>{apart.value:+.2f}</small></td>'


def _agreement(found: Comparison) -> str:
    parts, said = [], []
    first = found.names[0]
    for name, against in zip(found.names[1:], found.against, strict=True):
        rows = []
        for attribute, item in against.agreement.items():
            total = item.both + item.first + item.other + item.neither
            counts = (item.both, item.first, item.other, item.neither)
            what = "the class" if attribute == JOINT_HEAD else attribute
            rows.append(table_row(what, [], [f"{count:,} <small>{count / total:.0%}</small>" for count in counts]))
            if attribute == JOINT_HEAD:
                share = summary_text.as_percent_text((item.first + item.other) / total)
                said.append(f"{name} and {first} differ in who is right for {share} photos.")
        header = ["", "both right", f"only {first}", f"only {name}", "both wrong"]
        parts.append(f'<div class="told">{table(header, rows, 1)}</div>')
    how = "What only one of two gets right is what a vote of both could gain: see maskfit ensemble."
    return section("Where they agree", lead_paragraph(" ".join(said), how), "".join(parts), anchor="agreement")


def _disputed(found: Comparison) -> str:
    parts = []
    first = found.runs[0].material
    for name, figures, against in zip(found.names[1:], found.runs[1:], found.against, strict=True):
        shown = [_photo(found, figures, name, place) for place in against.disputed[:SHOWN]]
        shown = [item for item in shown if item]
        if shown:
            parts.append(f"<h3>{escape(found.names[0])} and {escape(name)}</h3>")
            parts.append(f'<div class="photos">{"".join(shown)}</div>')
    if not parts or not any(first.files):
        return ""
    how = "Photos that one of two runs reads right and the other wrong, both sure of it; one of each person."
    return section("Where they disagree", lead_paragraph("", how), "".join(parts), "long", anchor="disputed")


def _photo(found: Comparison, figures: RunStatistics, name: str, place: int) -> str:
    first = found.runs[0].material
    source = thumbnail(first.files[place] or figures.material.files[place])
    if not source:
        return ""
    truth = int(first.scheme.to_class_index(first.truth[[place]])[0])
    told = []
    for run, material in ((found.names[0], first), (name, figures.material)):
        answer = int(material.table.predictions[place])
        kind = "" if answer == truth else ' class="said"'
        said = f"{first.scheme.describe(answer)} {material.table.confidence[place]:.0%}"
        told.append(f"{escape(run)}: <b{kind}>{escape(said)}</b>")
    label = f"label: {escape(first.scheme.describe(truth))}"
    photo = escape(first.table.names[place])
    spot = photo.replace("/", "/<wbr>").replace("_", "_<wbr>")
    below = f"<figcaption>{'<br>'.join([*told, label])}<small>{spot}</small></figcaption>"
    return f'<figure><img alt="{photo}" src="{source}">{below}</figure>'


def _sureness(found: Comparison) -> str:
    names = found.runs[0].material.scheme.names
    asked = (JOINT_HEAD, *names) if len(names) > 1 else names
    rows = []
    for place, (name, figures) in enumerate(zip(found.names, found.runs, strict=True)):
        for attribute in asked:
            if attribute in figures.calibration:
                item = figures.calibration[attribute]
                numbers = (item.before.error, item.after.error, item.before.log_loss.value, item.after.log_loss.value)
                what = "the class" if attribute == JOINT_HEAD else attribute
                cells = [f"{item.temperature:.2f}", *map(number, numbers)]
                rows.append(_coloured(place, table_row(name, [escape(what)], cells)))
    header = ["", "", "temperature", "error before", "after", "log loss before", "after"]
    how = "A temperature of 1 means that probabilities mean what they say; above 1 the run is too sure."
    return (
        section(
            "Does a probability mean what it says?",
            lead_paragraph("", how),
            table(header, rows, 2),
            anchor="calibration",
        )
        if rows
        else ""
    )


def _key(found: Comparison) -> str:
    keys = "".join(
        f'<li><i style="--c:var(--line{place % COLOURS})"></i>{escape(name)}</li>'
        for place, name in enumerate(found.names)
    )
    return f'<ul class="legend">{keys}</ul>'


def _ages(found: Comparison) -> str:
    lines = []
    for place, (name, figures) in enumerate(zip(found.names, found.runs, strict=True)):
        if figures.ages is not None:
            starts = sorted({YEARS * math.floor(years / YEARS) for years, _, _ in figures.ages.rows})
            points = []
            for start in starts:
                inside = [row for row in figures.ages.rows if start <= row[0] < start + YEARS]
                points.append((start + YEARS / 2, 100 * sum(row[2] for row in inside) / sum(row[1] for row in inside)))
            lines.append(Line(name, tuple(points), place))
    chart = line_chart(lines, "wrong answers by age", "age in years") if lines else ""
    if not chart:
        return ""
    how = f"Wrong answers of 100, in steps of {YEARS} years."
    return section(
        "Mistakes by age", lead_paragraph("", how), f'{_key(found)}<div class="one">{chart}</div>', anchor="ages"
    )


def _curves(found: Comparison) -> str:
    """The mean of the folds at each epoch, run by run."""
    charts = []
    for title, name in (("Loss of persons held out", "valid_loss"), ("Macro F1 of persons held out", "valid_macro_f1")):
        lines = [
            _mean_line(place, run, figures, name)
            for place, (run, figures) in enumerate(zip(found.names, found.runs, strict=True))
        ]
        chart = line_chart(lines, title, "epoch")
        if chart:
            charts.append(f"<figure><figcaption>{title}</figcaption>{chart}</figure>")
    how = "The mean of each run's folds; a ring marks its best epoch."
    body = f'{_key(found)}<div class="pair">{"".join(charts)}</div>'
    return section("How they learned", lead_paragraph("", how), body, anchor="curves") if charts else ""


def _mean_line(place: int, run: str, figures: RunStatistics, name: str) -> Line:
    folds = [fold_line(place, fold, history, name).points for fold, history in figures.material.histories.items()]
    values: dict[float, list[float]] = {}
    for x, y in (point for points in folds for point in points):
        if math.isfinite(y):
            values.setdefault(x, []).append(y)
    points = tuple((x, float(np.mean(values[x]))) for x in sorted(values))
    return Line(run, points, place, marker="min" if name.endswith("loss") else "max")


def _settings(found: Comparison) -> str:
    """What differs between the recipes, and what machines and times."""
    every = [{**figures.material.settings, **_machine(figures)} for figures in found.runs]
    keys = dict.fromkeys(key for settings in every for key in settings)
    rows = []
    for key in keys:
        values = [settings.get(key, "–") for settings in every]
        if len(set(values)) > 1:
            rows.append(table_row(key, [escape(value) for value in values], []))
    said = "" if rows else "The recipes are the same."
    body = f'<div class="told">{table(["", *found.names], rows, 9)}</div>' if rows else ""
    return section("What was done differently", lead_paragraph(said), body, anchor="settings")


def _machine(figures: RunStatistics) -> dict[str, str]:
    return {
        name: figures.material.facts[name] for name in ("device", "maskfit", "time") if name in figures.material.facts
    }
