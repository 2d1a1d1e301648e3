"""Sections about the answers: the scores, the classes, what is taken for what, and the worst mistakes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape

import numpy as np

from maskfit.evaluation.bootstrap import Interval
from maskfit.evaluation.scores import ClassScore, Scores
from maskfit.html.page import card, section, table
from maskfit.html.svg_charts import confusion_table, score_bar
from maskfit.labels.schema import JOINT_HEAD, IntArray, LabelSchema
from maskfit.report import summary_text
from maskfit.report.run_statistics import RunStatistics
from maskfit.report.thumbnails import most_confident_errors, thumbnail

MOST = 80
"""The most classes whose confusion is drawn in full; beyond, the list of mistakes says more."""

SHOWN = 6
"""How many frequent mistakes are listed."""

WORST = 24
"""How many of the surest mistakes are shown."""

WHISKER = "The line across a bar is the 95% interval: where the number may as well have been with other persons."


def lead_paragraph(sentence: str, how: str = "") -> str:
    """A sentence to be read first, and beneath it how the figure is to be read, both from plain text."""
    say = f'<span class="say">{escape(sentence)}</span> ' if sentence else ""
    return f"{say}{escape(how)}"


def number(value: float | None, digits: int = 3) -> str:
    """A number, or a dash where there is none."""
    return "–" if value is None else f"{value:.{digits}f}"


def cards_section(figures: RunStatistics) -> str:
    """The numbers to see at a glance."""
    head = figures.scores
    around = head.intervals.get("macro_f1")
    below = "<p>of the whole set</p>" if head.macro_f1 is not None else "<p>no photo's whole class is known</p>"
    if around is not None:
        spot = f'<u style="left:{100 * around.value:.1f}%"></u>'
        reach = f'<i style="left:{100 * around.low:.1f}%;width:{100 * (around.high - around.low):.1f}%"></i>'
        below = (
            f'<div class="scale">{reach}{spot}</div><p>{summary_text.format_interval(around)} with other persons</p>'
        )
    cards = [f'<div class="card first"><h2>Macro F1</h2><b>{number(head.macro_f1)}</b>{below}</div>']
    if len(figures.material.scheme.names) > 1:
        cards.append(card("all right", _percent(figures, JOINT_HEAD), f"of {head.known:,} photos"))
    for name, item in head.per_attribute.items():
        cards.append(card(name, _percent(figures, name), f"of photos right · F1 {item.macro_f1:.3f}"))
    return f'<div class="cards">{"".join(cards)}</div>'


def _percent(figures: RunStatistics, name: str) -> str:
    return f"{figures.shares[name].photos.value:.1%}" if name in figures.shares else "–"


def scores_section(figures: RunStatistics) -> str:
    """The whole set and each fold."""
    if not figures.per_fold:
        return ""
    scheme = figures.material.scheme
    rows = [_score_row("all photos", figures.scores, scheme)]
    rows += [_score_row(f"fold {fold}", item, scheme) for fold, item in figures.per_fold.items()]
    values = [item.macro_f1 for item in figures.per_fold.values() if item.macro_f1 is not None]
    said = f"The folds lie between {min(values):.3f} and {max(values):.3f}." if values else ""
    how = f"Each score is over its whole set, never a mean of batches. {WHISKER}"
    header = ["", "Macro F1", "photos", "all right", *(f"F1 {name}" for name in scheme.names)]
    return section("Folds", lead_paragraph(said, how), table(header, rows, 2), anchor="folds")


def _score_row(name: str, item: Scores, scheme: LabelSchema) -> str:
    main = "–" if item.macro_f1 is None else score_bar(item.macro_f1, item.intervals.get("macro_f1"))
    each = (item.per_attribute.get(attribute) for attribute in scheme.names)
    f1 = (number(None if found is None else found.macro_f1) for found in each)
    return table_row(name, [main], [f"{item.photos:,}", number(item.accuracy), *f1])


def table_row(name: str, cells: Sequence[str], numbers: Sequence[str]) -> str:
    """A row of a table: its name as text, cells as markup, and numbers that stand to the right."""
    left = "".join(f"<td>{cell}</td>" for cell in cells)
    right = "".join(f'<td class="number">{cell}</td>' for cell in numbers)
    return f'<tr><th scope="row">{escape(name)}</th>{left}{right}</tr>'


def attributes_section(figures: RunStatistics) -> str:
    """What each attribute's values are taken for."""
    scheme = figures.material.scheme
    tables = [
        f"<figure><figcaption>{escape(attribute.name)} <span>{escape(summary_text.confusion(figures, attribute.name))}</span>"
        f"</figcaption>{confusion_table(figures.confusions[attribute.name], _values(scheme, attribute.name))}</figure>"
        for attribute in scheme.attributes
        if attribute.name in figures.shares
    ]
    how = "Rows are the truth, columns the answers. Green is right, orange wrong; deeper is a larger share of the row."
    body = f'<div class="trio">{"".join(tables)}</div>'
    return section(
        "Each attribute", lead_paragraph(summary_text.attributes(figures), how), body, "long", anchor="attributes"
    )


