"""Exports the new labels of a review as a corrections file for `data.label_corrections`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from maskfit.apps.review.state import ReviewState
from maskfit.data.label_corrections import USE_ATTRIBUTE, Correction, accepted_names, write_corrections
from maskfit.data.photo_dataset import Photo
from maskfit.errors import DataError, format_list
from maskfit.evaluation.label_issues import LabelIssue

CERTAIN, LIKELY = "certain", "likely"
"""Tiers of corrections."""


def corrections_from_review(review: ReviewState, label_issues: Sequence[LabelIssue] = ()) -> list[Correction]:
    """Returns a correction for each new label, one for a whole person where all photos get the same value.

    Persons stand in the order of the dataset. An excluded photo has no other row. The tier is `likely` where the
    reviewer is unsure of the person, else `certain`; the reason names the previous label and the label issue.

    Args:
        review: The review.
        label_issues: Label issues, whose reasons are repeated.

    Returns:
        The corrections.

    Raises:
        DataError: No name that a corrections file can use distinguishes a photo from another one of its person.
    """
    issue_reasons = {(issue.person, issue.attribute): issue.reason for issue in label_issues}
    rows: list[Correction] = []
    ambiguous: list[str] = []
    for person, photos in review.photos_by_person.items():
        tier = LIKELY if review.status(person) == "unsure" else CERTAIN
        for attribute in (USE_ATTRIBUTE, *review.schema.names):
            new_values = _new_values(review, photos, attribute)
            changed = [photo for photo in photos if photo.name in new_values]
            issue_reason = issue_reasons.get((person, attribute))
            if changed == list(photos) and len({str(value) for value in new_values.values()}) == 1:
                value = _to_text(new_values[photos[0].name])
                rows.append(Correction(person, "", attribute, value, tier, _reason(photos, attribute, issue_reason)))
                continue
            for photo in changed:
                name = _unambiguous_name(photo, photos)
                if name is None:
                    ambiguous.append(photo.name)
                    continue
                value = _to_text(new_values[photo.name])
                rows.append(Correction(person, name, attribute, value, tier, _reason([photo], attribute, issue_reason)))
    if ambiguous:
        raise DataError(
            "no name distinguishes these photos from others of their person:\n"
            f"{format_list(list(dict.fromkeys(ambiguous)))}",
            hint="rename them in a copy of the dataset",
        )
    return rows


def export_corrections(path: Path, review: ReviewState, label_issues: Sequence[LabelIssue] = ()) -> list[Correction]:
    """Writes `corrections_from_review` to a CSV, completely or not at all.

    Args:
        path: The CSV.
        review: The review.
        label_issues: Label issues, whose reasons are repeated.

    Returns:
        The corrections that were written.

    Raises:
        DataError: As `corrections_from_review`.
        OSError: The file cannot be written.
    """
    rows = corrections_from_review(review, label_issues)
    write_corrections(path, rows)
    return rows


def _new_values(review: ReviewState, photos: Sequence[Photo], attribute: str) -> Mapping[str, str | float]:
    """Returns the new value of an attribute by photo name; an excluded photo has only its `use`."""
    return {
        photo.name: review.changes(photo)[attribute]
        for photo in photos
        if attribute in review.changes(photo) and (attribute == USE_ATTRIBUTE or not review.is_excluded(photo))
    }


def _unambiguous_name(photo: Photo, photos: Sequence[Photo]) -> str | None:
    """Returns the shortest name that no other of the photos has; None where there is none."""
    for name in (PurePosixPath(photo.name).name, photo.name):
        matching = [item for item in photos if name in _accepted_names(item)]
        # Readers of the CSV strip cells, so a name with outer spaces would come back as another one.
        if matching == [photo] and name == name.strip():
            return name
    return None


def _accepted_names(photo: Photo) -> tuple[str, ...]:
    """Returns the names by which a corrections file may refer to a photo, for faces also those of the whole photo."""
    names = accepted_names(photo)
    return names if photo.box is None else (*names, *accepted_names(replace(photo, name=photo.file_name, box=None)))


def _to_text(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.15g}"


def _reason(photos: Sequence[Photo], attribute: str, issue_reason: str | None) -> str:
    """Returns the previous labels and the reason of the label issue, for people who read the CSV."""
    previous = dict.fromkeys(_to_text(photo.labels.get(attribute, "unknown")) for photo in photos)
    text = "left out in review" if attribute == USE_ATTRIBUTE else f"was {', '.join(previous)}"
    return f"{text}; models: {issue_reason}" if issue_reason else text
