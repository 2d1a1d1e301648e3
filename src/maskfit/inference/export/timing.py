"""Timing: how many photos a second an engine answers, each in a process of its own, since their threads would fight.

`python -m maskfit.inference.export.timing MODEL ENGINE` is that process.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from maskfit.errors import MaskfitError
from maskfit.inference.engines import Engine, open_engine
from maskfit.inference.export.parity import noise

BATCHES = (1, 32)
"""A photo at the door, and a folder of them."""

SECONDS = 1.0
"""How long each batch size is tried, at least three times."""


def time_engine(path: Path, engine: str, environment: Mapping[str, str] | None = None) -> dict[int, float]:
    """Photos a second by batch size, from frames to logits, in a new process.

    Args:
        path: A model.
        engine: A word for `open_engine`.
        environment: Variables for that process beside those of this one.

    Raises:
        MaskfitError: It could not be timed.
    """
    # -P: the current folder does not come before the installed packages.
    done = subprocess.run(
        [sys.executable, "-P", "-m", __name__, str(path.absolute()), engine],
        capture_output=True,
        text=True,
        env={**os.environ, **(environment or {})},
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise MaskfitError(f"the engine '{engine}' could not be timed: {reason:.300}", where=path, fix="--no-timing")
    rates: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return {int(batch): rate for batch, rate in rates.items()}


def measure(engine: Engine, batch: int, seconds: float = SECONDS) -> float:
    """Photos a second in batches of one size; of many tries the middle one, which what else runs disturbs least."""
    frames = noise(engine.facts, batch)
    tries: list[float] = []
    engine.logits(frames)
    began = time.perf_counter()
    while len(tries) < 3 or time.perf_counter() - began < seconds:
        start = time.perf_counter()
        engine.logits(frames)
        tries.append(time.perf_counter() - start)
    return batch / statistics.median(tries)


if __name__ == "__main__":
    opened = open_engine(Path(sys.argv[1]), engine=sys.argv[2])
    print(json.dumps({batch: measure(opened, batch) for batch in BATCHES}))
