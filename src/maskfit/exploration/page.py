"""The page of a set: what stands out first, then figures, pictures, and everything that is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from importlib.resources import files
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from maskfit.data.competition_layout import STEMS
from maskfit.data.data_problems import DataProblem
from maskfit.exploration.count_sections import (
    classes_section,
    files_section,
    format_bytes,
    light_section,
    people_section,
)
from maskfit.exploration.explore import ExplorationResult
from maskfit.exploration.image_sections import copies_section, means_section, oddities_section, sheets_section
from maskfit.exploration.outliers import KINDS
from maskfit.exploration.statistics import count_classes, find_imbalance
from maskfit.file_io import write_text
from maskfit.html.page import card, page, section

MOST_PROBLEMS = 60
"""How many problems of a kind are listed; `maskfit data check` lists all."""

UNEVEN = 10.0
"""From this ratio of the largest class to the smallest on, the page speaks of it."""


class Finding(NamedTuple):
    """Something that stands out: how grave it is, what is said as plain text, and where on the page it is shown."""

    severity: str
    text: str
    anchor: str


def write_page(path: Path, findings: ExplorationResult) -> Path:
    """Writes the page as `render_page` gives it; one that is there is replaced."""
    return write_text(path, render_page(findings))


def render_page(findings: ExplorationResult) -> str:
    """The page as HTML.

    Raises:
        PhotoError: A photo that is to be shown has vanished since it was looked at.
    """
    sheets, style = sheets_section(findings)
    sections = [
        _cards(findings),
        _points(key_findings(findings)),
        means_section(findings),
        classes_section(findings),
        people_section(findings),
        copies_section(findings),
        oddities_section(findings),
        light_section(findings),
        files_section(findings),
        _problems(findings),
        sheets,
    ]
    own = files("maskfit.exploration").joinpath("explore.css").read_text(encoding="utf-8")
    photos = findings.photos
    size = format_bytes(sum(look.bytes for look in findings.image_stats))
    subtitle = f"{len(photos):,} photos · {len(photos.persons):,} persons · {size}"
    return page(f"Photos of {_name(photos.root)}", subtitle, sections, own + style)


def _name(root: Path) -> str:
    """The last two parts of a path: enough to know the set by, and nothing of whose disk it lies on."""
    return "/".join(part for part in root.absolute().parts[-2:] if part != root.anchor) or "a set"


def _cards(findings: ExplorationResult) -> str:
    photos, scheme = findings.photos, findings.scheme
    classes = count_classes(findings)
    held = sum(item.photos > 0 for item in classes)
    ends = find_imbalance(classes)
    ratio = "–" if ends is None else f"{ends[0].photos / ends[1].photos:,.0f}<small> : 1</small>"
    crossing = sum(map(findings.crosses, findings.identical))
    odd = len({number for numbers in findings.oddities.values() for number in numbers})
    each = len(photos) / len(photos.persons)
    twins = len(findings.twins.found)
    cards = [
        card("photos", f"{len(photos):,}", f"of {len(photos.persons):,} persons, about {each:.0f} of each", "first"),
        card("classes", f"{held}<small> of {scheme.classes}</small>", escape(" × ".join(scheme.names))),
        card("imbalance", ratio, "largest class to smallest"),
        _count("unreadable", len(findings.unreadable), "files set aside"),
        _count("identical", len(findings.identical), f"files there twice, {crossing} across persons", ill=crossing > 0),
        _count("near copies", twins, "pairs of persons that share a photo"),
        card("oddities", f"{odd:,}", "dark, bright, flat, grey, tiny or of another shape"),
    ]
    return f'<div class="cards">{"".join(cards)}</div>'


def _count(name: str, count: int, remark: str, ill: bool = True) -> str:
    return card(name, f"{count:,}", remark, "ill" if count and ill else "")


def key_findings(findings: ExplorationResult) -> list[Finding]:
    """What whoever trains on the set should know first, the gravest first."""
    points = []
    fatal = sum(problem.severity == "fatal" for problem in findings.problems)
    unread = len(findings.unreadable)
    if unread:
        points.append(Finding("fatal", f"{_many(unread, 'file')} cannot be read", "problems"))
    if fatal > unread:
        text = f"{_many(fatal - unread, 'name or label', 'names or labels')} would keep a training from starting"
        points.append(Finding("fatal", text, "problems"))
    points += _copies(findings) + _balance(findings)
    lacking = sum(problem.kind == "incomplete" for problem in findings.problems)
    if lacking:
        folders = _many(lacking, "person lacks", "persons lack")
        points.append(Finding("warning", f"{folders} some of the {len(STEMS)} photos", "problems"))
    for kind in KINDS:
        if count := len(findings.oddities[kind.name]):
            words = "of another shape" if kind.name == "shape" else kind.name
            points.append(Finding("note", f"{_many(count, 'photo is', 'photos are')} {words}", "odd"))
    if findings.unlabelled_attributes:
        names = " and ".join(findings.unlabelled_attributes)
        points.append(Finding("note", f"no photo's label says anything of {names}", "people"))
    return sorted(points, key=lambda point: ("fatal", "warning", "note").index(point.severity))


def _copies(findings: ExplorationResult) -> list[Finding]:
    points = []
    if twins := len(findings.twins.found):
        pairs = _many(twins, "pair of persons shares", "pairs of persons share")
        points.append(Finding("fatal", f"{pairs} nearly the same photo, which leaks across a split", "same"))
    crossing = sum(map(findings.crosses, findings.identical))
    if crossing:
        files = _many(crossing, "file stands", "files stand")
        points.append(Finding("fatal", f"{files} under several persons, which leaks across a split", "same"))
    if within := len(findings.identical) - crossing:
        points.append(Finding("warning", f"{_many(within, 'file is', 'files are')} there twice of one person", "same"))
    return points


def _balance(findings: ExplorationResult) -> list[Finding]:
    points = []
    classes = count_classes(findings)
    empty = [item.name for item in classes if not item.photos]
    ends = find_imbalance(classes)
    if ends is None:
        return []
    if empty and len(empty) <= 6:
        verb = "has" if len(empty) == 1 else "have"
        points.append(Finding("warning", f"{'; '.join(empty)} {verb} no photo at all", "classes"))
    elif empty:
        points.append(Finding("warning", f"{len(empty):,} of {len(classes):,} classes have no photo at all", "classes"))
    most, least = ends
    if most.photos >= UNEVEN * least.photos:
        text = (
            f"{least.name}: only {_many(least.photos, 'photo')} of {_many(least.persons, 'person')}, "
            f"{most.photos / least.photos:,.0f} times fewer than {most.name}"
        )
        points.append(Finding("warning", text, "classes"))
    return points


def _many(count: int, one: str, several: str = "") -> str:
    return f"{count:,} {one if count == 1 else several or f'{one}s'}"


def _points(points: Sequence[Finding]) -> str:
    if not points:
        return section("What stands out", "", "<p>Nothing. The set is even, whole and readable.</p>")
    items = "".join(f'<li class="{p.severity}"><a href="#{p.anchor}">{escape(p.text)}</a></li>' for p in points)
    return section("What stands out", "", f'<ul class="points">{items}</ul>')


def _problems(findings: ExplorationResult) -> str:
    parts = []
    for (severity, kind), group in groupby(findings.problems, key=lambda problem: (problem.severity, problem.kind)):
        parts.append(_kind(severity, kind, list(group)))
    if not parts:
        return section("What the check finds", "", "<p>Nothing wrong.</p>", anchor="problems")
    remark = "Everything that <code>maskfit data check</code> says of this set."
    return section("What the check finds", remark, "".join(parts), "long", anchor="problems")


def _kind(severity: str, kind: str, problems: Sequence[DataProblem]) -> str:
    shown = problems[:MOST_PROBLEMS]
    items = "".join(f"<li><code>{escape(problem.location)}</code> {escape(problem.message)}</li>" for problem in shown)
    if len(problems) > len(shown):
        items += f"<li>and {len(problems) - len(shown):,} more, which maskfit data check lists</li>"
    fixes = "; ".join(dict.fromkeys(problem.hint for problem in shown))
    tag = f'<span class="tag {escape(severity)}">{escape(severity)}</span>'
    title = "folders without their seven photos" if kind == "incomplete" else kind
    head = f"<summary>{escape(title.capitalize())} <span>{len(problems):,}</span>{tag}</summary>"
    opened = " open" if severity == "fatal" else ""
    return f"<details{opened}>{head}<ul>{items}</ul><p>Next: {escape(fixes)}.</p></details>"
