"""`maskfit tune`: hyperparameter search."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from maskfit.cli.console import RAY_HELP, TRAIN_MODULES, err, out, print_json, print_table, require_extra
from maskfit.cli.defaults import setup_allocator
from maskfit.text import format_count

if TYPE_CHECKING:
    from maskfit.sweep.executors import TrialExecutor
    from maskfit.sweep.results import SweepResults

SHOWN = 10
"""Trials printed on the terminal; the table and the page have all."""


SpaceOption = Annotated[Path, typer.Option(metavar="YAML", help="Search space: recipe keys with ranges or choices.")]
TrialsOption = Annotated[int, typer.Option(min=1, help="Number of trials, including those before a resume.")]
OutOption = Annotated[
    Path | None, typer.Option("--out", metavar="SWEEP", help="Folder of the sweep; under sweeps/ by default.")
]
ResumeOption = Annotated[bool, typer.Option("--resume", help="Continue the sweep in --out; finished trials are kept.")]
SamplerOption = Annotated[
    str, typer.Option("--sampler", help="Sampler: tpe, random, gp or grid; options as in tpe:startup=5.")
]
PrunerOption = Annotated[
    str,
    typer.Option("--pruner", help="Pruner: none, median or hyperband; options as in median:warmup=3."),
]
SeedOption = Annotated[int, typer.Option(min=0, help="Random seed of the sampler.")]
JobsOption = Annotated[int, typer.Option(min=1, help="Parallel trials on this machine.")]
StorageOption = Annotated[
    str | None,
    typer.Option(metavar="URL", help="Optuna storage, such as sqlite:///tune.db; a file in --out by default."),
]
StudyOption = Annotated[str | None, typer.Option("--study", help="Name of the study; the recipe's name by default.")]
KeepModelsOption = Annotated[
    int, typer.Option("--keep-models", min=1, help="Number of best trials whose models are kept.")
]
RayOption = Annotated[str | None, typer.Option("--ray", metavar="ADDRESS", help=RAY_HELP)]
CoresOption = Annotated[int, typer.Option(min=1, help="With --ray: cores per trial.")]


def tune(
    recipe: Annotated[str, typer.Argument(help="Name of a recipe (see `maskfit recipes`), or a YAML or JSON file.")],
    overrides: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Recipe keys to set.")] = None,
    space: SpaceOption = Path("space.yaml"),
    trials: TrialsOption = 20,
    target: OutOption = None,
    resume: ResumeOption = False,
    sampler: SamplerOption = "tpe",
    pruner: PrunerOption = "median",
    seed: SeedOption = 0,
    jobs: JobsOption = 1,
    storage: StorageOption = None,
    study: StudyOption = None,
    keep_models: KeepModelsOption = 3,
    ray: RayOption = None,
    cores: CoresOption = 1,
    json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
) -> None:
    """Search hyperparameters: many trainings of a recipe, each evaluated on the same held-out persons.

    Poor trials are pruned, failed ones retried once and reported with their reason. A killed sweep resumes at the epoch
    where it stopped. Writes trials.csv, report.html, and best.yaml, a recipe.

    The format of space.yaml is described in docs/scale.md; a line is `optimizer.lr: {low: 1e-5, high: 1e-2, log:
    true}`.

    Examples:

        maskfit tune fast data.path=photos --space space.yaml --trials 40

        maskfit tune fast data.path=photos --space space.yaml --trials 80 --out sweeps/fast --resume

        maskfit tune fast data.path=photos --space space.yaml --trials 200 --ray head-node:6379 --cores 4

        maskfit train sweeps/fast/best.yaml cv.num_folds=5
    """
    require_extra("tune", "train", *TRAIN_MODULES)
    require_extra("tune", "tune", "optuna")
    setup_allocator()
    from maskfit.cli.train import from_environment, read_checked_recipe
    from maskfit.config.loader import parse_component

    read_checked_recipe(recipe, overrides)
    from maskfit.sweep.tune import SweepSettings
    from maskfit.sweep.tune import tune as sweep

    settings = SweepSettings(trials, parse_component(sampler), parse_component(pruner), seed, keep_models)
    with _trial_executor(ray, jobs, cores) as executor:
        results = sweep(
            recipe,
            space,
            settings,
            overrides=[*from_environment(), *(overrides or [])],
            out=target,
            storage=storage,
            study_name=study,
            resume=resume,
            executor=executor,
            console=err,
        )
    if json:
        print_json(results.to_dict())
        return
    _print_results(results)


def _print_results(results: SweepResults) -> None:
    """Prints the best trials, and how reliable their ranking is."""
    from maskfit.sweep.study import format_params

    ranked = sorted(results.trials, key=lambda item: (item.state != "done", -(item.score or 0.0)))[:SHOWN]
    rows = [
        (item.number, "-" if item.score is None else f"{item.score:.4f}", item.state, format_params(item))
        for item in ranked
    ]
    counts = ", ".join(f"{results.count(state)} {state}" for state in ("done", "pruned", "failed"))
    title = f"{results.folder.path}: {format_count(len(results.trials), 'trial')}: {counts}"
    print_table(title, ["trial", "macro F1", "state", "values"], rows)
    out.print(results.reliability_note, soft_wrap=True)
    out.print(f"best recipe: {results.folder.best}\nreport: {results.folder.report}", soft_wrap=True)


@contextmanager
def _trial_executor(ray: str | None, jobs: int, cores: int) -> Iterator[TrialExecutor]:
    """Yields the executor of trials: a Ray cluster or this machine."""
    if ray is None:
        import torch

        from maskfit.sweep.executors import LocalExecutor

        yield LocalExecutor(jobs, devices=torch.cuda.device_count())
        return
    from maskfit.cluster.ray_session import ray_session
    from maskfit.sweep.ray_executor import RayExecutor

    with ray_session(ray, "'maskfit tune --ray'"):
        yield RayExecutor(cores)
