"""How fast a model answers on this machine, by engine and batch size: `maskfit benchmark`, and what `maskfit export` tells.

Each engine runs in a process of its own, since thread pools of several would fight; `python -m maskfit.inference.benchmark`
is that process. The network alone takes frames of noise that lie in memory; from files to answers goes through the
predictor, as `maskfit predict` does.
"""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

from maskfit.errors import MaskfitError
from maskfit.inference.engines import ENGINES, open_engine
from maskfit.inference.engines.selection import MIN_IMAGES_FOR_THROUGHPUT_MODE, select_engine
from maskfit.inference.export.parity import random_inputs
from maskfit.inference.predictor import Predictor
from maskfit.memory_allocator import configure_malloc
from maskfit.registry import ComponentSpec

BATCH_SIZES = (1, 8, 32)
"""A photo at the door, what caches like, a folder."""

MAX_IMAGES = 512
"""Photos that are answered in one round; more say no more."""

SECONDS, MIN_ROUNDS = 2.0, 3
"""How long each figure is tried, and how often at least."""

ENGINE_MODULES = {"torch": "torch", "onnx": "onnxruntime", "openvino": "openvino"}
"""What each engine imports."""


@dataclass(frozen=True)
class Throughput:
    """Photos a second.

    Attributes:
        median: Of several rounds.
        low, high: The slowest and the fastest round.
    """

    median: float
    low: float
    high: float

    @classmethod
    def from_rates(cls, rates: Sequence[float]) -> Self:
        """The middle and the ends."""
        return cls(statistics.median(rates), min(rates), max(rates))


@dataclass(frozen=True)
class BenchmarkResult:
    """One engine at one batch size.

    Attributes:
        engine: As `--engine` takes it.
        batch: Photos at once.
        network: The network alone.
        files: From files to answers; None without photos.
    """

    engine: str
    batch: int
    network: Throughput
    files: Throughput | None = None

    @property
    def median_throughput(self) -> float:
        """What engines are compared by."""
        return (self.files or self.network).median

    def to_dict(self) -> dict[str, Any]:
        """The same for JSON."""
        return asdict(self)


def find_engines(path: Path) -> list[str]:
    """Words for every engine that is installed and runs this file; last, if it is another, what `auto` takes for many.

    Raises:
        ModelFileError: It is no model file.
    """
    auto = select_engine(path, "auto", MIN_IMAGES_FOR_THROUGHPUT_MODE, lambda line: None)
    found = [
        name
        for name, kind in ENGINES.items()
        if path.suffix in kind.suffixes and importlib.util.find_spec(ENGINE_MODULES[name])  # type: ignore[attr-defined]
    ]
    # A conversion that lies in the cache is another file, and not what is asked about.
    word = _word(auto.engine) if auto.path == path and auto.engine.name != "auto" else ""
    return found + [word] * (bool(word) and word not in found)


def time_model(
    path: Path, engine: str, batches: Sequence[int] = BATCH_SIZES, photos: Sequence[Path] = (), seconds: float = SECONDS
) -> tuple[list[BenchmarkResult], str]:
    """Times one engine in a process of its own.

    Args:
        path: A model.
        engine: A word for `open_engine`.
        batches: Batch sizes, 1 or more each.
        photos: Files to answer; of many the first `MOST_PHOTOS`.
        seconds: How long each figure is tried.

    Returns:
        A figure for each batch size, and what the engine says that it is.

    Raises:
        MaskfitError: It could not be timed.
    """
    wanted = {
        "path": str(path.absolute()),
        "engine": engine,
        "batches": list(batches),
        "seconds": seconds,
        "photos": [str(photo.absolute()) for photo in photos[:MAX_IMAGES]],
    }
    # -P: the current folder does not come before the installed packages.
    command = [sys.executable, "-P", "-m", __name__]
    done = subprocess.run(command, input=json.dumps(wanted), capture_output=True, text=True)
    if done.returncode:
        # Of an error, the line that says what; those below it are set in and say where, and what next.
        said = [line for line in done.stderr.strip().splitlines() if not line.startswith(" ")]
        reason = (said or ["it said nothing"])[-1]
        raise MaskfitError(f"the engine '{engine}' could not be timed: {reason:.300}", location=path)
    told = json.loads(done.stdout.splitlines()[-1])
    rows = [
        BenchmarkResult(
            engine,
            row["batch"],
            Throughput.from_rates(row["network"]),
            Throughput.from_rates(row["files"]) if row["files"] else None,
        )
        for row in told["rows"]
    ]
    return rows, told["says"]


def describe_machine() -> str:
    """The processor, how many of its cores this process may use, the system and Python."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return f"{_processor()}, {cores} cores; {platform.platform(terse=True)}, Python {platform.python_version()}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _word(part: ComponentSpec) -> str:
    options = ",".join(f"{name}={value}" for name, value in part.options.items())
    return f"{part.name}:{options}" if options else part.name


def _rates(photos: int, work: Callable[[], object], seconds: float) -> Iterator[float]:
    """Photos a second of one round after the other; the first, which warms up, is not told."""
    work()
    began, rounds = time.perf_counter(), 0
    while rounds < MIN_ROUNDS or time.perf_counter() - began < seconds:
        start = time.perf_counter()
        work()
        rounds += 1
        yield photos / (time.perf_counter() - start)


def _time(wanted: dict[str, Any]) -> dict[str, Any]:
    """What the process for one engine tells."""
    path, photos = Path(wanted["path"]), [Path(photo) for photo in wanted["photos"]]
    if path.suffix == ".safetensors":
        configure_malloc()  # as maskfit predict does
    rows, says = _time_network(path, wanted["engine"], wanted["batches"], wanted["seconds"])
    for row in rows:
        row["files"] = []
        if photos:
            many = max(len(photos), MIN_IMAGES_FOR_THROUGHPUT_MODE)
            predictor = Predictor.load(path, batch_size=row["batch"], engine=wanted["engine"], num_images=many)
            answer = partial(predictor.predict, photos, skip_unreadable=True)
            row["files"] = list(_rates(len(photos), answer, wanted["seconds"]))
    return {"says": says, "rows": rows}


def _time_network(path: Path, word: str, batches: Sequence[int], seconds: float) -> tuple[list[dict[str, Any]], str]:
    """A row for each batch size, and what the engine says it is; it is gone when the predictor opens its own."""
    engine = open_engine(path, engine=word)
    rows = []
    for batch in batches:
        frames = random_inputs(engine.metadata, batch)
        rows.append({"batch": batch, "network": list(_rates(batch, partial(engine.logits, frames), seconds))})
    return rows, engine.description


if __name__ == "__main__":
    print(json.dumps(_time(json.loads(sys.stdin.read()))))
