"""Real `maskfit` processes for tests: started, watched, ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PROLOGUE = "import sys, maskfit.cli; sys.argv[0] = 'maskfit'; maskfit.cli.main()"


@contextmanager
def started(
    *arguments: object, cwd: Path, before: str = "", pass_fds: tuple[int, ...] = (), **environment: str
) -> Iterator[subprocess.Popen[str]]:
    """Starts `maskfit ARGUMENTS` in a group of its own, as a shell does; kills whatever is left of it.

    Args:
        arguments: Arguments of the command.
        cwd: Where it runs.
        before: Python lines to run in the process first.
        pass_fds: Files that the process inherits.
        environment: Further variables.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", f"{before}\n{PROLOGUE}", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        pass_fds=pass_fds,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def group(pid: int) -> list[int]:
    """Lists the running processes of a group, without zombies."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if fields[0] != "Z" and int(fields[2]) == pid:
                found.append(int(entry.name))
    return found


def wait_until(condition: Callable[[], object], seconds: float) -> bool:
    """Waits for a condition."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return bool(condition())
