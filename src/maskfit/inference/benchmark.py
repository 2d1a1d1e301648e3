"""Throughput of a model on this machine, by engine and batch size, for `maskfit benchmark` and `maskfit export`.

Each engine runs in a process of its own, since the thread pools of several would compete for cores;
`python -m maskfit.inference.benchmark` is that process. The network alone gets random images in memory; the time from
files to predictions is that of `Predictor`, as in `maskfit predict`.
"""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import re
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
from maskfit.inference.engines.onnx_conversion import has_gpu
from maskfit.inference.engines.selection import MIN_IMAGES_FOR_THROUGHPUT_MODE, select_engine
from maskfit.inference.export.parity import random_inputs
from maskfit.inference.predictor import Predictor
from maskfit.memory_allocator import configure_malloc
from maskfit.process_supervisor import exit_with_parent
from maskfit.registry import ComponentSpec
from maskfit.text import format_count

BATCH_SIZES = (1, 8, 32)
"""Batch sizes of a single photo, of the fastest batch on a CPU, and of a folder."""

MAX_IMAGES = 512
"""Photos predicted in one round; more do not make it more precise."""

SECONDS, MIN_ROUNDS = 2.0, 3
"""Minimum seconds and rounds of each measurement."""

COMPARED_BATCH_SIZE = 8
"""Images that two networks are compared on: the batch size of many photos on a CPU."""

ENGINE_MODULES = {"torch": "torch", "onnx": "onnxruntime", "openvino": "openvino"}
"""Module that each engine imports."""


@dataclass(frozen=True)
class Throughput:
    """Images per second.

    Attributes:
        median: Median of several rounds.
        low: The slowest round.
        high: The fastest round.
    """

    median: float
    low: float
    high: float

    @classmethod
    def from_rates(cls, rates: Sequence[float]) -> Self:
        """Summarizes rounds.

        Args:
            rates: Images per second of each round.

        Returns:
            Their median, minimum and maximum.
        """
        return cls(statistics.median(rates), min(rates), max(rates))


@dataclass(frozen=True)
class BenchmarkResult:
    """One engine at one batch size.

    Attributes:
        engine: As `--engine` takes it.
        batch: Batch size.
        network: Throughput of the network alone.
        files: Throughput from files to predictions; None without photos.
    """

    engine: str
    batch: int
    network: Throughput
    files: Throughput | None = None

    @property
    def median_throughput(self) -> float:
        """Images per second that engines are compared by."""
        return (self.files or self.network).median

    def to_dict(self) -> dict[str, Any]:
        """Converts to JSON types.

        Returns:
            The fields by name.
        """
        return asdict(self)


def find_engines(path: Path) -> list[str]:
    """Finds the engines that are installed and run this file.

    Args:
        path: The model.

    Returns:
        Engines as `--engine` takes them; last, if it is another one, what `auto` selects for many images.

    Raises:
        ModelFileError: It is no model file.
    """
    is_converted = path.suffix == ".safetensors" and not has_gpu()
    # A conversion is another file, and nothing is converted in silence.
    auto = None if is_converted else select_engine(path, "auto", MIN_IMAGES_FOR_THROUGHPUT_MODE, lambda line: None)
    found = [
        name
        for name, kind in ENGINES.items()
        if path.suffix in kind.suffixes and importlib.util.find_spec(ENGINE_MODULES[name])  # type: ignore[attr-defined]
    ]
    word = _format_engine(auto.engine) if auto and auto.engine.name != "auto" else ""
    return found + [word] * (bool(word) and word not in found)


def time_model(
    path: Path, engine: str, batches: Sequence[int] = BATCH_SIZES, photos: Sequence[Path] = (), seconds: float = SECONDS
) -> tuple[list[BenchmarkResult], str]:
    """Times one engine in a process of its own.

    Args:
        path: A model.
        engine: As for `open_engine`.
        batches: Batch sizes, >= 1 each.
        photos: Files to predict; the first `MAX_IMAGES` of them.
        seconds: Minimum seconds of each measurement.

    Returns:
        A result for each batch size, and the engine's description.

    Raises:
        MaskfitError: The engine could not be timed.
    """
    job = {
        "path": str(path.absolute()),
        "engine": engine,
        "batches": list(batches),
        "seconds": seconds,
        "photos": [str(photo.absolute()) for photo in photos[:MAX_IMAGES]],
    }
    report = _run_process(job, path)
    rows = [
        BenchmarkResult(
            engine,
            row["batch"],
            Throughput.from_rates(row["network"]),
            Throughput.from_rates(row["files"]) if row["files"] else None,
        )
        for row in report["rows"]
    ]
    return rows, report["description"]


