"""Tests of thread pools that drop waiting jobs."""

from __future__ import annotations

import threading
import time

import pytest

from maskfit.thread_pool import thread_pool


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
