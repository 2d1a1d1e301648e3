"""HTML of the review page, rendered from the templates beside this module; every name and reason is escaped there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import PurePosixPath

from markupsafe import Markup

from maskfit.apps.review.state import STATUSES, ReviewState, Status, scored_index
from maskfit.data.photo_dataset import Photo
from maskfit.evaluation.label_issues import LabelIssue
from maskfit.html.templates import render
from maskfit.labels.schema import UNKNOWN, Attribute

PACKAGE = "maskfit.apps.review"
"""Package of the templates."""

STATUS_TEXT: dict[Status, str] = {
    "open": "undecided",
    "right": "right",
    "relabeled": "new label",
    "wrong": "marked wrong",
    "unsure": "unsure",
}
"""Text of each status for people."""

LIKELY_ISSUE_SCORE = 0.5
"""From this score on a label is more likely wrong than right."""

MAX_VALUES = 7
"""Values of an attribute that a card shows; of more, the label's and the most probable."""

HIDE_HEADER_STYLE = "<style>header.stAppHeader { display: none; }</style>"
"""Hides Streamlit's header, which is empty where the review is the only page."""

STATUS_COLORS = {"right": "#1f9d57", "relabeled": "#4fbf86", "wrong": "#e0483e", "unsure": "#e0a526"}
"""Colors of the progress bar."""

_MARKDOWN_CHARACTERS = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~$:^&@/])")


@dataclass(frozen=True)
class _ValueRow:
    """One value of an attribute on a card.

    Attributes:
        text: The value.
        classes: Further CSS classes, each after a space.
        width: Width of the probability bar in percent; None without predictions.
        percent: The probability as text; empty without predictions.
    """

    text: str
    classes: str
    width: str | None
    percent: str


@dataclass(frozen=True)
class _AttributeRows:
    """One attribute on a card.

    Attributes:
        name: The attribute's name.
        previous: The original label where a new one replaces it, else None.
        number: The label's number, as an age in years; empty where the label is none.
        values: The values that are shown.
        unlabeled: Whether the label is unknown.
    """

    name: str
    previous: str | None
    number: str
    values: tuple[_ValueRow, ...]
    unlabeled: bool


def style() -> Markup:
    """Returns the CSS of the page.

    Returns:
        A `<style>` element.
    """
    css = files(PACKAGE).joinpath("review.css").read_text(encoding="utf-8")
    return Markup("<style>{}</style>").format(Markup(css))


def escape_markdown(text: str) -> str:
    """Escapes a text for a button label, which Streamlit renders as Markdown.

    Args:
        text: Any text.

    Returns:
        One line of Markdown that shows exactly the text.
    """
    return _MARKDOWN_CHARACTERS.sub(r"\\\1", " ".join(text.split()))


def short_name(photo: Photo) -> str:
    """Returns the name of a photo as the page shows it.

    Args:
        photo: A photo.

    Returns:
        The file name without its extension, and the box of a row that is about one face.
    """
    return PurePosixPath(photo.file_name).stem + photo.name[len(photo.file_name) :]


def heading(review: ReviewState, person: str, position: str) -> Markup:
    """Renders the name and status of the person who is shown.

    Args:
        review: The review.
        person: The person.
        position: The position among all persons, as text.

    Returns:
        HTML.
    """
    status = review.status(person)
    text = STATUS_TEXT[status]
    return render(PACKAGE, "heading.html.j2", person=person, status=status, status_text=text, position=position)


def progress(counts: Mapping[Status, int]) -> Markup:
    """Renders a bar of the decided persons by status, with the numbers.

    Args:
        counts: Number of persons of every status.

    Returns:
        HTML.
    """
    total = sum(counts.values())
    decided = [status for status in STATUSES if status != "open"]
    return render(
        PACKAGE,
        "progress.html.j2",
        bars=[{"width": f"{100 * counts[status] / total:.3f}", "color": STATUS_COLORS[status]} for status in decided],
        num_decided=total - counts["open"],
        num_persons=total,
        counts=", ".join(f"{counts[status]} {STATUS_TEXT[status]}" for status in decided if counts[status])
        or "nobody yet",
    )


