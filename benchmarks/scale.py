"""Beyond one process: what sharing a training, a cluster, and a worker's death cost.

    uv run python benchmarks/scale.py make SCRATCH [--photos 20000]     # drawn photos and an exported model, once
    uv run python benchmarks/scale.py processes SCRATCH [--rounds N]    # one training by one process and by two
    uv run python benchmarks/scale.py ray SCRATCH [--rounds N]          # the command with and without a cluster
    uv run python benchmarks/scale.py killed SCRATCH                    # a worker killed in the middle
    uv run python benchmarks/scale.py plan SCRATCH                      # the model of docs/scale.md on measured points

Contenders take turns within a round; each is the real command in a process of its own. What is given is the median over
the rounds and, in brackets, the least and the most. `ray` and `killed` need `maskfit[ray]`.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PERSONS = 100
"""Drawn persons, of seven photos; more photos are further names of the same files."""

SHARD = 1000


def maskfit(*words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs the command and stops the benchmark where it fails."""
    command = [sys.executable, "-m", "maskfit", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})
    if done.returncode:
        raise SystemExit(done.stderr)
    return done


def make(scratch: Path, photos: int) -> None:
    """Draws people, gives their photos so many names, and trains and exports a model."""
    drawn = scratch / "drawn"
    if not drawn.exists():
        maskfit("data", "draw", drawn, "--persons", PERSONS)
    files = sorted(drawn.rglob("*.jpg"))
    for number in range(photos):
        target = scratch / f"photos-{photos}" / f"{number // 1000:04d}" / f"{number:07d}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            os.link(files[number % len(files)], target)
    run = scratch / "model"
    if not (run / "scores.json").exists():
        maskfit(
            "train", "fast", f"data.root={drawn / 'images'}", f"run={run}", "trainer.epochs=1", "trainer.device=cpu"
        )
    if not (scratch / "model.onnx").exists():
        maskfit("export", run / "fold0" / "best.safetensors", "--out", scratch / "model.onnx")


def photos_of(scratch: Path) -> Path:
    """The folder of the most photos that `make` made."""
    return max(scratch.glob("photos-*"), key=lambda path: int(path.name.partition("-")[2]))


def middle(values: Sequence[float]) -> str:
    return f"{statistics.median(values):,.1f} ({min(values):,.1f} to {max(values):,.1f})"


def train_rate(scratch: Path, name: str, words: Sequence[str], **environment: str) -> float:
    """Photos a second of a training, over the epochs behind the first."""
    run = scratch / "runs" / name
    shutil.rmtree(run, ignore_errors=True)
    maskfit("train", "fast", f"data.root={scratch / 'drawn' / 'images'}", f"run={run}", "trainer.epochs=4",
            "trainer.batch_size=64", "trainer.device=cpu", "data.size=96", *words, **environment)  # fmt: skip
    with (run / "fold0" / "metrics.csv").open() as stream:
        return statistics.median(float(row["photos_per_second"]) for row in list(csv.DictReader(stream))[1:])


