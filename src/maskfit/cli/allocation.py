"""Memory allocation for training on a processor: the largest single lever on its speed.

glibc gives every large block back to the kernel when it is freed, and the next step faults the same pages in again.
Told to keep them, the same training runs two to three times as fast. glibc reads these settings only when a process
starts, so the command starts itself once more with them.
"""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

KEEP = {"MALLOC_MMAP_THRESHOLD_": str(2**30), "MALLOC_TRIM_THRESHOLD_": str(2**32)}
"""Blocks below 1 GiB come from the heap, and up to 4 GiB of free heap stay with the process."""

OFF = "MASKFIT_ALLOCATION"
"""Set to `system` this variable leaves allocation as the system has it."""


def tune_allocation() -> None:
    """Starts this command again with tuned allocation where that helps: on Linux with glibc, once.

    Returns where nothing is to be done: elsewhere, when switched off, and in the process that was started again.
    """
    tuned = all(name in os.environ for name in KEEP)
    if tuned or os.environ.get(OFF) == "system" or platform.libc_ver()[0] != "glibc" or not hasattr(os, "execve"):
        return
    # Only the command itself may be replaced: not a test runner or a notebook that called it.
    if not sys.executable or not _is_the_command():
        return
    sys.stdout.flush()
    sys.stderr.flush()
    # The very words of the first start: `-m maskfit` would put the current folder before the installed packages.
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **KEEP})


def _is_the_command() -> bool:
    """Whether this process is `maskfit` or `python -m maskfit`; `sys.argv` may hold anything, `__main__` does not."""
    path = Path(getattr(sys.modules["__main__"], "__file__", None) or "")
    return path.name == "maskfit" or path == Path(__file__).parents[1] / "__main__.py"
