"""Threads: pools whose waiting jobs are dropped at an interruption, and OpenMP threads that do not wait busily."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

SPIN_VARIABLE, WAIT_VARIABLE = "GOMP_SPINCOUNT", "OMP_WAIT_POLICY"
"""Environment variables of libgomp, the OpenMP library of torch's wheels for Linux; read when it is loaded."""

SPIN_COUNT = "1000"
"""Turns for which a thread waits busily for the others before it sleeps; libgomp's default is 300,000."""


def limit_spinning() -> None:
    """Lets OpenMP threads sleep soon where they wait for each other, unless the environment says how they wait.

    By default they wait busily for about a millisecond, after every operation. On a machine with other work, where one
    of two threads is often not running, a training of a small network then spends four fifths of its processor time
    waiting. For programs, not for libraries; before torch is imported. Child processes inherit it.
    """
    if WAIT_VARIABLE not in os.environ:
        os.environ.setdefault(SPIN_VARIABLE, SPIN_COUNT)


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
