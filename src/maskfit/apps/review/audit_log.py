"""Audit log of a label review: every action is one line of JSON, written to disk before the page continues.

Replaying the log restores the state of the review, so closing the page, a crash or a lost connection loses no decision.
Undo appends a line too; nothing is ever erased.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from maskfit.apps.review.state import ReviewAction, ReviewState
from maskfit.errors import DataError, MaskfitError, format_list
from maskfit.file_locks import acquire_lock
from maskfit.text import format_count, parse_json

FORMAT_VERSION = 1
"""Version in the first line of every log."""


@dataclass
class LogReplay:
    """Result of replaying a log.

    Attributes:
        last_person: The person who was shown last; "" where nobody was.
        num_actions: How many actions are in effect, undone ones not counted.
        valid_bytes: Length of the complete lines of the file.
        warnings: Messages for the user.
    """

    last_person: str = ""
    num_actions: int = 0
    valid_bytes: int = 0
    warnings: tuple[str, ...] = ()


class AuditLog:
    """Audit log that is open for writing by one process at a time.

    Args:
        path: The log file; created with its folder where it does not exist.
        review: A review without actions; the actions of the log are applied to it.
        root: The location of the photos, recorded in the first line for people who read the log.
        now: Returns the current time; replaced in tests.

    Attributes:
        path: The log file.
        replay: What the file contained.

    Raises:
        DataError: Another process has the log open, the file is not a log, or it is about other photos or labels.
    """

    def __init__(
        self, path: Path, review: ReviewState, root: str, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self.path = path
        self._review = review
        self._now = now
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(path.with_name(f".{path.name}.lock"))
        try:
            acquire_lock(self._lock, "name a log on a local disk with --log FILE")
        except Timeout:
            raise DataError(
                "another review is writing this log",
                location=path,
                hint="use the page that is open, close it, or name another log with --log FILE",
            ) from None
        try:
            self.replay = replay_log(path, review)
            # Unbuffered: a buffer would keep a line that could not be written and write it later.
            self._stream = path.open("ab", buffering=0)
            # An incomplete last line is an action that the page never reported as saved.
            self._stream.truncate(self.replay.valid_bytes)
            if not self.replay.valid_bytes:
                self._write({"format": FORMAT_VERSION, "photos": root, "count": len(review.photos)})
        except BaseException:
            self._lock.release()
            raise

    def append(self, action: ReviewAction) -> None:
        """Applies an action to the review and appends it to the log; where either fails, neither is done.

        Args:
            action: A verdict or new labels.

        Raises:
            DataError: The action is invalid, or the log cannot be written.
            LabelError: An attribute or value does not exist.
        """
        self._review.apply(action)
        line: dict[str, Any] = {"do": "mark" if action.verdict else "label", "person": action.person}
        if action.verdict:
            line |= {"photo": action.photo, "verdict": action.verdict}
        else:
            line["labels"] = [list(item) for item in action.labels]
        try:
            self._write({**line, "of": self._review.fingerprint(action.person)})
        except BaseException:
            self._review.undo()
            raise

    def undo(self) -> ReviewAction | None:
        """Undoes the last action and appends that to the log.

        Returns:
            The action that was undone; None where there is none.

        Raises:
            DataError: The log cannot be written.
        """
        if not self._review.actions:
            return None
        self._write({"do": "undo", "person": self._review.actions[-1].person})
        return self._review.undo()

    def record_view(self, person: str) -> None:
        """Appends which person is shown, so that the review resumes there.

        Args:
            person: The person.

        Raises:
            DataError: The log cannot be written.
        """
        self._write({"do": "look", "person": person})

    def close(self) -> None:
        """Closes the file and releases its lock."""
        self._stream.close()
        self._lock.release()

    def _write(self, line: dict[str, Any]) -> None:
        stamped = {"at": self._now().isoformat(timespec="milliseconds"), **line}
        text = json.dumps(stamped).encode() + b"\n"
        before = self._stream.seek(0, os.SEEK_END)
        try:
            if self._stream.write(text) != len(text):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._stream.fileno())
        except OSError as error:
            self._stream.truncate(before)
            raise DataError(
                f"the log cannot be written: {error.strerror}; {len(text):,} bytes are needed",
                location=self.path,
                hint="make room and answer again; earlier answers are saved",
            ) from error


def replay_log(path: Path, review: ReviewState) -> LogReplay:
    """Applies the actions of a log to a review.

    An incomplete last line, as a crash or a full disk leaves it, is ignored with a warning.

    Args:
        path: The log file; a missing or empty file has no actions.
        review: A review without actions.

    Returns:
        What the log contained.

    Raises:
        DataError: The file is not a log, or it is about other photos or labels.
    """
    if not path.exists():
        return LogReplay()
    if not path.is_file():
        raise DataError("the log is not a regular file", location=path, hint="name another with --log FILE")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"the log cannot be read: {error.strerror}", location=path, hint="check the path") from None
    valid_bytes = content.rfind(b"\n") + 1
    replay = LogReplay(valid_bytes=valid_bytes)
    if valid_bytes < len(content):
        replay.warnings = (f"{path}: the last line is incomplete and was ignored; its decision was not saved",)
    mismatches: list[str] = []
    for number, text in enumerate(content[:valid_bytes].splitlines(), start=1):
        line = _parse(path, number, text)
        if number == 1:
            if line.get("format") != FORMAT_VERSION:
                raise DataError("this is not a review log", location=path, hint="name another with --log FILE")
            continue
        try:
            _replay_line(line, review, replay)
        except (MaskfitError, KeyError, TypeError, ValueError) as error:
            reason = error.message if isinstance(error, MaskfitError) else "it is malformed"
            mismatches.append(f"line {number}: {reason}")
    if mismatches:
        raise DataError(
            f"{format_count(len(mismatches), 'line does', 'lines do')} not match these photos "
            f"and their labels:\n{format_list(mismatches, shown=5)}",
            location=path,
            hint="name the photos that this review was about, or another log with --log FILE",
        )
    replay.num_actions = len(review.actions)
    return replay


def _parse(path: Path, number: int, text: bytes) -> dict[str, Any]:
    try:
        line = parse_json(text)
    except ValueError:
        line = None
    if not isinstance(line, dict):
        raise DataError(
            f"line {number} is not a line of a review log", location=path, hint="name another with --log FILE"
        )
    return line


def _replay_line(line: dict[str, Any], review: ReviewState, replay: LogReplay) -> None:
    """Applies one line.

    Raises:
        MaskfitError: The line does not match the photos.
        KeyError, TypeError, ValueError: The line is malformed.
    """
    person = line["person"]
    if person not in review.photos_by_person:
        raise DataError(f"there is no person '{person}'")
    if line["do"] == "look":
        replay.last_person = person
    elif line["do"] == "undo":
        action = review.undo()
        if action is None or action.person != person:
            raise DataError("it undoes an action that is not in the log")
    elif line["do"] in ("mark", "label"):
        if line["of"] != review.fingerprint(person):
            raise DataError(f"the labels of {person} have changed since")
        if line["do"] == "mark":
            review.apply(ReviewAction(person, line["photo"], line["verdict"]))
        else:
            labels = tuple((photo, attribute, value) for photo, attribute, value in line["labels"])
            review.apply(ReviewAction(person, labels=labels))
    else:
        raise DataError(f"'{line['do']}' is not an action of a review")
