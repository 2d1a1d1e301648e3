"""The files of one store: `frames.bin` holds pixels row after row, `keys.txt` one line for each row.

Rows are only ever appended, pixels before keys, so a store that was cut off while it grew is whole up to its last key,
and readers never see a row change.

Whoever makes, appends to or removes these files holds the store's lock. Readers hold nothing: they open the pixels
before they read the keys, and look afterwards whether those are still the store's pixels. What they have open stays as
it is, also when the store is removed and built again in another order.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from maskfit.data.photo_dataset import Photo
from maskfit.data.preprocessing import CropResize, ImageBatch
from maskfit.errors import DataError
from maskfit.file_io import write_text

KEYS_FILE, PIXELS_FILE, METADATA_FILE, LOCK_FILE, LAST_USED_FILE = "keys.txt", "frames.bin", "framing.json", "lock", "used"
"""The files of a store; the last one's time is when it was last opened."""

FALLBACKS_FILE = "guessed.txt"
"""Photos on which the crop found nothing: key and path."""

Log = Callable[[str], None]


class ImageCacheFiles:
    """The rows of a store, read without waiting for anybody; held alone from `hold` on.

    Attributes:
        store: The store's folder.
        framing: How its photos are cut and shrunk.
        known: The row of each key.
    """

    def __init__(self, store: Path, framing: CropResize, say: Log | None = None) -> None:
        self.folder, self.crop_resize = store, framing
        self._say = say
        self._open_files = ExitStack()
        self._frames: BinaryIO | None = None
        self._keys: BinaryIO | None = None
        self.row_of_key: dict[str, int] = self._read()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._open_files.close()

    @property
    def is_locked(self) -> bool:
        """Whether nobody else can append or remove."""
        return self._keys is not None

    @property
    def row_bytes(self) -> int:
        """What a row takes."""
        height, width = self.crop_resize.size
        return height * width * 3

    def lock(self) -> None:
        """Keeps others from appending and removing, from now on, and reads anew what they did before."""
        self._lock()
        self._make()
        self.row_of_key = self._read()
        # What an interrupted writer left behind the last whole row is written over.
        self._frames = self._open(PIXELS_FILE, len(self.row_of_key) * self.row_bytes)
        self._keys = self._open(KEYS_FILE, sum(len(key) + 1 for key in self.row_of_key))

    def append(self, frames: Mapping[str, NDArray[np.uint8]], guessed: Sequence[tuple[str, Photo]]) -> None:
        """Writes rows.

        Args:
            frames: A framed photo for each key.
            guessed: Key and photo of those on which the crop found nothing.

        Raises:
            DataError: The disk is full.
        """
        assert self._frames is not None and self._keys is not None, "hold() comes first"  # noqa: PT018
        try:
            # First the guesses: none may be missing of a row that is there, and one too many does no harm.
            _write_guesses(self.folder / FALLBACKS_FILE, guessed)
            self._frames.write(b"".join(frame.tobytes() for frame in frames.values()))
            self._frames.flush()
            self._keys.write("".join(f"{key}\n" for key in frames).encode("ascii"))
            self._keys.flush()
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise disk_full_error(self.folder, "the disk is full") from None
        self.row_of_key |= {key: len(self.row_of_key) + place for place, key in enumerate(frames)}

    def memory_map(self) -> ImageBatch:
        """The pixels, (rows, height, width, 3), behind a memory map that stays whatever becomes of the store."""
        if not self.row_of_key:
            return np.empty((0, *self.crop_resize.size, 3), dtype=np.uint8)
        assert self._pixels is not None, "rows that are known lie in a file"
        return np.memmap(self._pixels, dtype=np.uint8, mode="r", shape=(len(self.row_of_key), *self.crop_resize.size, 3))

    def fallback_keys(self) -> set[str]:
        """Keys of the photos on which the crop found nothing."""
        try:
            text = (self.folder / FALLBACKS_FILE).read_text(encoding="ascii", errors="replace")
        except FileNotFoundError:
            return set()
        return {line.partition(" ")[0] for line in text.split("\n")}

    def touch(self) -> None:
        """Writes down that the store was opened now, where it can be written to."""
        with suppress(OSError):
            if (self.folder / KEYS_FILE).exists():
                (self.folder / LAST_USED_FILE).touch()

    def _lock(self) -> None:
        lock = FileLock(self.folder / LOCK_FILE)
        wait = 0.0
        while not lock.is_locked:
            # The folder goes with a store that is removed, also while this one waits for that to end.
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
            except FileExistsError:
                # It was there and is gone again; what is no folder stays in the way.
                if self.folder.exists() and not self.folder.is_dir():
                    raise
                continue
            try:
                lock.acquire(timeout=wait)
            except Timeout:
                wait = -1
                if self._say:
                    self._say(f"another process fills the store {self.folder}; waiting until it is done")
            except FileNotFoundError:
                continue
        self._open_files.callback(lock.release)

    def _make(self) -> None:
        """Makes the files of a new store, or of one whose removal was cut off; keys come last, as they go first."""
        if not (self.folder / KEYS_FILE).exists():
            # Not emptied: who has these pixels open keeps them.
            (self.folder / PIXELS_FILE).unlink(missing_ok=True)
            write_text(self.folder / METADATA_FILE, self.crop_resize.model_dump_json(indent=2) + "\n")
            (self.folder / PIXELS_FILE).touch()
            (self.folder / KEYS_FILE).touch()
        elif not (self.folder / PIXELS_FILE).exists():
            (self.folder / PIXELS_FILE).touch()

    def _read(self) -> dict[str, int]:
        """Key to row for every row that is there whole; opens the pixels that these rows are of."""
        while True:
            self._pixels: BinaryIO | None = None
            try:
                pixels = self._open_files.enter_context((self.folder / PIXELS_FILE).open("rb"))
                # Keys first: another may append meanwhile, and no key counts before its pixels.
                lines = (self.folder / KEYS_FILE).read_text(encoding="ascii", errors="replace").split("\n")[:-1]
                now = (self.folder / PIXELS_FILE).stat()
            except FileNotFoundError:
                return {}
            opened = os.fstat(pixels.fileno())
            if os.path.samestat(opened, now):
                self._pixels = pixels
                return {key: row for row, key in enumerate(lines[: opened.st_size // self.row_bytes])}

    def _open(self, name: str, length: int) -> BinaryIO:
        stream = self._open_files.enter_context((self.folder / name).open("r+b"))
        stream.seek(length)
        stream.truncate()
        return stream


def disk_full_error(store: Path, what: str) -> DataError:
    """Says that a store has no room."""
    return DataError(
        what,
        location=store,
        hint="maskfit data cache lists what can be removed; data.cache_dir=DIR takes another disk",
    )


def _write_guesses(path: Path, items: Sequence[tuple[str, Photo]]) -> None:
    if not items:
        return
    # A line for each, whatever is in a name: a line that an interruption cut off must not swallow the next.
    lines = "".join(f"{key} {str(photo.path).encode('unicode_escape').decode('ascii')}\n" for key, photo in items)
    torn = path.exists() and not path.read_bytes().endswith(b"\n")
    with path.open("a", encoding="ascii") as stream:
        stream.write("\n" * torn + lines)
