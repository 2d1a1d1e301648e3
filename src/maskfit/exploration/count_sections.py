"""The page's figures: classes, values, ages, light and files as bars, tables and charts."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from html import escape
from itertools import product

import numpy as np

from maskfit.exploration.explore import ExplorationResult
from maskfit.exploration.mean_faces import MOST_CLASSES
from maskfit.exploration.near_duplicates import FLAT
from maskfit.exploration.outliers import BRIGHT, DARK
from maskfit.exploration.statistics import Count, count_classes, count_files, count_values, count_years, measure
from maskfit.html.page import section, table
from maskfit.html.svg_charts import stacked_chart
from maskfit.labels.schema import Attribute, LabelSchema

MOST_ROWS = 8
"""Rows of a small table; what is rarer is added up in the last one."""


def classes_section(findings: ExplorationResult) -> str:
    """How many photos and persons each class has: as a map of all attributes at once, and as bars."""
    counts = count_classes(findings)
    if not any(item.photos for item in counts):
        return ""
    scheme = findings.scheme
    parts = [heat_map(counts, scheme)] if len(scheme.names) > 1 and scheme.classes <= MOST_CLASSES else []
    most = max(item.photos for item in counts)
    total = sum(item.photos for item in counts)
    numbered = list(enumerate(counts))
    if len(counts) > MOST_CLASSES:
        numbered = sorted(numbered, key=lambda item: -item[1].photos)[:MOST_CLASSES]
    rows = [_class_row(number, item, most, total) for number, item in numbered]
    header = ["", "class", "photos", "persons", "share", "less than the largest"]
    parts.append(f"<h3>Class by class</h3>{table(header, rows, 3)}")
    remark = "Photos and persons of every class. A class without photos is one that no training can learn."
    if len(counts) > MOST_CLASSES:
        remark = f"The {MOST_CLASSES} largest of {len(counts):,} classes."
    return section("Classes", remark, "".join(parts), "long", anchor="classes")


def _class_row(number: int, item: Count, most: int, total: int) -> str:
    less = f"{most / item.photos:,.1f} ×" if item.photos else "none there"
    return (
        f'<tr><th scope="row"><small>{number}</small></th><td>{escape(item.name)}</td>'
        f"<td>{bar(item.photos, most)}</td>"
        f'<td class="number">{item.persons:,}</td><td class="number">{item.photos / total:.1%}</td>'
        f'<td class="number">{less}</td></tr>'
    )


def bar(count: int, most: int) -> str:
    """A count with a bar that is full at `most`."""
    share = 100 * count / max(most, 1)
    return f'<span class="meter plain"><b>{count:,}</b><i><u style="width:{share:.1f}%"></u></i></span>'


def heat_map(counts: Sequence[Count], scheme: LabelSchema) -> str:
    """All classes as a table: a row for each value of the first attribute, a column for each mix of the others."""
    first, *others = scheme.attributes
    columns = scheme.classes // len(first.values)
    most = max(item.photos for item in counts)
    top, heads = "", _mixes(others)
    if len(others) > 1:
        heads = _mixes(others[1:])
        words = [others[0].display_name(code) for code in range(len(others[0].values))]
        groups = "".join(f'<th scope="colgroup" colspan="{len(heads)}">{escape(word)}</th>' for word in words)
        top, heads = f"<tr><td></td>{groups}</tr>", heads * len(words)
    cells = "".join(f'<th scope="col">{escape(head)}</th>' for head in heads)
    rows = [f'<thead>{top}<tr><th class="corner">{escape(first.name)}</th>{cells}</tr></thead>']
    for code in range(len(first.values)):
        held = counts[code * columns : (code + 1) * columns]
        rows.append(
            f'<tr><th scope="row">{escape(first.display_name(code))}</th>{"".join(_cell(c, most) for c in held)}</tr>'
        )
    return f'<div class="wide"><table class="heat counts">{"".join(rows)}</table></div>'


def _mixes(attributes: Sequence[Attribute]) -> list[str]:
    """Every mix of values of some attributes in words, in the order of the class numbers."""
    values = ([attribute.display_name(code) for code in range(len(attribute.values))] for attribute in attributes)
    return [", ".join(mix) for mix in product(*values)]


def _cell(item: Count, most: int) -> str:
    title = f"{escape(item.name)}: {item.photos:,} photos of {item.persons:,} persons"
    if not item.photos:
        return f'<td class="gap" title="{title}">0</td>'
    # The root keeps thin classes apart, of which most are far below the largest.
    depth = 0.06 + 0.94 * math.sqrt(item.photos / most)
    kind = "right deep" if depth > 0.6 else "right"
    people = f"<small>{item.persons:,} persons</small>"
    return f'<td class="{kind}" style="--a:{depth:.2f}" title="{title}"><b>{item.photos:,}</b>{people}</td>'


def people_section(findings: ExplorationResult) -> str:
    """Each attribute's values, and the ages of the persons."""
    parts = [_ages(findings, attribute) for attribute in findings.scheme.attributes if attribute.bin_edges]
    tables = [_values(findings, attribute) for attribute in findings.scheme.attributes]
    if findings.unlabelled_attributes:
        names = ", ".join(map(escape, findings.unlabelled_attributes))
        tables.append(f"<div><h3>Not known</h3><p><small>No photo's label says anything of {names}.</small></p></div>")
    body = f'<div class="who">{"".join(parts)}<div class="rows">{"".join(tables)}</div></div>'
    return section("Who is on the photos", "", body, anchor="people")


