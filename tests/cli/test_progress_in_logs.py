"""Commands that work for long say in a log how far they are."""

from __future__ import annotations

import time
from functools import partial

from maskfit import progress_log
from maskfit.cli.console import progress
from maskfit.progress_log import log_progress


def test_a_step_prints_lines_with_rate_and_time_left_in_a_log(monkeypatch, capsys):
    monkeypatch.setattr(progress_log, "log_progress", partial(log_progress, interval=0.05))
    with progress("adding masks", unit="persons") as advance:
        advance(1, 12)
        advance(3, 12)
        time.sleep(0.5)
    lines = capsys.readouterr().err.splitlines()
    assert lines
    # Where nothing was printed for long, or the machine is busy, a line may come before the second step.
    assert all(line.startswith("adding masks: ") for line in lines)
    assert lines[-1].startswith("adding masks: 3 of 12 persons · ")
    assert lines[-1].endswith(" left")


def test_a_short_step_prints_nothing(capsys):
    with progress("adding masks") as advance:
        advance(12, 12)
    assert capsys.readouterr().err == ""
