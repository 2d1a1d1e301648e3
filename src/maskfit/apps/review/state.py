"""What a review has decided: labels marked right, wrong or unsure, new labels, and the way back from each of them.

Nothing here knows of a page, a browser or a disk. A review is a list of acts and what follows from them: the same acts
on the same photos always give the same state, which is what resuming, undoing and checking rest on. A new label is held
for each photo, so that no two decisions can contradict each other, and becomes one row for a whole person where all of
the person's photos agree.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from maskfit.data.label_corrections import USE
from maskfit.data.photo_dataset import Photo, PhotoDataset, read_label
from maskfit.errors import DataError, LabelError, did_you_mean
from maskfit.labels.schema import UNKNOWN, Attribute, LabelSchema

Verdict = Literal["right", "wrong", "unsure"]
Status = Literal["open", "right", "mended", "wrong", "unsure"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
STATUSES: tuple[Status, ...] = get_args(Status)
EXCLUDE, INCLUDE = "no", "yes"
"""Values of `use`: the photo is left out, or taken in again."""

PERSON_LEVEL_MIN_FRACTION = 0.95
"""From this share of persons with one label on, an attribute belongs to persons and not to photos."""


@dataclass(frozen=True, slots=True)
class ReviewAction:
    """One decision: a verdict on labels as they stand, or a new label.

    Attributes:
        person: Who is on the photos.
        photo: A photo's name; empty for all of the person's.
        verdict: For a verdict: `right`, `wrong` or `unsure`.
        labels: For a new label: attribute and value, `use` with `no` or `yes` among them. Several are one decision.
    """

    person: str
    photo: str = ""
    verdict: Verdict | Literal[""] = ""
    labels: tuple[tuple[str, str, str], ...] = ()

    @classmethod
    def verdict_action(cls, verdict: Verdict, person: str, photo: str = "") -> ReviewAction:
        """A verdict on a person's labels, or on one photo's."""
        return cls(person, photo, verdict)

    @classmethod
    def relabel_action(cls, attribute: str, value: str, person: str, photo: str = "") -> ReviewAction:
        """A new label for all photos of a person, or for one."""
        return cls(person, photo, labels=((photo, attribute, value),))


@dataclass
class _Person:
    """What is decided of one person; the key "" stands for the person as a whole."""

    verdicts: dict[str, Verdict] = field(default_factory=dict)
    changes: dict[str, dict[str, str | float]] = field(default_factory=dict)


class ReviewState:
    """The state of a review of one set of photos.

    Args:
        photos: The set, with the labels that are looked at.
        scheme: What the labels are about.

    Raises:
        DataError: There is no photo.
    """

    def __init__(self, photos: PhotoDataset, scheme: LabelSchema) -> None:
        if not len(photos):
            raise DataError("there is no photo to review", location=photos.root, hint="name a folder with photos")
        self.photos = photos
        self.schema = scheme
        self.photos_by_person: dict[str, tuple[Photo, ...]] = {}
        for photo in photos:
            self.photos_by_person[photo.person] = (*self.photos_by_person.get(photo.person, ()), photo)
        self.actions: list[ReviewAction] = []
        self.person_level_attributes = frozenset(item.name for item in scheme.attributes if self._is_personal(item))
        self._persons: dict[str, _Person] = {}

    def apply(self, act: ReviewAction) -> None:
        """Adds a decision.

        Raises:
            DataError: It is about nobody here, or says nothing.
            LabelError: Its attribute or value does not exist.
        """
        self._check(act)
        self.actions.append(act)
        self._take(act)

    def undo(self) -> ReviewAction | None:
        """Takes the last decision back and returns it; None where there is none."""
        if not self.actions:
            return None
        last = self.actions.pop()
        self._persons.pop(last.person, None)
        for act in self.actions:
            if act.person == last.person:
                self._take(act)
        return last

    def verdict(self, person: str, photo: str = "") -> Verdict | None:
        """What was said of a person as a whole, or of one photo."""
        known = self._persons.get(person)
        return known.verdicts.get(photo) if known else None

    def changes(self, photo: Photo) -> Mapping[str, str | float]:
        """The new labels of a photo: attribute to value, `use` to `no` where it is left out."""
        known = self._persons.get(photo.person)
        return known.changes.get(photo.name, {}) if known else {}

    def labels(self, photo: Photo) -> dict[str, str | float]:
        """The labels of a photo as they now stand."""
        return {**photo.labels, **{name: value for name, value in self.changes(photo).items() if name != USE}}

    def is_excluded(self, photo: Photo) -> bool:
        """Whether the photo is to be left out."""
        return self.changes(photo).get(USE) == EXCLUDE

    def status(self, person: str) -> Status:
        """Where a person stands: what is most in need of a second look comes first."""
        known = self._persons.get(person)
        if known is None:
            return "open"
        said = set(known.verdicts.values())
        if "unsure" in said:
            return "unsure"
        if "wrong" in said:
            return "wrong"
        if any(known.changes.values()):
            return "mended"
        names = {photo.name for photo in self.photos_by_person[person]}
        return "right" if "" in known.verdicts or names <= set(known.verdicts) else "open"

    def status_counts(self) -> dict[Status, int]:
        """How many persons stand where."""
        found = Counter(self.status(person) for person in self._persons)
        found["open"] = len(self.photos_by_person) - sum(count for status, count in found.items() if status != "open")
        return {status: found[status] for status in STATUSES}

    def disagreements(self, person: str) -> dict[str, dict[str, list[str]]]:
        """What should be one for a person and is not: attribute to value to the photos' names.

        Photos that are left out, and labels that nobody knows, do not count.
        """
        found: dict[str, dict[str, list[str]]] = {}
        for attribute in self.schema.attributes:
            if attribute.name not in self.person_level_attributes:
                continue
            said: dict[str, list[str]] = {}
            for photo in self.photos_by_person[person]:
                code = scored_index(attribute, self.labels(photo).get(attribute.name))
                if code != UNKNOWN and not self.is_excluded(photo):
                    said.setdefault(attribute.scored_attribute().display_name(code), []).append(photo.name)
            if len(said) > 1:
                found[attribute.name] = said
        return found

    def fingerprint(self, person: str) -> str:
        """Eight hexadecimal digits of a person's photos and labels as they were before the review."""
        facts = [
            [photo.name, sorted((name, str(value)) for name, value in photo.labels.items())]
            for photo in self.photos_by_person[person]
        ]
        return hashlib.blake2b(json.dumps(facts).encode(), digest_size=4).hexdigest()

    def _is_personal(self, attribute: Attribute) -> bool:
        """Whether labels hardly ever differ within a person; where every person has one photo, all are personal."""
        known = [
            [scored_index(attribute, photo.labels.get(attribute.name)) for photo in items] for items in self.photos_by_person.values()
        ]
        several = [set(codes) - {UNKNOWN} for codes in known if len(codes) > 1]
        return sum(len(codes) <= 1 for codes in several) >= PERSON_LEVEL_MIN_FRACTION * len(several)

    def _check(self, act: ReviewAction) -> None:
        if act.person not in self.photos_by_person:
            raise DataError(f"there is no person '{act.person}'; {did_you_mean(act.person, self.photos_by_person)}")
        names = {photo.name for photo in self.photos_by_person[act.person]}
        for photo in (act.photo, *(photo for photo, _, _ in act.labels)):
            if photo and photo not in names:
                raise DataError(f"{act.person} has no photo '{photo}'; {did_you_mean(photo, names)}")
        if bool(act.verdict) == bool(act.labels) or act.verdict not in ("", *VERDICTS):
            raise DataError(f"'{act.verdict}' is no verdict; say {', '.join(VERDICTS)}, or give a label")
        for _, attribute, value in act.labels:
            if attribute == USE:
                if value not in (INCLUDE, EXCLUDE):
                    raise LabelError(f"'{value}' is no value of {USE}; say {INCLUDE} or {EXCLUDE}")
            elif not value:
                raise LabelError(f"the new value of {attribute} is empty")
            else:
                read_label(self.schema[attribute], value)

    def _take(self, act: ReviewAction) -> None:
        """Follows an act; a verdict of right answers those on single photos, a new label those that it touches."""
        person = self._persons.setdefault(act.person, _Person())
        if act.verdict:
            if act.verdict == "right" and not act.photo:
                person.verdicts.clear()
            person.verdicts[act.photo] = act.verdict
            return
        person.verdicts.pop("", None)
        for name, attribute, value in act.labels:
            for photo in self.photos_by_person[act.person]:
                if name in ("", photo.name):
                    person.verdicts.pop(photo.name, None)
                    self._change(person, photo, attribute, value)

    def _change(self, person: _Person, photo: Photo, attribute: str, value: str) -> None:
        """Notes a new label; one that says what the photo says already is none."""
        changes = person.changes.setdefault(photo.name, {})
        if attribute == USE:
            new: str | float = value
            same = value == INCLUDE
        else:
            kind, old = self.schema[attribute], photo.labels.get(attribute)
            new = read_label(kind, value)
            # A band says less than the years in it, so it changes nothing; other years in the same band do.
            same = new == old or (
                isinstance(new, str) and UNKNOWN != scored_index(kind, new) == scored_index(kind, old)
            )
        if same:
            changes.pop(attribute, None)
        else:
            changes[attribute] = new


def scored_index(attribute: Attribute, value: str | float | None) -> int:
    """The official code of a label: that of a fine value is its coarse one's."""
    code = attribute.encode(value)
    if code != UNKNOWN:
        return int(attribute.to_scored_index()[code])
    # A coarse value's own name, where several fine ones share it.
    return attribute.scored_attribute().encode(value) if attribute.parent_of else UNKNOWN
