"""A review's new labels as corrections, in the form that `data.label_corrections=` takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from maskfit.apps.review.state import ReviewState
from maskfit.data.label_corrections import USE_ATTRIBUTE, Correction, write_corrections
from maskfit.data.photo_dataset import Photo
from maskfit.errors import DataError, format_list
from maskfit.evaluation.label_issues import LabelIssue

CERTAIN, LIKELY = "certain", "likely"


def corrections_from_review(review: ReviewState, suspects: Sequence[LabelIssue] = ()) -> list[Correction]:
    """A row for each new label, one for a whole person where all of the person's photos get the same.

    Persons stand in the order of the set. A photo that is left out has no other row. The tier is `likely` where the
    reviewer is unsure of the person, else `certain`; the reason says what stood there before, and why models suspected
    it.

    Raises:
        DataError: Two photos of a person cannot be told apart by any name that a corrections file knows.
    """
    why = {(item.person, item.attribute): item.reason for item in suspects}
    rows: list[Correction] = []
    nameless: list[str] = []
    for person, photos in review.photos_by_person.items():
        tier = LIKELY if review.status(person) == "unsure" else CERTAIN
        for attribute in (USE_ATTRIBUTE, *review.schema.names):
            new = _new(review, photos, attribute)
            touched = [photo for photo in photos if photo.name in new]
            suspicion = why.get((person, attribute))
            if touched == list(photos) and len({str(value) for value in new.values()}) == 1:
                value = _text(new[photos[0].name])
                rows.append(Correction(person, "", attribute, value, tier, _reason(photos, attribute, suspicion)))
                continue
            for photo in touched:
                name = _name(photo, photos)
                if name is None:
                    nameless.append(photo.name)
                    continue
                reason = _reason([photo], attribute, suspicion)
                rows.append(Correction(person, name, attribute, _text(new[photo.name]), tier, reason))
    if nameless:
        raise DataError(
            f"no name tells these photos from others of their person:\n{format_list(list(dict.fromkeys(nameless)))}",
            hint="give them names of their own in a copy of the set",
        )
    return rows


def export_corrections(path: Path, review: ReviewState, suspects: Sequence[LabelIssue] = ()) -> list[Correction]:
    """Writes `corrections_of` to a file, whole or not at all, and returns the rows."""
    rows = corrections_from_review(review, suspects)
    write_corrections(path, rows)
    return rows


def _new(review: ReviewState, photos: Sequence[Photo], attribute: str) -> Mapping[str, str | float]:
    """The photos that get a new value for an attribute; of those left out, only that they are."""
    return {
        photo.name: review.changes(photo)[attribute]
        for photo in photos
        if attribute in review.changes(photo) and (attribute == USE_ATTRIBUTE or not review.is_excluded(photo))
    }


def _name(photo: Photo, photos: Sequence[Photo]) -> str | None:
    """The shortest name that means this photo alone; None where there is none."""
    for name in (PurePosixPath(photo.name).name, photo.name):
        meant = [item for item in photos if name in _names(item)]
        # What the reader of a CSV strips would be another name.
        if meant == [photo] and name == name.strip():
            return name
    return None


def _names(photo: Photo) -> tuple[str, str, str]:
    """What a corrections file may call a photo."""
    name = PurePosixPath(photo.name)
    return photo.name, name.name, name.stem


def _text(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.15g}"


def _reason(photos: Sequence[Photo], attribute: str, suspicion: str | None) -> str:
    """What stood there before, and what models made of it."""
    olds = dict.fromkeys(_text(photo.labels.get(attribute, "unknown")) for photo in photos)
    said = "left out in review" if attribute == USE_ATTRIBUTE else f"was {', '.join(olds)}"
    return f"{said}; models: {suspicion}" if suspicion else said
