"""Image cache: every photo decoded, cropped and resized once; training, validation and all folds read the pixels.

One cache is a folder for one `CropResize`; its rows (`image_cache.files`) are photos, identified by the hash of their
bytes and the box of a row that is about one face. A photo that was moved or occurs twice is one row; a changed photo or
box is another.

Each file is read once, also for several caches: the bytes that are hashed are the bytes that are decoded. One process
at a time appends; the others then find its rows. `image_cache.admin` lists caches and removes unused ones.
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

from maskfit.data.face_boxes import face_of
from maskfit.data.image_cache.files import FALLBACKS_FILE, ImageCacheFiles, Log, disk_full_error
from maskfit.data.image_decoding import decode
from maskfit.data.image_opening import content_hash, read_bytes
from maskfit.data.photo_dataset import Photo
from maskfit.data.preprocessing import CropResize, ImageBatch, apply_all
from maskfit.errors import DataError, PhotoError, format_list
from maskfit.text import format_count
from maskfit.thread_pool import thread_pool
from maskfit.user_cache import user_cache_dir

FORMAT_VERSION = 1
"""Part of every cache's name; incremented when decoding or resampling changes, so that old pixels are not read."""

BATCH_SIZE = 64
"""Photos decoded before their pixels are written: the maximum that an interruption loses."""

Progress = Callable[[int, int], None]

_CachedImage = tuple[NDArray[np.uint8], bool]
"""An image, and whether its crop is a fallback."""

NOT_REQUESTED = -1
"""Row of a photo that was not requested."""


@dataclass(frozen=True)
class CachedImages:
    """The cropped and resized photos of one dataset, in its order, on disk behind a memory map.

    Attributes:
        rows: The row of each photo in the cache, (photos,); `NOT_REQUESTED` for photos that were not requested.
        pixels: Pixels of all rows of the cache, (rows, height, width, 3).
        fallback_crops: Names of the photos on which the crop found nothing, so that its fallback was used.
        fallback_file: File in the cache that lists all such photos; None where there are none.
    """

    rows: NDArray[np.int64]
    pixels: ImageBatch
    fallback_crops: tuple[str, ...] = ()
    fallback_file: Path | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def gather(self, indices: NDArray[np.int64] | Sequence[int]) -> ImageBatch:
        """Copies photos out of the cache.

        Args:
            indices: Positions in the dataset.

        Returns:
            Pixels of shape (indices, height, width, 3).

        Raises:
            IndexError: One of them was not requested when the cache was opened.
        """
        rows = self.rows[np.asarray(indices, dtype=np.int64)]
        if len(rows) and rows.min() == NOT_REQUESTED:
            raise IndexError("indices include photos that were not requested when the image cache was opened")
        return self.pixels[rows]


def default_cache_dir() -> Path:
    """Returns the folder of image caches unless a recipe names another; never the photos' own folder.

    Returns:
        A folder in the user's cache.
    """
    return user_cache_dir("stores")


def open_image_cache(
    photos: Sequence[Photo],
    crop_resize: CropResize,
    *,
    folder: Path | None = None,
    progress: Progress | None = None,
    log: Log | None = None,
) -> CachedImages:
    """Opens the image cache of a dataset; photos that it lacks are decoded now, on all cores.

    Args:
        photos: The dataset.
        crop_resize: Cropping and resizing.
        folder: Parent folder of the caches; `default_cache_dir()` by default.
        progress: Called with (photos decoded, photos to decode).
        log: Called with one line when another process fills the cache.

    Returns:
        The images of all photos.

    Raises:
        DataError: As for `open_image_caches`.
        MissingExtraError: The crop or background removal needs an extra.
    """
    return open_image_caches(photos, [(crop_resize, None)], folder=folder, progress=progress, log=log)[0]


