"""`maskfit predict --shards`: any number of photos, locally or on a cluster, into a folder of tables."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from maskfit.cli.console import err, out, print_json, progress
from maskfit.cli.predict_options import MANY_PHOTOS
from maskfit.errors import DataError
from maskfit.file_locks import claim
from maskfit.text import format_count

if TYPE_CHECKING:
    from maskfit.inference.sharded_prediction import ShardDir, ShardPlan, ShardResult

ShardsOption = Annotated[
    Path | None,
    typer.Option(
        "--shards",
        metavar="DIR",
        rich_help_panel=MANY_PHOTOS,
        help="Write tables of many photos each into this folder, for any number of photos.",
    ),
]


def check_shard_options(images: str | None, *, ray: str | None, resume: bool) -> None:
    """Checks that no option that needs `--shards` is given without it.

    Args:
        images: Value of --images.
        ray: Value of --ray.
        resume: Whether --resume is given.

    Raises:
        DataError: One is.
    """
    from maskfit.data.manifest_files import is_url

    misplaced = [name for name, present in (("--ray", ray is not None), ("--resume", resume)) if present]
    if images is not None and is_url(images):
        misplaced.append(f"--images {images}")
    if misplaced:
        raise DataError(f"{misplaced[0]} needs --shards", hint="add --shards DIR")


def predict_sharded(
    plan: ShardPlan, folder: Path, list_: Path | None, *, ray: str | None, cores: int | None, resume: bool, json: bool
) -> None:
    """Predicts every photo of a plan, shard by shard, and prints a summary.

    Args:
        plan: Photos, models and settings.
        folder: Output folder of the shards.
        list_: CSV with a column `ImageID`; all photos below the root by default.
        ray: Address of a Ray cluster; this machine by default.
        cores: Cores per worker on the cluster; all of its machine by default.
        resume: Continue, keeping finished shards.
        json: Print the summary as JSON.

    Raises:
        DataError: No photo could be read.
    """
    from maskfit.data.remote_files import read_image_names
    from maskfit.inference.sharded_prediction import ShardDir, pending, start_or_resume, write_summary

    claim(folder)
    shard_dir = ShardDir(folder)
    names = None if list_ is None else read_image_names(list_, plan.root, err.print)
    with err.status("listing photos"):
        plan = start_or_resume(shard_dir, plan, names, resume=resume)
    shards = pending(shard_dir, plan)
    if resume and len(shards) < plan.num_shards:
        err.print(
            f"{plan.num_shards - len(shards):,} of {format_count(plan.num_shards, 'shard is', 'shards are')} finished"
        )
    started, done = time.perf_counter(), 0
    with progress(f"predicting in {format_count(plan.num_shards, 'shard')}") as advance:
        total = sum(min(plan.size, plan.num_images - number * plan.size) for number in shards)
        said: set[str] = set()
        for shard in _predict_shards(shard_dir, plan, shards, ray, cores):
            for line in shard.notes:
                if line not in said:
                    err.print(line, soft_wrap=True)
                said.add(line)
            done += shard.num_predicted + shard.num_unreadable
            advance(done, total)
    seconds = time.perf_counter() - started
    summary: dict[str, Any] = write_summary(shard_dir, plan)
    if not summary["answered"]:
        raise DataError("no photo could be read", location=folder / "unreadable", hint="see the reasons there")
    if json:
        print_json({**summary, "seconds": round(seconds, 3)})
        return
    rate = f", {done / seconds:,.0f} photos/s" if done else ""
    num_shards = format_count(summary["shards"], "shard")
    out.print(f"{format_count(summary['answered'], 'photo')} predicted in {num_shards}: {summary['answers']}{rate}")
    if summary["unreadable"]:
        listed = format_count(summary["unreadable"], "unreadable photo is", "unreadable photos are")
        err.print(f"{listed} listed in {folder / 'unreadable'}")


def _predict_shards(
    shard_dir: ShardDir, plan: ShardPlan, shards: list[int], ray: str | None, cores: int | None
) -> Iterator[ShardResult]:
    if not shards:
        return
    if ray is None:
        from maskfit.inference.sharded_prediction import predict_locally

        yield from predict_locally(shard_dir, plan, shards, plan.predictor(log=err.print))
        return
    from maskfit.cluster.predict_shards import predict_shards_on_ray
    from maskfit.cluster.ray_session import ray_session

    with ray_session(ray, "'maskfit predict --ray'"):
        yield from predict_shards_on_ray(shard_dir, plan, shards, cores=cores)
