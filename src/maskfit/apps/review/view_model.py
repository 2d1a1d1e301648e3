"""View model of one browser window of the review: the person shown, the filter, and the effect of every key.

It is independent of Streamlit, which may interrupt a key's callback wherever that calls Streamlit. Because the view
model never does, every key takes effect completely.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from maskfit.apps.review.controller import Filter, ReviewController
from maskfit.apps.review.state import ReviewAction, Verdict
from maskfit.data.photo_dataset import Photo
from maskfit.errors import MaskfitError
from maskfit.text import format_count

FILTER_TEXT: dict[Filter, str] = {
    "issues": "label issues",
    "all": "everybody",
    "open": "undecided",
    "wrong": "marked wrong",
    "unsure": "unsure",
    "relabeled": "new label",
}
"""Text of each filter for people."""


class ReviewViewModel:
    """State of one browser window.

    Args:
        controller: The review.

    Attributes:
        controller: The review.
        person: The person who is shown.
        photo: Name of the selected photo; empty where keys apply to the whole person.
        filter: The persons among whom the window navigates.
        message: Text for the reviewer.
        confirm_overwrite: Whether the page asks if a file may be replaced.
    """

    def __init__(self, controller: ReviewController) -> None:
        self.controller = controller
        self.filter: Filter = "issues" if controller.issues_by_person else "all"
        self.person = controller.first_person(self.filter)
        self.photo, self.message, self.confirm_overwrite = "", "", False
        self._displayed, self._displayed_at = "", 0.0

    @property
    def selected_photos(self) -> Sequence[Photo]:
        """The photos that the next label applies to."""
        photos = self.controller.review.photos_by_person[self.person]
        return [photo for photo in photos if self.photo in ("", photo.name)]

    def mark_displayed(self) -> None:
        """Records that the person is on the screen from now on."""
        if self._displayed != self.person:
            self._displayed, self._displayed_at = self.person, time.monotonic()

    def select_person(self, person: str) -> None:
        """Shows a person.

        Args:
            person: The person.
        """
        self.person, self.photo, self.message, self.confirm_overwrite, self._displayed = person, "", "", False, ""

    def advance(self, step: int) -> None:
        """Shows the next or previous person whom the filter matches.

        Args:
            step: 1 for the next, -1 for the previous.
        """
        person = self.controller.next_person(self.person, self.filter, step)
        if person is not None:
            self.select_person(person)
            return
        direction = "after" if step > 0 else "before"
        num_open = self.controller.review.status_counts()["open"]
        self.message = (
            f"Nobody {direction} this one among: {FILTER_TEXT[self.filter]}. "
            f"{format_count(num_open, 'person is', 'persons are')} undecided."
        )

    def set_filter(self, name: Filter) -> None:
        """Changes the filter; shows its first person where it does not match the current one.

        Args:
            name: The filter.
        """
        persons = self.controller.filtered_persons(name)
        if not persons:
            self.message = f"Nobody is among: {FILTER_TEXT[name]}."
            return
        self.filter, self.message = name, ""
        if self.person not in persons:
            self.select_person(persons[0])

    def select_photo(self, photo: Photo | None) -> None:
        """Selects the photo that keys apply to.

        Args:
            photo: The photo; None, or the photo that is selected already, for the whole person.
        """
        if photo is None or photo.person == self.person:
            self.photo = "" if photo is None or photo.name == self.photo else photo.name

    def mark(self, verdict: Verdict, person: str) -> None:
        """Applies a verdict; after one on a person the next person is shown, after one on a photo the whole person.

        Args:
            verdict: The verdict.
            person: The person who was on the screen when the key was pressed.
        """
        if person != self.person:
            return
        view_seconds = time.monotonic() - self._displayed_at
        if not self.photo and (self._displayed != person or view_seconds < self.controller.min_view_seconds):
            self.message = "That key came before this person could be seen, so it does not count."
            return
        if not self._apply(ReviewAction.verdict_action(verdict, person, self.photo)):
            return
        if self.photo:
            self.photo = ""
        else:
            self.advance(1)

    def relabel(self, attribute: str, value: str, person: str) -> None:
        """Sets a label of the person or of the selected photo.

        Args:
            attribute: Name of the attribute, or `use`.
            value: The new value.
            person: The person who was on the screen when the key was pressed.
        """
        if person == self.person:
            self._apply(ReviewAction.relabel_action(attribute, value, person, self.photo))

    def accept_prediction(self, person: str) -> None:
        """Applies the labels that the models predict.

        Args:
            person: The person who was on the screen when the key was pressed.
        """
        action = self.controller.suggested_action(person)
        if person == self.person and action is not None:
            self._apply(action)

    def undo(self, num_actions: int) -> None:
        """Undoes the last action and shows its person.

        Args:
            num_actions: The number of actions when the page was drawn; nothing is undone where another window has
                added one since.
        """
        if num_actions != len(self.controller.review.actions):
            self.message = "Something was decided since this page was drawn: press Z again to undo that."
            return
        try:
            action = self.controller.undo()
        except MaskfitError as error:
            self.message = str(error)
            return
        if action is not None:
            self.select_person(action.person)
            what = action.verdict or ", ".join(f"{name} {value}" for _, name, value in action.labels)
            self.message = f"Undone: {what}."

    def export(self, overwrite: bool) -> None:
        """Writes the corrections, or asks for confirmation where that would replace another file.

        Args:
            overwrite: Whether the reviewer confirmed.
        """
        self.confirm_overwrite = self.controller.needs_overwrite_confirmation and not overwrite
        if self.confirm_overwrite:
            return
        try:
            rows = self.controller.export_corrections()
        except MaskfitError as error:
            self.message = str(error)
            return
        self.message = f"Wrote {self.controller.corrections_path}: {format_count(len(rows), 'correction')}."
        num_wrong = self.controller.review.status_counts()["wrong"]
        if num_wrong:
            self.message += (
                f" {format_count(num_wrong, 'person is', 'persons are')} marked wrong and have no new label yet."
            )

    def cancel_export(self) -> None:
        """Closes the confirmation without writing anything."""
        self.confirm_overwrite = False

    def _apply(self, action: ReviewAction) -> bool:
        """Returns whether the action was applied and saved; sets the message where not."""
        self.message = ""
        try:
            self.controller.apply(action)
        except MaskfitError as error:
            self.message = str(error)
            return False
        return True