def open_image_caches(
    photos: Sequence[Photo],
    requests: Sequence[tuple[CropResize, Collection[int] | None]],
    *,
    folder: Path | None = None,
    progress: Progress | None = None,
    log: Log | None = None,
) -> list[CachedImages]:
    """Opens several image caches of one dataset; each photo is read and decoded once for all caches that lack it.

    Args:
        photos: The dataset.
        requests: For each cache its cropping and resizing, all different, and the positions of the photos that are
            needed; None for all photos.
        folder: Parent folder of the caches; `default_cache_dir()` by default.
        progress: Called with (photos decoded, photos to decode).
        log: Called with one line when another process fills a cache.

    Returns:
        The images of each request.

    Raises:
        DataError: Photos cannot be read, all of them listed; the readable ones are cached nevertheless. Or the disk
            has no space for the caches, or a detector's weights are missing.
        MissingExtraError: A crop or background removal needs an extra.
        ValueError: Two requests have the same cropping and resizing.
    """
    # Pinned: other weights at the same path are another cache.
    settings = [crop_resize.pinned() for crop_resize, _ in requests]
    if len({_cache_name(crop_resize) for crop_resize in settings}) < len(settings):
        raise ValueError("requests must have different cropping and resizing, got the same twice")
    every_index = range(len(photos))
    indices = [every_index if requested is None else frozenset(requested) for _, requested in requests]
    with ExitStack() as stack:
        caches = [
            _Request(
                stack.enter_context(
                    ImageCacheFiles((folder or default_cache_dir()) / _cache_name(crop_resize), crop_resize, log)
                ),
                requested,
            )
            for crop_resize, requested in zip(settings, indices, strict=True)
        ]
        filler = _CacheFiller(photos, caches, progress)
        with thread_pool() as pool:
            filler.fill(pool)
            if filler.is_incomplete():
                # Rows found at first were removed before the lock was taken; with the lock that cannot happen again.
                filler.fill(pool)
        results = [_result(photos, filler.keys, request) for request in caches if not filler.unreadable]
    if filler.unreadable:
        lines = [
            f"{photo.name}: {filler.unreadable[index]}"
            for index, photo in enumerate(photos)
            if index in filler.unreadable
        ]
        raise DataError(
            f"{format_count(len(lines), 'photo')} cannot be read:\n{format_list(lines)}",
            hint="'maskfit data check' lists every problem; repair or remove these photos",
        )
    return results


def _cache_name(crop_resize: CropResize) -> str:
    identity = f"{FORMAT_VERSION} {crop_resize.model_dump_json()}"
    height, width = crop_resize.size
    return f"{crop_resize.crop.name}-{height}x{width}-{hashlib.blake2b(identity.encode(), digest_size=6).hexdigest()}"


@dataclass(frozen=True)
class _Request:
    """A cache, and the positions of the photos that are requested from it."""

    files: ImageCacheFiles
    indices: Collection[int]


def _result(photos: Sequence[Photo], keys: Mapping[int, str], request: _Request) -> CachedImages:
    files = request.files
    rows = np.full(len(photos), NOT_REQUESTED, dtype=np.int64)
    for index in request.indices:
        rows[index] = files.row_of_key[keys[index]]
    files.touch()
    fallback_keys = files.fallback_keys()
    fallbacks = tuple(photos[index].name for index in sorted(request.indices) if keys[index] in fallback_keys)
    return CachedImages(rows, files.memory_map(), fallbacks, files.folder / FALLBACKS_FILE if fallbacks else None)


