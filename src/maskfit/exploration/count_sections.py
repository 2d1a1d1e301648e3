"""Values of the page's sections with counts: classes, persons and labels, brightness and files.

Each function returns the variables of its section in `page.html.j2`, or None where the section is left out. Texts are
plain strings that the template escapes; charts are `Markup`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np

from maskfit.exploration.explore import ExplorationResult
from maskfit.exploration.mean_faces import MAX_CLASSES
from maskfit.exploration.near_duplicates import MIN_CONTRAST
from maskfit.exploration.outliers import MAX_BRIGHTNESS, MIN_BRIGHTNESS
from maskfit.exploration.statistics import Count, count_classes, count_files, count_values, count_years, measure
from maskfit.html.svg_charts import stacked_chart
from maskfit.labels.schema import Attribute, LabelSchema
from maskfit.text import format_count

MAX_ROWS = 8
"""Maximum number of rows of a small table; rarer values are summed up in the last one."""

BIN_WIDTHS = {"brightness": 5.0, "contrast": 3.0}
"""Bin widths of the histograms, in luma levels."""

Values = dict[str, Any]
"""Variables of a template."""


def class_values(result: ExplorationResult) -> Values | None:
    """Collects the variables of the section with photos and persons per class: as a table of attributes, and as bars.

    Args:
        result: The exploration.

    Returns:
        The variables of the section; None where it is left out.
    """
    counts = count_classes(result)
    if not any(item.photos for item in counts):
        return None
    schema = result.schema
    max_photos, total = max(item.photos for item in counts), sum(item.photos for item in counts)
    shown = list(enumerate(counts))
    if len(counts) > MAX_CLASSES:
        shown = sorted(shown, key=lambda item: -item[1].photos)[:MAX_CLASSES]
    rows = [
        {
            "index": index,
            "name": item.name,
            "photos": f"{item.photos:,}",
            "percent": _percent(item.photos, max_photos),
            "persons": f"{item.persons:,}",
            "fraction": f"{item.photos / total:.1%}",
            "ratio": f"{max_photos / item.photos:,.1f} ×" if item.photos else "no photos",
        }
        for index, item in shown
    ]
    heat_map = _heat_map(counts, schema) if len(schema.names) > 1 and schema.num_classes <= MAX_CLASSES else None
    return {"rows": rows, "heat_map": heat_map, "num_classes": len(counts), "max_classes": MAX_CLASSES}


def _percent(count: int, max_count: int) -> float:
    return 100 * count / max(max_count, 1)


def _heat_map(counts: Sequence[Count], schema: LabelSchema) -> Values:
    """All classes as a table: rows are values of the first attribute, columns combinations of the other attributes."""
    first, *rest = schema.attributes
    columns = schema.num_classes // len(first.values)
    max_photos = max(item.photos for item in counts)
    groups: list[str] = []
    heads = _combinations(rest)
    if len(rest) > 1:
        heads = _combinations(rest[1:])
        groups = [rest[0].display_name(code) for code in range(len(rest[0].values))]
    rows = [
        (first.display_name(code), [_cell(item, max_photos) for item in counts[code * columns : (code + 1) * columns]])
        for code in range(len(first.values))
    ]
    return {
        "name": first.name,
        "groups": groups,
        "group_width": len(heads),
        "heads": heads * max(len(groups), 1),
        "rows": rows,
    }


def _combinations(attributes: Sequence[Attribute]) -> list[str]:
    """Every combination of values of some attributes as text, in the order of the class indices."""
    values = ([attribute.display_name(code) for code in range(len(attribute.values))] for attribute in attributes)
    return [", ".join(combination) for combination in product(*values)]


def _cell(item: Count, max_photos: int) -> Values:
    # The square root keeps rare classes distinguishable: most are far below the largest one.
    depth = 0.06 + 0.94 * math.sqrt(item.photos / max_photos)
    return {
        "photos": f"{item.photos:,}",
        "persons": f"{item.persons:,}",
        "empty": not item.photos,
        "kind": "right deep" if depth > 0.6 else "right",
        "depth": f"{depth:.2f}",
        "title": f"{item.name}: {format_count(item.photos, 'photo')} of {format_count(item.persons, 'person')}",
    }


def label_values(result: ExplorationResult) -> Values:
    """Collects the variables of the section with the values of each attribute, and the ages of the persons.

    Args:
        result: The exploration.

    Returns:
        The variables of the section.
    """
    ages = [_age_values(result, attribute) for attribute in result.schema.attributes if attribute.bin_edges]
    return {
        "ages": [item for item in ages if item],
        "tables": [_value_table(result, attribute) for attribute in result.schema.attributes],
        "unlabeled": ", ".join(result.unlabeled_attributes),
    }


def _age_values(result: ExplorationResult, attribute: Attribute) -> Values | None:
    years, names = count_years(result, attribute)
    if not years:
        return None
    # One bar per year: a dataset that has ages in decades only shows the gaps between them.
    chart = stacked_chart(
        list(years.items()),
        1,
        f"persons by {attribute.name}",
        f"{attribute.name} in years",
        names=names,
        unit="persons",
        edges=attribute.bin_edges,
    )
    legend = [(name, color) for color, name in enumerate(names) if name]
    return {"name": attribute.name, "chart": chart, "legend": legend}


def _value_table(result: ExplorationResult, attribute: Attribute) -> Values:
    counts = count_values(result, attribute)
    max_photos = max(item.photos for item in counts)
    shown = sorted(counts, key=lambda item: -item.photos)[: 3 * MAX_ROWS] if len(counts) > 3 * MAX_ROWS else counts
    unknown = len(result.photos) - sum(item.photos for item in counts)
    rows = [
        {
            "name": item.name,
            "photos": f"{item.photos:,}",
            "percent": _percent(item.photos, max_photos),
            "persons": f"{item.persons:,}",
        }
        for item in shown
    ]
    missing = {"photos": f"{unknown:,}", "percent": _percent(unknown, max_photos)} if unknown else None
    return {"name": attribute.name, "rows": rows, "missing": missing}


def brightness_values(result: ExplorationResult) -> list[Values]:
    """Collects the variables of the section with histograms of brightness and contrast.

    Args:
        result: The exploration.

    Returns:
        One set of variables for each part of the section; empty where there is none.
    """
    measured = {
        "brightness": (measure(result, "brightness"), (MIN_BRIGHTNESS, MAX_BRIGHTNESS)),
        "contrast": (measure(result, "contrast"), (MIN_CONTRAST,)),
    }
    charts: list[Values] = []
    for name, (values, edges) in measured.items():
        step = BIN_WIDTHS[name]
        counts = Counter((np.floor(values / step) * step).tolist())
        bars = [(start, [counts[start]]) for start in sorted(counts)]
        chart = stacked_chart(bars, step, f"photos by {name}", name, edges=edges)
        charts.append({"name": name.capitalize(), "median": f"{np.median(values):.0f}", "chart": chart})
    return charts


def file_values(result: ExplorationResult) -> Values:
    """Collects the variables of the section with image sizes, file suffixes and formats.

    Args:
        result: The exploration.

    Returns:
        The variables of the section.
    """
    titles = {"sizes": "Image size in pixels", "endings": "File suffix", "formats": "Image format"}
    tables = []
    for name, counts in count_files(result).items():
        ordered = counts.most_common()
        shown = ordered if len(ordered) <= MAX_ROWS else ordered[: MAX_ROWS - 1]
        rest = sum(counts.values()) - sum(count for _, count in shown)
        if rest:
            shown = [*shown, (f"{len(ordered) - len(shown):,} others", rest)]
        max_count = max(count for _, count in shown)
        rows = [(value, f"{count:,}", _percent(count, max_count)) for value, count in shown]
        tables.append((titles[name], rows))
    sizes = measure(result, "bytes") / 1000
    low, middle, high = np.percentile(sizes, [5, 50, 95])
    return {
        "total": format_bytes(1000 * float(sizes.sum())),
        "median": f"{middle:,.0f}",
        "low": f"{low:,.0f}",
        "high": f"{high:,.0f}",
        "tables": tables,
    }


def format_bytes(count: float) -> str:
    """Formats a number of bytes as kB, MB or GB.

    Args:
        count: Number of bytes.

    Returns:
        The text.
    """
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return f"{count / size:,.1f} {unit}"
    return f"{count / 1e3:,.0f} kB"
