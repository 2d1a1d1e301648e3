"""The report: one HTML page that holds everything it shows and asks nothing of a network.

Everything that comes from outside (titles, names of photos, facts) is escaped; `page` says what the page may do.
"""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

import numpy as np

from maskfit.errors import DataError
from maskfit.evaluation.charts import COLOURS, Line, age_chart, heat_table, line_chart, meter, reliability_chart
from maskfit.evaluation.metrics import Reliability
from maskfit.evaluation.page import card, page, section, table
from maskfit.evaluation.scores import ClassScore, Scores
from maskfit.files import write_text
from maskfit.labels import JOINT, Codes, Scheme

History = Sequence[Mapping[str, float]]
"""What a fold logged: a mapping for each epoch, with `epoch` and the names in `PANELS`."""

PANELS: dict[str, tuple[str, ...]] = {"Loss": ("train_loss", "valid_loss"), "Macro F1": ("valid_macro_f1",)}
"""The learning curves: a chart's title, and what it draws of each epoch; what starts with `train` is dashed."""

MOST = 80
"""The most classes whose confusion is drawn in full; beyond, the list of mistakes says more."""


def write_report(
    path: Path, *, title: str, scheme: Scheme, scores: Mapping[str, Scores],
    confusions: Mapping[str, Codes] | None = None, curves: Sequence[History] = (),
    facts: Mapping[str, str] | None = None, slices: Mapping[str, Scores] | None = None,
    calibration: Reliability | None = None, ages: Sequence[tuple[float, int, int]] = (),
    worst: Sequence[tuple[bytes, str]] = (),
) -> Path:  # fmt: skip
    """Writes the report of a run. What is not given has no section.

    Args:
        path: The page; one that is there is replaced.
        title: Its heading.
        scheme: The official scheme.
        scores: Name to scores. The first is the headline; the others (folds, members) stand beneath it in a table.
        confusions: `JOINT` to (classes, classes), an attribute to (values, values); see `scores.confusions`.
        curves: The history of each fold.
        facts: What was done: recipe, data, machine, time.
        slices: Scores of parts of the set: with glasses, indoors, by age.
        calibration: Of the headline's probabilities; see `metrics.reliability`.
        ages: (years, photos, wrong answers).
        worst: A photo as JPEG and what to say of it, the worst first.

    Raises:
        DataError: There are no scores.
    """
    if not scores:
        raise DataError("there are no scores to report", where=path)
    head = next(iter(scores.values()))
    sections = [
        _cards(head),
        _score_table(scores, scheme),
        _curves(curves),
        _per_class(head, scheme),
        _confusions(confusions or {}, scheme),
        _calibration(calibration, ages, scheme),
        _slices(slices or {}, scheme),
        _worst(worst),
        _facts(facts or {}),
    ]
    return write_text(path, page(title, _subtitle(scores, scheme, len(curves)), sections))


def _subtitle(scores: Mapping[str, Scores], scheme: Scheme, folds: int) -> str:
    name, head = next(iter(scores.items()))
    parts = [name, f"{head.photos:,} photos", f"{scheme.classes} classes: {' × '.join(scheme.names)}"]
    if folds > 1:
        parts.append(f"{folds} folds")
    return " · ".join(parts)