class _CacheFiller:
    """Decodes the photos that caches lack and appends them.

    Attributes:
        keys: Content hash, and box, of each requested photo that can be read, by its position.
        unreadable: Reasons why photos cannot be read, by their positions.
    """

    def __init__(self, photos: Sequence[Photo], requests: Sequence[_Request], progress: Progress | None) -> None:
        self.photos, self.requests, self.progress = photos, requests, progress
        self.keys: dict[int, str] = {}
        self.unreadable: dict[int, str] = {}
        self.indices = [index for index in range(len(photos)) if any(index in item.indices for item in requests)]

    def is_incomplete(self) -> bool:
        """Whether photos that were found in a cache are no longer in it."""
        return any(
            index in request.indices and index not in self.unreadable and key not in request.files.row_of_key
            for request in self.requests
            for index, key in self.keys.items()
        )

    def fill(self, pool: ThreadPoolExecutor) -> None:
        """Reads every requested photo, decodes those that a cache lacks, and appends them."""
        num_decoded = num_read = 0
        for batch, contents in self._prefetch(pool):
            num_read += len(batch)
            content_of_key: dict[str, tuple[int, bytes]] = {}
            for index, content in zip(batch, contents, strict=True):
                if isinstance(content, str):
                    self.unreadable[index] = content
                else:
                    key = row_key(content[0], self.photos[index])
                    self.keys[index] = key
                    content_of_key[key] = (index, content[1])
            missing = self._find_missing(batch)
            if missing and not all(request.files.is_locked for request in self.requests):
                self._lock_all()
                missing = self._find_missing(batch)
            if not missing:
                continue
            reasons = self._append(missing, content_of_key, pool)
            # Two photos with the same unreadable content are both reported.
            self.unreadable |= {index: reasons[key] for index, key in self._keys_of(batch) if key in reasons}
            num_decoded += len(missing)
            if self.progress:
                self.progress(num_decoded, num_decoded + len(self.indices) - num_read)

    def _keys_of(self, batch: Sequence[int]) -> Iterator[tuple[int, str]]:
        return ((index, self.keys[index]) for index in batch if index in self.keys)

    def _find_missing(self, batch: Sequence[int]) -> dict[str, list[ImageCacheFiles]]:
        """Keys of a batch with the caches that lack them."""
        missing: dict[str, list[ImageCacheFiles]] = {}
        for index, key in self._keys_of(batch):
            for request in self.requests:
                caches = missing.get(key, [])
                if index in request.indices and key not in request.files.row_of_key and request.files not in caches:
                    missing[key] = [*caches, request.files]
        return missing

    def _lock_all(self) -> None:
        """Locks all caches, sorted by folder so that two processes cannot deadlock.

        Raises:
            DataError: The disk has no space for the missing photos.
        """
        required = 0
        for request in sorted(self.requests, key=lambda item: item.files.folder):
            request.files.lock()
            required += max(len(request.indices) - len(request.files.row_of_key), 0) * request.files.row_bytes
        folder = self.requests[0].files.folder
        free = shutil.disk_usage(folder).free
        if required > free:
            raise disk_full_error(folder, f"the image cache needs up to {required:,} bytes, and {free:,} are free")

    def _append(
        self,
        missing: Mapping[str, Sequence[ImageCacheFiles]],
        content_of_key: Mapping[str, tuple[int, bytes]],
        pool: ThreadPoolExecutor,
    ) -> dict[str, str]:
        """Decodes photos and appends them; returns the reasons of those that cannot be read, by key."""

        def process(keys: Sequence[str]) -> dict[str, list[_CachedImage] | str]:
            content = content_of_key[keys[0]][1]
            requests = {key: [files.crop_resize for files in missing[key]] for key in keys}
            return _decode_and_crop({key: self.photos[content_of_key[key][0]] for key in keys}, content, requests)

        # The faces of one photo are cropped from one decoding.
        groups: dict[str, list[str]] = {}
        for key in missing:
            groups.setdefault(key.partition("@")[0], []).append(key)
        parts = pool.map(process, groups.values())
        found = {key: result for part in parts for key, result in part.items()}
        results = {key: found[key] for key in missing}
        for files in (request.files for request in self.requests):
            own = {
                key: result[missing[key].index(files)]
                for key, result in results.items()
                if not isinstance(result, str) and files in missing[key]
            }
            fallbacks = [(key, self.photos[content_of_key[key][0]]) for key, (_, fallback) in own.items() if fallback]
            files.append({key: image for key, (image, _) in own.items()}, fallbacks)
        return {key: result for key, result in results.items() if isinstance(result, str)}

    def _prefetch(self, pool: ThreadPoolExecutor) -> Iterator[tuple[list[int], list[tuple[str, bytes] | str]]]:
        """Yields batches of positions with key and bytes of each photo, or why it cannot be read; reads one ahead."""
        batches = [self.indices[start : start + BATCH_SIZE] for start in range(0, len(self.indices), BATCH_SIZE)]
        pending = [pool.submit(_read, self.photos[index]) for batch in batches[:1] for index in batch]
        for batch, following in zip_longest(batches, batches[1:], fillvalue=()):
            current, pending = pending, [pool.submit(_read, self.photos[index]) for index in following]
            yield list(batch), [future.result() for future in current]


def _read(photo: Photo) -> tuple[str, bytes] | str:
    try:
        content = read_bytes(photo.path)
        return content_hash(content), content
    except (PhotoError, OSError) as error:
        return _reason(error)


def row_key(content: str, photo: Photo) -> str:
    """Builds the key of a row: the content hash, followed by the box where the row has one.

    Args:
        content: Hash of the photo's bytes.
        photo: The row.

    Returns:
        ASCII text without spaces.
    """
    return content if photo.box is None else f"{content}@{','.join(f'{edge:.10g}' for edge in photo.box)}"


def _decode_and_crop(
    photos: Mapping[str, Photo], content: bytes, settings: Mapping[str, Sequence[CropResize]]
) -> dict[str, list[_CachedImage] | str]:
    """The images of the rows of one file, each with whether its crop is a fallback; or why there are none.

    Args:
        photos: The rows, by key.
        content: Bytes of the file.
        settings: Cropping and resizing of each row, by key.

    Returns:
        By key, a list as `settings`, or why the row cannot be read.
    """
    try:
        pixels = decode(content, name=str(next(iter(photos.values())).path))
    except (PhotoError, OSError) as error:
        return dict.fromkeys(photos, _reason(error))
    results: dict[str, list[_CachedImage] | str] = {}
    for key, photo in photos.items():
        try:
            face = face_of(photo, pixels.shape[1], pixels.shape[0])
        except PhotoError as error:
            results[key] = error.message
            continue
        results[key] = [(image, box.fallback) for image, box in apply_all(pixels, settings[key], face)]
    return results


def _reason(error: Exception) -> str:
    return error.message if isinstance(error, PhotoError) else str(error)
