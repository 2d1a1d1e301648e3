"""A whole run: every fold trained and judged, their held-out answers joined, scored, and reported."""

from __future__ import annotations

import os
import platform
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from maskfit import __version__
from maskfit.cookbook import dump_recipe, read_recipe
from maskfit.data.folds import read_folds
from maskfit.data.store import StoredFrames, open_store
from maskfit.errors import RunError
from maskfit.evaluation.scores import Scores, score
from maskfit.evaluation.tables import ProbabilityTable, read_table, stack
from maskfit.files import read_json, write_json, write_text
from maskfit.recipe import Recipe
from maskfit.report.pages import judge, write_report
from maskfit.runfolder import RunFolder, is_run
from maskfit.training.closing import calibrated, tell_models
from maskfit.training.fold import fold_data, train_fold
from maskfit.training.plan import Plan, make_plan
from maskfit.training.task import headline


def train(recipe: Recipe, *, resume: bool = False, console: Console | None = None) -> tuple[RunFolder, Scores]:
    """Trains a recipe.

    Args:
        recipe: The experiment; `run` says where, or a new folder under `runs/` is made.
        resume: Go on with a run that was cut off: folds that are done are left alone, the one that was cut off goes on
            from its last checkpoint, and gives what it would have given uncut.
        console: Where progress is shown; nowhere where left out.

    Returns:
        The run's folder, and the scores of all held-out answers together.

    Raises:
        MaskfitError: Recipe, data or folder are not right; nothing is written then.
    """
    console = console or Console(quiet=True)
    plan = make_plan(recipe)
    folder = _open_folder(plan, resume)
    for remark in plan.remarks:
        console.print(remark)
    stored, framed = _open_stores(plan, console)
    if framed.guessed:
        console.print(
            f"no face found in {len(framed.guessed):,} of {len(framed):,} photos: the crop's fallback was taken; "
            f"they are listed in {framed.guesses}"
        )
    numbers = plan.fold_numbers()
    tables = []
    for number in numbers:
        own = folder.fold(number)
        if own.done:
            console.print(f"fold {number + 1} of {plan.folds.count} is done already")
            tables.append(read_table(own.probabilities, plan.official.classes))
        else:
            tables.append(train_fold(plan, number, fold_data(plan, number, stored, framed), own, console))
    return folder, _finish(plan, folder, stack(tables), numbers)


def _open_folder(plan: Plan, resume: bool) -> RunFolder:
    """Makes the run's folder, or finds the one to go on with; never writes into another run's."""
    recipe = plan.recipe
    folder = RunFolder(Path(recipe.run) if recipe.run else _new_name(recipe.name))
    if resume:
        return _resumed(plan, folder)
    if folder.path.exists() and (not folder.path.is_dir() or any(folder.path.iterdir())):
        raise RunError(
            "this folder is not empty",
            where=folder.path,
            fix="add --resume to go on with the run in it, or name another folder with run=DIR",
        )
    plan.folds.write(folder.folds)
    write_json(folder.environment, _environment())
    # Written last: a folder is a run once it holds a recipe.
    write_text(folder.recipe, dump_recipe(recipe))
    return folder


def _new_name(name: str) -> Path:
    number = 1
    while (path := Path("runs") / (name if number == 1 else f"{name}-{number}")).exists():
        number += 1
    return path


def _resumed(plan: Plan, folder: RunFolder) -> RunFolder:
    if not plan.recipe.run or not is_run(folder.path):
        raise RunError("there is no run to resume here", where=folder.path, fix="name the run's folder with run=DIR")
    begun = read_recipe(folder.recipe)
    # Where a run lies and what it computes on does not change what it is.
    same = {"run": None, "fold": ()}
    if begun.model_copy(update=same) != plan.recipe.model_copy(update=same):
        changed = _differences(begun.model_dump(mode="json"), plan.recipe.model_dump(mode="json"))
        raise RunError(
            f"this run was begun with another recipe; {', '.join(changed)}",
            where=folder.recipe,
            fix="resume it with the same recipe and words, or start a new run",
        )
    if dict(read_folds(folder.folds).of) != dict(plan.folds.of):
        raise RunError(
            "the photos are no longer those the run was begun with", where=folder.folds, fix="start a new run"
        )
    return folder


def _differences(before: Any, after: Any, key: str = "") -> list[str]:
    if isinstance(before, dict) and isinstance(after, dict):
        return [
            line
            for name in dict.fromkeys([*before, *after])
            if name not in ("run", "fold")
            for line in _differences(before.get(name), after.get(name), f"{key}.{name}" if key else name)
        ]
    return [] if before == after else [f"{key} was {before}, is {after}"]


def _open_stores(plan: Plan, console: Console) -> tuple[StoredFrames, StoredFrames]:
    """The photos at the size that augmentation crops from, and through the evaluation transform."""
    recipe = plan.recipe
    where = Path(recipe.data.store) if recipe.data.store else None
    framing = plan.preprocessing.framing
    larger = framing.scaled(recipe.data.train_scale)
    began = time.perf_counter()
    with console.status("decoding photos") as status:

        def show(done: int, total: int) -> None:
            rate = done / (time.perf_counter() - began)
            status.update(
                f"decoding photos: {done:,} of {total:,} · {rate:,.0f}/s · {(total - done) / rate:.0f} s left"
            )

        framed = open_store(plan.photos.photos, framing, folder=where, progress=show)
        stored = framed if larger == framing else open_store(plan.photos.photos, larger, folder=where, progress=show)
    return stored, framed


def _finish(plan: Plan, folder: RunFolder, table: ProbabilityTable, numbers: tuple[int, ...]) -> Scores:
    """Joins and scores what the folds said of the persons they never saw."""
    calibration, table = calibrated(plan, table)
    rows = plan.places(table.names)
    persons = [plan.photos[place].person for place in rows]
    scores = score(plan.official, plan.truth()[rows], probabilities=table.probabilities, persons=persons)
    table.write(folder.probabilities)
    for number in numbers:
        tell_models(plan, folder.fold(number), number, scores, calibration)
    folds = {number: read_json(folder.fold(number).scores) for number in numbers}
    write_json(
        folder.scores,
        {
            "score": headline(scores),
            "per_fold": {str(number): fold["score"] for number, fold in folds.items()},
            "seconds": sum(fold["seconds"] for fold in folds.values()),
            **scores.to_dict(),
        },
    )
    write_report(folder.report, judge([folder.path]))
    return scores


def _environment() -> dict[str, Any]:
    packages = ("torch", "torchvision", "timm", "lightning", "numpy", "pillow")
    return {
        "maskfit": __version__,
        "command": sys.argv,
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in packages},
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "began": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
