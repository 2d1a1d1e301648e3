"""Beyond one process: what sharing a training, a cluster, and a worker's death cost.

    uv run python benchmarks/scale.py make SCRATCH [--photos 20000]     # drawn photos and an exported model, once
    uv run python benchmarks/scale.py processes SCRATCH [--rounds N]    # one training by one process and by two
    uv run python benchmarks/scale.py ray SCRATCH [--rounds N]          # the command here and over a standing cluster
    uv run python benchmarks/scale.py start SCRATCH [--rounds N]        # here and over one started for it
    uv run python benchmarks/scale.py killed SCRATCH [--rounds N]       # a worker killed in the middle
    uv run python benchmarks/scale.py plan SCRATCH                      # the model of docs/scale.md on measured points

Contenders take turns within a round; each is the real command in a process of its own. What is given is the median over
the rounds and, in brackets, the least and the most. The model that answers is a small one that `make` trains; `--model`
names another. `ray`, `start` and `killed` need `maskfit[ray]`.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

PERSONS = 100
"""Drawn persons, of seven photos; more photos are further names of the same files."""

SHARD = 1000

SETTLED = 8.0
"""Seconds after which a cluster that was started no longer keeps the cores busy with its own beginning."""


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
        maskfit("data", "synthesize", drawn, "--persons", PERSONS)
    files = sorted(drawn.rglob("*.jpg"))
    for number in range(photos):
        target = scratch / f"photos-{photos}" / f"{number // 1000:04d}" / f"{number:07d}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            os.link(files[number % len(files)], target)
    run = scratch / "model"
    if not (run / "scores.json").exists():
        maskfit(
            "train",
            "fast",
            f"data.path={drawn / 'images'}",
            f"output_dir={run}",
            "trainer.epochs=1",
            "trainer.device=cpu",
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
    maskfit(
        "train",
        "fast",
        f"data.path={scratch / 'drawn' / 'images'}",
        f"output_dir={run}",
        "trainer.epochs=4",
        "trainer.batch_size=64",
        "trainer.device=cpu",
        "data.image_size=96",
        *words,
        **environment,
    )
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


def answer(scratch: Path, model: Path, photos: Path, name: str, *words: str) -> float:
    """Seconds of the whole command."""
    out = scratch / "answers" / name
    shutil.rmtree(out, ignore_errors=True)
    began = time.perf_counter()
    maskfit("predict", model, "--images", photos, "--shards", out, "--shard-size", SHARD, "--json", *words)
    return time.perf_counter() - began


@contextmanager
def standing() -> Iterator[str]:
    """A cluster of this machine's cores for the time of the block, as `ray start` begins one; gives its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        Path(sys.executable).with_name("ray"),
        "start",
        "--head",
        "--block",
        "--port",
        str(port),
        "--include-dashboard",
        "false",
        "--disable-usage-stats",
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            with socket.socket() as knock:
                if not knock.connect_ex(("127.0.0.1", port)):
                    break
            time.sleep(0.1)
        time.sleep(SETTLED)
        yield f"127.0.0.1:{port}"
    finally:
        # Not `ray stop`, which would end every cluster of the user's on this machine.
        process.terminate()
        process.wait(60)


def compare(scratch: Path, model: Path, ways: Mapping[str, Sequence[str]], rounds: int) -> None:
    """Seconds of each way, and what they are over the first."""
    photos = photos_of(scratch)
    count = int(photos.name.partition("-")[2])
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, words in ways.items():
            found[name].append(answer(scratch, model, photos, name.replace(" ", "-"), *words))
    plain = statistics.median(next(iter(found.values())))
    for name, times in found.items():
        seconds = statistics.median(times)
        print(f"{name}: {middle(times)} s for {count:,} photos, {seconds - plain:+.1f} s, {seconds / plain - 1:+.1%}")


def ray(scratch: Path, model: Path, rounds: int, cores: Sequence[int]) -> None:
    with standing() as address:
        ways: dict[str, Sequence[str]] = {"here": ()}
        for count in cores:
            said = f"workers of {count} cores" if count else "a worker with all cores"
            ways[f"over a cluster, {said}"] = ("--ray", address, *(("--cores", str(count)) if count else ()))
        compare(scratch, model, ways, rounds)


def start(scratch: Path, model: Path, rounds: int) -> None:
    compare(scratch, model, {"here": (), "over a cluster started for it": ("--ray", "local")}, rounds)


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


