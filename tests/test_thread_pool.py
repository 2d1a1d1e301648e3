"""Tests of thread pools that drop waiting jobs."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import pytest

from maskfit.thread_pool import SPIN_COUNT, SPIN_VARIABLE, WAIT_VARIABLE, thread_pool


def test_results_are_those_of_a_plain_pool():
    with thread_pool(2, "mine") as pool:
        assert list(pool.map(abs, range(-50, 50))) == [abs(number) for number in range(-50, 50)]
        assert pool.submit(lambda: threading.current_thread().name).result().startswith("mine")


def test_an_interruption_drops_waiting_jobs_and_waits_for_running_ones():
    started, finished = [], []

    def job(number: int) -> None:
        started.append(number)
        time.sleep(0.05)
        finished.append(number)

    def run() -> None:
        with thread_pool(2) as pool:
            pool.map(job, range(1000))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run()
    assert len(started) < 20
    assert sorted(started) == sorted(finished)


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
