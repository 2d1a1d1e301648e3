"""The audit log: every key of a review as a line of JSON, appended and on the disk before the page goes on.

The state of a review is what follows from reading the log again, so closing the page, a crash or a cut connection loses
nothing that a key was pressed for. To undo appends a line as well; nothing is ever erased.
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

FORMAT_VERSION = 1


@dataclass
class LogReplay:
    """What a log held.

    Attributes:
        place: The person who was looked at last; "" where nobody was.
        acts: How many decisions stand.
        whole: How many bytes of it are whole lines.
        remarks: What the user should know.
    """

    last_person: str = ""
    num_actions: int = 0
    valid_bytes: int = 0
    warnings: tuple[str, ...] = ()


class AuditLog:
    """A log that is open for writing, by one process at a time.

    Args:
        path: The log; made where it is missing, with its folder.
        review: A review on which nothing is decided yet; what the log holds is done to it.
        root: Where the photos are, for people who read the log.
        now: The time, for tests.

    Raises:
        DataError: Another process has it open, it is no such log, or it is about other photos or labels.
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
            self._lock.acquire(timeout=0)
        except Timeout:
            raise DataError(
                "another review writes this log",
                location=path,
                hint="use the page that is open, close it, or name another log with --log FILE",
            ) from None
        try:
            self.replay = replay_log(path, review)
            # Without a buffer, which would keep what could not be written and write it later.
            self._stream = path.open("ab", buffering=0)
            # Half a line is half an act, which the page never said was saved.
            self._stream.truncate(self.replay.valid_bytes)
            if not self.replay.valid_bytes:
                self._write({"format": FORMAT_VERSION, "photos": root, "count": len(review.photos)})
        except BaseException:
            self._lock.release()
            raise

    def append(self, act: ReviewAction) -> None:
        """Does an act to the review and writes it down; where that fails, nothing is done."""
        self._review.apply(act)
        line: dict[str, Any] = {"do": "mark" if act.verdict else "label", "person": act.person}
        if act.verdict:
            line |= {"photo": act.photo, "verdict": act.verdict}
        else:
            line["labels"] = [list(item) for item in act.labels]
        try:
            self._write({**line, "of": self._review.fingerprint(act.person)})
        except BaseException:
            self._review.undo()
            raise

    def undo(self) -> ReviewAction | None:
        """Takes the last act back and writes that down; None where there is none."""
        if not self._review.actions:
            return None
        self._write({"do": "undo", "person": self._review.actions[-1].person})
        return self._review.undo()

    def record_view(self, person: str) -> None:
        """Notes who is looked at, to resume there."""
        self._write({"do": "look", "person": person})

    def close(self) -> None:
        """Lets other processes have the log."""
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
                f"the log cannot be written: {error.strerror}", location=self.path, hint="make room"
            ) from error


def replay_log(path: Path, review: ReviewState) -> LogReplay:
    """Does to a review what a log says; a missing or empty log says nothing.

    A last line that was cut off, by a crash or a full disk, is left out and said.

    Raises:
        DataError: It is no such log, or it is about other photos or labels.
    """
    if not path.exists():
        return LogReplay()
    if not path.is_file():
        raise DataError("this is no file that a log could be", location=path, hint="name another with --log FILE")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"the log cannot be read: {error.strerror}", location=path, hint="check the path") from None
    whole = content.rfind(b"\n") + 1
    read = LogReplay(valid_bytes=whole)
    if whole < len(content):
        read.warnings = (f"{path}: the last line was cut off, so the last key before that is not in it",)
    misfits: list[str] = []
    for number, text in enumerate(content[:whole].splitlines(), start=1):
        line = _parse(path, number, text)
        if number == 1:
            if line.get("format") != FORMAT_VERSION:
                raise DataError("this is no log of a review", location=path, hint="name another with --log FILE")
            continue
        try:
            _follow(line, review, read)
        except (MaskfitError, KeyError, TypeError, ValueError) as error:
            misfits.append(f"line {number}: {error.message if isinstance(error, MaskfitError) else 'it is not whole'}")
    if misfits:
        raise DataError(
            f"{len(misfits)} lines are not about these photos and their labels:\n{format_list(misfits, shown=5)}",
            location=path,
            hint="name the photos that this review was of, or another log with --log FILE",
        )
    read.num_actions = len(review.actions)
    return read


def _parse(path: Path, number: int, text: bytes) -> dict[str, Any]:
    try:
        line = json.loads(text)
    except ValueError:
        line = None
    if not isinstance(line, dict):
        raise DataError(f"line {number} is no line of a review", location=path, hint="name another with --log FILE")
    return line


def _follow(line: dict[str, Any], review: ReviewState, read: LogReplay) -> None:
    """Does one line; raises whatever comes of a line that does not fit."""
    person = line["person"]
    if person not in review.photos_by_person:
        raise DataError(f"there is no person '{person}'")
    if line["do"] == "look":
        read.last_person = person
    elif line["do"] == "undo":
        act = review.undo()
        if act is None or act.person != person:
            raise DataError("it takes back what was never done")
    elif line["do"] in ("mark", "label"):
        if line["of"] != review.fingerprint(person):
            raise DataError(f"the labels of {person} are other ones now")
        if line["do"] == "mark":
            review.apply(ReviewAction(person, line["photo"], line["verdict"]))
        else:
            review.apply(
                ReviewAction(person, labels=tuple((photo, name, value) for photo, name, value in line["labels"]))
            )
    else:
        raise DataError(f"'{line['do']}' is nothing that a review does")
