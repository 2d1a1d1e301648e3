"""`maskfit train`: trains a recipe into a run folder."""

from __future__ import annotations

import json as json_text
import os
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from maskfit.cli.console import RAY_HELP, TRAIN_MODULES, err, out, print_json, print_next, print_table, require_extra
from maskfit.cli.defaults import setup_allocator
from maskfit.environment import MODEL_DIR, TRAIN
from maskfit.file_locks import claim
from maskfit.text import format_count
from maskfit.verbosity import is_verbose

if TYPE_CHECKING:
    from maskfit.config.recipe import Recipe


def train(
    recipe: Annotated[str, typer.Argument(help="Name of a recipe (see `maskfit recipes`), or a YAML or JSON file.")],
    overrides: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Recipe keys to set.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the interrupted run in output_dir=DIR.")] = False,
    ray: Annotated[str | None, typer.Option(metavar="ADDRESS", help=RAY_HELP)] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the scores as JSON.")] = False,
) -> None:
    """Train a recipe: split by person, train every fold, evaluate it on held-out persons.

    Writes a run folder: models, out-of-fold probabilities, scores, report.html. `data.path` and `output_dir` default to
    SM_CHANNEL_TRAIN and SM_MODEL_DIR.

    Examples:

        maskfit train fast data.path=photos

        maskfit train baseline data.path=photos cv.num_folds=5 output_dir=runs/first trainer.epochs=12

        maskfit train baseline data.path=photos cv.num_folds=5 output_dir=runs/first trainer.epochs=12 --resume

        maskfit train baseline data.path=photos cv.num_folds=5 --ray auto
    """
    require_extra("train", "train", *TRAIN_MODULES)
    allocator_note = setup_allocator()
    if allocator_note and is_verbose():
        err.print(allocator_note)
    from maskfit.progress_log import log_progress

    resolved = read_checked_recipe(recipe, overrides)
    with log_progress(err, "importing torch"):
        from maskfit.training.parallel.distributed import is_main_process
        from maskfit.training.train import train as train_recipe

    if resolved.output_dir and is_main_process():
        # Other processes may train other folds of the same run.
        for name in [f"fold{number}" for number in resolved.cv.train_folds] or ["."]:
            claim(Path(resolved.output_dir) / name)
    if ray is None:
        folder, scores = train_recipe(resolved, resume=resume, console=err)
    else:
        from maskfit.cluster.ray_session import ray_session
        from maskfit.cluster.train_folds import train_on_ray

        with ray_session(ray, "'maskfit train --ray'"):
            folder, scores = train_on_ray(resolved, resume=resume, console=err)
    if resolved.trainer.devices * resolved.trainer.num_nodes > 1 and not is_main_process():
        return
    if json:
        print_json({"run": str(folder.path), **scores.to_dict()})
        return
    from maskfit.evaluation.scores import describe_absent_classes

    rows = [(name, item.accuracy, item.macro_f1) for name, item in scores.per_attribute.items()]
    if scores.macro_f1 is not None and scores.accuracy is not None:
        rows.insert(0, ("all classes", scores.accuracy, scores.macro_f1))
    print_table(f"{folder.path}: {format_count(scores.photos, 'held-out photo')}", ["", "accuracy", "macro F1"], rows)
    if line := describe_absent_classes(scores):
        out.print(line, style="yellow", soft_wrap=True)
    out.print(f"report: {folder.report}", soft_wrap=True)
    run = quote(str(folder.path))
    print_next(f"predict {run} photo.jpg", f"model-card {run}", f"label-issues {run} --out issues.csv")


def read_checked_recipe(source: str, overrides: list[str] | None) -> Recipe:
    """Reads a recipe, and checks it, its files and its dataset's labels before torch is imported, which takes seconds.

    Args:
        source: Name of a recipe, or its file.
        overrides: Arguments `key=value`; variables SM_* are placed before them.

    Returns:
        The recipe.

    Raises:
        RecipeError: The recipe has mistakes.
        DataError: A file that the recipe names does not exist, or the dataset cannot be read, or labels no photo with
            an attribute of the label schema.
        ModelFileError: Weights are named for a backbone that has none.
    """
    from maskfit.config.loader import read_recipe
    from maskfit.models.backbone_names import check_pretrained
    from maskfit.training.input_files import check_input_files
    from maskfit.training.recipe_registry import RECIPE_REGISTRY

    recipe = read_recipe(source, [*from_environment(), *(overrides or [])], registries=RECIPE_REGISTRY)
    check_pretrained(recipe.model.backbone, recipe.model.pretrained)
    check_input_files(recipe)
    check_dataset_labels(recipe)
    return recipe


def check_dataset_labels(recipe: Recipe) -> None:
    """Checks the labels of a recipe's dataset, unless it is a manifest, which is checked where it is read.

    Args:
        recipe: The recipe.

    Raises:
        DataError: The folder cannot be read, or labels no photo with an attribute of the label schema; or the path is
            of no dataset.
    """
    from maskfit.data.label_coverage import check_labels
    from maskfit.data.read_dataset import read_photos

    data = recipe.data
    if data.path is None or not Path(data.path).exists():
        return
    is_manifest = Path(data.path).suffix.lower() == ".csv" and Path(data.path).is_file()
    # Corrections may add labels; a manifest may be large, and names its columns.
    if not is_manifest and not data.label_corrections:
        photos = read_photos(data.path, data.label_schema, data.codes, must_use_codes=not data.extra_train)
        check_labels(photos, data.label_schema, Path(data.path))


def from_environment() -> list[str]:
    """Returns recipe overrides from SM_* variables, to be placed before those of the command line.

    Returns:
        Overrides as `key=value`.
    """
    variables = (("data.path", os.environ.get(TRAIN)), ("output_dir", os.environ.get(MODEL_DIR)))
    # Quoted, since YAML could read a folder's name as a number or something else.
    return [f"{key}={json_text.dumps(value)}" for key, value in variables if value]
