"""Files of one image cache: `frames.bin` holds pixels row after row, `keys.txt` one line per row.

Rows are only appended, pixels before keys, so a cache that was interrupted while it grew is complete up to its last
key, and readers never see a row change.

Creating, appending to and removing these files requires the cache's file lock. Readers take no lock: they open the
pixels before they read the keys, and check afterwards that the keys belong to the same pixels file. The files that they
have open stay valid, even if the cache is removed and rebuilt in another order.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from maskfit.data.photo_dataset import Photo
from maskfit.data.preprocessing import CropResize, ImageBatch
from maskfit.errors import DataError
from maskfit.file_io import free_bytes, is_disk_full, write_text
from maskfit.file_locks import acquire_lock

KEYS_FILE, PIXELS_FILE, METADATA_FILE, LOCK_FILE, LAST_USED_FILE = (
    "keys.txt",
    "frames.bin",
    "framing.json",
    "lock",
    "used",
)
"""Files of a cache; the modification time of the last one is when the cache was last opened."""

FALLBACKS_FILE = "guessed.txt"
"""Photos on which the crop found nothing: key and path per line."""

FEATURES_FOLDER = "features"
"""Folder beside the caches: backbone features, (copies, photos, features), in files named by what they depend on."""

LOCK_SUFFIX = ".lock"
"""Suffix of the lock file beside a file of features, in place of the latter's."""

Log = Callable[[str], None]