def processes(scratch: Path, rounds: int) -> None:
    ways: dict[str, tuple[list[str], dict[str, str]]] = {
        "one process, one thread": ([], {"OMP_NUM_THREADS": "1"}),
        "one process, two threads": ([], {"OMP_NUM_THREADS": "2"}),
        "two processes, a thread each": (["trainer.devices=2"], {"OMP_NUM_THREADS": "2"}),
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, (words, environment) in ways.items():
            rates[name].append(train_rate(scratch, name.replace(" ", "-"), words, **environment))
    single = statistics.median(rates["one process, one thread"])
    for name, found in rates.items():
        print(f"{name}: {middle(found)} photos/s, {statistics.median(found) / single:.2f} times one thread")


def answer(scratch: Path, photos: Path, name: str, *words: str) -> tuple[float, float]:
    """Seconds of the whole command, and of predicting alone, once its cluster and models stand."""
    out = scratch / "answers" / name
    shutil.rmtree(out, ignore_errors=True)
    began = time.perf_counter()
    done = maskfit("predict", scratch / "model.onnx", "--images", photos, "--shards", out, "--shard-size", SHARD,
                   "--json", *words)  # fmt: skip
    whole = time.perf_counter() - began
    facts: dict[str, Any] = json.loads(done.stdout)
    return whole, float(facts["seconds"])


def ray(scratch: Path, rounds: int) -> None:
    photos = photos_of(scratch)
    count = int(photos.name.partition("-")[2])
    ways = {"here": (), "over a cluster started for it": ("--ray", "local")}
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, words in ways.items():
            found[name].append(answer(scratch, photos, name.split()[0], *words))
    for name, times in found.items():
        print(f"{name}: {middle([whole for whole, _ in times])} s for {count:,} photos, of which predicting "
              f"{middle([own for _, own in times])}")  # fmt: skip
    plain, spread = (statistics.median([whole for whole, _ in times]) for times in found.values())
    print(f"overhead of the cluster: {spread / plain - 1:+.1%} of the whole command")


def workers() -> list[int]:
    """The processes of a cluster in which photos are answered for."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = path.read_bytes().decode(errors="replace")
        except OSError:
            continue
        if text.startswith("ray::") and "Worker" in text:
            found.append(int(path.parent.name))
    return found


def killed(scratch: Path) -> None:
    photos = photos_of(scratch)
    count = int(photos.name.partition("-")[2])
    _, whole = answer(scratch, photos, "whole", "--ray", "local", "--cores", "1")
    out = scratch / "answers" / "killed"
    shutil.rmtree(out, ignore_errors=True)
    command = [sys.executable, "-m", "maskfit", "predict", str(scratch / "model.onnx"), "--images", str(photos),
               "--shards", str(out), "--shard-size", str(SHARD), "--json", "--ray", "local",
               "--cores", "1"]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    shards = -(-count // SHARD)
    while len(list((out / "answers").glob("*.csv"))) < shards // 2 and process.poll() is None:
        time.sleep(0.05)
    os.kill(workers()[0], signal.SIGKILL)
    facts = json.loads(process.communicate()[0])
    names = [line.partition(",")[0] for path in sorted((out / "answers").glob("*.csv"))
             for line in path.read_text().splitlines()[1:]]  # fmt: skip
    print(f"uncut {whole:.1f} s; one of two workers killed after half of the shards: {facts['seconds']:.1f} s, "
          f"{facts['seconds'] - whole:+.1f} s")  # fmt: skip
    print(f"{count:,} photos, {len(names):,} rows, {len(set(names)):,} names: "
          f"{count - len(set(names))} lost, {len(names) - len(set(names))} twice")  # fmt: skip


def plan(scratch: Path) -> None:
    """Fits seconds = start + photos / rate to two points, and tells how far a third lies off."""
    photos = photos_of(scratch)
    every = sorted(photos.rglob("*.jpg"))
    points: dict[int, float] = {}
    for share in (8, 2, 1):
        count = len(every) // share
        some = scratch / f"some-{count}"
        for file in every[:count]:
            target = some / file.relative_to(photos)
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists():
                os.link(file, target)
        points[count], _ = answer(scratch, some, "plan")
    (few, short), (half, between), (many, long) = points.items()
    rate = (many - few) / (long - short)
    start = short - few / rate
    guess = start + half / rate
    print(f"start {start:.1f} s, then {rate:,.0f} photos/s on {os.cpu_count()} cores")
    print(f"{half:,} photos: {between:.1f} s measured, {guess:.1f} s by the model ({guess / between - 1:+.1%})")
    size = statistics.mean(file.stat().st_size for file in every[:200])
    for count in (10**6, 10**9):
        hours = count / rate / 3600 * (os.cpu_count() or 1)
        print(f"{count:,} photos: {hours:,.1f} core hours, {count * size / 1e9:,.0f} GB read")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["make", "processes", "ray", "killed", "plan"])
    parser.add_argument("scratch", type=Path)
    parser.add_argument("--photos", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    if given.what == "make":
        make(given.scratch, given.photos)
    elif given.what in ("processes", "ray"):
        {"processes": processes, "ray": ray}[given.what](given.scratch, given.rounds)
    else:
        {"killed": killed, "plan": plan}[given.what](given.scratch)


if __name__ == "__main__":
    main()
