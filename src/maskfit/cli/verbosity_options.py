"""The options `--quiet` and `--verbose`, which every command has, before or after its name."""

from __future__ import annotations

import os
import sys
import time
import warnings
from typing import Annotated, Any

import typer

from maskfit.errors import MaskfitError, OldNameWarning, PhotoWarning
from maskfit.verbosity import QUIET, VARIABLE, VERBOSE, is_quiet, is_verbose
from maskfit.version import __version__

QUIET_HELP = "Print results and errors only."
VERBOSE_HELP = "Also print logs of libraries, tracebacks of errors, and the time."

_START = time.monotonic()


def make_options() -> list[Any]:
    """Creates the options for one command.

    Returns:
        Parameters to append to those of a Typer command.
    """
    # Taken from a command of their own: the class of a parameter, and its arguments, differ between Typer's versions.
    carrier = typer.Typer(add_completion=False)
    carrier.command()(_carry_options)
    return [option for option in typer.main.get_command(carrier).params if option.name in ("quiet", "verbose")]


def _set_quiet(given: bool) -> None:
    set_verbosity(quiet=given)


def _set_verbose(given: bool) -> None:
    set_verbosity(verbose=given)


# Eager: set before other options are read, whose messages they concern.
_FLAG: dict[str, Any] = {"is_eager": True, "expose_value": False}


def _carry_options(
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help=QUIET_HELP, callback=_set_quiet, **_FLAG)] = False,
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help=VERBOSE_HELP, callback=_set_verbose, **_FLAG)
    ] = False,
) -> None:
    """Is never called."""


def set_verbosity(*, quiet: bool = False, verbose: bool = False) -> None:
    """Sets the verbosity of this process and of those that it starts; without a flag it stays what it is.

    Args:
        quiet: Whether only results and errors are printed.
        verbose: Whether logs of libraries and tracebacks are printed too.
    """
    if quiet or verbose:
        os.environ[VARIABLE] = QUIET if quiet else VERBOSE
        apply_verbosity()
    if verbose:
        import platform

        print(f"maskfit {__version__}, Python {platform.python_version()}, {platform.platform()}", file=sys.stderr)


def apply_verbosity() -> None:
    """Applies the verbosity of the environment to the console, warnings and logs."""
    if "maskfit.cli.console" in sys.modules:
        from maskfit.cli.console import err

        err.quiet = is_quiet()
    if is_quiet():
        for category in (OldNameWarning, PhotoWarning):
            warnings.simplefilter("ignore", category)
    if is_verbose():
        import logging

        logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s", stream=sys.stderr)


def print_traceback(error: MaskfitError) -> None:
    """Prints the traceback of an error where the command is verbose.

    Args:
        error: The error.
    """
    if is_verbose():
        import traceback

        traceback.print_exception(error, file=sys.stderr)


def print_time() -> None:
    """Prints the time that the command took, and of the processor, where it is verbose."""
    if is_verbose():
        times = os.times()
        print(
            f"took {time.monotonic() - _START:.1f} s; the processor {times.user + times.system:.1f} s", file=sys.stderr
        )
