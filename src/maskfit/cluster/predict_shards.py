"""Photos over a Ray cluster: shards streamed through Ray Data to workers that hold the models each.

What goes through Ray is the numbers of shards; photos are read where they are answered, and answers are written there.
So the object store stays empty, however many photos there are. A worker that dies is started again, and its shard
with it; see `inference.shards` for why no photo is lost or answered twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from maskfit.cluster.ray_session import WorkerContext, allocate_resources, node_resources
from maskfit.errors import MaskfitError, RunError
from maskfit.inference.parallel_batches import limit_cpus
from maskfit.inference.predictor import Predictor
from maskfit.inference.sharded_prediction import ShardDir, ShardResult, ShardPlan, predict_shard
from maskfit.memory_allocator import configure_malloc

AHEAD = 2
"""Shards that a worker has before it, so that it never waits for the next."""


class PredictActor:
    """One worker, with its models; an actor of Ray Data's.

    Args:
        place: Where the command runs.
        folder: The result's.
        plan: As a mapping.
        cores: How many of its machine's are this worker's.
    """

    def __init__(self, place: WorkerContext, folder: str, plan: dict[str, Any], cores: int) -> None:
        configure_malloc()
        limit_cpus(cores)
        self.folder = ShardDir(Path(folder))
        self.predictor: Predictor | None = None
        self.error = ""
        try:
            place.activate()
            self.plan = ShardPlan(**{**plan, "models": tuple(plan["models"])})
            # Two workers on one machine must not both take all of it; of several cores, each lane has one already.
            self.predictor = self.plan.predictor(threads=1 if cores == 1 else None)
        except MaskfitError as error:
            # Said with the first shard: an actor that cannot begin would be begun for ever.
            self.error = str(error)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Answers for the shards of a batch."""
        done = [self._answer(int(number)) for number in batch["id"]]
        return {
            "number": [item.number for item, _ in done],
            "answered": [item.num_predicted for item, _ in done],
            "unreadable": [item.num_unreadable for item, _ in done],
            "error": [error for _, error in done],
        }

    def _answer(self, number: int) -> tuple[ShardResult, str]:
        if self.predictor is None:
            return ShardResult(number, 0, 0), self.error
        try:
            return predict_shard(self.folder, self.plan, self.predictor, number), ""
        except MaskfitError as error:
            return ShardResult(number, 0, 0), str(error)


def predict_shards_on_ray(
    folder: ShardDir, plan: ShardPlan, shards: Sequence[int], *, cores: int | None = None, device: str = "auto"
) -> Iterator[ShardResult]:
    """Answers for shards on the cluster that was joined; gives each when it is done, in any order.

    Args:
        folder: The result's.
        plan: What is answered.
        shards: Which are wanted.
        cores: Cores of one worker; all of its machine's where left out, so that a machine holds the models once.
        device: `cpu`, or what may use a GPU where the cluster has some.

    Raises:
        RunError: A worker could not begin, or a shard could not be written.
    """
    import ray
    import ray.data

    _quieten()
    given = allocate_resources(max(1, len(shards)), device)
    sizes = [count for count in node_resources() if count]
    cores = min(cores or (given.cpus if given.gpus else min(sizes)), max(sizes))
    fitting = sum(count // cores for count in sizes)
    workers = max(1, min(len(shards), given.at_once if given.gpus else fitting))
    facts = (WorkerContext.here(), str(folder.path.absolute()), asdict(plan), cores)
    # A block for each shard: what is begun again after a death is one shard.
    data = ray.data.from_items([{"id": number} for number in shards], override_num_blocks=len(shards))
    answered = data.map_batches(
        PredictActor,
        fn_constructor_args=facts,
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=workers, max_tasks_in_flight_per_actor=AHEAD),
        num_cpus=cores,
        num_gpus=given.gpus or None,
    )
    for row in answered.iter_rows():
        if row["error"]:
            raise RunError(row["error"], location=folder.path, hint="mend it, then go on with --resume")
        yield ShardResult(int(row["number"]), int(row["answered"]), int(row["unreadable"]))


def _quieten() -> None:
    """The command has a bar of its own."""
    import logging

    import ray.data

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.execution_options.verbose_progress = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
