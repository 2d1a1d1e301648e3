"""State of a label review: verdicts on labels, new labels, and undo.

The state knows nothing of a page, a browser or a disk. It follows from a list of actions alone: the same actions on the
same photos give the same state, which resuming, undo and the tests rely on. New labels are stored per photo, so that no
two decisions can contradict each other; the export merges them into one row per person where all photos agree.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from maskfit.data.label_corrections import USE_ATTRIBUTE
from maskfit.data.photo_dataset import Photo, PhotoDataset, read_label
from maskfit.errors import DataError, LabelError, did_you_mean
from maskfit.labels.schema import UNKNOWN, Attribute, LabelSchema

Verdict = Literal["right", "wrong", "unsure"]
Status = Literal["open", "right", "relabeled", "wrong", "unsure"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
STATUSES: tuple[Status, ...] = get_args(Status)

EXCLUDE, INCLUDE = "no", "yes"
"""Values of the label `use`: the photo is left out of training, or included again."""

PERSON_LEVEL_MIN_FRACTION = 0.95
"""From this fraction of persons with consistent labels on, an attribute is a property of persons, not of photos."""


@dataclass(frozen=True, slots=True)
class ReviewAction:
    """One decision: a verdict on the current labels, or new labels.

    Attributes:
        person: The person on the photos.
        photo: Name of the photo that the verdict is about; empty for all photos of the person.
        verdict: `right`, `wrong` or `unsure`; empty where the action sets labels.
        labels: New labels as (photo name or "" for all, attribute, value); the attribute `use` takes `no` or `yes`.
            Several labels are undone together.
    """

    person: str
    photo: str = ""
    verdict: Verdict | Literal[""] = ""
    labels: tuple[tuple[str, str, str], ...] = ()

    @classmethod
    def verdict_action(cls, verdict: Verdict, person: str, photo: str = "") -> ReviewAction:
        """Returns a verdict on the labels of a person or of one photo.

        Args:
            verdict: The verdict.
            person: The person.
            photo: Name of the photo; empty for all photos of the person.

        Returns:
            The action.
        """
        return cls(person, photo, verdict)

    @classmethod
    def relabel_action(cls, attribute: str, value: str, person: str, photo: str = "") -> ReviewAction:
        """Returns an action that sets one label of a person or of one photo.

        Args:
            attribute: Name of the attribute, or `use`.
            value: The new value.
            person: The person.
            photo: Name of the photo; empty for all photos of the person.

        Returns:
            The action.
        """
        return cls(person, photo, labels=((photo, attribute, value),))


@dataclass
class _PersonState:
    """Decisions on one person: verdicts and new labels by photo name, "" standing for the person as a whole."""

    verdicts: dict[str, Verdict] = field(default_factory=dict)
    changes: dict[str, dict[str, str | float]] = field(default_factory=dict)


class ReviewState:
    """State of a review of one photo dataset.

    Args:
        photos: The dataset with the labels under review.
        schema: The label schema of the labels.

    Attributes:
        photos: The dataset.
        schema: The label schema.
        photos_by_person: The photos of each person, in the order of the dataset.
        actions: All actions that were applied and not undone.
        person_level_attributes: Names of attributes that hardly ever differ between photos of a person.

    Raises:
        DataError: The dataset has no photo.
    """

    def __init__(self, photos: PhotoDataset, schema: LabelSchema) -> None:
        if not len(photos):
            raise DataError("there is no photo to review", location=photos.root, hint="name a folder with photos")
        self.photos = photos
        self.schema = schema
        self.photos_by_person: dict[str, tuple[Photo, ...]] = {}
        for photo in photos:
            self.photos_by_person[photo.person] = (*self.photos_by_person.get(photo.person, ()), photo)
        self.actions: list[ReviewAction] = []
        self.person_level_attributes = frozenset(
            attribute.name for attribute in schema.attributes if self._is_person_level(attribute)
        )
        self._persons: dict[str, _PersonState] = {}

    def apply(self, action: ReviewAction) -> None:
        """Applies an action.

        Args:
            action: A verdict or new labels.

        Raises:
            DataError: The person or photo does not exist, or the action has neither a verdict nor labels, or both.
            LabelError: An attribute or value does not exist.
        """
        self._validate(action)
        self.actions.append(action)
        self._apply(action)

    def undo(self) -> ReviewAction | None:
        """Undoes the last action.

        Returns:
            The action that was undone; None where there is none.
        """
        if not self.actions:
            return None
        last = self.actions.pop()
        self._persons.pop(last.person, None)
        for action in self.actions:
            if action.person == last.person:
                self._apply(action)
        return last

    def verdict(self, person: str, photo: str = "") -> Verdict | None:
        """Returns the verdict on a person as a whole or on one photo.

        Args:
            person: The person.
            photo: Name of the photo; empty for the person as a whole.

        Returns:
            The verdict; None where there is none.
        """
        state = self._persons.get(person)
        return state.verdicts.get(photo) if state else None

    def changes(self, photo: Photo) -> Mapping[str, str | float]:
        """Returns the new labels of a photo.

        Args:
            photo: A photo of the dataset.

        Returns:
            New value by attribute; `use` is `no` where the photo is excluded.
        """
        state = self._persons.get(photo.person)
        return state.changes.get(photo.name, {}) if state else {}

    def labels(self, photo: Photo) -> dict[str, str | float]:
        """Returns the labels of a photo with the new labels applied.

        Args:
            photo: A photo of the dataset.

        Returns:
            Value by attribute, without `use`.
        """
        return {**photo.labels, **{name: value for name, value in self.changes(photo).items() if name != USE_ATTRIBUTE}}

    def is_excluded(self, photo: Photo) -> bool:
        """Returns whether a photo is left out of training.

        Args:
            photo: A photo of the dataset.

        Returns:
            True where the label `use` was set to `no`.
        """
        return self.changes(photo).get(USE_ATTRIBUTE) == EXCLUDE

    def status(self, person: str) -> Status:
        """Returns the status of a person; of several that apply, the one that most needs a second look.

        Args:
            person: The person.

        Returns:
            `unsure`, `wrong`, `relabeled`, `right` (by a verdict on the person or on each photo) or `open`.
        """
        state = self._persons.get(person)
        if state is None:
            return "open"
        verdicts = set(state.verdicts.values())
        if "unsure" in verdicts:
            return "unsure"
        if "wrong" in verdicts:
            return "wrong"
        if any(state.changes.values()):
            return "relabeled"
        names = {photo.name for photo in self.photos_by_person[person]}
        return "right" if "" in state.verdicts or names <= set(state.verdicts) else "open"

    def status_counts(self) -> dict[Status, int]:
        """Counts persons by status.

        Returns:
            Number of persons of every status, in the order of `STATUSES`.
        """
        counts = Counter(self.status(person) for person in self._persons)
        decided = sum(count for status, count in counts.items() if status != "open")
        counts["open"] = len(self.photos_by_person) - decided
        return {status: counts[status] for status in STATUSES}

    def disagreements(self, person: str) -> dict[str, dict[str, list[str]]]:
        """Finds person-level attributes whose labels differ between photos of a person.

        Excluded photos and unknown labels are ignored.

        Args:
            person: The person.

        Returns:
            Attribute -> value -> names of the photos with that value.
        """
        found: dict[str, dict[str, list[str]]] = {}
        for attribute in self.schema.attributes:
            if attribute.name not in self.person_level_attributes:
                continue
            photos_by_value: dict[str, list[str]] = {}
            for photo in self.photos_by_person[person]:
                index = scored_index(attribute, self.labels(photo).get(attribute.name))
                if index != UNKNOWN and not self.is_excluded(photo):
                    value = attribute.scored_attribute().display_name(index)
                    photos_by_value.setdefault(value, []).append(photo.name)
            if len(photos_by_value) > 1:
                found[attribute.name] = photos_by_value
        return found

    def fingerprint(self, person: str) -> str:
        """Returns a hash of a person's photos and original labels.

        Args:
            person: The person.

        Returns:
            Eight hexadecimal digits of a BLAKE2b digest.
        """
        content = [
            [photo.name, sorted((name, str(value)) for name, value in photo.labels.items())]
            for photo in self.photos_by_person[person]
        ]
        return hashlib.blake2b(json.dumps(content).encode(), digest_size=4).hexdigest()

    def _is_person_level(self, attribute: Attribute) -> bool:
        """Whether labels hardly ever differ within a person; true where every person has one photo."""
        indices = [
            [scored_index(attribute, photo.labels.get(attribute.name)) for photo in photos]
            for photos in self.photos_by_person.values()
        ]
        of_several_photos = [set(of_person) - {UNKNOWN} for of_person in indices if len(of_person) > 1]
        num_consistent = sum(len(known) <= 1 for known in of_several_photos)
        return num_consistent >= PERSON_LEVEL_MIN_FRACTION * len(of_several_photos)

    def _validate(self, action: ReviewAction) -> None:
        if action.person not in self.photos_by_person:
            suggestion = did_you_mean(action.person, self.photos_by_person)
            raise DataError(f"there is no person '{action.person}'; {suggestion}")
        names = {photo.name for photo in self.photos_by_person[action.person]}
        for photo in (action.photo, *(photo for photo, _, _ in action.labels)):
            if photo and photo not in names:
                raise DataError(f"{action.person} has no photo '{photo}'; {did_you_mean(photo, names)}")
        if bool(action.verdict) == bool(action.labels) or action.verdict not in ("", *VERDICTS):
            raise DataError(
                f"'{action.verdict}' is not a verdict; an action needs one of {', '.join(VERDICTS)}, or new labels"
            )
        for _, attribute, value in action.labels:
            if attribute == USE_ATTRIBUTE:
                if value not in (INCLUDE, EXCLUDE):
                    raise LabelError(f"'{value}' is not a value of {USE_ATTRIBUTE}; use {INCLUDE} or {EXCLUDE}")
            elif not value:
                raise LabelError(f"the new value of {attribute} is empty")
            else:
                read_label(self.schema[attribute], value)

    def _apply(self, action: ReviewAction) -> None:
        """Updates a person; `right` clears verdicts on single photos, a new label those of the photos it changes."""
        state = self._persons.setdefault(action.person, _PersonState())
        if action.verdict:
            if action.verdict == "right" and not action.photo:
                state.verdicts.clear()
            state.verdicts[action.photo] = action.verdict
            return
        state.verdicts.pop("", None)
        for name, attribute, value in action.labels:
            for photo in self.photos_by_person[action.person]:
                if name in ("", photo.name):
                    state.verdicts.pop(photo.name, None)
                    self._set_label(state, photo, attribute, value)

    def _set_label(self, state: _PersonState, photo: Photo, attribute: str, value: str) -> None:
        """Stores a new label; a label equal to the original one removes the change."""
        changes = state.changes.setdefault(photo.name, {})
        if attribute == USE_ATTRIBUTE:
            new: str | float = value
            unchanged = value == INCLUDE
        else:
            definition, old = self.schema[attribute], photo.labels.get(attribute)
            new = read_label(definition, value)
            # The name of an age band that contains the original age changes nothing; another age in the band does.
            unchanged = new == old or (
                isinstance(new, str) and UNKNOWN != scored_index(definition, new) == scored_index(definition, old)
            )
        if unchanged:
            changes.pop(attribute, None)
        else:
            changes[attribute] = new


def scored_index(attribute: Attribute, value: str | float | None) -> int:
    """Returns the class index of a label in the scored attribute.

    Args:
        attribute: The attribute.
        value: A value's name, a number, or None for an unknown label.

    Returns:
        The index of the value, of a fine value that of its coarse value; `UNKNOWN` where the label is unknown.
    """
    index = attribute.encode(value)
    if index != UNKNOWN:
        return int(attribute.to_scored_index()[index])
    # A coarse value's own name, which several fine values share.
    return attribute.scored_attribute().encode(value) if attribute.parent_of else UNKNOWN
