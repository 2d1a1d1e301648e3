"""Writes the HTML page of a dataset: key findings first, then counts, pictures and all problems."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from maskfit.data.competition_layout import STEMS
from maskfit.data.data_problems import DataProblem
from maskfit.exploration.count_sections import (
    Values,
    brightness_values,
    class_values,
    file_values,
    format_bytes,
    label_values,
)
from maskfit.exploration.explore import ExplorationResult
from maskfit.exploration.image_sections import duplicate_values, mean_face_values, outlier_values, sheet_values
from maskfit.exploration.outliers import OUTLIER_KINDS
from maskfit.exploration.statistics import count_classes, find_imbalance
from maskfit.file_io import write_text
from maskfit.html.page import read_text
from maskfit.html.page import render_page as render_template
from maskfit.text import format_count

MAX_PROBLEMS = 60
"""Maximum number of problems of a kind that are listed; `maskfit data check` lists all."""

MAX_EMPTY_NAMED = 6
"""Maximum number of empty classes that are listed by name."""

MIN_IMBALANCE = 10.0
"""Ratio of the largest to the smallest class from which on the imbalance is a key finding."""


class Finding(NamedTuple):
    """A key finding.

    Attributes:
        severity: "fatal", "warning" or "note".
        text: The finding; plain text.
        anchor: Anchor of the section that shows it.
    """

    severity: str
    text: str
    anchor: str


def write_page(path: Path, result: ExplorationResult) -> Path:
    """Writes the page that `render_page` returns.

    Args:
        path: Where to write; an existing file is replaced.
        result: The exploration.

    Returns:
        `path`.

    Raises:
        PhotoError: A photo that is shown cannot be read any more.
    """
    return write_text(path, render_page(result))


def render_page(result: ExplorationResult) -> str:
    """Renders the page of a dataset.

    Args:
        result: The exploration.

    Returns:
        The HTML document.

    Raises:
        PhotoError: A photo that is shown cannot be read any more.
    """
    sheets, sheet_style = sheet_values(result)
    photos = result.photos
    size = format_bytes(sum(stats.bytes for stats in result.image_stats))
    return render_template(
        "maskfit.exploration",
        "page.html.j2",
        title=f"Photos of {_short_path(photos.root)}",
        subtitle=f"{format_count(len(photos), 'photo')} · {format_count(len(photos.persons), 'person')} · {size}",
        style=read_text("maskfit.exploration", "explore.css") + sheet_style,
        cards=_cards(result),
        findings=[finding._asdict() for finding in key_findings(result)],
        mean_faces=mean_face_values(result),
        classes=class_values(result),
        labels=label_values(result),
        duplicates=duplicate_values(result),
        outliers=outlier_values(result),
        brightness=brightness_values(result),
        files=file_values(result),
        problems=_problems(result),
        sheets=sheets,
    )


def _short_path(root: Path) -> str:
    """The last two parts of a path: they identify the dataset and reveal no directories of the machine."""
    return "/".join(part for part in root.absolute().parts[-2:] if part != root.anchor) or "a dataset"


def _cards(result: ExplorationResult) -> list[Values]:
    photos, schema = result.photos, result.schema
    classes = count_classes(result)
    filled = sum(item.photos > 0 for item in classes)
    ends = find_imbalance(classes)
    ratio, unit = ("–", "") if ends is None else (f"{ends[0].photos / ends[1].photos:,.0f}", " : 1")
    across = sum(map(result.spans_persons, result.identical))
    outliers = len({index for indices in result.outliers.values() for index in indices})
    mean = len(photos) / len(photos.persons)
    near = len(result.near_duplicates.found)
    return [
        _card(
            "photos",
            len(photos),
            f"of {format_count(len(photos.persons), 'person')}, about {mean:.0f} per person",
            kind="first",
        ),
        _card("classes", filled, " × ".join(schema.names), unit=f" of {schema.num_classes}"),
        {"name": "imbalance", "value": ratio, "unit": unit, "note": "largest class to smallest", "kind": ""},
        _count_card("unreadable", len(result.unreadable), "files that cannot be decoded"),
        _count_card("identical", len(result.identical), f"repeated files, {across} across persons", bad=across > 0),
        _count_card("near-duplicates", near, "pairs of persons that share a photo"),
        _card("outliers", outliers, "dark, bright, flat, gray, tiny or of another aspect ratio"),
    ]


def _card(name: str, count: int, note: str, *, unit: str = "", kind: str = "") -> Values:
    return {"name": name, "value": f"{count:,}", "unit": unit, "note": note, "kind": kind}


def _count_card(name: str, count: int, note: str, *, bad: bool = True) -> Values:
    """A card that is highlighted where the count is not 0."""
    return _card(name, count, note, kind="ill" if count and bad else "")


def key_findings(result: ExplorationResult) -> list[Finding]:
    """Lists what matters most before training on the dataset.

    Args:
        result: The exploration.

    Returns:
        Findings, the most severe first.
    """
    findings = []
    fatal = sum(problem.severity == "fatal" for problem in result.problems)
    unreadable = len(result.unreadable)
    if unreadable:
        findings.append(Finding("fatal", f"{format_count(unreadable, 'file')} cannot be read", "problems"))
    if fatal > unreadable:
        names = format_count(fatal - unreadable, "name or label is", "names or labels are")
        findings.append(Finding("fatal", f"{names} invalid, so training would not start", "problems"))
    findings += _duplicate_findings(result) + _balance_findings(result)
    incomplete = sum(problem.kind == "incomplete" for problem in result.problems)
    if incomplete:
        persons = format_count(incomplete, "person lacks", "persons lack")
        findings.append(Finding("warning", f"{persons} some of the {len(STEMS)} photos", "problems"))
    for kind in OUTLIER_KINDS:
        if count := len(result.outliers[kind.name]):
            photos = format_count(count, "photo is", "photos are")
            if kind.name == "shape":
                photos, name = format_count(count, "photo has", "photos have"), "another aspect ratio"
            else:
                name = kind.name
            findings.append(Finding("note", f"{photos} {name}", "outliers"))
    if result.unlabeled_attributes:
        names = " and ".join(result.unlabeled_attributes)
        findings.append(Finding("note", f"no photo has a label for {names}", "labels"))
    return sorted(findings, key=lambda finding: ("fatal", "warning", "note").index(finding.severity))


def _duplicate_findings(result: ExplorationResult) -> list[Finding]:
    findings = []
    if near := len(result.near_duplicates.found):
        pairs = format_count(near, "pair of persons shares", "pairs of persons share")
        text = f"{pairs} nearly the same photo, which leaks between training and validation"
        findings.append(Finding("fatal", text, "duplicates"))
    across = sum(map(result.spans_persons, result.identical))
    if across:
        files = format_count(across, "file appears", "files appear")
        text = f"{files} under several persons, which leaks between training and validation"
        findings.append(Finding("fatal", text, "duplicates"))
    if within := len(result.identical) - across:
        files = format_count(within, "file appears", "files appear")
        findings.append(Finding("warning", f"{files} more than once under one person", "duplicates"))
    return findings


def _balance_findings(result: ExplorationResult) -> list[Finding]:
    findings = []
    classes = count_classes(result)
    empty = [item.name for item in classes if not item.photos]
    ends = find_imbalance(classes)
    if ends is None:
        return []
    if empty and len(empty) <= MAX_EMPTY_NAMED:
        verb = "has" if len(empty) == 1 else "have"
        findings.append(Finding("warning", f"{'; '.join(empty)} {verb} no photos", "classes"))
    elif empty:
        findings.append(
            Finding(
                "warning",
                f"{len(empty):,} of {format_count(len(classes), 'class has', 'classes have')} no photos",
                "classes",
            )
        )
    largest, smallest = ends
    if largest.photos >= MIN_IMBALANCE * smallest.photos:
        counts = f"{format_count(smallest.photos, 'photo')} of {format_count(smallest.persons, 'person')}"
        text = (
            f"{smallest.name}: only {counts}, {largest.photos / smallest.photos:,.0f} times fewer than {largest.name}"
        )
        findings.append(Finding("warning", text, "classes"))
    return findings


def _problems(result: ExplorationResult) -> list[Values]:
    """The problems in groups of one kind."""
    groups = groupby(result.problems, key=lambda problem: (problem.severity, problem.kind))
    return [_problem_group(severity, kind, list(group)) for (severity, kind), group in groups]


def _problem_group(severity: str, kind: str, problems: Sequence[DataProblem]) -> Values:
    shown = problems[:MAX_PROBLEMS]
    title = "folders without their seven photos" if kind == "incomplete" else kind
    return {
        "severity": severity,
        "title": title.capitalize(),
        "count": f"{len(problems):,}",
        "problems": [(problem.location, problem.message) for problem in shown],
        "more": f"{len(problems) - len(shown):,}" if len(problems) > len(shown) else "",
        "hints": "; ".join(dict.fromkeys(problem.hint for problem in shown)),
    }
