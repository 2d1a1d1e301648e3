"""Runs a sweep: validates recipe and space, runs the trials, writes the results."""

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
from maskfit.file_locks import acquire_lock, is_occupied
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
from maskfit.text import format_count
from maskfit.training.plan import make_plan
from maskfit.training.recipe_registry import RECIPE_REGISTRY


@dataclass(frozen=True)
class SweepSettings:
    """Settings of a sweep that do not change what a trial is, so that all of them may differ on resuming.

    Attributes:
        trials: Total number of trials, including those of before a resume.
        sampler: How the next trial is chosen; a name in `SAMPLERS` with options.
        pruner: When a trial is stopped early; a name in `PRUNERS` with options.
        seed: Seed of the sampler.
        keep_models: Number of best trials whose model files are kept.
    """

    trials: int
    sampler: ComponentSpec = field(default_factory=lambda: ComponentSpec.create("tpe"))
    pruner: ComponentSpec = field(default_factory=lambda: ComponentSpec.create("median"))
    seed: int = 0
    keep_models: int = 3


def tune(
    source: str,
    space_path: Path,
    settings: SweepSettings,
    *,
    overrides: Sequence[str] = (),
    out: Path | None = None,
    storage: str | None = None,
    study_name: str | None = None,
    resume: bool = False,
    executor: TrialExecutor | None = None,
    console: Console | None = None,
) -> SweepResults:
    """Trains a recipe with different values of some keys, and writes the results.

    Args:
        source: The recipe, as `read_recipe` takes it.
        space_path: YAML file of the search space.
        settings: Number of trials, sampler, pruner and seed.
        overrides: `key=value` overrides of the recipe.
        out: The sweep's folder; a new one under `sweeps/` by default.
        storage: SQLAlchemy URL of the study's database; a file in the sweep's folder by default.
        study_name: Name of the study in the storage; the recipe's name by default.
        resume: Continue the sweep in `out`. Interrupted trials continue from their checkpoints.
        executor: Where trials run; one at a time on this machine by default.
        console: Receives one line per event; none by default.

    Returns:
        The results.

    Raises:
        MaskfitError: Invalid recipe, space, data, folder or storage: no trial was started. Or no trial succeeded.
    """
    console = console or Console(quiet=True)
    recipe = read_recipe(source, overrides, registries=RECIPE_REGISTRY)
    if recipe.trainer.devices * recipe.trainer.num_nodes > 1:
        raise RecipeError(
            f"a trial trains on one device, got trainer.devices={recipe.trainer.devices}, "
            f"trainer.num_nodes={recipe.trainer.num_nodes}",
            location="trainer.devices",
            hint="set trainer.devices=1 trainer.num_nodes=1; trials are spread over the devices",
        )
    space = read_space(space_path)
    validate_space(space, source, overrides, RECIPE_REGISTRY, where=str(space_path))
    plan = make_plan(recipe)
    held_out = [index for fold in plan.fold_numbers() for index in plan.split(fold)[1]]
    epochs = max_epochs(space, recipe)
    pruner = instantiate(PRUNERS, settings.pruner, epochs=epochs * len(plan.fold_numbers()))
    make_sampler(settings.sampler, 0, False)  # unknown options are refused before the first trial
    trials = _limit_trials(space, settings, str(space_path), console)
    folder = _open_folder(recipe, space, out, resume)
    executor = executor or LocalExecutor()
    with _locked(folder):
        database = _open_study(folder, recipe, space, storage, study_name, pruner, resume)
        study = Study(database, space, settings.sampler, settings.seed, executor.max_parallel > 1)
        try:
            TrialScheduler(study, folder, executor, settings.keep_models, epochs, console).run(trials)
        finally:
            executor.close()
        persons = len({plan.photos[index].person for index in held_out})
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
    """Opens the sweep's study; a new sweep's recipe and space are written first."""
    if not resume:
        write_text(folder.recipe, recipe_to_yaml(recipe))
        # Written last: a folder is a sweep once it holds a space.
        write_text(folder.space, space.text)
    base_recipe = recipe.model_copy(update={"output_dir": None}).model_dump(mode="json")
    identity = {"recipe": base_recipe, "space": space.text}
    try:
        url = storage or f"sqlite:///{folder.study}"
        return open_study(url, name or recipe.name, identity, pruner, resume=resume)
    except MaskfitError:
        if not resume:
            for path in (folder.space, folder.recipe):
                path.unlink()
        raise


def _limit_trials(space: Space, settings: SweepSettings, where: str, console: Console) -> int:
    """Number of trials, at most the number of combinations in the space.

    Raises:
        RecipeError: Grid search over a continuous range.
    """
    cardinality = space.cardinality()
    if cardinality is None and settings.sampler.name == "grid":
        raise RecipeError(
            "grid search needs integer ranges or ranges with a step",
            location=where,
            hint="add step: to each range of floats, or choose another --sampler",
        )
    if cardinality is None or cardinality >= settings.trials:
        return settings.trials
    console.print(
        f"the space has only {format_count(cardinality, 'combination')}: running {format_count(cardinality, 'trial')}",
        markup=False,
        highlight=False,
    )
    return cardinality


def _open_folder(recipe: Recipe, space: Space, out: Path | None, resume: bool) -> SweepDir:
    folder = SweepDir(out or (Path("sweeps") / recipe.name if resume else _new_path(recipe.name)))
    if resume and not folder.exists:
        raise RunError("no sweep to resume", location=folder.path, hint="name the sweep's folder with --out")
    # A command that stopped before its first trial leaves only a lock file.
    if is_occupied(folder.path, ignored=[folder.lock]) and not resume:
        raise RunError(
            "this folder is not empty",
            location=folder.path,
            hint="add --resume to continue the sweep in it, or choose another folder with --out",
        )
    folder.path.mkdir(parents=True, exist_ok=True)
    return folder


def _new_path(name: str) -> Path:
    number = 1
    while (path := Path("sweeps") / (name if number == 1 else f"{name}-{number}")).exists():
        number += 1
    return path


@contextmanager
def _locked(folder: SweepDir) -> Iterator[None]:
    """Holds the sweep folder's lock, so that only one command works in it."""
    lock = FileLock(folder.lock)
    try:
        acquire_lock(lock, "choose a folder on a local disk with --out DIR")
    except Timeout:
        raise RunError(
            "another command is running this sweep", location=folder.path, hint="wait for it, or stop it"
        ) from None
    try:
        yield
    finally:
        lock.release()
