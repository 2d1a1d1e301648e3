"""Runs trials as tasks of a Ray cluster."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from maskfit.cluster.message_queue import create_message_queue
from maskfit.cluster.ray_session import WorkerContext, allocate_resources, node_resources
from maskfit.errors import MaskfitError
from maskfit.memory_allocator import configure_malloc
from maskfit.sweep.trial_worker import EpochReport, Event, TrialFinished, TrialJob, TrialOutcome, run_trial

POLL_SECONDS = 0.1
"""Interval at which events and replies are fetched."""

MANY_TASKS = 10_000
"""More trials than any cluster runs at once, so that GPUs are counted for as many trials as there are GPUs."""


class RayExecutor:
    """Runs trials on the connected cluster, as many at once as it has resources for.

    A trial whose process or machine dies counts as failed and is retried by the sweep from its last checkpoint.

    Args:
        cores: Number of cores per trial.
        device: `cpu`, or a value that allows a GPU where the cluster has some.
    """

    def __init__(self, cores: int = 1, device: str = "auto") -> None:
        import ray

        resources = allocate_resources(MANY_TASKS, device)
        fitting = sum(count // cores for count in node_resources())
        self.cores = cores
        self._max_parallel = max(1, min(resources.max_parallel, fitting))
        # Not retried by Ray: the sweep counts attempts.
        self._task = ray.remote(num_cpus=cores, num_gpus=resources.gpus, max_retries=0)(_run_trial)
        self._queue = create_message_queue()
        self._context = WorkerContext.here()
        self._running: dict[Any, int] = {}
        self._last_step: dict[int, int] = {}

    @property
    def max_parallel(self) -> int:
        """Number of trials that may run at a time."""
        return self._max_parallel

    def start(self, job: TrialJob) -> None:
        """Submits a trial.

        Args:
            job: The trial.
        """
        self._running[self._task.remote(self._context, job, self.cores, self._queue)] = job.number

    def wait(self) -> list[Event]:
        """Waits for events of running trials.

        Returns:
            At least one event; none only if no trial runs.
        """
        import ray

        while self._running:
            ready, _ = ray.wait(list(self._running), timeout=POLL_SECONDS)
            reports = [EpochReport(*message) for message in ray.get(self._queue.get_all.remote())]
            events: list[Event] = [item for item in reports if item.number in self._running.values()]
            self._last_step |= {item.number: item.step for item in reports}
            events += [TrialFinished(self._running.pop(item), _outcome(item)) for item in ready]
            if events:
                return events
        return []

    def reply(self, number: int, stop: bool) -> None:
        """Answers a trial's `EpochReport`.

        Args:
            number: The trial.
            stop: Whether the trial shall stop.
        """
        # Keyed by step: a retried trial must not read the reply to its first attempt.
        self._queue.put_reply.remote((number, self._last_step[number]), stop)

    def close(self) -> None:
        """Cancels all running trials; they can be resumed from their checkpoints."""
        import ray

        for item in self._running:
            ray.cancel(item, force=True)
        self._running.clear()


def _outcome(item: Any) -> TrialOutcome:
    import ray

    try:
        outcome: TrialOutcome = ray.get(item)
    except ray.exceptions.RayError as error:
        return TrialOutcome("failed", reason=str(error).strip().splitlines()[0])
    return outcome


def _run_trial(context: WorkerContext, job: TrialJob, cores: int, queue: Any) -> TrialOutcome:
    """Runs one trial in a process of the cluster."""
    import ray

    try:
        context.activate()
    except MaskfitError as error:
        return TrialOutcome("failed", reason=error.message)

    def report_epoch(step: int, score: float) -> bool:
        ray.get(queue.put.remote((job.number, step, score)))
        while (stop := ray.get(queue.pop_reply.remote((job.number, step)))) is None:
            time.sleep(POLL_SECONDS)
        return bool(stop)

    configure_malloc()
    Path(job.log).parent.mkdir(parents=True, exist_ok=True)
    with Path(job.log).open("a", encoding="utf-8", buffering=1) as log:
        return run_trial(job, report_epoch, log, cores)