def _values(scheme: LabelSchema, name: str) -> list[str]:
    attribute = scheme[name]
    return [attribute.display_name(code) for code in range(len(attribute.values))]


def classes_section(figures: RunStatistics) -> str:
    """Every class's F1, precision and recall."""
    scheme, per_class = figures.material.scheme, figures.scores.per_class
    if not per_class:
        return ""
    most = max(item.support for item in per_class)
    rows, before = [], None
    for place, (item, codes) in enumerate(
        zip(per_class, scheme.to_attribute_indices(range(scheme.num_classes)).tolist(), strict=True)
    ):
        told = [attribute.display_name(code) for attribute, code in zip(scheme.attributes, codes, strict=True)]
        group = codes[0] if len(codes) > 1 else None
        rows.append(_class_row(place, told, item, most, line=before not in (None, group)))
        before = group
    header = ["", *scheme.names, "F1", "precision", "recall", "photos"]
    how = (
        f"Precision: of the photos read so, how many are so. Recall: of those that are so, how many were found. F1 is "
        f"between the two. {WHISKER}"
    )
    body = f'<div class="slim">{table(header, rows, len(header))}</div>'
    return section("Classes", lead_paragraph(summary_text.weakest(figures), how), body, "long", anchor="classes")


def _class_row(place: int, told: Sequence[str], item: ClassScore, most: int, line: bool) -> str:
    cells = "".join(f"<td>{escape(word)}</td>" for word in told)
    share = item.support / max(most, 1)
    photos = f'<span class="meter"><b>{item.support:,}</b><i><u style="width:{100 * share:.1f}%"></u></i></span>'
    absent = not item.support and not item.predicted
    scores = (
        "<td>–</td><td>–</td><td>–</td>"
        if absent
        else (
            f"<td>{score_bar(item.f1, item.interval)}</td><td>{score_bar(item.precision)}</td><td>{score_bar(item.recall)}</td>"
        )
    )
    return (
        f'<tr{" class=line" if line else ""}><th scope="row"><small>{place}</small></th>{cells}{scores}'
        f'<td class="soft">{photos}</td></tr>'
    )


def confusion_section(figures: RunStatistics) -> str:
    """What each class is taken for, in full where there are not too many, and the most frequent mistakes."""
    scheme, matrix = figures.material.scheme, figures.confusions[JOINT_HEAD]
    if len(scheme.names) < 2 or not matrix.sum():
        return ""
    names = [scheme.describe(place) for place in range(scheme.num_classes)]
    parts = [mistakes_table(matrix, names)]
    if scheme.num_classes <= MOST:
        first = scheme.attributes[0]
        run = scheme.num_classes // len(first.values)
        groups = [(first.display_name(code), run) for code in range(len(first.values))]
        parts.append(confusion_table(matrix, names, groups))
    wrong, total = int(matrix.sum() - np.trace(matrix)), int(matrix.sum())
    one = _one_off(scheme, matrix)
    said = f"{wrong:,} of {total:,} photos are in the wrong class"
    said += (
        f"; in {summary_text.as_tenths_text(one / wrong)} of them only one of {len(scheme.names)} attributes is wrong."
        if wrong
        else "."
    )
    how = "Rows are the truth, columns the answers, by the number of their class."
    return section("What is taken for what", lead_paragraph(said, how), "".join(parts), "long", anchor="confusion")


