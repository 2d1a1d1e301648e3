"""The command `maskfit`: verbs that parse, call one function, and print.

Every verb stands in the table below. What is heavy is imported inside a verb, so that `maskfit --help` answers at once
and the base install never misses what only training needs.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from maskfit import __version__
from maskfit.cli import data
from maskfit.cli.calibrate import calibrate
from maskfit.cli.card import card
from maskfit.cli.console import err, out, print_error
from maskfit.cli.demo import demo
from maskfit.cli.ensemble import ensemble
from maskfit.cli.environment import load_environment
from maskfit.cli.evaluate import evaluate
from maskfit.cli.explore import explore
from maskfit.cli.export import export
from maskfit.cli.inspect import inspect
from maskfit.cli.new import new
from maskfit.cli.predict import predict
from maskfit.cli.pseudo import pseudo
from maskfit.cli.recipes import check, recipes
from maskfit.cli.report import report
from maskfit.cli.review import review
from maskfit.cli.serve import serve
from maskfit.cli.studio import app as app_page
from maskfit.cli.suspects import suspects
from maskfit.cli.train import train
from maskfit.cli.watch import watch
from maskfit.errors import MaskfitError

STOPPED = 130
"""The exit code of a command that the user stopped, as shells have it."""

OF_THE_USER = frozenset(
    {
        errno.EACCES, errno.EPERM, errno.EROFS, errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENOSPC, errno.EDQUOT,
        errno.ENAMETOOLONG,
    }
)  # fmt: skip
"""What the system refuses for a reason that the user can mend."""

app = typer.Typer(
    name="maskfit",
    help="Read mask, gender and age from face photos: train, judge, combine and use classifiers.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    add_completion=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
VERBS: dict[str, tuple[Callable[..., None], ...]] = {
    "Begin": (demo, new, recipes, check),
    "Train and judge": (train, evaluate, report, ensemble, pseudo, calibrate, inspect),
    "Photos and labels": (suspects, review),
    "Use": (predict, app_page, serve, watch, export, card),
}
"""Every verb, under the heading that help gives it; those on photos alone are in `cli/data.py`."""

for heading, verbs in VERBS.items():
    for verb in verbs:
        app.command(rich_help_panel=heading)(verb)
data.app.command()(explore)
app.add_typer(data.app, name="data", rich_help_panel="Photos and labels")


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
    try:
        code = _run()
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read this has enough, as `head -1` has. Python would complain once more when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    sys.exit(code)


def _run() -> int | str | None:
    """Runs a verb and gives the exit code."""
    # A file name in another encoding than the terminal's must not end in a traceback.
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        load_environment()
        app()
    except MaskfitError as error:
        print_error(error)
        return 2
    except OSError as error:
        if error.errno not in OF_THE_USER:
            raise
        print_error(MaskfitError(f"{error.strerror}", where=error.filename2 or error.filename, fix="check the path"))
        return 2
    except (KeyboardInterrupt, SystemExit) as left:
        if isinstance(left, SystemExit) and left.code != STOPPED:
            return left.code
        err.print("stopped")
        return STOPPED
    return 0
