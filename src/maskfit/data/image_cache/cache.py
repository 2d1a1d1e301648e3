"""The store: every photo decoded, cropped and shrunk once; training, validation and every fold read the pixels.

A store is a folder for one framing, and its rows are the photos (`data.rows`), named by the hash of the photo's bytes.
A photo that moved or stands twice is one row; a changed photo is another.

Each file is read once, also for several framings: the bytes that give its key are those that are decoded. One process
at a time appends; what it has written others find there. `data.stores` lists stores and takes away those that nothing
uses.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from maskfit.data.image_cache.files import FALLBACKS_FILE, ImageCacheFiles, Log, disk_full_error
from maskfit.data.image_decoding import content_hash, decode, read_bytes
from maskfit.data.photo_dataset import Photo
from maskfit.data.preprocessing import CropResize, ImageBatch, apply_all
from maskfit.errors import DataError, PhotoError, format_list
from maskfit.file_io import user_cache_dir

FORMAT_VERSION = 1
"""Goes into every store's name: a change of decoding or resampling must not read old pixels."""

BATCH_SIZE = 64
"""Photos decoded before their pixels are written: what an interruption can lose."""

Progress = Callable[[int, int], None]

_Framed = tuple[NDArray[np.uint8], bool]
"""A frame, and whether its crop is a guess."""

NOT_REQUESTED = -1
"""The row of a photo that was not wanted."""


@dataclass(frozen=True)
class CachedImages:
    """The framed photos of one set, in its order, on disk behind a memory map.

    Attributes:
        rows: For each photo of the set its row in the store, `ABSENT` for those that were not wanted.
        pixels: (rows of the store, height, width, 3).
        guessed: Names of the photos on which the crop found nothing, so that its fallback was taken.
        guesses: The file in the store that lists all such photos.
    """

    rows: NDArray[np.int64]
    pixels: ImageBatch
    fallback_crops: tuple[str, ...] = ()
    fallback_file: Path | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def gather(self, indices: NDArray[np.int64] | Sequence[int]) -> ImageBatch:
        """Copies the photos with these places in the set: (indices, height, width, 3).

        Raises:
            IndexError: One of them was not wanted when the store was opened.
        """
        rows = self.rows[np.asarray(indices, dtype=np.int64)]
        if len(rows) and rows.min() == NOT_REQUESTED:
            raise IndexError("photos are taken that were not wanted when the store was opened")
        return self.pixels[rows]


def default_cache_dir() -> Path:
    """Where stores lie unless a recipe says otherwise: in the user's cache, never beside the photos."""
    return user_cache_dir("stores")


def open_image_cache(
    photos: Sequence[Photo],
    framing: CropResize,
    *,
    folder: Path | None = None,
    progress: Progress | None = None,
    say: Log | None = None,
) -> CachedImages:
    """Gives the framed photos of a set; what the store does not hold yet is decoded now, on all cores.

    The arguments and errors are those of `open_stores`, for one framing and all photos.
    """
    return open_image_caches(photos, [(framing, None)], folder=folder, progress=progress, say=say)[0]


