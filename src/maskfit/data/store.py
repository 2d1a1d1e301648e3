"""The store: every photo decoded, cropped and shrunk once; training, validation and every fold read the pixels.

A store is a folder for one framing. `frames.bin` holds the pixels row after row, `keys.txt` one line for each row: the
hash of the photo's bytes. A photo that moved or stands twice is one row; a changed photo is another. Rows are only ever
appended, pixels before keys, so a store that was cut off while it grew is whole up to its last key, and readers never
see a row change.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from maskfit.data.decoding import content_key, decode
from maskfit.data.photo import Photo
from maskfit.data.transforms import Frames, Framing
from maskfit.errors import DataError, PhotoError, several
from maskfit.files import cache_folder, write_text

FORMAT = 1
"""Goes into every store's name: a change of decoding or resampling must not read old pixels."""

GUESSES = "guessed.txt"
"""Photos on which the crop found nothing: key and path."""

AT_ONCE = 64
"""Photos decoded before their pixels are written: what an interruption can lose."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class StoredFrames:
    """The framed photos of one set, in its order, on disk behind a memory map.

    Attributes:
        rows: For each photo of the set its row in the store.
        pixels: (rows of the store, height, width, 3).
        guessed: Names of the photos on which the crop found nothing, so that its fallback was taken.
        guesses: The file in the store that lists all such photos.
    """

    rows: NDArray[np.int64]
    pixels: Frames
    guessed: tuple[str, ...] = ()
    guesses: Path | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, indices: NDArray[np.int64] | Sequence[int]) -> Frames:
        """Copies the photos with these places in the set: (indices, height, width, 3)."""
        return self.pixels[self.rows[np.asarray(indices, dtype=np.int64)]]


def default_folder() -> Path:
    """Where stores lie unless a recipe says otherwise: in the user's cache, never beside the photos."""
    return cache_folder("stores")


def open_store(
    photos: Sequence[Photo], framing: Framing, *, folder: Path | None = None, progress: Progress | None = None
) -> StoredFrames:
    """Gives the framed photos of a set; what the store does not hold yet is decoded now, on all cores.

    Args:
        photos: The set.
        framing: How photos are cut and shrunk; each framing has its own store.
        folder: Where stores lie; `default_folder()` where left out.
        progress: Called with (photos decoded, photos to decode).

    Raises:
        DataError: Photos that cannot be read, all of them named; those that can are in the store all the same. Or a
            detector's weights are not here.
        MissingExtraError: The crop needs an extra.
    """
    # By content: other weights at the same place are another store.
    framing = framing.settled()
    store = (folder or default_folder()) / _name(framing)
    with ThreadPoolExecutor() as pool:
        keys, unreadable = _keys(photos, pool)
        store.mkdir(parents=True, exist_ok=True)
        # One process at a time appends; a second one waits, then finds the rows there.
        with FileLock(store / "lock"):
            known = _read_keys(store, framing)
            missing = {key: photo for key, photo in zip(keys, photos, strict=True) if key and key not in known}
            reasons = _append(store, framing, known, missing, pool, progress)
    # Two photos with the same bad content are two photos to mend.
    unreadable |= {photo.name: reasons[key] for key, photo in zip(keys, photos, strict=True) if key in reasons}
    if unreadable:
        lines = [f"{photo.name}: {unreadable[photo.name]}" for photo in photos if photo.name in unreadable]
        raise DataError(
            f"{len(lines)} photos cannot be read:\n{several(lines)}",
            fix="'maskfit data check' lists every problem; mend or remove these photos",
        )
    rows = np.array([known[key] for key in keys], dtype=np.int64)
    guesses = store / GUESSES
    keys_guessed = _read_guesses(guesses)
    guessed = tuple(photo.name for key, photo in zip(keys, photos, strict=True) if key in keys_guessed)
    return StoredFrames(rows, _map(store, framing, len(known)), guessed, guesses if guessed else None)


def _name(framing: Framing) -> str:
    facts = f"{FORMAT} {framing.model_dump_json()}"
    height, width = framing.size
    return f"{framing.crop.name}-{height}x{width}-{hashlib.blake2b(facts.encode(), digest_size=6).hexdigest()}"


