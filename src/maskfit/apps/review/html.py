"""What the page shows, as HTML. Names and reasons come from files and folders, so every text is escaped here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import PurePosixPath

from maskfit.apps.review.state import STATUSES, ReviewState, Status, scored_index
from maskfit.data.photo_dataset import Photo
from maskfit.evaluation.label_issues import LabelIssue
from maskfit.labels.schema import UNKNOWN, Attribute

STATUS_TEXT: dict[Status, str] = {
    "open": "undecided",
    "right": "right",
    "mended": "new label",
    "wrong": "marked wrong",
    "unsure": "unsure",
}

LIKELY_ISSUE_SCORE = 0.5
"""From this score on a label is more likely wrong than not."""

MAX_VALUES = 7
"""Values of an attribute that a card shows; of more, the label's and the likeliest."""

STYLE = """<style>
.stMainBlockContainer { padding: 1rem 2rem 1rem; max-width: 120rem; }
.stVerticalBlock { gap: 0.6rem; }
.mf { font-size: 0.86rem; line-height: 1.35; }
.mf h1 { font-size: 1.35rem; font-weight: 650; margin: 0; padding: 0; overflow-wrap: anywhere; }
.mf-chip { display: inline-block; border-radius: 1rem; padding: 0 0.6rem; font-size: 0.78rem; font-weight: 600;
  vertical-align: middle; border: 1px solid currentColor; white-space: nowrap; }
.mf-open { opacity: 0.65; } .mf-right, .mf-new { color: #1f9d57; } .mf-mended { color: #1f9d57; }
.mf-wrong, .mf-suspect { color: #e0483e; } .mf-unsure, .mf-doubt { color: #b97c00; }
.mf-why { margin: 0.15rem 0 0; padding: 0.3rem 0.7rem; border-left: 4px solid #e0483e;
  background: rgba(224, 72, 62, 0.09); overflow-wrap: anywhere; }
.mf-why b { margin-right: 0.4rem; } 
.mf-why.mf-apart, .mf-why.mf-doubt-why { border-color: #c98700; background: rgba(201, 135, 0, 0.10); }
.mf-why.mf-calm { border-color: rgba(128, 128, 128, 0.5); background: rgba(128, 128, 128, 0.08); }
.mf-bar { display: flex; height: 0.5rem; border-radius: 0.25rem; overflow: hidden; margin: 0.1rem 0 0.25rem;
  background: rgba(128, 128, 128, 0.25); }
.mf-bar i { display: block; } .mf-counts { opacity: 0.8; font-variant-numeric: tabular-nums; }
.mf-attr { display: flex; justify-content: space-between; margin-top: 0.45rem; font-size: 0.74rem; opacity: 0.7; }
.mf-value { position: relative; display: flex; justify-content: space-between; padding: 0 0.35rem;
  border-radius: 0.2rem; margin-top: 1px; border-left: 3px solid transparent; font-variant-numeric: tabular-nums; }
.mf-value u { position: absolute; inset: 0 auto 0 0; border-radius: 0.2rem; background: rgba(90, 140, 210, 0.30); }
.mf-value span { position: relative; overflow-wrap: anywhere; }
.mf-value.mf-said { border-left-color: currentColor; font-weight: 650; }
.mf-value.mf-suspect { background: rgba(224, 72, 62, 0.14); }
.mf-value.mf-doubt { background: rgba(201, 135, 0, 0.14); }
.mf-value.mf-new { background: rgba(31, 157, 87, 0.16); }
.mf-said-of { margin-top: 0.4rem; }
.mf-legend { display: flex; flex-wrap: wrap; gap: 0.3rem 1.2rem; opacity: 0.75; } .mf-value.mf-new { color: #1f9d57; }
.mf-was { text-decoration: line-through; opacity: 0.65; }
.mf-none { opacity: 0.6; font-style: italic; }
.mf-lost { aspect-ratio: 3 / 4; display: flex; align-items: center; justify-content: center; text-align: center;
  padding: 0.8rem; border: 1px dashed currentColor; opacity: 0.7; overflow-wrap: anywhere; }
[class*="st-key-right-"] button { border-color: #1f9d57; } [class*="st-key-wrong-"] button { border-color: #e0483e; }
[class*="st-key-unsure-"] button { border-color: #c98700; }
[class*="st-key-proposal-"] button { border-color: #3b82c4; }
.st-key-walk button { min-height: 1.9rem; padding: 0 0.6rem; }
[class*="st-key-photo-"] { border-radius: 0.5rem; padding: 0.3rem; border: 2px solid transparent; gap: 0.35rem; }
[class*="st-key-photo-"][class*="-chosen"] { border-color: #3b82c4; background: rgba(59, 130, 196, 0.10); }
[class*="st-key-photo-"][class*="-out"] img { opacity: 0.25; filter: grayscale(1); }
[class*="st-key-photo-"] .stImage { aspect-ratio: 3 / 4; }
[class*="st-key-photo-"] img { border-radius: 0.3rem; width: 100%; height: 100%; object-fit: contain; }
</style>"""

ALONE = "<style>header.stAppHeader { display: none; }</style>"
"""Where the review is the only page, nothing stands in Streamlit's header."""

_COLOURS = {"right": "#1f9d57", "mended": "#4fbf86", "wrong": "#e0483e", "unsure": "#e0a526"}
_SPECIAL = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~$:^&@/])")


def escape_markdown(text: str) -> str:
    """A text for the label of a button, where Streamlit reads Markdown: nothing in it means anything but itself."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def short_name(photo: Photo) -> str:
    """What the page calls a photo: its file's name without the ending."""
    return PurePosixPath(photo.name).stem


