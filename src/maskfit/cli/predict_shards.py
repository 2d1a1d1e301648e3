"""`maskfit predict --shards`: any number of photos, here or on a cluster, into a folder of tables."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from maskfit.cli.console import err, out, print_json, progress
from maskfit.errors import DataError

if TYPE_CHECKING:
    from maskfit.inference.sharded_prediction import ShardDir, ShardResult, ShardPlan

Shards = Annotated[
    Path | None,
    typer.Option(
        "--shards", metavar="DIR", help="Write tables of many photos each into this folder, for any number of photos."
    ),
]


def check_shard_options(images: str | None, *, ray: str | None, resume: bool) -> None:
    """Stops where something was asked for that goes with `--shards` alone.

    Raises:
        DataError: It was.
    """
    from maskfit.data.remote_files import is_url

    wanted = [name for name, given in (("--ray", ray is not None), ("--resume", resume)) if given]
    if images is not None and is_url(images):
        wanted.append(f"--images {images}")
    if wanted:
        raise DataError(f"{wanted[0]} answers into a folder of tables", hint="add --shards DIR")


def predict_sharded(
    plan: ShardPlan, folder: Path, list_: Path | None, *, ray: str | None, cores: int | None, resume: bool, json: bool
) -> None:
    """Answers for every photo of a plan, shard by shard, and says what there is.

    Args:
        plan: What is answered.
        folder: Where the shards go.
        list_: A CSV with a column `ImageID`; all photos below the root where left out.
        ray: The address of a cluster; here where left out.
        cores: Cores of one worker on the cluster; all of its machine's where left out.
        resume: Go on with the shards that are there.
        json: Print what there is as JSON.
    """
    from maskfit.data.remote_files import read_image_names
    from maskfit.inference.sharded_prediction import ShardDir, pending, start_or_resume, write_summary

    result = ShardDir(folder)
    names = None if list_ is None else read_image_names(list_, plan.root)
    with err.status("listing photos"):
        plan = start_or_resume(result, plan, names, resume=resume)
    shards = pending(result, plan)
    if resume and len(shards) < plan.num_shards:
        err.print(f"{plan.num_shards - len(shards):,} of {plan.num_shards:,} shards are done already")
    began, done = time.perf_counter(), 0
    with progress(f"predicting in {plan.num_shards:,} shards") as advance:
        wanted = sum(min(plan.size, plan.num_images - number * plan.size) for number in shards)
        for shard in _answered(result, plan, shards, ray, cores):
            done += shard.num_predicted + shard.num_unreadable
            advance(done, wanted)
    seconds = time.perf_counter() - began
    facts: dict[str, Any] = write_summary(result, plan)
    if not facts["answered"]:
        raise DataError("not one photo could be read", location=folder / "unreadable", hint="the reasons stand there")
    if json:
        print_json({**facts, "seconds": round(seconds, 3)})
        return
    rate = f", {done / seconds:,.0f} photos/s" if done else ""
    out.print(f"{facts['answered']:,} photos answered in {facts['shards']:,} shards: {facts['answers']}{rate}")
    if facts["unreadable"]:
        err.print(f"{facts['unreadable']:,} photos cannot be read; they are listed in {folder / 'unreadable'}")


def _answered(
    result: ShardDir, plan: ShardPlan, shards: list[int], ray: str | None, cores: int | None
) -> Iterator[ShardResult]:
    if not shards:
        return
    if ray is None:
        from maskfit.inference.sharded_prediction import predict_locally

        yield from predict_locally(result, plan, shards, plan.predictor())
        return
    from maskfit.cluster.predict_shards import predict_shards_on_ray
    from maskfit.cluster.ray_session import ray_session

    with ray_session(ray, "'maskfit predict --ray'"):
        yield from predict_shards_on_ray(result, plan, shards, cores=cores)
