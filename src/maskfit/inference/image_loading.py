"""Reading images: what an image may be given as, its name and pixels, and batches read and processed in parallel.

On a CPU, reading and computing share the same cores, so that none of them must ever wait. Each worker takes a batch of
its own through the networks, on threads of its own: two batches that each use one core never wait for each other,
while one batch on two cores stands still whenever one of the cores is reading.
"""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from threading import Event
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from maskfit.data.boxes import Box
from maskfit.data.detectors import Face
from maskfit.data.face_boxes import face_of
from maskfit.data.image_decoding import Pixels, convert_image, decode, rotate
from maskfit.data.photo_dataset import Photo
from maskfit.errors import DataError, PhotoError, format_list

Item = TypeVar("Item")
Loaded = TypeVar("Loaded")
Result = TypeVar("Result")

PREFETCH_BATCHES = 2
"""Batches that are read while every worker has one; more would only hold memory."""


@dataclass(frozen=True, slots=True)
class RotatedPhoto(Photo):
    """A photo that is to be turned beyond what its EXIF data says, as of a camera that is mounted sideways.

    Attributes:
        rotation: Degrees clockwise: 0, 90, 180 or 270.
    """

    rotation: int = 0


class RemotePhoto(NamedTuple):
    """An image in remote storage, fetched when its turn comes.

    Attributes:
        name: Its name in every table.
        read: Returns the bytes of its file, or raises PhotoError.
        box: The face that it is about; None for the whole photo.
    """

    name: str
    read: Callable[[], bytes]
    box: Box | None = None


ImageSource = Photo | Path | str | bytes | NDArray[np.uint8] | Image.Image | RemotePhoto
"""A photo, its path, the bytes of its file, its pixels (height, width, 3) as upright RGB, a Pillow image, or how to
fetch it."""

MAX_KEPT_BYTES = 2**20
"""Bytes of a photo's pixels that are kept until its prediction is checked; larger photos are read again."""

NamedImage = tuple[str, ImageSource]
"""An image with its name in every table."""


def image_name(image: ImageSource, index: int) -> str:
    """Returns the name of an image in every table.

    Args:
        image: The image.
        index: Its position among the images of a call.

    Returns:
        Its own name, its path as given, or `photo INDEX` for pixels, bytes and Pillow images.
    """
    if isinstance(image, Photo | RemotePhoto):
        return image.name
    return f"photo {index}" if isinstance(image, np.ndarray | bytes | Image.Image) else str(image)


def check_several(images: object) -> None:
    """Checks that a caller who may give several images did not give one: a string is a sequence of characters.

    Args:
        images: The images of a call.

    Raises:
        DataError: They are a single image.
    """
    single = isinstance(images, str | bytes | Path | Photo | RemotePhoto | Image.Image)
    if single or (isinstance(images, np.ndarray) and images.ndim <= 3):
        raise DataError("a sequence of photos is needed, got one photo", hint="put it into a list")


def check_unique_names(images: Sequence[ImageSource]) -> None:
    """Checks that no two images have one name, which tables could not tell apart.

    Args:
        images: The images of a call.

    Raises:
        DataError: There is no image, two have one name, or `images` is a single image and no sequence of images.
    """
    check_several(images)
    if not len(images):
        raise DataError("there are no photos", hint="check the folder or the list")
    counts = Counter(image_name(image, index) for index, image in enumerate(images))
    duplicates = [name for name, count in counts.items() if count > 1]
    if duplicates:
        raise DataError(f"duplicate photo names:\n{format_list(duplicates)}", hint="name each photo once")


def load_image(image: ImageSource) -> Pixels:
    """Reads and decodes an image.

    Args:
        image: The image.

    Returns:
        Pixels (height, width, 3), uint8, upright RGB.

    Raises:
        PhotoError: It cannot be read.
    """
    if isinstance(image, np.ndarray):
        return _check_pixels(image)
    if isinstance(image, bytes):
        return decode(image)
    if isinstance(image, Image.Image):
        return convert_image(image)
    if isinstance(image, RemotePhoto):
        return decode(image.read(), name=image.name)
    if isinstance(image, RotatedPhoto):
        return rotate(decode(image.path), image.rotation)
    return decode(image.path if isinstance(image, Photo) else Path(image))


