"""Locks of files, and reservations of outputs, which end with the process that has them, however it ends."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
import uuid
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING

from maskfit.errors import DataError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from filelock import BaseFileLock

if sys.platform != "win32":
    import fcntl

_claims: dict[str, int] = {}
"""Open lock files by claimed path."""


def try_lock(descriptor: int) -> bool | None:
    """Locks an open file for this process without waiting; the lock ends when the file is closed.

    Args:
        descriptor: The open file or folder.

    Returns:
        False where another process has the lock, None where files cannot be locked.
    """
    if sys.platform == "win32":
        # Nothing is locked, and so nothing of earlier runs is removed.
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def acquire_lock(
    lock: BaseFileLock, hint: str, on_wait: Callable[[], object] | None = None
) -> AbstractContextManager[object]:
    """Takes a lock file's lock, and tells a lock that another process has from a file system that refuses all locks.

    Args:
        lock: The lock.
        hint: What to do where the file system refuses locks: how to name a folder on another one.
        on_wait: Says what is waited for, before it is waited for another process; None does not wait.

    Returns:
        A context that releases the lock at its end.

    Raises:
        DataError: The file system refuses locks.
        OSError: The lock file cannot be opened.
        Timeout: Another process has it, and `on_wait` is None.
    """
    from filelock import Timeout

    try:
        return lock.acquire(timeout=0)
    except Timeout:
        # Some file systems refuse with the error number that elsewhere means that another process has the lock.
        reason = _refusal(Path(lock.lock_file).parent)
        if not reason and on_wait is None:
            raise
    except OSError as error:
        if error.filename is not None:
            raise
        reason = error.strerror or str(error)
    if reason:
        message = f"files in this folder cannot be locked: {reason}"
        raise DataError(message, location=Path(lock.lock_file).parent, hint=hint) from None
    if on_wait is not None:
        on_wait()
    return lock.acquire()


def _refusal(folder: Path) -> str:
    """Why a folder's file system refuses locks, tried with a file that no other process can have locked; "" if not."""
    from filelock import FileLock, Timeout

    probe = FileLock(folder / f".lock-{uuid.uuid4().hex}")
    try:
        with probe.acquire(timeout=0):
            return ""
    except Timeout:
        return "the file system refuses locks"
    except OSError as error:
        # One that cannot be written at all says nothing about locks.
        return "" if error.filename is not None else error.strerror or str(error)
    finally:
        Path(probe.lock_file).unlink(missing_ok=True)


def is_occupied(folder: Path, *, ignored: Collection[Path] = ()) -> bool:
    """Returns whether an output folder holds something already.

    Args:
        folder: The folder; it need not exist.
        ignored: What does not count in it.

    Returns:
        Whether anything else is in it.

    Raises:
        DataError: It is a file, or would lie in one.
    """
    place = next(item for item in (folder, *folder.absolute().parents) if item.exists())
    if not place.is_dir():
        what = "this is a file" if place is folder else f"{place} is a file"
        raise DataError(f"{what}, where a folder is needed", location=folder, hint="name another folder")
    return place is folder and any(item not in ignored for item in folder.iterdir())


def claim(path: Path) -> None:
    """Reserves an output for this process until `release_claims`, so that of two commands the second is refused.

    The reservation ends with the process in any case. It is known to processes of the same user on this machine.

    Args:
        path: The file or folder.

    Raises:
        DataError: Another process has reserved it.
    """
    target = os.path.realpath(path)
    if target in _claims:
        return
    lock_file = _claim_file(target)
    try:
        lock_file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(lock_file, os.O_CREAT | os.O_RDWR, 0o600)
    except OSError:
        # A reservation is a service, no condition.
        return
    if try_lock(descriptor) is False:
        os.close(descriptor)
        raise DataError(
            "another command is writing this", location=path, hint="wait until it has ended, or choose another output"
        )
    _claims[target] = descriptor


def release_claims() -> None:
    """Ends all reservations of this process."""
    while _claims:
        os.close(_claims.popitem()[1])


def _claim_file(target: str) -> Path:
    user = os.getuid() if hasattr(os, "getuid") else 0
    # In the system's folder for temporary files, not beside the target, where files would remain after a kill.
    return Path(tempfile.gettempdir()) / f"maskfit-{user}" / f"{hashlib.sha1(os.fsencode(target)).hexdigest()}.lock"