def open_image_caches(
    photos: Sequence[Photo],
    wanted: Sequence[tuple[CropResize, Collection[int] | None]],
    *,
    folder: Path | None = None,
    progress: Progress | None = None,
    say: Log | None = None,
) -> list[CachedImages]:
    """Gives the photos of a set through several framings, each photo read and decoded once for all that lack it.

    Args:
        photos: The set.
        wanted: How photos are cut and shrunk, each framing with a store of its own and once only; and which photos are
            wanted so, as places in the set: all for None.
        folder: Where stores lie; `default_folder()` where left out.
        progress: Called with (photos decoded, photos to decode).
        say: Told in one line that another process fills a store, and is waited for.

    Raises:
        DataError: Photos that cannot be read, all of them named; those that can are in the stores all the same. Or the
            disk has no room for the stores, or a detector's weights are not here.
        MissingExtraError: The crop needs an extra.
    """
    # By content: other weights at the same place are another store.
    framings = [framing.pinned() for framing, _ in wanted]
    if len({_name(framing) for framing in framings}) < len(framings):
        raise ValueError("a framing is named twice")
    every = range(len(photos))
    places = [every if some is None else frozenset(some) for _, some in wanted]
    with ExitStack() as opened:
        stores = [
            _Wanted(
                opened.enter_context(ImageCacheFiles((folder or default_cache_dir()) / _name(framing), framing, say)), some
            )
            for framing, some in zip(framings, places, strict=True)
        ]
        filling = _Filling(photos, stores, progress)
        with ThreadPoolExecutor() as pool:
            filling.fill(pool)
            if filling.lacking():
                # What was known at first was removed before the stores were held; now nothing can be.
                filling.fill(pool)
        found = [_found(photos, filling.keys, one) for one in stores if not filling.unreadable]
    if filling.unreadable:
        lines = [
            f"{photo.name}: {filling.unreadable[at]}" for at, photo in enumerate(photos) if at in filling.unreadable
        ]
        raise DataError(
            f"{len(lines)} photos cannot be read:\n{format_list(lines)}",
            hint="'maskfit data check' lists every problem; mend or remove these photos",
        )
    return found


def _name(framing: CropResize) -> str:
    facts = f"{FORMAT_VERSION} {framing.model_dump_json()}"
    height, width = framing.size
    return f"{framing.crop.name}-{height}x{width}-{hashlib.blake2b(facts.encode(), digest_size=6).hexdigest()}"


@dataclass(frozen=True)
class _Wanted:
    """A store, and the places of the photos that are wanted of it."""

    rows: ImageCacheFiles
    places: Collection[int]


def _found(photos: Sequence[Photo], keys: Mapping[int, str], one: _Wanted) -> CachedImages:
    rows = np.full(len(photos), NOT_REQUESTED, dtype=np.int64)
    for place in one.places:
        rows[place] = one.rows.row_of_key[keys[place]]
    one.rows.touch()
    guesses = one.rows.fallback_keys()
    guessed = tuple(photos[place].name for place in sorted(one.places) if keys[place] in guesses)
    return CachedImages(rows, one.rows.memory_map(), guessed, one.rows.folder / FALLBACKS_FILE if guessed else None)


