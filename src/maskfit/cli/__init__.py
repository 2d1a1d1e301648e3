"""The command `maskfit`: verbs that parse, call one function, and print.

Every verb stands in the table below. What is heavy is imported inside a verb, so that `maskfit --help` answers at once
and the base install never misses what only training needs.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from maskfit import __version__
from maskfit.cli import data
from maskfit.cli.console import err, out
from maskfit.cli.environment import load_environment
from maskfit.cli.evaluate import evaluate
from maskfit.cli.export import export
from maskfit.cli.predict import predict
from maskfit.cli.recipes import check, recipes
from maskfit.cli.train import train
from maskfit.errors import MaskfitError

app = typer.Typer(
    name="maskfit",
    help="Read mask, gender and age from face photos: train, judge, combine and use classifiers.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    add_completion=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for verb in (train, predict, evaluate, export, recipes, check):
    app.command()(verb)
app.add_typer(data.app, name="data")


def _print_version(wanted: bool) -> None:
    if wanted:
        out.print(f"maskfit {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and leave.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    pass


def main() -> None:
    """The entry point: runs a verb; what the user can mend is said without a traceback, with exit code 2."""
    load_environment()
    try:
        app()
    except MaskfitError as error:
        err.print(f"[bold red]error:[/] {_escape(str(error))}")
        sys.exit(2)
    except KeyboardInterrupt:
        err.print("stopped")
        sys.exit(130)


def _escape(text: str) -> str:
    return text.replace("[", r"\[")
