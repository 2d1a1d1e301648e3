"""Defaults of commands: SM_* environment variables (also from a `.env` file), the bundled model, malloc and OpenMP.

A value on the command line wins over the environment, the environment over `.env`.
"""

from __future__ import annotations

import os

from maskfit.environment import read_dotenv

DEFAULT_MODEL_HELP = "the bundled model by default"
"""Part of the help of commands that take models."""

SPIN_VARIABLE, WAIT_VARIABLE = "GOMP_SPINCOUNT", "OMP_WAIT_POLICY"
"""Environment variables of libgomp, the OpenMP library of torch's wheels for Linux; read when it is loaded."""

SPIN_COUNT = "1000"
"""Turns for which a thread waits busily for the others before it sleeps; libgomp's default is 300,000."""


def load_environment() -> None:
    """Sets the SM_* variables of a `.env` file in the current folder, where the environment does not set them."""
    for name, value in read_dotenv().items():
        os.environ.setdefault(name, value)


def limit_spinning() -> None:
    """Lets OpenMP threads sleep soon where they wait for each other, unless the environment says how they wait.

    By default they wait busily for about a millisecond, after every operation. On a machine with other work, where one
    of two threads is often not running, a training of a small network then spends four fifths of its processor time
    waiting. For programs, not for libraries; before torch is imported. Child processes inherit it.
    """
    if WAIT_VARIABLE not in os.environ:
        os.environ.setdefault(SPIN_VARIABLE, SPIN_COUNT)


def setup_allocator() -> str | None:
    """Configures malloc to keep freed memory in this process.

    Returns:
        A line for the log, or None where nothing was changed.
    """
    from maskfit.memory_allocator import DISABLED_VARIABLE, configure_malloc

    if not configure_malloc():
        return None
    return f"malloc keeps freed memory for the next step ({DISABLED_VARIABLE}=system turns this off)"
