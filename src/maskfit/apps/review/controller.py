"""Controller of an open review: decisions, audit log, navigation order, photos for the page, and the page's server.

One controller serves every browser window, one action at a time, so that all windows show the same state.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Literal, get_args

from maskfit.apps.review.audit_log import AuditLog
from maskfit.apps.review.export_corrections import export_corrections
from maskfit.apps.review.html import LIKELY_ISSUE_SCORE
from maskfit.apps.review.review_data import ReviewData
from maskfit.apps.review.state import ReviewAction, ReviewState
from maskfit.apps.streamlit_server import ProcessState, generate_access_token, run_streamlit
from maskfit.data.face_boxes import open_picture_of
from maskfit.data.label_corrections import Correction
from maskfit.data.photo_dataset import Photo
from maskfit.errors import DataError
from maskfit.evaluation.label_issues import LabelIssue

Filter = Literal["issues", "all", "open", "wrong", "unsure", "relabeled"]
FILTERS: tuple[Filter, ...] = get_args(Filter)

MIN_PHOTO_SIZE = (600, 800)
"""Width and height in pixels that a photo has at least on the page, where the file has as many."""

MAX_PHOTO_SIDE = 1200
"""The longer side in pixels that a photo has at most on the page."""

MIN_VIEW_SECONDS = 0.25
"""A verdict after less is taken for a key pressed twice: nobody has seen the next person's photos by then."""

PAGE_SCRIPT = Path(__file__).with_name("streamlit_page.py")
"""The script that Streamlit runs."""


