"""A review in use: what is decided, the log of it, the order to walk in, and the photos as the page shows them.

One desk serves every window of the page, one act at a time, so that two people at one desk see the same state.
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
from maskfit.data.image_decoding import open_downscaled
from maskfit.data.label_corrections import Correction
from maskfit.data.photo_dataset import Photo
from maskfit.errors import DataError
from maskfit.evaluation.label_issues import LabelIssue

Filter = Literal["suspects", "all", "open", "wrong", "unsure", "mended"]
FILTERS: tuple[Filter, ...] = get_args(Filter)

MIN_PHOTO_SIZE = (600, 800)
"""Width and height that a photo has at least when the page gets it, where the file has them."""

MAX_PHOTO_SIDE = 1200
"""The longer side that a photo has at most when the page gets it."""


MIN_VIEW_SECONDS = 0.25
"""Seconds; less is a key that was pressed twice, and its second verdict would be about photos that nobody saw."""


class ReviewController:
    """One review that is open.

    Args:
        material: What is reviewed.
        log: The audit log; what it holds is done first.
        out: Where corrections are written to.
        force: Whether an `out` that is there from before may be replaced unasked.
        haste: Seconds that a person must have been looked at before a verdict counts.

    Raises:
        DataError: The log is in use or does not fit.
    """

    def __init__(
        self, material: ReviewData, log: Path, out: Path, *, force: bool = False, haste: float = MIN_VIEW_SECONDS
    ) -> None:
        self.review: ReviewState = material.review
        self.predictions = material.predictions
        self.label_issues: Sequence[LabelIssue] = material.label_issues
        self.issues_by_person: dict[str, list[LabelIssue]] = {}
        for item in material.label_issues:
            self.issues_by_person.setdefault(item.person, []).append(item)
        self.persons = list(dict.fromkeys([*self.issues_by_person, *self.review.photos_by_person]))
        self.person_index = {person: place for place, person in enumerate(self.persons)}
        self.corrections_path = out
        self.min_view_seconds = haste
        self.access_token = generate_access_token()
        self._may_replace = force
        self._lock = threading.RLock()
        self._journal = AuditLog(log, self.review, material.root)
        self.warnings = [*material.warnings, *self._journal.replay.warnings]
        self.num_resumed_actions = self._journal.replay.num_actions
        self._last = self._journal.replay.last_person
        self.photo_jpeg = lru_cache(maxsize=512)(_picture)

    @property
    def log_path(self) -> Path:
        """The audit log."""
        return self._journal.path

    def first_person(self, filter_: Filter) -> str:
        """Where to begin: at the person who was looked at last, else at the first one who is open."""
        if self._last:
            return self._last
        walk = [person for person in self.persons if self.matches_filter(person, filter_)]
        opened = (person for person in walk if self.review.status(person) == "open")
        return next(opened, walk[0] if walk else self.persons[0])

    def matches_filter(self, person: str, filter_: Filter) -> bool:
        """Whether a filter lets a person through."""
        if filter_ == "all":
            return True
        if filter_ == "suspects":
            return person in self.issues_by_person
        return self.review.status(person) == filter_

    def next_person(self, person: str, filter_: Filter, step: int) -> str | None:
        """The next person in the order whom the filter lets through (`step` 1), or the one before (-1)."""
        place = self.person_index[person] + step
        while 0 <= place < len(self.persons):
            if self.matches_filter(self.persons[place], filter_):
                return self.persons[place]
            place += step
        return None

    def filter_counts(self) -> dict[Filter, int]:
        """How many each filter lets through."""
        counts = self.review.status_counts()
        return {
            "suspects": len(self.issues_by_person),
            "all": len(self.persons),
            "open": counts["open"],
            "wrong": counts["wrong"],
            "unsure": counts["unsure"],
            "mended": counts["mended"],
        }

    def filtered_persons(self, filter_: Filter) -> list[str]:
        """Everybody whom the filter lets through, in order."""
        return [person for person in self.persons if self.matches_filter(person, filter_)]

    def apply(self, act: ReviewAction) -> None:
        """Decides something and saves it."""
        with self._lock:
            self._journal.append(act)

    def undo(self) -> ReviewAction | None:
        """Takes back whatever was decided last, in whichever window."""
        with self._lock:
            return self._journal.undo()

    def record_view(self, person: str) -> None:
        """Notes who is looked at."""
        with self._lock:
            if person != self._last:
                self._journal.record_view(person)
                self._last = person

    def suggested_action(self, person: str) -> ReviewAction | None:
        """What models propose for a person, as one decision; None where that is nothing.

        Of several suspicions, those count that are more likely right than not; where none is, the likeliest.
        """
        found = [
            item
            for item in self.issues_by_person.get(person, ())
            if item.photos or item.attribute in self.review.person_level_attributes
        ]
        labels: list[tuple[str, str, str]] = []
        for item in [item for item in found if item.score >= LIKELY_ISSUE_SCORE] or found[:1]:
            if item.photos:
                labels += (
                    (photo, item.attribute, value) for photo, value in zip(item.photos, item.proposed, strict=True)
                )
            else:
                labels.append(("", item.attribute, ", ".join(item.proposed)))
        return ReviewAction(person, labels=tuple(labels)) if labels else None

    @property
    def needs_overwrite_confirmation(self) -> bool:
        """Whether writing corrections would replace a file that this review did not write."""
        return self.corrections_path.exists() and not self._may_replace

    def export_corrections(self) -> list[Correction]:
        """Writes the corrections; from then on the file is this review's own.

        Raises:
            DataError: Photos have no name of their own, or the file cannot be written.
        """
        with self._lock:
            try:
                rows = export_corrections(self.corrections_path, self.review, self.label_issues)
            except OSError as error:
                raise DataError(f"this cannot be written: {error.strerror}", location=self.corrections_path) from error
            self._may_replace = True
            return rows

    def close(self) -> None:
        """Lets other processes have the log."""
        self._journal.close()


def _picture(photo: Photo) -> bytes:
    """A photo as the page gets it: decoded as maskfit decodes, made small, and a JPEG that holds nothing but pixels.

    Raises:
        PhotoError: It cannot be read.
    """
    image, _ = open_downscaled(photo.path, MIN_PHOTO_SIZE, name=photo.name)
    image.thumbnail((MAX_PHOTO_SIDE, MAX_PHOTO_SIDE))
    stream = BytesIO()
    image.save(stream, "JPEG", quality=90, exif=b"", icc_profile=None)
    return stream.getvalue()


_SEAT: ProcessState[ReviewController] = ProcessState(
    "no review is open", fix="start the page with maskfit review PHOTOS|RUN"
)
set_controller, get_controller = _SEAT.set, _SEAT.get
"""Say which desk the page of this process serves, and ask for it."""


PAGE_SCRIPT = Path(__file__).with_name("streamlit_page.py")


def serve(desk: ReviewController, host: str, port: int, opened: Callable[[], object] = lambda: None) -> None:
    """Serves a desk's page; see `serving.serve_page`."""
    set_controller(desk)
    try:
        run_streamlit(PAGE_SCRIPT, host, port, opened)
    finally:
        set_controller(None)
