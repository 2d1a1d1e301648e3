"""The examples run from beginning to end, and say what their texts promise."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"

pytestmark = pytest.mark.slow


def run_example(name: str, work: Path) -> str:
    """Runs a script in a folder and returns what it printed."""
    command = [sys.executable, str(EXAMPLES / name), str(work)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1500)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    return done.stdout


def test_competition(tmp_path: Path) -> None:
    printed = run_example("competition.py", tmp_path / "work")
    assert "no problems" in printed
    with (tmp_path / "work" / "submission.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12 * 7
    assert {int(row["ans"]) for row in rows} <= set(range(18))
    # A second run continues: what is trained is not trained again, only its report is written again.
    model = tmp_path / "work" / "runs" / "plain" / "fold0" / "best.safetensors"
    before = model.stat().st_mtime_ns
    run_example("competition.py", tmp_path / "work")
    assert model.stat().st_mtime_ns == before


def test_clean_labels(tmp_path: Path) -> None:
    printed = run_example("clean_labels.py", tmp_path / "work")
    found = re.search(r"(\d+) of 6 planted labels are among the first", printed)
    assert found, printed
    assert int(found[1]) >= 4
    with (tmp_path / "work" / "corrections.csv").open(encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == int(found[1])


def test_door_camera(tmp_path: Path) -> None:
    printed = run_example("door_camera.py", tmp_path / "work")
    assert "macro F1 of the three states" in printed
    with (tmp_path / "work" / "events.csv").open(encoding="utf-8") as file:
        events = list(csv.DictReader(file))
    assert {event["event"] for event in events} & {"appeared", "changed"}