def _ages(findings: ExplorationResult, attribute: Attribute) -> str:
    years, names = count_years(findings, attribute)
    if not years:
        return ""
    bars = list(years.items())
    # Single years leave gaps between bars where a set knows only decades; that is what it knows.
    chart = stacked_chart(
        bars,
        1,
        f"persons by {attribute.name}",
        f"{attribute.name} in years",
        names=names,
        unit="persons",
        edges=attribute.bin_edges,
    )
    keys = [f'<li><i class="dot" style="--c:var(--line{n})"></i>{escape(w)}</li>' for n, w in enumerate(names) if w]
    edge = "<li>dotted: where a band begins</li>"
    caption = f"<figcaption>Persons by {escape(attribute.name)}</figcaption>"
    return f'<figure>{caption}<ul class="legend">{"".join(keys)}{edge}</ul>{chart}</figure>'


def _values(findings: ExplorationResult, attribute: Attribute) -> str:
    counts = count_values(findings, attribute)
    most = max(item.photos for item in counts)
    shown = sorted(counts, key=lambda item: -item.photos)[: 3 * MOST_ROWS] if len(counts) > 3 * MOST_ROWS else counts
    rows = "".join(
        f"<tr><td>{escape(item.name)}</td><td>{bar(item.photos, most)}</td>"
        f'<td class="number"><small>{item.persons:,} persons</small></td></tr>'
        for item in shown
    )
    unknown = len(findings.photos) - sum(item.photos for item in counts)
    if unknown:
        rows += f"<tr><td><small>unknown</small></td><td>{bar(unknown, most)}</td><td></td></tr>"
    return f"<div><h3>{escape(attribute.name)}</h3><table>{rows}</table></div>"


def light_section(findings: ExplorationResult) -> str:
    """How bright and how rich in contrast the photos are."""
    charts = []
    limits = {"brightness": (DARK, BRIGHT), "contrast": (FLAT,)}
    for name, edges in limits.items():
        values = measure(findings, name)
        step = 5.0 if name == "brightness" else 3.0
        counts = Counter((np.floor(values / step) * step).tolist())
        bars = [(start, [counts[start]]) for start in sorted(counts)]
        said = f"<span>median {np.median(values):.0f}</span>"
        chart = stacked_chart(bars, step, f"photos by {name}", name, edges=edges)
        charts.append(f"<figure><figcaption>{name.capitalize()} {said}</figcaption>{chart}</figure>")
    remark = "Mean and standard deviation of the luma, 0 to 255. What is beyond a dotted line is shown under Oddities."
    return section("Light", remark, f'<div class="pair">{"".join(charts)}</div>', anchor="light")


def files_section(findings: ExplorationResult) -> str:
    """Sizes, endings and formats."""
    heads = {"sizes": "Pixels", "endings": "Ending of the name", "formats": "Format of the content"}
    tables = []
    for name, counts in count_files(findings).items():
        ordered = counts.most_common()
        shown = ordered if len(ordered) <= MOST_ROWS else ordered[: MOST_ROWS - 1]
        rest = sum(counts.values()) - sum(count for _, count in shown)
        if rest:
            shown = [*shown, (f"{len(ordered) - len(shown)} others", rest)]
        most = max(count for _, count in shown)
        rows = "".join(f"<tr><td>{escape(word)}</td><td>{bar(count, most)}</td></tr>" for word, count in shown)
        tables.append(f"<div><h3>{heads[name]}</h3><table>{rows}</table></div>")
    sizes = measure(findings, "bytes") / 1000
    low, middle, high = np.percentile(sizes, [5, 50, 95])
    remark = (
        f"{format_bytes(1000 * float(sizes.sum()))} in all; half of the files are below {middle:,.0f} kB, "
        f"nine in ten between {low:,.0f} and {high:,.0f} kB."
    )
    return section("Files", remark, f'<div class="rows">{"".join(tables)}</div>', anchor="files")


def format_bytes(count: float) -> str:
    """A number of bytes for people."""
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return f"{count / size:,.1f} {unit}"
    return f"{count / 1e3:,.0f} kB"
