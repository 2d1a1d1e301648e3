"""Where trials run: on this machine in worker processes, so that a trial that crashes does not end the sweep.

A worker process runs one trial after another: importing torch takes longer than an epoch of a small network.
"""

from __future__ import annotations

import os
import sys
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Protocol

from maskfit.memory_allocator import configure_malloc
from maskfit.process_supervisor import ProcessSupervisor, Worker, WorkerEvent, WorkerExit
from maskfit.sweep.trial_worker import EpochReport, Event, TrialFinished, TrialJob, TrialOutcome, run_trial


class TrialExecutor(Protocol):
    """Runs trials somewhere."""

    @property
    def max_parallel(self) -> int:
        """Number of trials that may run at a time."""
        ...

    def start(self, job: TrialJob) -> None:
        """Starts a trial and returns at once.

        Args:
            job: The trial.
        """
        ...

    def wait(self) -> list[Event]:
        """Waits for events of running trials.

        Returns:
            At least one event; none only if no trial runs.
        """
        ...

    def reply(self, number: int, stop: bool) -> None:
        """Answers a trial's `EpochReport`, for which the trial waits.

        Args:
            number: The trial.
            stop: Whether the trial shall stop.
        """
        ...

    def close(self) -> None:
        """Stops all running trials; they can be resumed from their checkpoints."""
        ...


class LocalExecutor:
    """Runs trials in processes on this machine.

    Args:
        jobs: Number of trials at a time, >= 1. They share the cores evenly and are spread over the GPUs in turn.
        cores: Number of cores to share; all of this machine's by default.
        devices: Number of GPUs to spread trials over.
    """

    def __init__(self, jobs: int = 1, cores: int | None = None, devices: int = 0) -> None:
        self.jobs = jobs
        self.threads = max(1, (cores or os.cpu_count() or 1) // jobs) if jobs > 1 else None
        self.devices = devices
        # Killed without grace: a sweep that is resumed at once must not share a trial with the old worker.
        self._supervisor = ProcessSupervisor(grace_seconds=0, daemon=True)
        self._running: dict[Worker, TrialJob] = {}
        self._num_started = 0

    @property
    def max_parallel(self) -> int:
        """Number of trials that may run at a time."""
        return self.jobs

    def start(self, job: TrialJob) -> None:
        """Starts a trial in an idle worker, or in a new one.

        Args:
            job: The trial.
        """
        workers = self._supervisor.workers
        idle = (worker for worker in workers if worker not in self._running and worker.process.is_alive())
        worker = next(idle, None) or self._start_worker()
        self._running[worker] = job
        worker.send(job)

    def wait(self) -> list[Event]:
        """Waits for events of running trials.

        Returns:
            At least one event; none only if no trial runs.
        """
        events: list[Event] = []
        while self._running and not events:
            for item in self._supervisor.wait():
                event = self._to_trial_event(item)
                if event is not None:
                    events.append(event)
        return events

    def reply(self, number: int, stop: bool) -> None:
        """Answers a trial's `EpochReport`.

        Args:
            number: The trial.
            stop: Whether the trial shall stop.
        """
        worker = next((worker for worker, job in self._running.items() if job.number == number), None)
        if worker is None:
            # It ended in the meantime.
            return
        try:
            worker.send(stop)
        except OSError:
            # Its exit is the next event.
            return

    def close(self) -> None:
        """Kills all workers; running trials can be resumed from their checkpoints."""
        self._supervisor.stop()
        self._running.clear()

    def _start_worker(self) -> Worker:
        device = self._num_started % self.devices if self.devices > 1 else None
        self._num_started += 1
        return self._supervisor.start(_run_trials, self.threads, device, name=f"trial worker {self._num_started}")

    def _to_trial_event(self, event: WorkerEvent) -> Event | None:
        """Returns the trial's event; None if an idle worker ended."""
        if isinstance(event, WorkerExit):
            job = self._running.pop(event.worker, None)
            return None if job is None else TrialFinished(job.number, _crash_outcome(event.worker, job.log))
        number = self._running[event.worker].number
        if isinstance(event.message, TrialOutcome):
            del self._running[event.worker]
            return TrialFinished(number, event.message)
        return EpochReport(number, *event.message)


def _crash_outcome(worker: Worker, log: str) -> TrialOutcome:
    """Outcome of a trial whose process ended without one."""
    code = worker.process.exitcode
    see_log = "" if code is not None and code < 0 else f"; see {log}"
    return TrialOutcome("failed", reason=f"its process {worker.describe_exit()}{see_log}")


def _run_trials(pipe: Connection, threads: int | None, device: int | None) -> None:
    """Runs in a worker process: one trial after another, until the process is killed."""
    configure_malloc()
    if device is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = str(device)

    def report_epoch(step: int, score: float) -> bool:
        pipe.send((step, score))
        return bool(pipe.recv())

    while True:
        job: TrialJob = pipe.recv()
        Path(job.log).parent.mkdir(parents=True, exist_ok=True)
        with Path(job.log).open("a", encoding="utf-8", buffering=1) as log:
            # File descriptors rather than sys.stdout: libraries also print from native code.
            os.dup2(log.fileno(), sys.stdout.fileno())
            os.dup2(log.fileno(), sys.stderr.fileno())
            pipe.send(run_trial(job, report_epoch, log, threads))
