"""Predicts shards of photos on a Ray cluster, with actors that each hold the models.

Only shard numbers go through Ray; the actors read the photos and write the predictions themselves, so Ray's object
store stays empty however many photos there are. The actors are plain ones and not those of Ray Data, which puts the
arguments of the constructor into the object store, warns of that in every run, and may lose them when an actor is
started again. Here they are part of the actor's description. If an actor dies, Ray starts it and its shards again;
`inference.sharded_prediction` explains why no photo is lost or predicted twice, and `inference.shard_attempts` why a
photo that kills its actors does not do so without end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from maskfit.cluster.ray_session import WorkerContext, allocate_resources, node_resources
from maskfit.errors import MaskfitError, RunError
from maskfit.inference.image_loading import limit_cpus
from maskfit.inference.predictor import Predictor
from maskfit.inference.sharded_prediction import ShardDir, ShardPlan, ShardResult, predict_shard
from maskfit.memory_allocator import configure_malloc

SHARDS_IN_FLIGHT = 2
"""Number of shards that are assigned to an actor at a time, so that it never waits for the next one."""


class PredictActor:
    """Actor that opens the models once, with its first shard, and predicts shards.

    Args:
        context: The command's working folder and version.
        folder: Path of the result folder.
        plan: The `ShardPlan` as a mapping.
        cores: Number of cores for this actor.
    """

    def __init__(self, context: WorkerContext, folder: str, plan: dict[str, Any], cores: int) -> None:
        configure_malloc()
        limit_cpus(cores)
        self.context = context
        self.folder = ShardDir(Path(folder))
        self.plan = ShardPlan(**{**plan, "models": tuple(plan["models"])})
        # Several actors of one core may share a machine: torch would use all of its cores by default.
        self.threads = 1 if cores == 1 else None
        self.predictor: Predictor | None = None

    def predict(self, number: int) -> tuple[ShardResult, str]:
        """Predicts a shard.

        Args:
            number: Its number.

        Returns:
            The result, and an error to report in its place; empty where there is none.
        """
        try:
            self.context.activate()
            return predict_shard(self.folder, self.plan, self._open, number), ""
        except MaskfitError as error:
            return ShardResult(number, 0, 0), str(error)

    def _open(self) -> Predictor:
        """Opens the models with the first shard, whose attempts are counted: Ray starts an actor again without end."""
        if self.predictor is None:
            self.predictor = self.plan.predictor(self.threads)
        return self.predictor


def predict_shards_on_ray(
    folder: ShardDir, plan: ShardPlan, shards: Sequence[int], *, cores: int | None = None, device: str = "auto"
) -> Iterator[ShardResult]:
    """Predicts shards on the connected cluster.

    Args:
        folder: The result folder.
        plan: Photos, models and settings.
        shards: Numbers of the shards to predict.
        cores: Number of cores per actor; by default those of the smallest machine, so that a machine loads the models
            once.
        device: `cpu`, or a value that allows a GPU where the cluster has some.

    Yields:
        Each shard when it is done, in any order.

    Raises:
        RunError: An actor cannot open the models, or a shard cannot be written.
    """
    import ray

    resources = allocate_resources(max(1, len(shards)), device)
    sizes = [count for count in node_resources() if count]
    cores = min(cores or (resources.cpus if resources.gpus else min(sizes)), max(sizes))
    fitting = sum(count // cores for count in sizes)
    num_actors = max(1, min(len(shards), resources.max_parallel if resources.gpus else fitting))
    # Without an end here: a shard whose actor dies is predicted by the actor's successor, which knows from the notes of
    # the shard how often that happened (`inference.shard_attempts`).
    actor_class = ray.remote(PredictActor).options(
        num_cpus=cores, num_gpus=resources.gpus or None, max_restarts=-1, max_task_retries=-1
    )
    arguments = (WorkerContext.here(), str(folder.path.absolute()), asdict(plan), cores)
    actors: list[Any] = [actor_class.remote(*arguments) for _ in range(num_actors)]
    try:
        for result, error in _run_actors(actors, shards):
            if error:
                raise RunError(error, location=folder.path, hint="correct the error, then continue with --resume")
            yield result
    finally:
        for actor in actors:
            ray.kill(actor)


def _run_actors(actors: Sequence[Any], shards: Sequence[int]) -> Iterator[tuple[ShardResult, str]]:
    """Gives every actor `SHARDS_IN_FLIGHT` shards at a time, and yields what it returns."""
    import ray

    numbers = iter(shards)
    pending: dict[Any, Any] = {}

    def assign(actor: Any) -> None:
        number = next(numbers, None)
        if number is not None:
            pending[actor.predict.remote(number)] = actor

    # One each before the second: otherwise few shards would all go to the first actors.
    for _ in range(SHARDS_IN_FLIGHT):
        for actor in actors:
            assign(actor)
    while pending:
        ready, _ = ray.wait(list(pending), num_returns=1)
        for reference in ready:
            assign(pending.pop(reference))
            yield ray.get(reference)