def compare_speed(path: Path, reference: Path, engine: str, seconds: float = SECONDS) -> float:
    """Compares the speed of two networks on one engine and one thread, in turns in a process of their own.

    CPU time, so that other work on the machine matters less.

    Args:
        path: A model.
        reference: The model to compare with, of the same input size.
        engine: As for `open_engine`.
        seconds: Minimum seconds of the measurement.

    Returns:
        How many times as fast as `reference` the model is: the median of several rounds.

    Raises:
        MaskfitError: The networks could not be timed.
    """
    return float(_run_process({"paths": [str(path), str(reference)], "engine": engine, "seconds": seconds}, path))


def describe_machine() -> str:
    """Describes this machine.

    Returns:
        The processor, the number of cores that this process may use, the system and Python.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return (
        f"{_processor()}, {format_count(cores, 'core')}; {platform.platform(terse=True)}, "
        f"Python {platform.python_version()}"
    )


def _run_process(job: dict[str, Any], path: Path) -> Any:
    """Runs a job in a process of its own and returns its report.

    Raises:
        MaskfitError: It failed.
    """
    # -P: the current folder does not come before the installed packages.
    command = [sys.executable, "-P", "-m", __name__]
    done = subprocess.run(command, input=json.dumps(job), capture_output=True, text=True)
    if done.returncode:
        # The line of an error that tells what; those below it are indented and tell where, and what next.
        lines = [line for line in done.stderr.strip().splitlines() if not line.startswith(" ")]
        reason = re.sub(r"^[\w.]+\.errors\.\w+: ", "", (lines or ["no error message"])[-1])
        raise MaskfitError(f"the engine '{job['engine']}' could not be timed: {reason:.300}", location=path)
    return json.loads(done.stdout.splitlines()[-1])


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _format_engine(spec: ComponentSpec) -> str:
    options = ",".join(f"{name}={value}" for name, value in spec.options.items())
    return f"{spec.name}:{options}" if options else spec.name


def _measure(num_images: int, run: Callable[[], object], seconds: float) -> Iterator[float]:
    """Images per second of one round after the other; a first round warms up and is not counted."""
    run()
    began, rounds = time.perf_counter(), 0
    while rounds < MIN_ROUNDS or time.perf_counter() - began < seconds:
        start = time.perf_counter()
        run()
        rounds += 1
        yield num_images / (time.perf_counter() - start)


def _run_job(job: dict[str, Any]) -> dict[str, Any] | float:
    """The measurements of the process for one engine."""
    if "paths" in job:
        return _compare_networks([Path(path) for path in job["paths"]], job["engine"], job["seconds"])
    path, photos = Path(job["path"]), [Path(photo) for photo in job["photos"]]
    if path.suffix == ".safetensors":
        configure_malloc()  # as maskfit predict does
    rows, description = _time_network(path, job["engine"], job["batches"], job["seconds"])
    for row in rows:
        row["files"] = []
        if photos:
            num_images = max(len(photos), MIN_IMAGES_FOR_THROUGHPUT_MODE)
            predictor = Predictor.load(path, batch_size=row["batch"], engine=job["engine"], num_images=num_images)
            predict = partial(predictor.predict, photos, skip_unreadable=True)
            row["files"] = list(_measure(len(photos), predict, job["seconds"]))
    return {"description": description, "rows": rows}


def _compare_networks(paths: Sequence[Path], name: str, seconds: float) -> float:
    """How many times as fast as the second network the first one is."""
    engines = [open_engine(path, threads=1, engine=name) for path in paths]
    frames = random_inputs(engines[0].metadata, COMPARED_BATCH_SIZE)
    ratios: list[float] = []
    began = time.perf_counter()
    while len(ratios) <= MIN_ROUNDS or time.perf_counter() - began < seconds:
        taken = []
        for engine in engines:
            start = time.process_time()
            engine.logits(frames)
            taken.append(time.process_time() - start)
        ratios.append(taken[1] / max(taken[0], 1e-9))
    # The first round warms up.
    return statistics.median(ratios[1:])


def _time_network(path: Path, name: str, batches: Sequence[int], seconds: float) -> tuple[list[dict[str, Any]], str]:
    """A row for each batch size, and the engine's description; the engine is freed when it returns."""
    engine = open_engine(path, engine=name)
    rows = []
    for batch in batches:
        frames = random_inputs(engine.metadata, batch)
        rows.append({"batch": batch, "network": list(_measure(batch, partial(engine.logits, frames), seconds))})
    return rows, engine.description


if __name__ == "__main__":
    exit_with_parent(grace_seconds=0)
    print(json.dumps(_run_job(json.loads(sys.stdin.read()))))
