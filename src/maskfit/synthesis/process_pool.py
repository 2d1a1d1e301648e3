"""Processes that share out many small jobs of making pictures."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from typing import Any

from maskfit.errors import MaskfitError

Result = Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]]


@contextmanager
def parallel_map(count: int, workers: int | None) -> Iterator[Result]:
    """Gives a map over `count` jobs that keeps their order, by processes where they pay.

    The processes stand before anything is written, and have ended when this is left, by an error too: what they wrote
    may be removed then. A script without a guard is run again by each of them; whichever is stopped in the middle of
    that must not leave a folder behind.

    Args:
        count: How many jobs there will be.
        workers: Processes; up to one per core where None; 1 works in this process.

    Raises:
        MaskfitError: The processes could not start.
    """
    # A process costs half a second to start, which is some three people drawn.
    members = min(workers or min(os.cpu_count() or 1, count // 4), count)
    if members <= 1:
        yield map
        return
    # Spawned, not forked: a fork of a process that has threads, such as one with torch in it, can hang.
    pool = ProcessPoolExecutor(members, mp_context=get_context("spawn"))
    try:
        pool.submit(int).result()
        yield partial(pool.map, chunksize=max(1, min(8, count // (4 * members))))
    except BrokenProcessPool as error:
        raise MaskfitError(
            "the processes that draw did not start or did not last",
            hint="in a script, call this under if __name__ == '__main__':, or give workers=1",
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)
