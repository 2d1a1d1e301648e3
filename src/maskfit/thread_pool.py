"""Thread pools whose waiting jobs are dropped when their command is interrupted."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager


@contextmanager
def thread_pool(max_workers: int | None = None, name: str = "") -> Iterator[ThreadPoolExecutor]:
    """Opens a pool; leaving it waits for running jobs only, where `with ThreadPoolExecutor()` waits for all of them.

    So Ctrl-C ends a command in the time of one job. Every result that is needed must be taken inside of the context.

    Args:
        max_workers: Number of threads; None for Python's default.
        name: Prefix of the threads' names.

    Yields:
        The pool.
    """
    pool = ThreadPoolExecutor(max_workers, name)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
