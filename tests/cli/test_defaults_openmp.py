"""How threads of torch's OpenMP library wait for each other in a command."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from maskfit.cli.defaults import SPIN_COUNT, SPIN_VARIABLE, WAIT_VARIABLE


@pytest.mark.parametrize(
    ("given", "expected"),
    [({}, SPIN_COUNT), ({SPIN_VARIABLE: "7"}, "7"), ({WAIT_VARIABLE: "ACTIVE"}, None)],
    ids=["unset", "own count", "own policy"],
)
def test_a_command_lets_openmp_threads_sleep_soon_unless_it_is_told_otherwise(given, expected):
    code = (
        "import os, sys, maskfit.cli\n"
        "sys.argv = ['maskfit', '--version']\n"
        "try: maskfit.cli.main()\n"
        f"except SystemExit: print(os.environ.get({SPIN_VARIABLE!r}), 'torch' in sys.modules)"
    )
    free = {name: value for name, value in os.environ.items() if name not in (SPIN_VARIABLE, WAIT_VARIABLE)}
    done = subprocess.run([sys.executable, "-c", code], env=free | given, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == f"{expected} False"
