"""Predicts shards of photos on a Ray cluster, with Ray Data actors that each hold the models.

Only shard numbers go through Ray; the actors read the photos and write the predictions themselves, so Ray's object
store stays empty however many photos there are. If an actor dies, Ray restarts it and its shard;
`inference.sharded_prediction` explains why no photo is lost or predicted twice.
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
    """Ray Data actor that opens the models once and predicts shards.

    Args:
        context: The command's working folder and version.
        folder: Path of the result folder.
        plan: The `ShardPlan` as a mapping.
        cores: Number of cores for this actor.
    """

    def __init__(self, context: WorkerContext, folder: str, plan: dict[str, Any], cores: int) -> None:
        configure_malloc()
        limit_cpus(cores)
        self.folder = ShardDir(Path(folder))
        self.predictor: Predictor | None = None
        self.error = ""
        try:
            context.activate()
            self.plan = ShardPlan(**{**plan, "models": tuple(plan["models"])})
            # Several actors of one core may share a machine: torch would use all of its cores by default.
            self.predictor = self.plan.predictor(threads=1 if cores == 1 else None)
        except MaskfitError as error:
            # Reported with the first shard: Ray would restart an actor whose constructor raises forever.
            self.error = str(error)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Predicts the shards of a batch.

        Args:
            batch: Column `id` with shard numbers.

        Returns:
            Columns `number`, `predicted`, `unreadable` and `error`, one row per shard.
        """
        done = [self._predict(int(number)) for number in batch["id"]]
        return {
            "number": [item.number for item, _ in done],
            "predicted": [item.num_predicted for item, _ in done],
            "unreadable": [item.num_unreadable for item, _ in done],
            "error": [error for _, error in done],
        }

    def _predict(self, number: int) -> tuple[ShardResult, str]:
        if self.predictor is None:
            return ShardResult(number, 0, 0), self.error
        try:
            return predict_shard(self.folder, self.plan, self.predictor, number), ""
        except MaskfitError as error:
            return ShardResult(number, 0, 0), str(error)


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
    import ray.data

    _disable_progress_output()
    resources = allocate_resources(max(1, len(shards)), device)
    sizes = [count for count in node_resources() if count]
    cores = min(cores or (resources.cpus if resources.gpus else min(sizes)), max(sizes))
    fitting = sum(count // cores for count in sizes)
    num_actors = max(1, min(len(shards), resources.max_parallel if resources.gpus else fitting))
    arguments = (WorkerContext.here(), str(folder.path.absolute()), asdict(plan), cores)
    # One block per shard: what Ray restarts after a death is one shard.
    data = ray.data.from_items([{"id": number} for number in shards], override_num_blocks=len(shards))
    predicted = data.map_batches(
        PredictActor,
        fn_constructor_args=arguments,
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=num_actors, max_tasks_in_flight_per_actor=SHARDS_IN_FLIGHT),
        num_cpus=cores,
        num_gpus=resources.gpus or None,
    )
    for row in predicted.iter_rows():
        if row["error"]:
            raise RunError(row["error"], location=folder.path, hint="correct the error, then continue with --resume")
        yield ShardResult(int(row["number"]), int(row["predicted"]), int(row["unreadable"]))


def _disable_progress_output() -> None:
    """Turns off Ray Data's progress bars and log lines; the command has its own progress bar."""
    import logging

    import ray.data

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.execution_options.verbose_progress = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
