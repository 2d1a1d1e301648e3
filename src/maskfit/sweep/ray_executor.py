"""Trials as tasks of a Ray cluster."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from maskfit.cluster.message_queue import open_desk
from maskfit.cluster.ray_session import WorkerContext, allocate_resources, node_resources
from maskfit.errors import MaskfitError
from maskfit.memory_allocator import configure_malloc
from maskfit.sweep.trial_worker import EpochReport, Event, Outcome, TrialFinished, TrialJob, run_trial

PAUSE = 0.1
"""Seconds between two looks at what is new."""

MANY = 10_000
"""More trials than any cluster holds at once: each gets the cores it asks for, and no more."""


class RayExecutor:
    """Tasks of the cluster that was joined, as many at once as it has room for.

    A trial whose process or machine dies has failed, and is tried once more from its last checkpoint.

    Args:
        cores: Cores of one trial.
        device: `cpu`, or what may use a GPU where the cluster has some.
    """

    def __init__(self, cores: int = 1, device: str = "auto") -> None:
        import ray

        given = allocate_resources(MANY, device)
        fitting = sum(count // cores for count in node_resources())
        self.cores = cores
        self.places = max(1, min(given.at_once, fitting))
        # Not retried by Ray: the sweep counts attempts, and must know of them.
        self.task = ray.remote(num_cpus=cores, num_gpus=given.gpus, max_retries=0)(_run)
        self.desk = open_desk()
        self.place = WorkerContext.here()
        self.running: dict[Any, int] = {}
        self.steps: dict[int, int] = {}

    @property
    def max_parallel(self) -> int:
        return self.places

    def start(self, job: TrialJob) -> None:
        self.running[self.task.remote(self.place, job, self.cores, self.desk)] = job.number

    def wait(self) -> list[Event]:
        import ray

        while self.running:
            ready, _ = ray.wait(list(self.running), timeout=PAUSE)
            told = [EpochReport(*item) for item in ray.get(self.desk.take.remote())]
            events: list[Event] = [item for item in told if item.number in self.running.values()]
            self.steps |= {item.number: item.step for item in told}
            events += [TrialFinished(self.running.pop(item), _outcome(item)) for item in ready]
            if events:
                return events
        return []

    def reply(self, number: int, stop: bool) -> None:
        # By the step: a trial that died before it read an answer must not find it when it is tried again.
        self.desk.answer.remote((number, self.steps[number]), stop)

    def close(self) -> None:
        import ray

        for item in self.running:
            ray.cancel(item, force=True)
        self.running.clear()


def _outcome(item: Any) -> Outcome:
    import ray

    try:
        outcome: Outcome = ray.get(item)
    except ray.exceptions.RayError as error:
        return Outcome("failed", reason=str(error).strip().splitlines()[0])
    return outcome


def _run(place: WorkerContext, job: TrialJob, cores: int, desk: Any) -> Outcome:
    """A trial, in a process of the cluster."""
    import ray

    try:
        place.activate()
    except MaskfitError as error:
        return Outcome("failed", reason=error.message)

    def tell(step: int, score: float) -> bool:
        ray.get(desk.tell.remote((job.number, step, score)))
        while (stop := ray.get(desk.answered.remote((job.number, step)))) is None:
            time.sleep(PAUSE)
        return bool(stop)

    configure_malloc()
    Path(job.log).parent.mkdir(parents=True, exist_ok=True)
    with Path(job.log).open("a", encoding="utf-8", buffering=1) as log:
        return run_trial(job, tell, log, cores)