def issue_reasons(review: ReviewState, person: str, issues: Sequence[LabelIssue]) -> Markup:
    """Renders why labels of a person look wrong, and where labels of the person disagree.

    Args:
        review: The review.
        person: The person.
        issues: The label issues of the person.

    Returns:
        HTML.
    """
    return render(
        PACKAGE,
        "issue_reasons.html.j2",
        issues=[
            {
                "severity": _severity(issue),
                "title": f"{issue.attribute} {issue.score:.2f}",
                "reason": issue.reason,
            }
            for issue in issues
        ],
        conflicts=[
            {
                "attribute": attribute,
                "photos": "; ".join(f"{value} in {', '.join(map(_stem, names))}" for value, names in values.items()),
            }
            for attribute, values in review.disagreements(person).items()
        ],
    )


def card(
    review: ReviewState, photo: Photo, predictions: Mapping[str, Sequence[float]], issues: Iterable[LabelIssue]
) -> Markup:
    """Renders the labels of a photo beside the predicted probabilities, attribute by attribute.

    Args:
        review: The review.
        photo: The photo.
        predictions: Probability of every scored value by attribute, each in [0, 1]; empty without predictions.
        issues: The label issues of the person.

    Returns:
        HTML.
    """
    severities: dict[str, str] = {}
    for issue in issues:
        if not issue.photos or photo.name in issue.photos:
            severities.setdefault(issue.attribute, _severity(issue))
    verdict = review.verdict(photo.person, photo.name)
    return render(
        PACKAGE,
        "card.html.j2",
        attributes=[
            _attribute_rows(
                review, photo, attribute, predictions.get(attribute.name), severities.get(attribute.name, "")
            )
            for attribute in review.schema.attributes
        ],
        verdict=verdict,
        verdict_text=STATUS_TEXT[verdict] if verdict else "",
        excluded=review.is_excluded(photo),
    )


def legend() -> Markup:
    """Renders the meaning of the marks on the cards.

    Returns:
        HTML.
    """
    return render(PACKAGE, "legend.html.j2")


def unreadable_placeholder(reason: str) -> Markup:
    """Renders the placeholder of a photo that cannot be read.

    Args:
        reason: Why not.

    Returns:
        HTML.
    """
    return render(PACKAGE, "unreadable.html.j2", reason=reason)


def note(text: str, kind: str = "neutral") -> Markup:
    """Renders a message to the reviewer.

    Args:
        text: The message.
        kind: `neutral`, or `conflict` for a warning.

    Returns:
        HTML.
    """
    return render(PACKAGE, "note.html.j2", text=text, kind=kind)


def scope(text: str) -> Markup:
    """Renders the heading of the label buttons, which says which photos the next label is for.

    Args:
        text: The heading.

    Returns:
        HTML.
    """
    return render(PACKAGE, "scope.html.j2", text=text)


def _attribute_rows(
    review: ReviewState, photo: Photo, attribute: Attribute, probabilities: Sequence[float] | None, severity: str
) -> _AttributeRows:
    """Returns the rows of one attribute; `severity` is that of its label issue, or empty."""
    old, new = photo.labels.get(attribute.name), review.labels(photo).get(attribute.name)
    changed = attribute.name in review.changes(photo)
    scored = attribute.scored_attribute()
    index = scored_index(attribute, new)
    previous = None
    if changed:
        previous = f"{old:g}" if isinstance(old, float) else scored.display_name(scored_index(attribute, old))
    mark = "new" if changed else severity or "plain"
    values = [
        _ValueRow(
            text=scored.display_name(value),
            classes=f" mf-label mf-{mark}" if value == index else "",
            width=None if probabilities is None else f"{100 * probabilities[value]:.1f}",
            percent="" if probabilities is None else f"{100 * probabilities[value]:.0f}%",
        )
        for value in _shown_values(index, probabilities, len(scored.values))
    ]
    number = f"{new:g}" if isinstance(new, float) else ""
    return _AttributeRows(attribute.name, previous, number, tuple(values), index == UNKNOWN)


def _shown_values(index: int, probabilities: Sequence[float] | None, num_values: int) -> list[int]:
    """Returns the indices of the values that a card shows, in order."""
    if probabilities is None:
        return [] if index == UNKNOWN else [index]
    if num_values <= MAX_VALUES:
        return list(range(num_values))
    most_probable = sorted(range(num_values), key=lambda value: -probabilities[value])[:MAX_VALUES]
    return sorted({*most_probable, *([] if index == UNKNOWN else [index])})


def _severity(issue: LabelIssue) -> str:
    """Returns the CSS class of a label issue: `suspect` from `LIKELY_ISSUE_SCORE` on, else `questionable`."""
    return "suspect" if issue.score >= LIKELY_ISSUE_SCORE else "questionable"


def _stem(name: str) -> str:
    return PurePosixPath(name).stem
