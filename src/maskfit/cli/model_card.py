"""`maskfit model-card`: the card of a model file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from maskfit.cli.console import check_overwrite, err, out, print_json, print_written
from maskfit.cli.defaults import DEFAULT_MODEL_HELP
from maskfit.file_io import write_text


def model_card(
    model: Annotated[
        str | None,
        typer.Argument(metavar="MODEL_OR_RUN", help=f"A model file, or a run (its first fold); {DEFAULT_MODEL_HELP}."),
    ] = None,
    file: Annotated[Path | None, typer.Option("--out", help="Write the card as Markdown.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the whole metadata of the file as JSON.")] = False,
) -> None:
    """Print a model card: labels, training data, scores, calibration, limits.

    The network is not run and its weights are not read.

    Examples:

        maskfit model-card

        maskfit model-card model.onnx

        maskfit model-card runs/first --out model-card.md
    """
    check_overwrite(file, force)
    from maskfit.inference.input_resolution import find_models, resolve_models
    from maskfit.model_card_markdown import render_model_card
    from maskfit.model_file import read_model_metadata

    metadata = read_model_metadata(find_models(resolve_models([model] if model else [], err.print, name_card=False))[0])
    if file:
        write_text(file, render_model_card(metadata))
        print_written(file)
    if json:
        print_json(metadata.model_dump(mode="json"))
    elif not file:
        from rich.markdown import Markdown

        out.print(Markdown(render_model_card(metadata)))
