"""Process pool for rendering many small images."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

from maskfit.environment import temporary_variables
from maskfit.errors import MaskfitError
from maskfit.process_supervisor import ProcessSupervisor, Worker, WorkerExit, WorkerMessage

Map = Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]]
"""A function like the builtin `map`."""

CHUNKS_IN_FLIGHT = 2
"""Chunks of jobs that a process has at a time: one that it works on, one that waits."""

BLAS_THREADS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Environment variables of the libraries that NumPy multiplies matrices with; read when they are loaded."""

_READY = "ready"


@contextmanager
def parallel_map(count: int, workers: int | None) -> Iterator[Map]:
    """Yields an order-preserving map over jobs that runs in worker processes where that pays off.

    The processes start before the body runs and have ended when the context is left, also after an error, Ctrl-C or
    SIGTERM and within two seconds, so the caller can safely remove what they wrote. A calling script without a
    `__main__` guard is imported again by each spawned process; a process that fails there must not leave a folder
    behind, hence the start before anything is written.

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
    with ProcessSupervisor() as supervisor:
        # Each process has a core: matrix products on several threads in each would only wait for each other's.
        with temporary_variables(**{name: os.environ.get(name, "1") for name in BLAS_THREADS}):
            for number in range(num_processes):
                supervisor.start(_work, name=f"worker {number}")
        ready = 0
        while ready < num_processes:
            ready += len(_receive(supervisor))
        chunk = max(1, min(8, count // (4 * num_processes)))
        yield lambda function, jobs: _map(supervisor, function, jobs, chunk)


def _map(
    supervisor: ProcessSupervisor, function: Callable[[Any], Any], jobs: Sequence[Any], chunk: int
) -> Iterator[Any]:
    """Yields the results in the order of the jobs; raises the first exception of `function`."""
    waiting = deque(enumerate(jobs[start : start + chunk] for start in range(0, len(jobs), chunk)))
    finished: dict[int, tuple[list[Any], Exception | None]] = {}

    def assign(worker: Worker) -> None:
        if waiting:
            number, part = waiting.popleft()
            try:
                worker.send((number, function, part))
            except OSError:
                # It has ended, which `_receive` finds.
                waiting.appendleft((number, part))

    for _ in range(CHUNKS_IN_FLIGHT):
        for worker in supervisor.workers:
            assign(worker)
    for number in range(-(-len(jobs) // chunk)):
        while number not in finished:
            for event in _receive(supervisor):
                index, results, error = event.message
                finished[index] = (results, error)
                assign(event.worker)
        results, error = finished.pop(number)
        yield from results
        if error is not None:
            raise error


def _receive(supervisor: ProcessSupervisor) -> list[WorkerMessage]:
    """Waits for messages of the workers.

    Raises:
        MaskfitError: A worker ended.
    """
    messages = []
    for event in supervisor.wait():
        if isinstance(event, WorkerExit):
            raise MaskfitError(
                f"the worker processes did not start or died: {event.worker.name} {event.worker.describe_exit()}",
                hint="in a script, call this under if __name__ == '__main__':, or set workers=1",
            )
        messages.append(event)
    return messages


def _work(pipe: Connection) -> None:
    """Runs in a worker process: takes chunks of jobs until the command ends."""
    pipe.send(_READY)
    while True:
        number, function, jobs = pipe.recv()
        results: list[Any] = []
        error: Exception | None = None
        try:
            # One by one, so that those before an error are kept.
            results.extend(map(function, jobs))
        except Exception as caught:
            error = caught
        pipe.send((number, results, error))
