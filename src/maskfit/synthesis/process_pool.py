"""Process pool for rendering many small images."""

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

Map = Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]]
"""A function like the builtin `map`."""


@contextmanager
def parallel_map(count: int, workers: int | None) -> Iterator[Map]:
    """Yields an order-preserving map over jobs that runs in worker processes where that pays off.

    The processes start before the body runs and have ended when the context is left, also after an error, so the caller
    can safely remove what they wrote. A calling script without a `__main__` guard is imported again by each spawned
    process; a process that fails there must not leave a folder behind, hence the start before anything is written.

    Args:
        count: Number of jobs.
        workers: Number of processes; None for up to one per core; 1 to run in this process.

    Yields:
        A function like the builtin `map` for one function and one sequence of jobs.

    Raises:
        MaskfitError: The processes could not start, or one of them died.
    """
    # Starting a process takes about 0.5 s, as long as drawing three persons.
    num_processes = min(workers or min(os.cpu_count() or 1, count // 4), count)
    if num_processes <= 1:
        yield map
        return
    # Spawned, not forked: forking a process that has threads, as torch starts them, can deadlock.
    pool = ProcessPoolExecutor(num_processes, mp_context=get_context("spawn"))
    try:
        pool.submit(int).result()
        yield partial(pool.map, chunksize=max(1, min(8, count // (4 * num_processes))))
    except BrokenProcessPool as error:
        raise MaskfitError(
            "the worker processes did not start or died",
            hint="in a script, call this under if __name__ == '__main__':, or set workers=1",
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)
