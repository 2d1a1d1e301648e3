"""Notes of the attempts at a shard, by which a photo that ends the process that reads it is found and set aside.

A process that is killed, by too little memory or by a fault in a decoder, says nothing; the one that takes up its shard
would be killed by the same photo, without end. So every attempt leaves a line here before it begins, and takes it away
when it ends in any other way. Where two attempts ended abruptly, the next reads one photo at a time and notes each
beforehand: the last photo in the notes is the one that ended it. A process may also be killed for another reason, so a
photo is set aside only where two attempts ended at it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from maskfit.errors import RunError
from maskfit.file_io import writing
from maskfit.text import format_count

CAREFUL_AFTER = 2
"""Attempts that ended abruptly after which photos are read one at a time."""

SET_ASIDE_AFTER = 2
"""Attempts that ended at a photo after which it is set aside."""

MAX_ATTEMPTS = 20
"""Attempts that ended abruptly after which a shard is given up: not a photo, but the machine is the reason."""


@dataclass
class ShardAttempts:
    """The attempts at a shard that ended abruptly.

    Attributes:
        path: File of the notes; missing where no attempt ended abruptly.
        count: How many there were.
        last_photos: How many of them ended at a photo, by its name.
    """

    path: Path
    count: int = 0
    last_photos: Counter[str] = field(default_factory=Counter)

    @classmethod
    def read(cls, path: Path) -> ShardAttempts:
        """Reads the notes.

        Args:
            path: Their file, which may be missing.

        Returns:
            The attempts.
        """
        attempts, photo = cls(path), ""
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
        for line in [*lines, '{"attempt": 0}']:
            try:
                note = json.loads(line)
            except ValueError:
                # Cut off where the machine was: the photo was not read yet.
                continue
            if not isinstance(note, dict):
                continue
            if "attempt" in note:
                attempts.last_photos.update([photo] * bool(photo))
                attempts.count += 1
            photo = str(note.get("photo", ""))
        attempts.count -= 1
        return attempts

    @property
    def is_careful(self) -> bool:
        """Whether photos have to be read one at a time."""
        return self.count >= CAREFUL_AFTER

    def set_aside(self) -> dict[str, str]:
        """Lists the photos that are not to be read again.

        Returns:
            The reason by the photo's name.
        """
        return {
            name: f"reading it ended the process, {format_count(count, 'time')}"
            for name, count in self.last_photos.items()
            if count >= SET_ASIDE_AFTER
        }

    @contextmanager
    def attempt(self) -> Iterator[Callable[[str], None]]:
        """Notes an attempt for as long as it lasts.

        Yields:
            A function that notes which photo is read next.

        Raises:
            RunError: There were `MAX_ATTEMPTS` already.
        """
        if self.count >= MAX_ATTEMPTS:
            raise RunError(
                f"{format_count(self.count, 'process', 'processes')} ended abruptly in this shard, "
                f"at {format_count(len(self.last_photos), 'photo')}",
                location=self.path,
                hint="look whether the machine has enough memory; then delete this file and run again with --resume",
            )
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab", buffering=0) as stream:
            before = stream.tell()

            def note(**content: object) -> None:
                # The first line may follow half a line.
                with writing(self.path):
                    stream.write(b"\n" * ("attempt" in content and before > 0) + json.dumps(content).encode() + b"\n")

            try:
                note(attempt=self.count + 1)
                yield lambda name: note(photo=name)
            except BaseException:
                # An error that is reported, or Ctrl-C: nothing ended abruptly.
                stream.truncate(before)
                if not before:
                    self.path.unlink(missing_ok=True)
                raise
        self.path.unlink(missing_ok=True)