def _one_off(scheme: LabelSchema, matrix: IntArray) -> int:
    """In how many photos one attribute alone is wrong."""
    codes = scheme.to_attribute_indices(range(scheme.num_classes))
    apart = (codes[:, None, :] != codes[None, :, :]).sum(axis=2)
    return int(matrix[apart == 1].sum())


def mistakes_table(matrix: IntArray, names: Sequence[str]) -> str:
    """The most frequent mistakes in words."""
    wrong = matrix * ~np.eye(len(matrix), dtype=bool)
    rows = []
    for cell in np.argsort(-wrong, axis=None, kind="stable")[:SHOWN]:
        truth, answer = divmod(int(cell), len(matrix))
        if wrong[truth, answer]:
            share = wrong[truth, answer] / matrix[truth].sum()
            rows.append(table_row(names[truth], [escape(names[answer])], [f"{wrong[truth, answer]:,}", f"{share:.0%}"]))
    body = table(["is", "was read as", "photos", "of its class"], rows, 2)
    return f'<h3>The most frequent mistakes</h3><div class="told">{body}</div>' if rows else ""


def slices_section(figures: RunStatistics) -> str:
    """Parts of the set: accuracy alone, since macro F1 would punish a part for the classes that it does not hold."""
    scheme = figures.material.scheme
    parts, said = [], []
    main = JOINT_HEAD if JOINT_HEAD in figures.shares else next(iter(figures.shares), scheme.names[0])
    for column, found in figures.slices.items():
        rows = [_slice_row(value, part.photos, part.persons, part.right, main, scheme) for value, part in found.items()]
        what = "all right" if main == JOINT_HEAD else f"{main} right"
        header = [column, what, "photos", "persons", *(name for name in scheme.names if name != main)]
        parts.append(f"<h3>By {escape(column)}</h3>{table(header, rows, 2)}")
        said.append(summary_text.slices(column, dict(found), main))
    how = f"The share of photos that are read right. {WHISKER}"
    return (
        section(
            "Parts of the set",
            lead_paragraph(" ".join(filter(None, said)), how),
            "".join(parts),
            "long",
            anchor="slices",
        )
        if parts
        else ""
    )


def _slice_row(
    value: str, photos: int, persons: int, right: Mapping[str, Interval], main: str, scheme: LabelSchema
) -> str:
    shown = score_bar(right[main].value, right[main]) if main in right else "–"
    each = (number(right[name].value) if name in right else "–" for name in scheme.names if name != main)
    return table_row(value, [shown], [f"{photos:,}", f"{persons:,}", *each])


def worst_section(figures: RunStatistics, picture: Callable[..., str] = thumbnail) -> str:
    """The surest wrong answers as pictures, with both labels. Often it is the label that is wrong."""
    material = figures.material
    truth, answers = material.scheme.to_class_index(material.truth), material.table.predictions
    shown = []
    for place, others in most_confident_errors(material, WORST):
        source = picture(material.files[place])
        if source:
            said = material.scheme.describe(int(answers[place]))
            label = material.scheme.describe(int(truth[place]))
            shown.append(
                _mistake(source, said, label, material.table.confidence[place], material.table.names[place], others)
            )
    if not shown:
        return ""
    said = f"The {len(shown)} mistakes that the run was surest of, one of each person."
    how = "Look before you believe the label: some of these labels are wrong. maskfit label-issues RUN ranks such labels."
    return section(
        "Worst mistakes",
        lead_paragraph(said, how),
        f'<div class="photos">{"".join(shown)}</div>',
        "long",
        anchor="worst",
    )


def _mistake(source: str, said: str, label: str, sure: float, name: str, others: int) -> str:
    more = f"<small>and {others} more of this person</small>" if others else ""
    told = f'<b class="said">{escape(said)}</b> {sure:.0%}<br>label: {escape(label)}'
    place = escape(name).replace("/", "/<wbr>").replace("_", "_<wbr>")
    below = f"<figcaption>{told}<small>{place}</small>{more}</figcaption>"
    return f'<figure><img alt="{escape(name)}" src="{source}">{below}</figure>'