def killed(scratch: Path, model: Path, rounds: int) -> None:
    photos = photos_of(scratch)
    count = int(photos.name.partition("-")[2])
    uncut: list[float] = []
    cut: list[float] = []
    with standing() as address:
        words = ("--ray", address, "--cores", "1")
        for _ in range(rounds):
            uncut.append(answer(scratch, model, photos, "whole", *words))
            cut.append(answer_killed(scratch, model, photos, -(-count // SHARD) // 2, words))
    whole, broken = (scratch / "answers" / name / "answers" for name in ("whole", "killed"))
    names = [line.partition(",")[0] for path in broken.glob("*.csv") for line in path.read_text().splitlines()[1:]]
    lost, twice = count - len(set(names)), len(names) - len(set(names))
    same = all((broken / path.name).read_bytes() == path.read_bytes() for path in whole.glob("*.csv"))
    print(
        f"uncut {middle(uncut)} s; one of {os.cpu_count()} workers killed after half of the shards: {middle(cut)} s, "
        f"{statistics.median(cut) - statistics.median(uncut):+.1f} s"
    )
    print(f"{count:,} photos, {len(names):,} rows: {lost} lost, {twice} twice; files equal to the bit: {same}")


def answer_killed(scratch: Path, model: Path, photos: Path, after: int, words: Sequence[str]) -> float:
    """Seconds of the command, of whose workers one is killed after so many shards."""
    out = scratch / "answers" / "killed"
    shutil.rmtree(out, ignore_errors=True)
    asked: list[object] = ["--images", photos, "--shards", out, "--shard-size", SHARD, "--json", *words]
    command = [sys.executable, "-m", "maskfit", "predict", str(model), *map(str, asked)]
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    while len(list((out / "answers").glob("*.csv"))) < after and process.poll() is None:
        time.sleep(0.02)
    os.kill(workers()[0], signal.SIGKILL)
    facts = json.loads(process.communicate()[0])  # Not Ray's words on the death: they would be no JSON.
    if facts["answered"] != facts["photos"]:
        raise SystemExit(f"photos were lost: {facts}")
    return time.perf_counter() - began


def plan(scratch: Path, model: Path) -> None:
    """Fits seconds = start + photos / rate to two points, and tells how far others lie off, with fewer cores too."""
    photos = photos_of(scratch)
    every = sorted(photos.rglob("*.jpg"))
    points: dict[int, float] = {}
    for share in (8, 2, 4, 1):
        count = len(every) // share
        some = scratch / f"some-{count}"
        for file in every[:count]:
            target = some / file.relative_to(photos)
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists():
                os.link(file, target)
        points[count] = answer(scratch, model, some, "plan")
    few, many = min(points), max(points)
    rate = (many - few) / (points[many] - points[few])
    start_ = points[few] - few / rate
    cores = os.cpu_count() or 1
    print(f"start {start_:.1f} s, then {rate:,.0f} photos/s on {cores} cores")
    for count, seconds in sorted(points.items()):
        guess = start_ + count / rate
        kind = "fitted" if count in (few, many) else "foretold"
        print(f"{count:,} photos: {seconds:.1f} s measured, {guess:.1f} s {kind} ({guess / seconds - 1:+.1%})")
    half = len(every) // 2
    with one_core():
        seconds = answer(scratch, model, scratch / f"some-{half}", "plan")
    guess = start_ + half / (rate / cores)
    print(f"{half:,} photos on one core: {seconds:.1f} s measured, {guess:.1f} s foretold ({guess / seconds - 1:+.1%})")
    size = statistics.mean(file.stat().st_size for file in every[:200])
    table = scratch / "answers" / "plan" / "answers" / "000000.csv"
    row = table.stat().st_size / SHARD
    print(f"bytes a photo: {size:,.0f} read, {row:,.0f} written")
    for count in (10**6, 10**9):
        print(
            f"{count:,} photos: {count / rate / 3600 * cores:,.1f} core hours, {count * size / 1e9:,.0f} GB read, "
            f"{count * row / 1e9:,.1f} GB written"
        )


@contextmanager
def one_core() -> Iterator[None]:
    """Leaves what is started in the block a single core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["make", "processes", "ray", "start", "killed", "plan"])
    parser.add_argument("scratch", type=Path)
    parser.add_argument("--photos", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--cores", type=int, nargs="+", default=[0, 1], help="of a worker, for each contender of 'ray'")
    given = parser.parse_args()
    model = given.model or given.scratch / "model.onnx"
    if given.what == "make":
        make(given.scratch, given.photos)
    elif given.what == "processes":
        processes(given.scratch, given.rounds)
    elif given.what == "plan":
        plan(given.scratch, model)
    elif given.what == "ray":
        ray(given.scratch, model, given.rounds, given.cores)
    else:
        {"start": start, "killed": killed}[given.what](given.scratch, model, given.rounds)


if __name__ == "__main__":
    main()