class ImageCacheFiles:
    """The rows of one image cache; read without a lock, appended to after `lock`.

    Args:
        folder: The cache's folder; it need not exist.
        crop_resize: Cropping and resizing of its images.
        log: Called with one line when another process holds the lock.

    Attributes:
        folder: The cache's folder.
        crop_resize: Cropping and resizing of its images.
        row_of_key: The row of each photo, by the hash of the photo's bytes, followed by its box where it has one.
    """

    def __init__(self, folder: Path, crop_resize: CropResize, log: Log | None = None) -> None:
        self.folder, self.crop_resize = folder, crop_resize
        self._log = log
        self._open_files = ExitStack()
        self._pixels_writer: BinaryIO | None = None
        self._keys_writer: BinaryIO | None = None
        self.row_of_key: dict[str, int] = self._read()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._open_files.close()

    @property
    def is_locked(self) -> bool:
        """Whether this object holds the lock."""
        return self._keys_writer is not None

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        height, width = self.crop_resize.size
        return height * width * 3

    def lock(self) -> None:
        """Takes the lock until the object is closed, creates missing files, and reads rows that others added.

        Raises:
            DataError: The file system refuses locks.
        """
        self._acquire()
        self._create()
        self.row_of_key = self._read()
        # What an interrupted writer left after the last complete row is overwritten.
        self._pixels_writer = self._open(PIXELS_FILE, len(self.row_of_key) * self.row_bytes)
        self._keys_writer = self._open(KEYS_FILE, sum(len(key) + 1 for key in self.row_of_key))

    def append(self, images: Mapping[str, NDArray[np.uint8]], fallbacks: Sequence[tuple[str, Photo]]) -> None:
        """Appends rows; requires `lock`.

        Args:
            images: The cropped and resized photo of each key.
            fallbacks: Key and photo of those on which the crop found nothing.

        Raises:
            DataError: The disk is full.
        """
        assert self._pixels_writer is not None and self._keys_writer is not None, "call lock() first"  # noqa: PT018
        try:
            # Fallbacks first: an existing row must not lack its entry, while an entry without a row is harmless.
            _append_fallbacks(self.folder / FALLBACKS_FILE, fallbacks)
            self._pixels_writer.write(b"".join(image.tobytes() for image in images.values()))
            self._pixels_writer.flush()
            self._keys_writer.write("".join(f"{key}\n" for key in images).encode("ascii"))
            self._keys_writer.flush()
        except OSError as error:
            if not is_disk_full(error):
                raise
            needed, free = sum(image.nbytes for image in images.values()), free_bytes(self.folder)
            message = f"the disk is full: the next {len(images):,} photos need {needed:,} bytes, {free or 0:,} are free"
            raise disk_full_error(self.folder, message) from None
        self.row_of_key |= {key: len(self.row_of_key) + index for index, key in enumerate(images)}

    def memory_map(self) -> ImageBatch:
        """Maps the pixels into memory; the map stays valid if the cache is removed.

        Returns:
            Pixels of shape (rows, height, width, 3), read-only.
        """
        if not self.row_of_key:
            return np.empty((0, *self.crop_resize.size, 3), dtype=np.uint8)
        assert self._pixels is not None, "known rows have a pixels file"
        return np.memmap(
            self._pixels, dtype=np.uint8, mode="r", shape=(len(self.row_of_key), *self.crop_resize.size, 3)
        )

    def fallback_keys(self) -> set[str]:
        """Reads the keys of the photos on which the crop found nothing.

        Returns:
            The keys; may contain keys without a row.
        """
        try:
            text = (self.folder / FALLBACKS_FILE).read_text(encoding="ascii", errors="replace")
        except FileNotFoundError:
            return set()
        return {line.partition(" ")[0] for line in text.split("\n")}

    def touch(self) -> None:
        """Records that the cache was used now, if it is writable."""
        with suppress(OSError):
            if (self.folder / KEYS_FILE).exists():
                (self.folder / LAST_USED_FILE).touch()

    def _acquire(self) -> None:
        lock = FileLock(self.folder / LOCK_FILE)
        is_said = False

        def say_once() -> None:
            nonlocal is_said
            if self._log and not is_said:
                self._log(f"another process is filling the image cache {self.folder}; waiting until it is done")
            is_said = True

        while not lock.is_locked:
            # Removing a cache removes its folder too, possibly while this process waits for the lock.
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
            except FileExistsError:
                # Removed in the meantime: try again. A file in its place is an error.
                if self.folder.exists() and not self.folder.is_dir():
                    raise
                continue
            except OSError as error:
                if is_disk_full(error):
                    raise
                # Such as a home that is mounted read-only: the folder is often nobody's choice.
                raise DataError(
                    f"the image cache cannot be created: {error.strerror}",
                    location=self.folder,
                    hint="choose another folder with data.cache_dir=DIR",
                ) from None
            try:
                acquire_lock(lock, "choose a cache folder on a local disk with data.cache_dir=DIR", say_once)
            except (FileNotFoundError, FileExistsError):
                # Removed between the two lines above, or while filelock made it once more.
                continue
        self._open_files.callback(lock.release)

    def _create(self) -> None:
        """Creates the files of a new cache or of one whose removal was interrupted; keys last, since they go first."""
        if not (self.folder / KEYS_FILE).exists():
            # Unlinked, not truncated: readers that have these pixels open keep them.
            (self.folder / PIXELS_FILE).unlink(missing_ok=True)
            write_text(self.folder / METADATA_FILE, self.crop_resize.model_dump_json(indent=2) + "\n")
            (self.folder / PIXELS_FILE).touch()
            (self.folder / KEYS_FILE).touch()
        elif not (self.folder / PIXELS_FILE).exists():
            (self.folder / PIXELS_FILE).touch()

    def _read(self) -> dict[str, int]:
        """Returns the row of each key whose row is complete, and opens the pixels file of these rows."""
        while True:
            self._pixels: BinaryIO | None = None
            try:
                pixels = self._open_files.enter_context((self.folder / PIXELS_FILE).open("rb"))
                # Keys before the file size: another process may append, and a key must not count before its pixels.
                lines = (self.folder / KEYS_FILE).read_text(encoding="ascii", errors="replace").split("\n")[:-1]
                current = (self.folder / PIXELS_FILE).stat()
            except FileNotFoundError:
                return {}
            opened = os.fstat(pixels.fileno())
            if os.path.samestat(opened, current):
                self._pixels = pixels
                return {key: row for row, key in enumerate(lines[: opened.st_size // self.row_bytes])}

    def _open(self, name: str, length: int) -> BinaryIO:
        stream = self._open_files.enter_context((self.folder / name).open("r+b"))
        stream.seek(length)
        stream.truncate()
        return stream


def disk_full_error(folder: Path, message: str) -> DataError:
    """Builds the error for a full disk.

    Args:
        folder: The cache's folder.
        message: What is wrong.

    Returns:
        The error, not raised.
    """
    return DataError(
        message,
        location=folder,
        hint="make room and run the command again, which continues; maskfit data cache lists what can be removed, "
        "data.cache_dir=DIR uses another disk",
    )


def _append_fallbacks(path: Path, fallbacks: Sequence[tuple[str, Photo]]) -> None:
    if not fallbacks:
        return
    # Names are escaped to one line each, and an incomplete last line is ended first so that it cannot join the next.
    lines = "".join(f"{key} {str(photo.path).encode('unicode_escape').decode('ascii')}\n" for key, photo in fallbacks)
    incomplete = path.exists() and not path.read_bytes().endswith(b"\n")
    with path.open("a", encoding="ascii") as stream:
        stream.write("\n" * incomplete + lines)