def _number(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _cards(head: Scores) -> str:
    around = head.intervals.get("macro_f1")
    below = "<p>of the whole set</p>" if head.macro_f1 is not None else "<p>no photo's whole class is known</p>"
    if around is not None:
        spot = f'<u style="left:{100 * around.value:.1f}%"></u>'
        span = f'<i style="left:{100 * around.low:.1f}%;width:{100 * (around.high - around.low):.1f}%"></i>'
        said = f"{around.low:.3f} to {around.high:.3f} with other persons ({around.level:.0%})"
        below = f'<div class="scale">{span}{spot}</div><p>{said}</p>'
    cards = [
        f'<div class="card first"><h2>Macro F1</h2><b>{_number(head.macro_f1)}</b>{below}</div>',
        card("accuracy", _number(head.accuracy), f"{head.known:,} photos of known class"),
    ]
    for name, item in head.per_attribute.items():
        cards.append(card(name, _number(item.macro_f1), f"macro F1 · accuracy {item.accuracy:.3f}"))
    if head.log_loss is not None:
        cards.append(card("log loss", _number(head.log_loss), f"calibration error {_number(head.calibration_error)}"))
    return f'<div class="cards">{"".join(cards)}</div>'


def _score_table(scores: Mapping[str, Scores], scheme: Scheme) -> str:
    """The headline and the scores beside it; one score alone stands in the cards already."""
    if len(scores) < 2:
        return ""
    rows = []
    for name, item in scores.items():
        main = "–" if item.macro_f1 is None else meter(item.macro_f1, item.intervals.get("macro_f1"))
        each = (item.per_attribute.get(attribute) for attribute in scheme.names)
        cells = [
            f"{item.photos:,}",
            _number(item.accuracy),
            *(_number(None if a is None else a.macro_f1) for a in each),
        ]
        rows.append(_score_row(name, main, cells))
    header = ["", "Macro F1", "photos", "accuracy", *(f"F1 {name}" for name in scheme.names)]
    return section("All scores", "Each is over its whole set, never a mean of batches.", table(header, rows, 2))


def _slices(slices: Mapping[str, Scores], scheme: Scheme) -> str:
    """Accuracy alone: macro F1 of a part without some classes is no measure of that part."""
    rows = []
    for name, item in slices.items():
        main = "–" if item.accuracy is None else meter(item.accuracy, item.intervals.get("accuracy"))
        each = (item.per_attribute.get(attribute) for attribute in scheme.names)
        cells = [f"{item.photos:,}", *(_number(None if a is None else a.accuracy) for a in each)]
        rows.append(_score_row(name, main, cells))
    header = ["", "Accuracy", "photos", *scheme.names]
    remark = "Accuracy on parts of the set; macro F1 would punish a part for the classes that it does not hold."
    return section("Slices", remark, table(header, rows, 2)) if rows else ""


def _score_row(name: str, main: str, cells: Sequence[str]) -> str:
    numbers = "".join(f'<td class="number">{cell}</td>' for cell in cells)
    return f'<tr><th scope="row">{escape(name)}</th><td>{main}</td>{numbers}</tr>'


def _curves(curves: Sequence[History]) -> str:
    charts = []
    for title, names in PANELS.items():
        lines = [_fold_line(fold, history, name) for fold, history in enumerate(curves) for name in names]
        chart = line_chart(lines, title, "epoch")
        if chart:
            charts.append(f"<figure><figcaption>{title}</figcaption>{chart}</figure>")
    if not charts:
        return ""
    keys = [f'<li><i style="--c:var(--line{n % COLOURS})"></i>fold {n}</li>' for n in range(len(curves))]
    keys += ["<li><i></i>validation</li>", '<li><i class="dash"></i>training</li>']
    body = f'<ul class="legend">{"".join(keys)}</ul><div class="pair">{"".join(charts)}</div>'
    return section("Learning curves", "A ring marks each fold's best epoch.", body)


def _fold_line(fold: int, history: History, name: str) -> Line:
    """A fold's values of one name over its epochs; a name that an epoch lacks leaves a gap."""
    rows = ((row.get("epoch", place), row.get(name)) for place, row in enumerate(history))
    points = tuple((float(x), math.nan if y is None else float(y)) for x, y in rows)
    if name.startswith("train"):
        return Line(f"fold {fold} training", points, fold, dashed=True)
    return Line(f"fold {fold} validation", points, fold, mark="min" if name.endswith("loss") else "max")


def _per_class(head: Scores, scheme: Scheme) -> str:
    if not head.per_class:
        return ""
    most = max(item.support for item in head.per_class)
    rows, before = [], None
    for number, (item, codes) in enumerate(
        zip(head.per_class, scheme.to_codes(range(scheme.classes)).tolist(), strict=True)
    ):
        words = [attribute.word(code) for attribute, code in zip(scheme.attributes, codes, strict=True)]
        group = codes[0] if len(codes) > 1 else None
        rows.append(_class_row(number, words, item, most, line=before not in (None, group)))
        before = group
    header = ["", *scheme.names, "F1", "precision", "recall", "photos"]
    remark = "The line across a bar is the 95% interval over persons." if head.per_class[0].interval else ""
    return section("Classes", remark, table(header, rows, len(header)), "long")


def _class_row(number: int, words: Sequence[str], item: ClassScore, most: int, line: bool) -> str:
    cells = "".join(f"<td>{escape(word)}</td>" for word in words)
    share = item.support / max(most, 1)
    photos = f'<span class="meter"><b>{item.support:,}</b><i><u style="width:{100 * share:.1f}%"></u></i></span>'
    return (
        f'<tr{" class=line" if line else ""}><th scope="row"><small>{number}</small></th>{cells}'
        f"<td>{meter(item.f1, item.interval)}</td><td>{meter(item.precision)}</td><td>{meter(item.recall)}</td>"
        f'<td class="soft">{photos}</td></tr>'
    )


def _confusions(confusions: Mapping[str, Codes], scheme: Scheme) -> str:
    parts = []
    if JOINT in confusions:
        names = [scheme.describe(number) for number in range(scheme.classes)]
        first = scheme.attributes[0]
        run = scheme.classes // len(first.values)
        groups = [(first.word(code), run) for code in range(len(first.values))] if run > 1 else []
        if scheme.classes <= MOST:
            parts.append(heat_table(confusions[JOINT], names, groups))
        parts.append(_mistakes(confusions[JOINT], names))
    tables = [
        f"<figure><figcaption>{escape(name)}</figcaption>{heat_table(confusions[name], words)}</figure>"
        for name, words in ((a.name, [a.word(code) for code in range(len(a.values))]) for a in scheme.attributes)
        if name in confusions and len(scheme.names) > 1
    ]
    if tables:
        parts.append(f'<h3>Each attribute</h3><div class="trio">{"".join(tables)}</div>')
    if not parts:
        return ""
    remark = "How often each truth was given each answer. The deeper the colour, the larger the share of its row."
    return section("Confusions", remark, "".join(parts), "long")


def _mistakes(matrix: Codes, names: Sequence[str]) -> str:
    """The most frequent mistakes in words."""
    wrong = matrix * ~np.eye(len(matrix), dtype=bool)
    rows = []
    for cell in np.argsort(-wrong, axis=None, kind="stable")[:6]:
        truth, answer = divmod(int(cell), len(matrix))
        if wrong[truth, answer]:
            share = wrong[truth, answer] / matrix[truth].sum()
            numbers = f'<td class="number">{wrong[truth, answer]:,}</td><td class="number">{share:.1%}</td>'
            rows.append(f"<tr><td>{escape(names[truth])}</td><td>{escape(names[answer])}</td>{numbers}</tr>")
    body = table(["is", "was answered as", "photos", "of its class"], rows, 2)
    return f"<h3>The most frequent mistakes</h3>{body}" if rows else ""


def _calibration(bins: Reliability | None, ages: Sequence[tuple[float, int, int]], scheme: Scheme) -> str:
    parts = []
    if bins is not None:
        said = f"<span>expected error {bins.error():.3f}; pale bars are few photos</span>"
        parts.append(f"<figure><figcaption>Right, by probability {said}</figcaption>{reliability_chart(bins)}</figure>")
    if ages:
        edges = next((attribute.edges for attribute in scheme.attributes if attribute.edges), ())
        said = "<span>share of the photos</span>"
        parts.append(f"<figure><figcaption>Wrong, by age {said}</figcaption>{age_chart(ages, edges)}</figure>")
    if not parts:
        return ""
    return section("How sure, and where it errs", "", f'<div class="pair">{"".join(parts)}</div>')


def _worst(worst: Sequence[tuple[bytes, str]]) -> str:
    figures = "".join(
        f'<figure><img alt="" src="data:image/jpeg;base64,{b64encode(jpeg).decode()}">'
        f"<figcaption>{escape(text)}</figcaption></figure>"
        for jpeg, text in worst
    )
    remark = "Wrong answers of the highest probability; some of them may be wrong labels."
    return section("Worst errors", remark, f'<div class="photos">{figures}</div>', "long") if worst else ""


def _facts(facts: Mapping[str, str]) -> str:
    rows = "".join(f"<dt>{escape(str(name))}</dt><dd>{escape(str(value))}</dd>" for name, value in facts.items())
    return section("Facts", "", f'<dl class="facts">{rows}</dl>') if facts else ""