class ReviewController:
    """Controller of one open review.

    Args:
        data: What is reviewed.
        log_path: The audit log; its actions are applied first.
        corrections_path: Where corrections are written.
        force: Whether an existing corrections file may be replaced without confirmation.
        min_view_seconds: Seconds for which a person must have been shown before a verdict counts.

    Attributes:
        review: The state of the review.
        predictions: Predicted probabilities by photo name.
        label_issues: All label issues.
        issues_by_person: The label issues of each person.
        persons: All persons: those with label issues first, then in the order of the dataset.
        person_index: Position of each person in `persons`.
        corrections_path: Where corrections are written.
        min_view_seconds: As the argument.
        access_token: Token in the page's URL.
        warnings: Messages for the user.
        num_resumed_actions: Actions that the log contained.
        photo_jpeg: Returns a photo as JPEG bytes for the page; cached. Raises PhotoError where it cannot be read.

    Raises:
        DataError: The log is in use, or it is about other photos or labels.
    """

    def __init__(
        self,
        data: ReviewData,
        log_path: Path,
        corrections_path: Path,
        *,
        force: bool = False,
        min_view_seconds: float = MIN_VIEW_SECONDS,
    ) -> None:
        self.review: ReviewState = data.review
        self.predictions = data.predictions
        self.label_issues: Sequence[LabelIssue] = data.label_issues
        self.issues_by_person: dict[str, list[LabelIssue]] = {}
        for issue in data.label_issues:
            self.issues_by_person.setdefault(issue.person, []).append(issue)
        self.persons = list(dict.fromkeys([*self.issues_by_person, *self.review.photos_by_person]))
        self.person_index = {person: index for index, person in enumerate(self.persons)}
        self.corrections_path = corrections_path
        self.min_view_seconds = min_view_seconds
        self.access_token = generate_access_token()
        self._may_overwrite = force
        self._lock = threading.RLock()
        self._audit_log = AuditLog(log_path, self.review, data.root)
        replay = self._audit_log.replay
        self.warnings = [*data.warnings, *replay.warnings]
        self.num_resumed_actions = replay.num_actions
        self._last_person = replay.last_person
        self.photo_jpeg = lru_cache(maxsize=512)(_photo_jpeg)

    @property
    def log_path(self) -> Path:
        """Path of the audit log."""
        return self._audit_log.path

    def first_person(self, filter_: Filter) -> str:
        """Returns the person to show first.

        Args:
            filter_: The filter of the page.

        Returns:
            The person who was shown last, else the first undecided one whom the filter matches.
        """
        if self._last_person:
            return self._last_person
        matching = self.filtered_persons(filter_)
        undecided = (person for person in matching if self.review.status(person) == "open")
        return next(undecided, matching[0] if matching else self.persons[0])

    def matches_filter(self, person: str, filter_: Filter) -> bool:
        """Returns whether a filter matches a person.

        Args:
            person: The person.
            filter_: `all`, `issues` (persons with label issues) or a status.

        Returns:
            True where it matches.
        """
        if filter_ == "all":
            return True
        if filter_ == "issues":
            return person in self.issues_by_person
        return self.review.status(person) == filter_

    def next_person(self, person: str, filter_: Filter, step: int) -> str | None:
        """Returns the next or previous person whom a filter matches.

        Args:
            person: The person to start from.
            filter_: The filter.
            step: 1 for the next, -1 for the previous.

        Returns:
            The person; None at the end.
        """
        index = self.person_index[person] + step
        while 0 <= index < len(self.persons):
            if self.matches_filter(self.persons[index], filter_):
                return self.persons[index]
            index += step
        return None

    def filter_counts(self) -> dict[Filter, int]:
        """Counts the persons whom each filter matches.

        Returns:
            Number of persons by filter.
        """
        counts = self.review.status_counts()
        return {
            "issues": len(self.issues_by_person),
            "all": len(self.persons),
            "open": counts["open"],
            "wrong": counts["wrong"],
            "unsure": counts["unsure"],
            "relabeled": counts["relabeled"],
        }

    def filtered_persons(self, filter_: Filter) -> list[str]:
        """Returns all persons whom a filter matches.

        Args:
            filter_: The filter.

        Returns:
            The persons in order.
        """
        return [person for person in self.persons if self.matches_filter(person, filter_)]

    def apply(self, action: ReviewAction) -> None:
        """Applies an action and saves it.

        Args:
            action: A verdict or new labels.

        Raises:
            DataError: The action is invalid, or the log cannot be written.
            LabelError: An attribute or value does not exist.
        """
        with self._lock:
            self._audit_log.append(action)

    def undo(self) -> ReviewAction | None:
        """Undoes the last action, in whichever window it was made.

        Returns:
            The action that was undone; None where there is none.

        Raises:
            DataError: The log cannot be written.
        """
        with self._lock:
            return self._audit_log.undo()

    def record_view(self, person: str) -> None:
        """Saves which person is shown.

        Args:
            person: The person.

        Raises:
            DataError: The log cannot be written.
        """
        with self._lock:
            if person != self._last_person:
                self._audit_log.record_view(person)
                self._last_person = person

    def suggested_action(self, person: str) -> ReviewAction | None:
        """Returns the labels that the models predict for a person instead of the current ones.

        Label issues that are more likely wrong than right count; where none is, the most likely one.

        Args:
            person: The person.

        Returns:
            One action for all these labels; None without a label issue that can be applied.
        """
        issues = [
            issue
            for issue in self.issues_by_person.get(person, ())
            if issue.photos or issue.attribute in self.review.person_level_attributes
        ]
        labels: list[tuple[str, str, str]] = []
        for issue in [issue for issue in issues if issue.score >= LIKELY_ISSUE_SCORE] or issues[:1]:
            if issue.photos:
                labels += (
                    (photo, issue.attribute, value) for photo, value in zip(issue.photos, issue.proposed, strict=True)
                )
            else:
                labels.append(("", issue.attribute, ", ".join(issue.proposed)))
        return ReviewAction(person, labels=tuple(labels)) if labels else None

    @property
    def needs_overwrite_confirmation(self) -> bool:
        """Whether the export would replace a file that this review did not write."""
        return self.corrections_path.exists() and not self._may_overwrite

    def export_corrections(self) -> list[Correction]:
        """Writes the corrections; later exports replace the file without confirmation.

        Returns:
            The rows that were written.

        Raises:
            DataError: A photo has no unambiguous name, or the file cannot be written.
        """
        with self._lock:
            try:
                rows = export_corrections(self.corrections_path, self.review, self.label_issues)
            except OSError as error:
                raise DataError(
                    f"the corrections cannot be written: {error.strerror}", location=self.corrections_path
                ) from error
            self._may_overwrite = True
            return rows

    def close(self) -> None:
        """Closes the audit log, so that other processes can open it."""
        self._audit_log.close()


def _photo_jpeg(photo: Photo) -> bytes:
    """Decodes a photo, downscales it, and encodes it as a JPEG without metadata.

    Raises:
        PhotoError: It cannot be read.
    """
    image, _ = open_picture_of(photo, MIN_PHOTO_SIZE)
    image.thumbnail((MAX_PHOTO_SIDE, MAX_PHOTO_SIDE))
    stream = BytesIO()
    image.save(stream, "JPEG", quality=90, exif=b"", icc_profile=None)
    return stream.getvalue()


_STATE: ProcessState[ReviewController] = ProcessState(
    "no review is open", hint="start the page with maskfit review PHOTOS|RUN"
)
set_controller, get_controller = _STATE.set, _STATE.get
"""Set and return the controller that the page of this process shows."""


def serve(controller: ReviewController, host: str, port: int, on_start: Callable[[], object] = lambda: None) -> None:
    """Serves the page of a review until the process receives SIGINT or SIGTERM.

    Args:
        controller: The review.
        host: The address to listen on.
        port: The TCP port.
        on_start: Called just before the server starts.
    """
    set_controller(controller)
    try:
        run_streamlit(PAGE_SCRIPT, host, port, on_start)
    finally:
        set_controller(None)
