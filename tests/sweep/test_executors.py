"""Trials in worker processes of this machine: failures, crashes and reuse of workers."""

from __future__ import annotations

from pathlib import Path

from maskfit.sweep.executors import LocalExecutor
from maskfit.sweep.trial_worker import TrialFinished, TrialJob


def invalid_job(number: int, folder: Path) -> TrialJob:
    """A trial whose recipe is invalid, so that it fails before it trains."""
    return TrialJob(number, {"no_such_key": 1}, str(folder / f"{number}.txt"), 1)


def test_a_failed_trial_is_an_outcome_and_its_worker_runs_the_next(tmp_path: Path) -> None:
    executor = LocalExecutor()
    try:
        assert executor.wait() == []
        for number in (0, 1):
            executor.start(invalid_job(number, tmp_path))
            (event,) = executor.wait()
            assert isinstance(event, TrialFinished)
            assert (event.number, event.outcome.state) == (number, "failed")
            assert event.outcome.reason.startswith("ValidationError")
            assert "no_such_key" in (tmp_path / f"{number}.txt").read_text()
        assert len(executor._supervisor.workers) == 1
    finally:
        executor.close()
    assert executor._supervisor.workers == []


def test_a_killed_worker_is_a_failed_trial_and_a_new_one_takes_its_place(tmp_path: Path) -> None:
    executor = LocalExecutor()
    try:
        executor.start(invalid_job(0, tmp_path))
        executor._supervisor.workers[0].process.kill()
        (event,) = executor.wait()
        assert isinstance(event, TrialFinished)
        assert event.outcome.state == "failed"
        assert event.outcome.reason == "its process was killed by SIGKILL (possibly out of memory)"
        executor.reply(0, stop=False)  # the trial is gone: nothing happens
        executor.start(invalid_job(1, tmp_path))
        (event,) = executor.wait()
        assert isinstance(event, TrialFinished)
        assert event.outcome.reason.startswith("ValidationError")
    finally:
        executor.close()
