"""One window of the page: who is looked at, among whom, and what each key does. It knows nothing of Streamlit.

Streamlit may cut a key's function off wherever that asks Streamlit for something. A window asks it for nothing, so that
what a key does is done as a whole.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from maskfit.apps.review.controller import Filter, ReviewController
from maskfit.apps.review.state import ReviewAction, Verdict
from maskfit.data.photo_dataset import Photo
from maskfit.errors import MaskfitError

FILTER_WORDS: dict[Filter, str] = {
    "suspects": "suspects",
    "all": "everybody",
    "open": "undecided",
    "wrong": "marked wrong",
    "unsure": "unsure",
    "mended": "new label",
}


class ReviewViewModel:
    """A walk through the persons of a desk.

    Attributes:
        person: Who is looked at.
        photo: The photo that keys are about; empty for the whole person.
        filter: Among whom is walked.
        told: What the reviewer should read now.
        asked: Whether the reviewer is asked if a file may be replaced.
    """

    def __init__(self, desk: ReviewController) -> None:
        self.desk = desk
        self.filter: Filter = "suspects" if desk.suspects else "all"
        self.person = desk.first(self.filter)
        self.photo, self.told, self.asked = "", "", False
        self._shown, self._since = "", 0.0

    @property
    def scope(self) -> Sequence[Photo]:
        """The photos that the next decision is about."""
        return [photo for photo in self.desk.review.of[self.person] if self.photo in ("", photo.name)]

    def show(self) -> None:
        """Notes that the person is on the screen now."""
        if self._shown != self.person:
            self._shown, self._since = self.person, time.monotonic()

    def select_person(self, person: str) -> None:
        """Looks at somebody."""
        self.person, self.photo, self.told, self.asked, self._shown = person, "", "", False, ""

    def advance(self, step: int) -> None:
        """Looks at the next of those who are walked through, or at the previous one."""
        found = self.desk.next_person(self.person, self.filter, step)
        if found is not None:
            self.select_person(found)
            return
        way, opened = "after" if step > 0 else "before", self.desk.review.count()["open"]
        self.told = f"Nobody {way} this one among: {FILTER_WORDS[self.filter]}. {opened} persons are undecided."

    def set_filter(self, name: Filter) -> None:
        """Walks among others, from the first of them on where the person is none."""
        among = self.desk.filtered_persons(name)
        if not among:
            self.told = f"Nobody is among: {FILTER_WORDS[name]}."
            return
        self.filter, self.told = name, ""
        if self.person not in among:
            self.select_person(among[0])

    def select_photo(self, photo: Photo | None) -> None:
        """Makes keys be about a photo; None, or the photo that is chosen already, about the whole person."""
        if photo is None or photo.person == self.person:
            self.photo = "" if photo is None or photo.name == self.photo else photo.name

    def mark(self, verdict: Verdict, person: str) -> None:
        """A verdict on a person goes on to the next one; on a photo, back to the person.

        Args:
            verdict: The verdict.
            person: Who was on the screen when the key was pressed.
        """
        if person != self.person:
            return
        if not self.photo and (self._shown != person or time.monotonic() - self._since < self.desk.haste):
            self.told = "That key came before this person could be seen, so it does not count."
            return
        if not self._decide(ReviewAction.verdict_action(verdict, person, self.photo)):
            return
        if self.photo:
            self.photo = ""
        else:
            self.advance(1)

    def relabel(self, attribute: str, value: str, person: str) -> None:
        """Gives the person, or the photo that is chosen, a new label."""
        if person == self.person:
            self._decide(ReviewAction.relabel_action(attribute, value, person, self.photo))

    def accept_prediction(self, person: str) -> None:
        """Takes what the models propose."""
        proposal = self.desk.proposal(person)
        if person == self.person and proposal is not None:
            self._decide(proposal)

    def undo(self, seen: int) -> None:
        """Takes the last of the `seen` decisions back and shows whom it was about."""
        if seen != len(self.desk.review.acts):
            self.told = "Something was decided since this page was drawn: press Z again to take that back."
            return
        try:
            act = self.desk.undo()
        except MaskfitError as error:
            self.told = str(error)
            return
        if act is not None:
            self.select_person(act.person)
            what = act.verdict or ", ".join(f"{name} {value}" for _, name, value in act.labels)
            self.told = f"Taken back: {what}."

    def write(self, replace: bool) -> None:
        """Writes the corrections; asks first where that would replace a file that is not this review's."""
        self.asked = self.desk.needs_overwrite_confirmation and not replace
        if self.asked:
            return
        try:
            rows = self.desk.export_corrections()
        except MaskfitError as error:
            self.told = str(error)
            return
        self.told = f"Wrote {self.desk.out}: {len(rows)} corrections."
        wrong = self.desk.review.count()["wrong"]
        if wrong:
            self.told += f" {wrong} persons are marked wrong and have no new label yet."

    def cancel_export(self) -> None:
        """Replaces nothing."""
        self.asked = False

    def _decide(self, act: ReviewAction) -> bool:
        """Whether the decision was taken and saved."""
        self.told = ""
        try:
            self.desk.apply(act)
        except MaskfitError as error:
            self.told = str(error)
            return False
        return True
