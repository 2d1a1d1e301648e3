"""A sweep from its first trial to its results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import optuna
from filelock import FileLock, Timeout
from optuna.pruners import BasePruner
from rich.console import Console

from maskfit.config.loader import read_recipe, recipe_to_yaml
from maskfit.config.recipe import Recipe
from maskfit.errors import MaskfitError, RecipeError, RunError
from maskfit.file_io import write_text
from maskfit.registry import ComponentSpec, instantiate
from maskfit.sweep.executors import LocalExecutor, TrialExecutor
from maskfit.sweep.result_files import write_results
from maskfit.sweep.results import SweepResults
from maskfit.sweep.samplers import PRUNERS, make_sampler
from maskfit.sweep.scheduler import TrialScheduler
from maskfit.sweep.search_space import Space, read_space
from maskfit.sweep.study import Study, open_study
from maskfit.sweep.sweep_dir import SweepDir
from maskfit.sweep.validate_space import max_epochs, validate_space
from maskfit.training.plan import make_plan
from maskfit.training.recipe_registry import RECIPE_REGISTRY


@dataclass(frozen=True)
class SweepSettings:
    """How a sweep goes about it; none of it changes what is tried, so all of it may differ on resuming.

    Attributes:
        trials: How many in all, those before a resume counted in.
        sampler: How the next trial is chosen, by its name in `SAMPLERS`.
        pruner: When one is given up, by its name in `PRUNERS`.
        seed: All of the sweep's own chance follows from it.
        keep: Of how many of the best trials models are kept.
    """

    trials: int
    sampler: ComponentSpec = field(default_factory=lambda: ComponentSpec.create("tpe"))
    pruner: ComponentSpec = field(default_factory=lambda: ComponentSpec.create("median"))
    seed: int = 0
    keep: int = 3


def tune(
    source: str,
    space_path: Path,
    settings: SweepSettings,
    *,
    words: Sequence[str] = (),
    out: Path | None = None,
    storage: str | None = None,
    study_name: str | None = None,
    resume: bool = False,
    placement: TrialExecutor | None = None,
    console: Console | None = None,
) -> SweepResults:
    """Tries a recipe with other values of some keys, and writes what came of it.

    Args:
        source: The recipe, as `read_recipe` takes it.
        space_path: The YAML of what is tried.
        settings: How to go about it.
        words: What is laid over the recipe before.
        out: The sweep's folder; left out, a new one under `sweeps/`.
        storage: Where the study is kept; left out, in the sweep's folder.
        study_name: What it is called there; left out, as the recipe is called.
        resume: Go on with the sweep in `out`. Trials that were under way go on from their checkpoints; none is lost.
        placement: Where trials run; left out, here, one after the other.
        console: Where progress is shown; nowhere where left out.

    Raises:
        MaskfitError: Recipe, space, data, folder or storage are not right; then nothing was tried. Or no trial was.
    """
    console = console or Console(quiet=True)
    recipe = read_recipe(source, words, registries=RECIPE_REGISTRY)
    if recipe.trainer.devices * recipe.trainer.num_nodes > 1:
        raise RecipeError(
            "a trial trains on one device",
            location="trainer.devices",
            hint="set trainer.devices=1 trainer.num_nodes=1; many trials use many devices",
        )
    space = read_space(space_path)
    validate_space(space, source, words, RECIPE_REGISTRY, where=str(space_path))
    plan = make_plan(recipe)
    held_out = [place for fold in plan.fold_numbers() for place in plan.split(fold)[1]]
    epochs = max_epochs(space, recipe)
    pruner = instantiate(PRUNERS, settings.pruner, epochs=epochs * len(plan.fold_numbers()))
    make_sampler(settings.sampler, 0, False)  # mistakes in its options are told now
    trials = _possible(space, settings, str(space_path), console)
    folder = _open_folder(recipe, space, out, resume)
    placement = placement or LocalExecutor()
    with _alone(folder):
        opened = _open_study(folder, recipe, space, storage, study_name, pruner, resume)
        study = Study(opened, space, settings.sampler, settings.seed, placement.max_parallel > 1)
        try:
            TrialScheduler(study, folder, placement, settings.keep, epochs, console).run(trials)
        finally:
            placement.close()
        persons = len({plan.photos[place].person for place in held_out})
        return write_results(folder, study, recipe, photos=len(held_out), persons=persons)


def _open_study(
    folder: SweepDir,
    recipe: Recipe,
    space: Space,
    storage: str | None,
    name: str | None,
    pruner: BasePruner,
    resume: bool,
) -> optuna.Study:
    """Opens the study that a sweep is written down in, or begins it with the sweep's own files."""
    if not resume:
        write_text(folder.recipe, recipe_to_yaml(recipe))
        # Last, as everywhere: a folder is a sweep once it holds a space.
        write_text(folder.space, space.text)
    whole = recipe.model_copy(update={"output_dir": None}).model_dump(mode="json")
    identity = {"recipe": whole, "space": space.text}
    try:
        address = storage or f"sqlite:///{folder.study}"
        return open_study(address, name or recipe.name, identity, pruner, resume=resume)
    except MaskfitError:
        if not resume:
            for path in (folder.space, folder.recipe):
                path.unlink()
        raise


def _possible(space: Space, settings: SweepSettings, where: str, console: Console) -> int:
    """How many trials make sense: no more than the space has points.

    Raises:
        RecipeError: A grid over a range that has no end of numbers.
    """
    points = space.points()
    if points is None and settings.sampler.name == "grid":
        raise RecipeError(
            "a grid needs ranges of whole numbers, or with a step",
            location=where,
            hint="add step: to each range of fractions, or take another --sampler",
        )
    if points is None or points >= settings.trials:
        return settings.trials
    console.print(f"the space has {points} points, so there are {points} trials", markup=False, highlight=False)
    return points


def _open_folder(recipe: Recipe, space: Space, out: Path | None, resume: bool) -> SweepDir:
    folder = SweepDir(out or (Path("sweeps") / recipe.name if resume else _new_name(recipe.name)))
    if resume and not folder.begun:
        raise RunError(
            "there is no sweep to resume here", location=folder.path, hint="name the sweep's folder with --out"
        )
    # A lock is all that a command leaves which stopped before anything was tried.
    if not resume and folder.path.exists() and (not folder.path.is_dir() or set(folder.path.iterdir()) - {folder.lock}):
        raise RunError(
            "this folder is not empty",
            location=folder.path,
            hint="add --resume to go on with the sweep in it, or name another folder with --out",
        )
    folder.path.mkdir(parents=True, exist_ok=True)
    return folder


def _new_name(name: str) -> Path:
    number = 1
    while (path := Path("sweeps") / (name if number == 1 else f"{name}-{number}")).exists():
        number += 1
    return path


@contextmanager
def _alone(folder: SweepDir) -> Iterator[None]:
    """One command at a time works in a sweep's folder."""
    lock = FileLock(folder.lock)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise RunError(
            "another command is at work on this sweep", location=folder.path, hint="wait for it, or end it"
        ) from None
    try:
        yield
    finally:
        lock.release()