def _keys(photos: Sequence[Photo], pool: ThreadPoolExecutor) -> tuple[list[str], dict[str, str]]:
    """The content key of every photo, "" for those that cannot be opened, and why they cannot."""
    unreadable: dict[str, str] = {}

    def key(photo: Photo) -> str:
        try:
            return content_key(photo.path)
        except (PhotoError, OSError) as error:
            unreadable[photo.name] = _reason(error)
            return ""

    return list(pool.map(key, photos, chunksize=16)), unreadable


def _reason(error: Exception) -> str:
    return error.what if isinstance(error, PhotoError) else str(error)


def _row_bytes(framing: Framing) -> int:
    height, width = framing.size
    return height * width * 3


def _read_keys(store: Path, framing: Framing) -> dict[str, int]:
    """Key to row for every row that is there whole."""
    keys, frames = store / "keys.txt", store / "frames.bin"
    if not (keys.exists() and frames.exists()):
        write_text(store / "framing.json", framing.model_dump_json(indent=2) + "\n")
        keys.touch()
        frames.touch()
    rows = frames.stat().st_size // _row_bytes(framing)
    lines = keys.read_text(encoding="ascii", errors="replace").split("\n")[:-1]
    return {key: row for row, key in enumerate(lines[:rows])}


def _append(
    store: Path,
    framing: Framing,
    known: dict[str, int],
    missing: dict[str, Photo],
    pool: ThreadPoolExecutor,
    progress: Progress | None,
) -> dict[str, str]:
    """Decodes what is missing and appends it; adds its rows to `known`, returns which keys cannot be read and why."""
    unreadable: dict[str, str] = {}
    if not missing:
        return unreadable
    with (store / "frames.bin").open("r+b") as frames, (store / "keys.txt").open("r+b") as keys:
        # What an interrupted writer left behind the last whole row is written over.
        frames.seek(len(known) * _row_bytes(framing))
        frames.truncate()
        keys.seek(sum(len(key) + 1 for key in known))
        keys.truncate()
        done = 0
        for batch in _batches(list(missing.items())):
            seen = list(zip(batch, pool.map(lambda item: _decode(item[1], framing), batch), strict=True))
            unreadable |= {key: one for (key, _), one in seen if isinstance(one, str)}
            good = [(key, one[0]) for (key, _), one in seen if not isinstance(one, str)]
            # First the guesses: none may be missing of a row that is there, and one too many does no harm.
            _write_guesses(store / GUESSES, [item for item, one in seen if not isinstance(one, str) and one[1]])
            frames.write(b"".join(frame.tobytes() for _, frame in good))
            frames.flush()
            keys.write("".join(f"{key}\n" for key, _ in good).encode("ascii"))
            keys.flush()
            known |= {key: len(known) + place for place, (key, _) in enumerate(good)}
            done += len(batch)
            if progress:
                progress(done, len(missing))
    return unreadable


def _batches(items: list[tuple[str, Photo]]) -> Iterator[list[tuple[str, Photo]]]:
    for start in range(0, len(items), AT_ONCE):
        yield items[start : start + AT_ONCE]


def _decode(photo: Photo, framing: Framing) -> tuple[NDArray[np.uint8], bool] | str:
    """The framed photo and whether its crop is a guess, or why it cannot be read."""
    try:
        pixels = decode(photo.path)
    except (PhotoError, OSError) as error:
        return _reason(error)
    cut = framing.cut(pixels)
    return framing.frame(pixels, cut), cut.fallback


def _write_guesses(path: Path, items: list[tuple[str, Photo]]) -> None:
    if not items:
        return
    # A line for each, whatever is in a name: a line that an interruption cut off must not swallow the next.
    lines = "".join(f"{key} {str(photo.path).encode('unicode_escape').decode('ascii')}\n" for key, photo in items)
    torn = path.exists() and not path.read_bytes().endswith(b"\n")
    with path.open("a", encoding="ascii") as stream:
        stream.write("\n" * torn + lines)


def _read_guesses(path: Path) -> set[str]:
    if not path.exists():
        return set()
    return {line.partition(" ")[0] for line in path.read_text(encoding="ascii", errors="replace").split("\n")}


def _map(store: Path, framing: Framing, rows: int) -> Frames:
    if rows == 0:
        return np.empty((0, *framing.size, 3), dtype=np.uint8)
    return np.memmap(store / "frames.bin", dtype=np.uint8, mode="r", shape=(rows, *framing.size, 3))
