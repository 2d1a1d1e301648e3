"""The stores that there are, and which to take away so that they stay below a size: they only ever grow by themselves.

A store can be built again from its photos, so nothing is lost but the time. One that a process appends to is not
touched; one that is read meanwhile stays readable until its reader ends, where the system keeps open files (Windows
refuses instead).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from maskfit.data.image_cache.files import METADATA_FILE, PIXELS_FILE, FALLBACKS_FILE, KEYS_FILE, LOCK_FILE, LAST_USED_FILE
from maskfit.errors import DataError

SECONDS_PER_DAY = 86_400
UNITS = {
    "": 1,
    "B": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KIB": 2**10,
    "MIB": 2**20,
    "GIB": 2**30,
    "TIB": 2**40,
}


@dataclass(frozen=True)
class CacheInfo:
    """One store.

    Attributes:
        path: Its folder.
        photos: Rows that it holds.
        size: (height, width) of a frame; None where that cannot be read.
        crop: How photos are cut.
        bytes: What it takes on disk.
        used: When it was last opened, in seconds since 1970.
    """

    path: Path
    photos: int
    image_size: tuple[int, int] | None
    crop: str
    size_bytes: int
    last_used: float

    def to_dict(self) -> dict[str, Any]:
        """The same for JSON."""
        used = datetime.fromtimestamp(self.last_used, UTC).isoformat(timespec="seconds")
        return {
            "path": str(self.path),
            "photos": self.photos,
            "size": self.image_size,
            "crop": self.crop,
            "bytes": self.size_bytes,
            "used": used,
        }


def list_caches(folder: Path) -> list[CacheInfo]:
    """Every store in a folder, the one that was used last first; other folders beside them are passed over."""
    if not folder.is_dir():
        return []
    found = []
    for path in folder.iterdir():
        # One may be removed by another process meanwhile.
        with suppress(FileNotFoundError):
            if all((path / name).is_file() for name in (METADATA_FILE, PIXELS_FILE, KEYS_FILE)):
                found.append(_read(path))
    return sorted(found, key=lambda store: -store.last_used)


def least_recently_used(
    stores: Sequence[CacheInfo], *, now: float, days: float | None = None, keep_under: int | None = None
) -> list[CacheInfo]:
    """Which stores to take away, the one that was used longest ago first.

    Args:
        stores: All there are.
        now: Seconds since 1970.
        days: Those that nothing used for so many days.
        keep_under: Bytes; then so many more that the rest takes no more.
    """
    oldest = sorted(stores, key=lambda store: store.last_used)
    chosen = [store for store in oldest if days is not None and now - store.last_used >= days * SECONDS_PER_DAY]
    kept = [store for store in oldest if store not in chosen]
    while keep_under is not None and sum(store.size_bytes for store in kept) > keep_under:
        chosen.append(kept.pop(0))
    return chosen


def remove_cache(store: CacheInfo) -> None:
    """Deletes the files of a store, and its folder if nothing else is in it.

    Raises:
        DataError: A process appends to it, or the system refuses.
    """
    lock = FileLock(store.path / LOCK_FILE)
    try:
        with lock.acquire(timeout=0):
            # Keys first: should the rest be refused, no row counts any more.
            for name in (KEYS_FILE, PIXELS_FILE, FALLBACKS_FILE, LAST_USED_FILE, METADATA_FILE):
                (store.path / name).unlink(missing_ok=True)
            # While it is held: who waits for it finds it gone and takes a new one, where a moment later it could be
            # somebody's. Windows keeps files that are open, and filelock deletes it there at the end.
            with suppress(PermissionError):
                (store.path / LOCK_FILE).unlink(missing_ok=True)
        # Others' files stay, and so does a store that was begun anew meanwhile.
        with suppress(OSError):
            store.path.rmdir()
    except Timeout:
        raise DataError("a process appends to this store", location=store.path, hint="wait until it is done") from None
    except OSError as error:
        what = f"this store cannot be deleted: {error.strerror or error}"
        raise DataError(what, location=store.path, hint="stop what reads it, or delete the folder") from None


def parse_size(word: str) -> int:
    """Bytes from words such as 10GB, 500 MB, 1.5GiB.

    Raises:
        DataError: It is no size.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", word, re.ASCII)
    if found is None or found[2].upper() not in UNITS:
        raise DataError(f"'{word}' is no size", hint="write it as 10GB, 500MB or 1.5GiB")
    return round(float(found[1]) * UNITS[found[2].upper()])


def _read(path: Path) -> CacheInfo:
    try:
        facts = json.loads((path / METADATA_FILE).read_text(encoding="utf-8"))
        height, width = facts["size"]
        crop = facts["crop"]
        size, crop = (int(height), int(width)), str(crop["name"] if isinstance(crop, dict) else crop)
    except (OSError, ValueError, KeyError, TypeError):
        size, crop = None, "?"
    used = path / LAST_USED_FILE
    # Stores from before this was noted were used when they were last written, at least.
    time = (used if used.exists() else path / KEYS_FILE).stat().st_mtime
    photos = (path / KEYS_FILE).read_bytes().count(b"\n")
    return CacheInfo(path, photos, size, crop, sum(_sizes(path)), time)


def _sizes(path: Path) -> Iterator[int]:
    for file in path.iterdir():
        if file.is_file():
            yield file.stat().st_size
