"""Attempts at a shard that end abruptly are counted, and a photo at which two of them ended is set aside."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from maskfit.errors import RunError
from maskfit.inference.shard_attempts import CAREFUL_AFTER, MAX_ATTEMPTS, ShardAttempts


def die(path: Path, *photos: str) -> None:
    """What is left of an attempt whose process was killed after it had noted these photos."""
    attempt = ShardAttempts.read(path).attempt()
    note = attempt.__enter__()
    for photo in photos:
        note(photo)
    content = path.read_bytes()
    attempt.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)


def fail(path: Path, error: BaseException) -> None:
    """An attempt that ends with an error."""
    with ShardAttempts.read(path).attempt() as note:
        note("a.jpg")
        raise error


def test_only_what_ends_abruptly_leaves_a_note(tmp_path: Path) -> None:
    path = tmp_path / "attempts" / "000000.jsonl"
    with ShardAttempts.read(path).attempt():
        assert path.is_file()
    assert not path.exists()
    with pytest.raises(ValueError, match="reported"):
        fail(path, ValueError("reported"))
    assert not path.exists()
    die(path)
    before = path.read_bytes()
    with pytest.raises(KeyboardInterrupt):
        fail(path, KeyboardInterrupt())
    assert path.read_bytes() == before
    assert ShardAttempts.read(path).count == 1


def test_a_photo_is_set_aside_after_two_attempts_ended_at_it(tmp_path: Path) -> None:
    path = tmp_path / "attempts" / "000000.jsonl"
    for _ in range(CAREFUL_AFTER):
        assert not ShardAttempts.read(path).is_careful
        die(path)
    assert ShardAttempts.read(path).is_careful
    die(path, "a.jpg", "b.jpg")
    # Killed for another reason, at another photo.
    die(path, "a.jpg")
    assert ShardAttempts.read(path).set_aside() == {}
    die(path, "a.jpg", "b.jpg")
    read = ShardAttempts.read(path)
    assert (read.count, dict(read.last_photos)) == (5, {"b.jpg": 2, "a.jpg": 1})
    assert read.set_aside() == {"b.jpg": "reading it ended the process, 2 times"}


def test_half_a_line_is_a_photo_that_was_not_read(tmp_path: Path) -> None:
    path = tmp_path / "000000.jsonl"
    for _ in range(2):
        die(path)
    die(path, "a.jpg", "b.jpg")
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"b.jpg") + 2])
    assert ShardAttempts.read(path).last_photos == {"a.jpg": 1}
    die(path, "a.jpg")
    assert ShardAttempts.read(path).last_photos == {"a.jpg": 2}
    for damage in (b"[]", b"null", b"{", b"\xff", b"{}"):
        path.write_bytes(content + damage + b"\n")
        assert ShardAttempts.read(path).count == 3


def test_a_shard_that_kills_without_end_is_given_up(tmp_path: Path) -> None:
    path = tmp_path / "000000.jsonl"
    path.write_text("".join(json.dumps({"attempt": number}) + "\n" for number in range(1, MAX_ATTEMPTS + 1)))
    with pytest.raises(RunError, match="20 processes ended abruptly in this shard") as caught:
        ShardAttempts.read(path).attempt().__enter__()
    assert "--resume" in caught.value.hint
