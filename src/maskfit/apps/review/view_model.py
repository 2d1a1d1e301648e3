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

FILTER_TEXT: dict[Filter, str] = {
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
        self.controller = desk
        self.filter: Filter = "suspects" if desk.issues_by_person else "all"
        self.person = desk.first_person(self.filter)
        self.photo, self.message, self.confirm_overwrite = "", "", False
        self._shown, self._since = "", 0.0

    @property
    def selected_photos(self) -> Sequence[Photo]:
        """The photos that the next decision is about."""
        return [
            photo for photo in self.controller.review.photos_by_person[self.person] if self.photo in ("", photo.name)
        ]

    def mark_displayed(self) -> None:
        """Notes that the person is on the screen now."""
        if self._shown != self.person:
            self._shown, self._since = self.person, time.monotonic()

    def select_person(self, person: str) -> None:
        """Looks at somebody."""
        self.person, self.photo, self.message, self.confirm_overwrite, self._shown = person, "", "", False, ""

    def advance(self, step: int) -> None:
        """Looks at the next of those who are walked through, or at the previous one."""
        found = self.controller.next_person(self.person, self.filter, step)
        if found is not None:
            self.select_person(found)
            return
        way, opened = "after" if step > 0 else "before", self.controller.review.status_counts()["open"]
        self.message = f"Nobody {way} this one among: {FILTER_TEXT[self.filter]}. {opened} persons are undecided."

    def set_filter(self, name: Filter) -> None:
        """Walks among others, from the first of them on where the person is none."""
        among = self.controller.filtered_persons(name)
        if not among:
            self.message = f"Nobody is among: {FILTER_TEXT[name]}."
            return
        self.filter, self.message = name, ""
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
        if not self.photo and (
            self._shown != person or time.monotonic() - self._since < self.controller.min_view_seconds
        ):
            self.message = "That key came before this person could be seen, so it does not count."
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
        proposal = self.controller.suggested_action(person)
        if person == self.person and proposal is not None:
            self._decide(proposal)

    def undo(self, seen: int) -> None:
        """Takes the last of the `seen` decisions back and shows whom it was about."""
        if seen != len(self.controller.review.actions):
            self.message = "Something was decided since this page was drawn: press Z again to take that back."
            return
        try:
            act = self.controller.undo()
        except MaskfitError as error:
            self.message = str(error)
            return
        if act is not None:
            self.select_person(act.person)
            what = act.verdict or ", ".join(f"{name} {value}" for _, name, value in act.labels)
            self.message = f"Taken back: {what}."

    def export(self, replace: bool) -> None:
        """Writes the corrections; asks first where that would replace a file that is not this review's."""
        self.confirm_overwrite = self.controller.needs_overwrite_confirmation and not replace
        if self.confirm_overwrite:
            return
        try:
            rows = self.controller.export_corrections()
        except MaskfitError as error:
            self.message = str(error)
            return
        self.message = f"Wrote {self.controller.corrections_path}: {len(rows)} corrections."
        wrong = self.controller.review.status_counts()["wrong"]
        if wrong:
            self.message += f" {wrong} persons are marked wrong and have no new label yet."

    def cancel_export(self) -> None:
        """Replaces nothing."""
        self.confirm_overwrite = False

    def _decide(self, act: ReviewAction) -> bool:
        """Whether the decision was taken and saved."""
        self.message = ""
        try:
            self.controller.apply(act)
        except MaskfitError as error:
            self.message = str(error)
            return False
        return True
