"""Options of every command that reads a dataset: its label schema, and the meanings of codes in it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from maskfit.errors import DataError, did_you_mean, is_model_name
from maskfit.labels.schema import LABEL_SCHEMAS, LabelSchema

SourceArgument = Annotated[
    Path,
    typer.Argument(
        metavar="ROOT|CSV",
        help="A folder of person folders (000001_female_Asian_45/mask1.jpg) or class folders (with_mask/a.jpg), or a "
        "CSV with the column path and any of person, mask, gender, age.",
        show_default=False,
    ),
]
CodesOption = Annotated[
    str,
    typer.Option(
        "--codes",
        metavar="MAP",
        help="Meanings of codes without words in a CSV, as in the recipe's data.codes: "
        "'{gender: {0: female, 1: male}, mask: {0: not_wear, 1: wear}, age: band}'.",
        show_default=False,
    ),
]
SCHEMA_CHOICES = f"{', '.join(LABEL_SCHEMAS)}, or that of a recipe file, run or model"
"""Values of every option `--schema`, for its help."""

SchemaOption = Annotated[
    str, typer.Option("--schema", metavar="NAME|FILE|RUN", help=f"Label schema: {SCHEMA_CHOICES}.")
]

DEFAULT_SCHEMA = "mask-gender-age"
"""Label schema of commands and recipes that name none."""


def find_schema(name: str) -> LabelSchema:
    """Returns the label schema of `--schema`.

    Args:
        name: A key of `LABEL_SCHEMAS`; or a recipe file, a run, or a model file, whose label schema is taken.

    Returns:
        The label schema that is scored.

    Raises:
        DataError: The name is unknown, and there is no such file.
        MaskfitError: The recipe or model cannot be read.
    """
    if name in LABEL_SCHEMAS:
        return LABEL_SCHEMAS[name]
    path = Path(name)
    if path.suffix.lower() in (".yaml", ".yml") and path.is_file():
        from maskfit.config.loader import read_recipe

        return read_recipe(path).data.label_schema
    if is_model_name(path) or path.is_dir():
        from maskfit.inference.input_resolution import find_models
        from maskfit.model_file import read_model_metadata

        return read_model_metadata(find_models([path])[0]).label_schema.scored_schema()
    raise DataError(
        f"label schema '{name}' is unknown; {did_you_mean(name, LABEL_SCHEMAS)}",
        hint="attributes of your own are written out in a recipe (docs/data.md, Classes): name that recipe file, or "
        "the run or model that was trained with it",
    )


def training_words(name: str, recipe: str) -> list[str]:
    """Returns how a command trains with a label schema, for a next step.

    Args:
        name: Value of `--schema`.
        recipe: Recipe to propose where the label schema has a name.

    Returns:
        The recipe, then overrides: `["quick", "data.label_schema=mask"]`, or the recipe file that holds the schema, or
            that of the run; of a model file, `RECIPE.yaml`, to be written.
    """
    if name in LABEL_SCHEMAS:
        return [recipe, *([] if name == DEFAULT_SCHEMA else [f"data.label_schema={name}"])]
    path = Path(name)
    if path.is_dir():
        return [str(path / "recipe.yaml")]
    return [name if path.suffix.lower() in (".yaml", ".yml") else "RECIPE.yaml"]


def parse_codes(text: str) -> dict[str, dict[str, str] | str]:
    """Returns the meanings of `--codes`, read as the recipe's `data.codes`.

    Args:
        text: YAML; empty for none.

    Returns:
        Column to the value of each code, or to the kind of its numbers.

    Raises:
        DataError: The text is no such mapping.
    """
    if not text:
        return {}
    from maskfit.config.loader import parse_yaml_value
    from maskfit.config.recipe import DataConfig

    try:
        return DataConfig(codes=parse_yaml_value(text)).codes
    except ValueError:
        hint = "write '{gender: {0: female, 1: male}}', with a space after each colon"
        raise DataError(f"--codes must map columns to codes and values, got {text}", hint=hint) from None
