"""Lists image caches and the features beside them, and removes those not used for long, since caches only ever grow.

A cache can be rebuilt from its photos, so a removal costs only time. A cache that a process appends to is not removed;
one that is being read stays readable until its reader ends, where the operating system keeps open files (Windows
refuses the removal instead).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from maskfit.data.image_cache.files import (
    FALLBACKS_FILE,
    FEATURES_FOLDER,
    KEYS_FILE,
    LAST_USED_FILE,
    LOCK_FILE,
    LOCK_SUFFIX,
    METADATA_FILE,
    PIXELS_FILE,
)
from maskfit.errors import DataError
from maskfit.file_locks import acquire_lock
from maskfit.text import parse_json

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
"""Bytes per unit, in upper case."""


@dataclass(frozen=True)
class CacheInfo:
    """One image cache, one file of cached features, or one network (`inference.engines.cached_networks`).

    Attributes:
        path: Its folder, or file.
        photos: Number of photos in it.
        image_size: (height, width) of its images in pixels; None where the metadata cannot be read.
        crop: Name of its crop; "?" where the metadata cannot be read.
        size_bytes: Size on disk.
        last_used: When it was last opened, in seconds since 1970.
        description: What it is, where its path does not say it.
    """

    path: Path
    photos: int
    image_size: tuple[int, int] | None
    crop: str
    size_bytes: int
    last_used: float
    description: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Converts the information for JSON output.

        Returns:
            A mapping of plain values.
        """
        last_used = datetime.fromtimestamp(self.last_used, UTC).isoformat(timespec="seconds")
        return {
            "path": str(self.path),
            "photos": self.photos,
            "size": self.image_size,
            "crop": self.crop,
            "bytes": self.size_bytes,
            "used": last_used,
        } | ({"description": self.description} if self.description else {})


def list_caches(folder: Path) -> list[CacheInfo]:
    """Lists the image caches in a folder, and the files of cached features; other folders in it are ignored.

    Args:
        folder: Parent folder of the caches; it need not exist.

    Returns:
        The caches, the most recently used first.
    """
    if not folder.is_dir():
        return []
    caches = []
    for path in folder.iterdir():
        # Another process may remove one in the meantime.
        with suppress(FileNotFoundError):
            if all((path / name).is_file() for name in (METADATA_FILE, PIXELS_FILE, KEYS_FILE)):
                caches.append(_read_info(path))
    for path in (folder / FEATURES_FOLDER).glob("*.npy"):
        with suppress(OSError, ValueError):
            status, (_, photos, _) = path.stat(), np.load(path, mmap_mode="r").shape
            caches.append(CacheInfo(path, photos, None, "features", status.st_size, status.st_mtime))
    return sorted(caches, key=lambda cache: -cache.last_used)


def least_recently_used(
    caches: Sequence[CacheInfo], *, now: float, days: float | None = None, keep_under: int | None = None
) -> list[CacheInfo]:
    """Selects the caches to remove.

    Args:
        caches: All caches.
        now: Current time in seconds since 1970.
        days: Select caches that were not used for so many days; None for no such limit.
        keep_under: Select further caches until the rest takes at most so many bytes; None for no such limit.

    Returns:
        The selected caches, the least recently used first.
    """
    oldest_first = sorted(caches, key=lambda cache: cache.last_used)
    selected = [cache for cache in oldest_first if days is not None and now - cache.last_used >= days * SECONDS_PER_DAY]
    kept = [cache for cache in oldest_first if cache not in selected]
    while keep_under is not None and sum(cache.size_bytes for cache in kept) > keep_under:
        selected.append(kept.pop(0))
    return selected


def remove_cache(cache: CacheInfo) -> None:
    """Deletes the files of a cache, and its folder if nothing else is in it.

    Args:
        cache: The cache.

    Raises:
        DataError: A process appends to it, its file system refuses locks, or the operating system refuses.
    """
    try:
        if cache.path.is_file():
            cache.path.unlink()
            cache.path.with_suffix(LOCK_SUFFIX).unlink(missing_ok=True)
            return
        lock = FileLock(cache.path / LOCK_FILE)
        with acquire_lock(lock, "stop what uses it, then delete the folder"):
            # Keys first: if the other files cannot be deleted, no row is valid any more.
            for name in (KEYS_FILE, PIXELS_FILE, FALLBACKS_FILE, LAST_USED_FILE, METADATA_FILE):
                (cache.path / name).unlink(missing_ok=True)
            # Deleted while it is held: a waiting process finds it gone and creates a new one; after the release the
            # file could already be another process's lock. Windows keeps open files, and filelock deletes it there.
            with suppress(PermissionError):
                (cache.path / LOCK_FILE).unlink(missing_ok=True)
        # The folder stays if it holds other files or a new cache.
        with suppress(OSError):
            cache.path.rmdir()
    except Timeout:
        raise DataError(
            "a process appends to this image cache", location=cache.path, hint="wait until it is done"
        ) from None
    except OSError as error:
        message = f"the image cache cannot be deleted: {error.strerror or error}"
        raise DataError(message, location=cache.path, hint="stop what reads it, or delete the folder") from None


def parse_size(text: str) -> int:
    """Parses a size such as 10GB, 500 MB or 1.5GiB.

    Args:
        text: A number and a unit of `UNITS`, in upper or lower case; bytes without a unit.

    Returns:
        The size in bytes.

    Raises:
        DataError: The text is not a size.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", text, re.ASCII)
    if found is None or found[2].upper() not in UNITS:
        raise DataError(f"'{text}' is not a size", hint="write it as 10GB, 500MB or 1.5GiB")
    return round(float(found[1]) * UNITS[found[2].upper()])


def _read_info(path: Path) -> CacheInfo:
    try:
        metadata = parse_json((path / METADATA_FILE).read_text(encoding="utf-8"))
        height, width = metadata["size"]
        crop = metadata["crop"]
        size, crop = (int(height), int(width)), str(crop["name"] if isinstance(crop, dict) else crop)
    except (OSError, ValueError, KeyError, TypeError):
        size, crop = None, "?"
    last_used = path / LAST_USED_FILE
    # Caches of older versions have no such file; they were used at least when they were last written.
    time = (last_used if last_used.exists() else path / KEYS_FILE).stat().st_mtime
    photos = (path / KEYS_FILE).read_bytes().count(b"\n")
    return CacheInfo(path, photos, size, crop, sum(_file_sizes(path)), time)


def _file_sizes(path: Path) -> Iterator[int]:
    for file in path.iterdir():
        if file.is_file():
            yield file.stat().st_size
