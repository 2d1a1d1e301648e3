"""The page of one run."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from importlib.resources import files
from pathlib import Path

from maskfit.file_io import write_text
from maskfit.html.page import page, section
from maskfit.labels.schema import JOINT_HEAD, LabelSchema
from maskfit.report import summary_text
from maskfit.report.calibration_sections import (
    ages_section,
    calibration_section,
    curves_section,
    facts_section,
    selective_prediction_section,
)
from maskfit.report.prediction_sections import (
    attributes_section,
    cards_section,
    classes_section,
    confusion_section,
    scores_section,
    slices_section,
    worst_section,
)
from maskfit.report.run_statistics import RunStatistics

HOW = (
    "Every combination of values is a class. "
    "Every photo was judged by a model that never saw its person. Intervals say how far a number would move with other "
    "persons: whole persons are drawn anew, since the photos of one are right or wrong together. Point at a bar or a "
    "dot to read its numbers."
)


def write_page(path: Path, figures: RunStatistics) -> Path:
    """Writes the page of one run; one that is there is replaced."""
    material = figures.material
    sections = [
        cards_section(figures),
        summary_section(summary_points(figures), material.scheme),
        attributes_section(figures),
        ages_section(figures),
        classes_section(figures),
        confusion_section(figures),
        calibration_section(figures),
        selective_prediction_section(figures),
        slices_section(figures),
        worst_section(figures),
        scores_section(figures),
        curves_section(figures),
        facts_section(dict(material.facts), material.remarks),
    ]
    persons = len(set(material.persons.tolist()))
    folds = f" · {len(figures.per_fold)} folds" if figures.per_fold else ""
    what = f"{material.scheme.num_classes} classes: {' × '.join(material.scheme.names)}"
    subtitle = f"{len(material.table):,} photos of {persons:,} persons · {what}{folds}"
    return write_text(path, page(material.about, subtitle, sections, style()))


def summary_points(figures: RunStatistics) -> list[tuple[str, str]]:
    """What the page says, in a few sentences: plain text, and where on the page it is shown."""
    found = [(summary_text.headline(figures), "classes"), (summary_text.attributes(figures), "attributes")]
    if figures.ages is not None:
        found.append((summary_text.ages(figures.ages), "ages"))
    found.append((summary_text.score_interval_text(figures), "classes"))
    found.append((summary_text.weakest(figures), "classes"))
    if JOINT_HEAD in figures.calibration:
        found.append((summary_text.calibration(figures.calibration[JOINT_HEAD], "the class"), "calibration"))
    return [(said, anchor) for said, anchor in found if said]


def summary_section(said: Sequence[tuple[str, str]], scheme: LabelSchema) -> str:
    """The page in a few sentences, each a link to its figure."""
    items = "".join(f'<li><a href="#{anchor}">{escape(text)}</a></li>' for text, anchor in said)
    values = (
        f"{item.name} ({', '.join(map(item.display_name, range(len(item.values))))})" for item in scheme.attributes
    )
    task = f"The task: say of each photo its {summary_text.join_with_and(list(values))}."
    body = f'<ul class="short">{items}</ul><p class="how">{escape(f"{task} {HOW}")}</p>'
    return section("In short", "", body, anchor="short")


def style() -> str:
    """The CSS of these pages beside that of all."""
    return files("maskfit.report").joinpath("run.css").read_text(encoding="utf-8")