def heading(review: ReviewState, person: str, place: str) -> str:
    """Who is looked at, and what was said of that person."""
    return f'<div class="mf"><h1>{escape(person)} {status_badge(review.status(person))}</h1>{escape(place)}</div>'


def status_badge(status: Status) -> str:
    """A status as a small coloured word."""
    return f'<span class="mf-chip mf-{status}">{escape(STATUS_TEXT[status])}</span>'


def progress(counts: Mapping[Status, int]) -> str:
    """How far the review is: a bar of the decided persons by what was decided, and the numbers."""
    total = sum(counts.values())
    parts = [status for status in STATUSES if status != "open"]
    bars = "".join(
        f'<i style="width:{100 * counts[name] / total:.3f}%;background:{_COLOURS[name]}"></i>' for name in parts
    )
    said = ", ".join(f"{counts[name]} {STATUS_TEXT[name]}" for name in parts if counts[name]) or "nobody yet"
    done = total - counts["open"]
    return (
        f'<div class="mf"><div class="mf-bar">{bars}</div>'
        f'<div class="mf-counts">{done} of {total} persons decided: {escape(said)}</div></div>'
    )


def issue_reasons(review: ReviewState, person: str, suspects: Sequence[LabelIssue]) -> str:
    """Why the person is suspected, and where labels of one person differ."""
    lines = []
    for item in suspects:
        kind, head = _kind(item), f"{item.attribute} {item.score:.2f}"
        lines.append(
            f'<div class="mf-why mf-{kind}-why"><b class="mf-{kind}">{escape(head)}</b>{escape(item.reason)}</div>'
        )
    for attribute, said in review.disagreements(person).items():
        parts = "; ".join(f"{value} in {', '.join(map(_stem, names))}" for value, names in said.items())
        lines.append(
            f'<div class="mf-why mf-apart"><b class="mf-unsure">one person, two labels</b>{escape(attribute)}: '
            f"{escape(parts)}</div>"
        )
    if not lines:
        lines.append('<div class="mf-why mf-calm">nothing looks wrong here</div>')
    return f'<div class="mf">{"".join(lines)}</div>'


def card(review: ReviewState, photo: Photo, view: Mapping[str, Sequence[float]], suspects: Iterable[LabelIssue]) -> str:
    """A photo's labels beside what models make of it, attribute by attribute."""
    suspected: dict[str, str] = {}
    for item in suspects:
        if not item.photos or photo.name in item.photos:
            suspected.setdefault(item.attribute, _kind(item))
    verdict = review.verdict(photo.person, photo.name)
    said = [status_badge(verdict)] if verdict else []
    if review.is_excluded(photo):
        said.append('<span class="mf-chip mf-wrong">left out</span>')
    rows = [
        _attribute(review, photo, item, view.get(item.name), suspected.get(item.name, ""))
        for item in review.schema.attributes
    ]
    return f'<div class="mf">{"".join(rows)}<div class="mf-said-of">{" ".join(said)}</div></div>'


LEGEND = """<div class="mf mf-legend"><div class="mf-value mf-said"><span>the label</span></div>
<div class="mf-value"><u style="width:100%"></u><span>what models make of the photo</span></div>
<div class="mf-value mf-said mf-suspect"><span>most likely wrong</span></div>
<div class="mf-value mf-said mf-doubt"><span>worth a look</span></div>
<div class="mf-value mf-said mf-new"><span>new label</span></div></div>"""


def unreadable_placeholder(why: str) -> str:
    """In place of a photo that cannot be read."""
    return f'<div class="mf mf-lost">{escape(why)}</div>'


def note(text: str, kind: str = "calm") -> str:
    """A line to the reviewer."""
    return f'<div class="mf"><div class="mf-why mf-{kind}">{escape(text)}</div></div>'


def _attribute(
    review: ReviewState, photo: Photo, attribute: Attribute, view: Sequence[float] | None, suspected: str
) -> str:
    """The label of one attribute, marked among the values with what models give each of them."""
    old, new = photo.labels.get(attribute.name), review.labels(photo).get(attribute.name)
    changed = attribute.name in review.changes(photo)
    official = attribute.scored_attribute()
    code = scored_index(attribute, new)
    number = f"{new:g}" if isinstance(new, float) else ""
    if changed:
        was = f"{old:g}" if isinstance(old, float) else official.display_name(scored_index(attribute, old))
        number = f'<span class="mf-was">{escape(was)}</span> {number}'
    lines = [f'<div class="mf-attr"><span>{escape(attribute.name)}</span><span>{number}</span></div>']
    for value in _shown(code, view, len(official.values)):
        kind = "" if value != code else f" mf-said mf-{'new' if changed else suspected or 'fine'}"
        bar = "" if view is None else f'<u style="width:{100 * view[value]:.1f}%"></u>'
        share = "" if view is None else f"{100 * view[value]:.0f}%"
        lines.append(
            f'<div class="mf-value{kind}">{bar}<span>{escape(official.display_name(value))}</span><span>{share}</span></div>'
        )
    if code == UNKNOWN:
        lines.append('<div class="mf-value mf-none"><span>no label</span></div>')
    return "".join(lines)


def _shown(code: int, view: Sequence[float] | None, size: int) -> list[int]:
    """Which values of an attribute a card shows, in their order."""
    if view is None:
        return [] if code == UNKNOWN else [code]
    if size <= MAX_VALUES:
        return list(range(size))
    likely = sorted(range(size), key=lambda value: -view[value])[:MAX_VALUES]
    return sorted({*likely, *([] if code == UNKNOWN else [code])})


def _kind(item: LabelIssue) -> str:
    """How a suspicion looks: alarming from `LIKELY` on."""
    return "suspect" if item.score >= LIKELY_ISSUE_SCORE else "doubt"


def _stem(name: str) -> str:
    return PurePosixPath(name).stem
