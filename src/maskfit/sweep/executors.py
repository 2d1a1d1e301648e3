"""Where trials run: here, in processes beside the command's, so that one which crashes ends alone.

A process is used for one trial after another: importing torch takes longer than a small network's epoch.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Protocol

from maskfit.memory_allocator import configure_malloc
from maskfit.sweep.trial_worker import EpochReport, Event, Outcome, TrialFinished, TrialJob, run_trial


class TrialExecutor(Protocol):
    """Runs trials somewhere."""

    @property
    def max_parallel(self) -> int:
        """How many trials may run at once."""
        ...

    def start(self, job: TrialJob) -> None:
        """Begins a trial and returns at once."""
        ...

    def wait(self) -> list[Event]:
        """What happened, at least one event; with no trial under way, nothing."""
        ...

    def reply(self, number: int, stop: bool) -> None:
        """Tells a trial that reported whether to stop."""
        ...

    def close(self) -> None:
        """Ends what still runs; it can be gone on with from its checkpoints."""
        ...


@dataclass
class _Worker:
    """A process, and the trial it has under way."""

    process: BaseProcess
    pipe: Connection
    job: TrialJob | None = None


class LocalExecutor:
    """Processes on this machine.

    Args:
        jobs: How many trials at once; they share the cores evenly, and take turns on several GPUs.
        cores: Cores to share.
        devices: GPUs to take turns on.
    """

    def __init__(self, jobs: int = 1, cores: int | None = None, devices: int = 0) -> None:
        self.jobs = jobs
        self.threads = max(1, (cores or os.cpu_count() or 1) // jobs) if jobs > 1 else None
        self.devices = devices
        self.begun = 0
        self.workers: list[_Worker] = []

    @property
    def max_parallel(self) -> int:
        return self.jobs

    def start(self, job: TrialJob) -> None:
        idle = (item for item in self.workers if item.job is None and item.process.is_alive())
        worker = next(idle, None) or self._worker()
        worker.job = job
        worker.pipe.send(job)

    def _worker(self) -> _Worker:
        # Spawned, not forked: neither torch's threads nor a GPU outlive a fork.
        context = get_context("spawn")
        ours, theirs = context.Pipe()
        device = self.begun % self.devices if self.devices > 1 else None
        process = context.Process(target=_run, args=(theirs, self.threads, device), daemon=True)
        process.start()
        theirs.close()
        self.begun += 1
        self.workers.append(_Worker(process, ours))
        return self.workers[-1]

    def wait(self) -> list[Event]:
        busy = {worker.pipe: worker for worker in self.workers if worker.job is not None}
        return [self._heard(busy[pipe]) for pipe in wait(list(busy))]  # type: ignore[index]

    def _heard(self, worker: _Worker) -> Event:
        """What one trial has to say; its pipe ends with its process."""
        assert worker.job is not None
        number, log = worker.job.number, worker.job.log
        try:
            told = worker.pipe.recv()
        except (EOFError, OSError):
            worker.process.join()
            self.workers.remove(worker)
            return TrialFinished(number, Outcome("failed", reason=_last_words(worker.process.exitcode, log)))
        if isinstance(told, Outcome):
            worker.job = None
            return TrialFinished(number, told)
        return EpochReport(number, *told)

    def reply(self, number: int, stop: bool) -> None:
        try:
            next(item for item in self.workers if item.job and item.job.number == number).pipe.send(stop)
        except OSError:
            # It died meanwhile, which its pipe tells next.
            return

    def close(self) -> None:
        for worker in self.workers:
            worker.process.kill()
        for worker in self.workers:
            worker.process.join()
            worker.pipe.close()
        self.workers.clear()


def _last_words(code: int | None, log: str) -> str:
    """Why a process that said nothing ended."""
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        return f"its process was killed by {name}{'; the memory may not have sufficed' if name == 'SIGKILL' else ''}"
    return f"its process ended with code {code}; see {log}"


def _run(pipe: Connection, threads: int | None, device: int | None) -> None:
    """What a process does: trials, one after another, until it is ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches whoever started it
    threading.Thread(target=_end_with_parent, daemon=True).start()
    configure_malloc()
    if device is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = str(device)

    def tell(step: int, score: float) -> bool:
        pipe.send((step, score))
        return bool(pipe.recv())

    while True:
        job: TrialJob = pipe.recv()
        Path(job.log).parent.mkdir(parents=True, exist_ok=True)
        with Path(job.log).open("a", encoding="utf-8", buffering=1) as log:
            # Also what libraries print below Python.
            os.dup2(log.fileno(), sys.stdout.fileno())
            os.dup2(log.fileno(), sys.stderr.fileno())
            pipe.send(run_trial(job, tell, log, threads))


def _end_with_parent() -> None:
    """Two sweeps must never work on one trial: where the command is killed, its trials end at once."""
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
