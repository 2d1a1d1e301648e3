"""How much a command prints besides its results; child processes take it over through the environment."""

from __future__ import annotations

import os

VARIABLE = "MASKFIT_VERBOSITY"
"""Environment variable: `quiet`, `verbose`, or anything else for the default."""

QUIET, VERBOSE = "quiet", "verbose"


def is_quiet() -> bool:
    """Returns whether only results and errors are printed."""
    return os.environ.get(VARIABLE) == QUIET


def is_verbose() -> bool:
    """Returns whether logs of libraries and tracebacks of errors are printed too."""
    return os.environ.get(VARIABLE) == VERBOSE