class _Filling:
    """Goes through the photos and appends to each store what it lacks.

    Attributes:
        keys: The key of each photo that can be opened and is wanted, by its place.
        unreadable: Why photos cannot be read, by their places.
    """

    def __init__(self, photos: Sequence[Photo], stores: Sequence[_Wanted], progress: Progress | None) -> None:
        self.photos, self.stores, self.progress = photos, stores, progress
        self.keys: dict[int, str] = {}
        self.unreadable: dict[int, str] = {}
        self.wanted = [place for place in range(len(photos)) if any(place in one.places for one in stores)]

    def lacking(self) -> bool:
        """Whether photos that were found in a store are in it no more."""
        return any(
            place in one.places and place not in self.unreadable and key not in one.rows.row_of_key
            for one in self.stores
            for place, key in self.keys.items()
        )

    def fill(self, pool: ThreadPoolExecutor) -> None:
        """Looks at every photo that is wanted, decodes those that a store lacks, and appends them."""
        done = seen = 0
        for batch, looked in self._look_ahead(pool):
            seen += len(batch)
            contents: dict[str, tuple[int, bytes]] = {}
            for place, look in zip(batch, looked, strict=True):
                if isinstance(look, str):
                    self.unreadable[place] = look
                else:
                    self.keys[place] = look[0]
                    contents[look[0]] = (place, look[1])
            fresh = self._fresh(batch)
            if fresh and not all(one.rows.is_locked for one in self.stores):
                self._hold()
                fresh = self._fresh(batch)
            if not fresh:
                continue
            reasons = self._append(fresh, contents, pool)
            # Two photos with the same bad content are two photos to mend.
            self.unreadable |= {place: reasons[key] for place, key in self._keys_of(batch) if key in reasons}
            done += len(fresh)
            if self.progress:
                self.progress(done, done + len(self.wanted) - seen)

    def _keys_of(self, batch: Sequence[int]) -> Iterator[tuple[int, str]]:
        return ((place, self.keys[place]) for place in batch if place in self.keys)

    def _fresh(self, batch: Sequence[int]) -> dict[str, list[ImageCacheFiles]]:
        """By key, the stores that lack a photo of this batch."""
        fresh: dict[str, list[ImageCacheFiles]] = {}
        for place, key in self._keys_of(batch):
            for one in self.stores:
                lacks = fresh.get(key, [])
                if place in one.places and key not in one.rows.row_of_key and one.rows not in lacks:
                    fresh[key] = [*lacks, one.rows]
        return fresh

    def _hold(self) -> None:
        """Holds all stores, in the same order whoever wants them, so that no two wait for each other.

        Raises:
            DataError: The disk has no room for so many photos.
        """
        more = 0
        for one in sorted(self.stores, key=lambda one: one.rows.folder):
            one.rows.lock()
            more += max(len(one.places) - len(one.rows.row_of_key), 0) * one.rows.row_bytes
        store = self.stores[0].rows.folder
        free = shutil.disk_usage(store).free
        if more > free:
            raise disk_full_error(
                store, f"the store grows by up to {more / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free"
            )

    def _append(
        self,
        fresh: Mapping[str, Sequence[ImageCacheFiles]],
        contents: Mapping[str, tuple[int, bytes]],
        pool: ThreadPoolExecutor,
    ) -> dict[str, str]:
        """Decodes photos and appends them; why those cannot be read that cannot, by key."""

        def framed(key: str) -> list[_Framed] | str:
            place, content = contents[key]
            return _frame(self.photos[place], content, [rows.crop_resize for rows in fresh[key]])

        seen = dict(zip(fresh, pool.map(framed, fresh), strict=True))
        for rows in (one.rows for one in self.stores):
            own = {
                key: found[fresh[key].index(rows)]
                for key, found in seen.items()
                if not isinstance(found, str) and rows in fresh[key]
            }
            guessed = [(key, self.photos[contents[key][0]]) for key, (_, guess) in own.items() if guess]
            rows.append({key: frame for key, (frame, _) in own.items()}, guessed)
        return {key: found for key, found in seen.items() if isinstance(found, str)}

    def _look_ahead(self, pool: ThreadPoolExecutor) -> Iterator[tuple[list[int], list[tuple[str, bytes] | str]]]:
        """Batches of places with key and content of each photo, or why it cannot be read; the next is read ahead."""
        batches = [self.wanted[start : start + BATCH_SIZE] for start in range(0, len(self.wanted), BATCH_SIZE)]
        coming = [pool.submit(_look, self.photos[place]) for batch in batches[:1] for place in batch]
        for batch, following in zip_longest(batches, batches[1:], fillvalue=()):
            looked, coming = coming, [pool.submit(_look, self.photos[place]) for place in following]
            yield list(batch), [look.result() for look in looked]


def _look(photo: Photo) -> tuple[str, bytes] | str:
    try:
        content = read_bytes(photo.path)
        return content_hash(content), content
    except (PhotoError, OSError) as error:
        return _reason(error)


def _frame(photo: Photo, content: bytes, framings: Sequence[CropResize]) -> list[_Framed] | str:
    """For each framing the framed photo and whether its crop is a guess; or why the photo cannot be read."""
    try:
        pixels = decode(content, name=str(photo.path))
    except (PhotoError, OSError) as error:
        return _reason(error)
    return [(frame, cut.fallback) for frame, cut in apply_all(pixels, framings)]


def _reason(error: Exception) -> str:
    return error.message if isinstance(error, PhotoError) else str(error)
