"""`maskfit model-card`: what a model file says of itself, for people."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from maskfit.cli.console import check_overwrite, err, out, print_json
from maskfit.cli.defaults import LEFT_OUT, resolve_models
from maskfit.file_io import write_text


def model_card(
    model: Annotated[
        str | None,
        typer.Argument(metavar="MODEL_OR_RUN", help=f"A model file, or a run (its first fold); {LEFT_OUT}."),
    ] = None,
    file: Annotated[Path | None, typer.Option("--out", help="Write the card as Markdown here.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print everything the file says of itself, as JSON.")] = False,
) -> None:
    """Show a model's card: what it reads, what it learnt from, its scores, how sure it is, its limits.

    Nothing is run, and weights are not read.

    Examples:

        maskfit model-card

        maskfit model-card model.onnx

        maskfit model-card runs/first --out model-card.md
    """
    check_overwrite(file, force)
    from maskfit.inference.members import find_models
    from maskfit.model_card_markdown import render_model_card
    from maskfit.model_file import read_model_metadata

    facts = read_model_metadata(find_models(resolve_models([model] if model else []))[0])
    if file:
        write_text(file, render_model_card(facts))
        err.print(f"wrote {file}")
    if json:
        print_json(facts.model_dump(mode="json"))
    elif not file:
        from rich.markdown import Markdown

        out.print(Markdown(render_model_card(facts)))
