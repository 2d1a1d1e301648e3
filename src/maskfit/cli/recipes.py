"""`maskfit recipes` and `maskfit check`: list, print, convert and validate recipes."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from maskfit.cli.console import check_overwrite, err, out, print_table, print_written
from maskfit.errors import RecipeError
from maskfit.file_io import write_text


def recipes(
    name: Annotated[str | None, typer.Argument(help="Recipe to print; without it all are listed.")] = None,
    import_: Annotated[
        Path | None,
        typer.Option("--import", metavar="CONFIG", help="Convert a pytorch-template config into a recipe."),
    ] = None,
    file: Annotated[Path | None, typer.Option("--out", help="Write the converted recipe to this file.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> None:
    """List the recipes that ship with maskfit, print one, or convert another program's config.

    Examples:

        maskfit recipes

        maskfit recipes baseline > mine.yaml

        maskfit recipes --import config.json --out mine.yaml
    """
    from maskfit.config.loader import read_recipe
    from maskfit.config.recipe_files import read_recipe_text, recipe_names

    if import_ is not None or file is not None:
        _convert_config(name, import_, file, force)
        return
    if name is not None:
        text = read_recipe_text(name)
        _print_yaml(text)
        return
    rows = [(item, read_recipe(item).description) for item in recipe_names()]
    print_table("recipes", ["name", "description"], rows)


def _convert_config(name: str | None, config: Path | None, file: Path | None, force: bool) -> None:
    """Writes or prints the converted recipe, and warns about keys without a counterpart."""
    from maskfit.config.pytorch_template import import_config
    from maskfit.training.recipe_registry import available_registries

    if config is None or name is not None:
        raise RecipeError("--out belongs to --import", hint="maskfit recipes --import CONFIG --out FILE")
    check_overwrite(file, force)
    imported = import_config(config, available_registries())
    text = imported.to_yaml(config.name)
    for warning in imported.warnings:
        err.print(f"no counterpart: {warning}")
    for key in imported.unknown:
        err.print(f"unknown key, not read: {key}")
    if file is None:
        _print_yaml(text)
        return
    write_text(file, text)
    print_written(file)
    err.print(f"next: maskfit check {file}")


def _print_yaml(text: str) -> None:
    """Prints YAML with colors on a terminal, plain in a pipe."""
    if not out.is_terminal:
        print(text, end="")
        return
    from rich.syntax import Syntax

    out.print(Syntax(text, "yaml", background_color="default"))


def check(
    recipe: Annotated[str, typer.Argument(help="Name of a recipe, or a YAML or JSON file.")],
    overrides: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Recipe keys to set.")] = None,
    no_files: Annotated[
        bool, typer.Option("--no-files", help="Do not look for the recipe's files: they are on another machine.")
    ] = False,
) -> None:
    """Check a recipe: every mistake at once, then the whole recipe with its defaults.

    No photo is read. Files and folders that the recipe names must exist, such as data.path and data.soft_labels; a key
    without a value is no mistake. Where data.path is a folder, its names must say every label of the label schema.

    Examples:

        maskfit check baseline trainer.epochs=12 loss.smoothing=0.1

        maskfit check mine.yaml --no-files
    """
    from maskfit.cli.train import check_dataset_labels
    from maskfit.config.loader import read_recipe, recipe_to_yaml
    from maskfit.models.backbone_names import OWN_BACKBONES, check_pretrained
    from maskfit.models.input_sizes import describe_input_size, resolve_image_size
    from maskfit.training.input_files import check_input_files
    from maskfit.training.progressive_sizes import describe_progressive_resizing
    from maskfit.training.recipe_registry import available_registries

    registries = available_registries()
    resolved = read_recipe(recipe, overrides or [], registries=registries)
    check_pretrained(resolved.model.backbone, resolved.model.pretrained)
    if not no_files:
        check_input_files(resolved, f"if they are on another machine: maskfit check {quote(recipe)} --no-files")
        check_dataset_labels(resolved)
    backbone = resolved.model.backbone.name
    size_line = schedule_line = None
    if "model.backbone" in registries or backbone in OWN_BACKBONES:
        size = resolve_image_size(resolved.model.backbone, resolved.data.image_size)
        size_line = describe_input_size(resolved.model.backbone, size)
        data = resolved.data.model_copy(update={"image_size": size})
        resolved = resolved.model_copy(update={"data": data})
        schedule_line = describe_progressive_resizing(resolved.progressive_resizing, size)
    print(recipe_to_yaml(resolved), end="")
    for line in (size_line, schedule_line):
        if line:
            err.print(line)
    if "model.backbone" not in registries and backbone not in OWN_BACKBONES:
        err.print(f"not checked: model.backbone={backbone}; its names are timm's: pip install 'maskfit[train]'")
    err.print(f"recipe '{resolved.name}' is valid")
