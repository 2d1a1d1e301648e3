"""Lanes: photos read and networks run at the same time, batch after batch, in order and within bounds.

On a processor, reading and computing share the same cores, so that what counts is that none of them ever waits. Each
lane takes a batch of its own through the networks, on threads of its own: two batches that each use one core lose
nothing to waiting for each other, where one that uses two stands still whenever a core is reading.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Seen = TypeVar("Seen")
Result = TypeVar("Result")

PREFETCH_BATCHES = 2
"""Batches that are read while every lane has one; more would only hold memory."""


_kept_to: list[int] = []


def available_cpus() -> int:
    """How many cores this process may use."""
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min([here, *_kept_to])


def limit_cpus(count: int) -> None:
    """Leaves cores to other processes: this one uses so many, 1 or more, from now on."""
    _kept_to[:] = [count]


def batched(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Lists of `size` items, the last one perhaps shorter; no more of `items` is taken than is given."""
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


def run_batches_in_parallel(
    batches: Iterable[Sequence[Item]],
    read: Callable[[Item], Seen],
    answer: Callable[[Sequence[Seen]], Result],
    *,
    lanes: int,
    readers: int | None = None,
) -> Generator[Result]:
    """Reads the items of each batch in many threads and answers whole batches in a few; gives results in order.

    At most `lanes` + `AHEAD` batches are in hand, whatever comes after them. Close the generator, or run it out: until
    then threads are at work.

    Args:
        batches: Taken one by one, as they are needed.
        read: Makes an item ready; called from many threads at once.
        answer: Called with what was read of a batch, from `lanes` threads at once.
        lanes: 1 or more.
        readers: Threads that read; one for each core where left out.
    """
    reading = ThreadPoolExecutor(readers or available_cpus(), "read")
    answering = ThreadPoolExecutor(lanes, "lane")

    def run(parts: Sequence[Future[Seen]]) -> Result:
        return answer([part.result() for part in parts])

    try:
        waiting: deque[Future[Result]] = deque()
        for batch in batches:
            waiting.append(answering.submit(run, [reading.submit(read, item) for item in batch]))
            if len(waiting) >= lanes + PREFETCH_BATCHES:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        # The lanes first: one that has begun still waits for what is being read for it.
        answering.shutdown(cancel_futures=True)
        reading.shutdown(cancel_futures=True)