def keep_or_reload(image: ImageSource, pixels: Pixels) -> Callable[[], Pixels] | None:
    """Returns how the pixels of an image can be had once more, without much memory until then.

    Args:
        image: The image.
        pixels: What `load_image` returned for it.

    Returns:
        A function that returns them: kept where they take at most `MAX_KEPT_BYTES`, else read again from the file, or
        from the bytes of one no larger than that, which raises PhotoError where that fails; None for other large
        photos: those in memory would all be kept, those in remote storage fetched twice.
    """
    if pixels.nbytes <= MAX_KEPT_BYTES:
        return lambda: pixels
    is_file = isinstance(image, str | Path | Photo)
    if not is_file and not (isinstance(image, bytes) and len(image) <= MAX_KEPT_BYTES):
        return None
    shape = pixels.shape

    def reload() -> Pixels:
        again = load_image(image)
        if again.shape != shape:
            raise PhotoError(f"{image_name(image, 0)} changed while it was predicted", hint="predict the photos again")
        return again

    return reload


def given_face(image: ImageSource, pixels: Pixels) -> Face | None:
    """Returns the face that a row of a table is about.

    Args:
        image: The image.
        pixels: What `load_image` returned for it.

    Returns:
        The face; None for a whole image.

    Raises:
        PhotoError: Nothing of its box is on the photo.
    """
    if not isinstance(image, Photo | RemotePhoto) or image.box is None:
        return None
    return face_of(image, pixels.shape[1], pixels.shape[0])


def _check_pixels(pixels: NDArray[np.uint8]) -> Pixels:
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or not pixels.size:
        raise PhotoError(f"pixels must be (height, width, 3) in uint8, got {pixels.shape} in {pixels.dtype}")
    return pixels


_cpu_limit: list[int] = []


def available_cpus() -> int:
    """Counts the cores that this process may use.

    Returns:
        1 or more.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min([cores, *_cpu_limit])


def limit_cpus(count: int) -> None:
    """Leaves cores to other processes from now on.

    Args:
        count: Cores that this process may use at most, >= 1.
    """
    _cpu_limit[:] = [count]


def batched(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Groups items into batches, taking no more of them than it yields.

    Args:
        items: Any iterable.
        size: Items in a batch, >= 1.

    Yields:
        Lists of `size` items, the last one perhaps shorter.
    """
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


def run_batches_in_parallel(
    batches: Iterable[Sequence[Item]],
    load: Callable[[Item], Loaded],
    process: Callable[[Sequence[Loaded]], Result],
    *,
    num_workers: int,
    num_readers: int | None = None,
) -> Generator[Result]:
    """Loads the items of each batch in many threads and processes whole batches in a few, in order.

    At most `num_workers + PREFETCH_BATCHES` batches are in flight. Close the generator or exhaust it: until then
    threads are running.

    Args:
        batches: Taken one by one, as they are needed.
        load: Loads an item; called from many threads at once.
        process: Processes what was loaded of a batch; called from `num_workers` threads at once.
        num_workers: Batches that are processed at the same time, >= 1.
        num_readers: Threads that load; None is one for each core.

    Yields:
        The result of each batch, in the order of `batches`.
    """
    readers = ThreadPoolExecutor(num_readers or available_cpus(), "reader")
    workers = ThreadPoolExecutor(num_workers, "worker")

    stopped = Event()

    def load_unless_stopped(item: Item) -> Loaded:
        if stopped.is_set():
            raise CancelledError
        return load(item)

    def run(parts: Sequence[Future[Loaded]]) -> Result:
        return process([part.result() for part in parts])

    try:
        pending: deque[Future[Result]] = deque()
        for batch in batches:
            pending.append(workers.submit(run, [readers.submit(load_unless_stopped, item) for item in batch]))
            if len(pending) >= num_workers + PREFETCH_BATCHES:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        # A worker that waits for the rest of its batch ends now: nobody takes its result.
        stopped.set()
        # Workers first: one that has begun still waits for what is being loaded for it.
        workers.shutdown(cancel_futures=True)
        readers.shutdown(cancel_futures=True)
