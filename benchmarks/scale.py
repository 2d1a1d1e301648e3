"""Scaling beyond one process: distributed training, a Ray cluster, and the cost of a killed worker.

    uv run python benchmarks/scale.py make SCRATCH [--images 20000]     # synthetic photos and an exported model, once
    uv run python benchmarks/scale.py processes SCRATCH [--rounds N]    # training with one process and with two
    uv run python benchmarks/scale.py ray SCRATCH [--rounds N]          # prediction here and on a running cluster
    uv run python benchmarks/scale.py start SCRATCH [--rounds N]        # here and on a cluster started for it
    uv run python benchmarks/scale.py killed SCRATCH [--rounds N]       # a worker is killed halfway
    uv run python benchmarks/scale.py plan SCRATCH                      # the cost model of docs/scale.md, measured

Contenders take turns within a round; each is the real command in its own process. Printed are the median over the
rounds and, in parentheses, minimum and maximum. The default model is a small one that `make` trains; `--model` names
another. `ray`, `start` and `killed` need `maskfit[ray]`.
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

NUM_PERSONS = 100
"""Number of synthetic persons, with seven photos each; further images are hard links to the same files."""

SHARD_SIZE = 1000
"""Images per shard."""

SHARD_TABLES = "answers"
"""Folder of the tables in a result of `maskfit predict --shards`."""

SETTLE_SECONDS = 8.0
"""Time after which a new cluster no longer uses the cores for its own start."""


def maskfit(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs maskfit; ends the benchmark if it fails."""
    command = [sys.executable, "-m", "maskfit", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})
    if done.returncode:
        raise SystemExit(done.stderr)
    return done


def make(scratch: Path, num_images: int) -> None:
    """Makes synthetic photos and hard links to them, and trains and exports a model."""
    drawn = scratch / "drawn"
    if not drawn.exists():
        maskfit("data", "synthesize", drawn, "--persons", NUM_PERSONS)
    files = sorted(drawn.rglob("*.jpg"))
    for number in range(num_images):
        target = scratch / f"images-{num_images}" / f"{number // 1000:04d}" / f"{number:07d}.jpg"
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


def image_folder(scratch: Path) -> Path:
    """Returns the largest folder that `make` made."""
    return max(scratch.glob("images-*"), key=lambda path: int(path.name.partition("-")[2]))


def summarize(values: Sequence[float]) -> str:
    """Formats median, minimum and maximum."""
    return f"{statistics.median(values):,.1f} ({min(values):,.1f} to {max(values):,.1f})"


def train_rate(scratch: Path, name: str, overrides: Sequence[str], **environment: str) -> float:
    """Trains a recipe; returns photos per second, the median over all epochs but the first."""
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
        *overrides,
        **environment,
    )
    with (run / "fold0" / "metrics.csv").open() as stream:
        return statistics.median(float(row["photos_per_second"]) for row in list(csv.DictReader(stream))[1:])


def processes(scratch: Path, rounds: int) -> None:
    """Compares training with one process and with two."""
    contenders: dict[str, tuple[list[str], dict[str, str]]] = {
        "one process, one thread": ([], {"OMP_NUM_THREADS": "1"}),
        "one process, two threads": ([], {"OMP_NUM_THREADS": "2"}),
        "two processes, one thread each": (["trainer.devices=2"], {"OMP_NUM_THREADS": "2"}),
    }
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, (overrides, environment) in contenders.items():
            rates[name].append(train_rate(scratch, name.replace(" ", "-"), overrides, **environment))
    single = statistics.median(rates["one process, one thread"])
    for name, found in rates.items():
        print(f"{name}: {summarize(found)} photos/s, {statistics.median(found) / single:.2f}x one thread")


def predict(scratch: Path, model: Path, images: Path, name: str, *options: str) -> float:
    """Runs `maskfit predict`; returns its seconds."""
    out = scratch / "predictions" / name
    shutil.rmtree(out, ignore_errors=True)
    began = time.perf_counter()
    maskfit("predict", model, "--images", images, "--shards", out, "--shard-size", SHARD_SIZE, "--json", *options)
    return time.perf_counter() - began


@contextmanager
def running_cluster() -> Iterator[str]:
    """Starts a cluster of this machine's cores with `ray start` for a `with` block; yields its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        str(Path(sys.executable).with_name("ray")),
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
            with socket.socket() as probe:
                if not probe.connect_ex(("127.0.0.1", port)):
                    break
            time.sleep(0.1)
        time.sleep(SETTLE_SECONDS)
        yield f"127.0.0.1:{port}"
    finally:
        # Not `ray stop`, which would stop all clusters of the user on this machine.
        process.terminate()
        process.wait(60)


def compare(scratch: Path, model: Path, contenders: Mapping[str, Sequence[str]], rounds: int) -> None:
    """Prints the seconds of each contender, and the difference to the first."""
    images = image_folder(scratch)
    count = int(images.name.partition("-")[2])
    found: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, options in contenders.items():
            found[name].append(predict(scratch, model, images, name.replace(" ", "-"), *options))
    baseline = statistics.median(next(iter(found.values())))
    for name, times in found.items():
        seconds = statistics.median(times)
        difference = f"{seconds - baseline:+.1f} s, {seconds / baseline - 1:+.1%}"
        print(f"{name}: {summarize(times)} s for {count:,} images, {difference}")


def ray(scratch: Path, model: Path, rounds: int, cores: Sequence[int]) -> None:
    """Compares prediction here and on a running cluster."""
    with running_cluster() as address:
        contenders: dict[str, Sequence[str]] = {"here": ()}
        for count in cores:
            workers = f"workers of {count} cores" if count else "one worker with all cores"
            contenders[f"on a cluster, {workers}"] = ("--ray", address, *(("--cores", str(count)) if count else ()))
        compare(scratch, model, contenders, rounds)


def start(scratch: Path, model: Path, rounds: int) -> None:
    """Compares prediction here and on a cluster that is started for it."""
    compare(scratch, model, {"here": (), "on a cluster started for it": ("--ray", "local")}, rounds)


def find_workers() -> list[int]:
    """Returns the process ids of the prediction actors."""
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
    """Compares prediction without and with a worker that is killed, and the files of both."""
    images = image_folder(scratch)
    count = int(images.name.partition("-")[2])
    undisturbed: list[float] = []
    disturbed: list[float] = []
    with running_cluster() as address:
        options = ("--ray", address, "--cores", "1")
        for _ in range(rounds):
            undisturbed.append(predict(scratch, model, images, "undisturbed", *options))
            disturbed.append(predict_with_kill(scratch, model, images, -(-count // SHARD_SIZE) // 2, options))
    whole, broken = (scratch / "predictions" / name / SHARD_TABLES for name in ("undisturbed", "killed"))
    names = [line.partition(",")[0] for path in broken.glob("*.csv") for line in path.read_text().splitlines()[1:]]
    lost, duplicates = count - len(set(names)), len(names) - len(set(names))
    same = all((broken / path.name).read_bytes() == path.read_bytes() for path in whole.glob("*.csv"))
    print(
        f"undisturbed {summarize(undisturbed)} s; one of {os.cpu_count()} workers killed after half of the shards: "
        f"{summarize(disturbed)} s, {statistics.median(disturbed) - statistics.median(undisturbed):+.1f} s"
    )
    print(f"{count:,} images, {len(names):,} rows: {lost} lost, {duplicates} duplicates; files identical: {same}")


def predict_with_kill(scratch: Path, model: Path, images: Path, after: int, options: Sequence[str]) -> float:
    """Runs `maskfit predict` and kills a worker after a number of shards; returns the seconds."""
    out = scratch / "predictions" / "killed"
    shutil.rmtree(out, ignore_errors=True)
    arguments: list[object] = ["--images", images, "--shards", out, "--shard-size", SHARD_SIZE, "--json", *options]
    command = [sys.executable, "-m", "maskfit", "predict", str(model), *map(str, arguments)]
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    while len(list((out / SHARD_TABLES).glob("*.csv"))) < after and process.poll() is None:
        time.sleep(0.02)
    os.kill(find_workers()[0], signal.SIGKILL)
    # Only stdout: Ray reports the death on stderr.
    summary = json.loads(process.communicate()[0])
    if summary["answered"] != summary["photos"]:
        raise SystemExit(f"images were lost: {summary}")
    return time.perf_counter() - began


def plan(scratch: Path, model: Path) -> None:
    """Fits seconds = start + images / rate to two points, and prints its error at others and with one core."""
    images = image_folder(scratch)
    files = sorted(images.rglob("*.jpg"))
    points: dict[int, float] = {}
    for divisor in (8, 2, 4, 1):
        count = len(files) // divisor
        subset = scratch / f"subset-{count}"
        for file in files[:count]:
            target = subset / file.relative_to(images)
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists():
                os.link(file, target)
        points[count] = predict(scratch, model, subset, "plan")
    few, many = min(points), max(points)
    rate = (many - few) / (points[many] - points[few])
    start_ = points[few] - few / rate
    cores = os.cpu_count() or 1
    print(f"start {start_:.1f} s, then {rate:,.0f} images/s on {cores} cores")
    for count, seconds in sorted(points.items()):
        estimate = start_ + count / rate
        kind = "fitted" if count in (few, many) else "predicted"
        print(f"{count:,} images: {seconds:.1f} s measured, {estimate:.1f} s {kind} ({estimate / seconds - 1:+.1%})")
    half = len(files) // 2
    with one_core():
        seconds = predict(scratch, model, scratch / f"subset-{half}", "plan")
    estimate = start_ + half / (rate / cores)
    error = estimate / seconds - 1
    print(f"{half:,} images on one core: {seconds:.1f} s measured, {estimate:.1f} s predicted ({error:+.1%})")
    size = statistics.mean(file.stat().st_size for file in files[:200])
    table = scratch / "predictions" / "plan" / SHARD_TABLES / "000000.csv"
    row = table.stat().st_size / SHARD_SIZE
    print(f"bytes per image: {size:,.0f} read, {row:,.0f} written")
    for count in (10**6, 10**9):
        print(
            f"{count:,} images: {count / rate / 3600 * cores:,.1f} core hours, {count * size / 1e9:,.0f} GB read, "
            f"{count * row / 1e9:,.1f} GB written"
        )


@contextmanager
def one_core() -> Iterator[None]:
    """Restricts processes that are started in the `with` block to a single core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["make", "processes", "ray", "start", "killed", "plan"])
    parser.add_argument("scratch", type=Path)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", type=Path)
    parser.add_argument(
        "--cores", type=int, nargs="+", default=[0, 1], help="cores per worker, for each contender of 'ray'"
    )
    args = parser.parse_args()
    model = args.model or args.scratch / "model.onnx"
    if args.part == "make":
        make(args.scratch, args.images)
    elif args.part == "processes":
        processes(args.scratch, args.rounds)
    elif args.part == "plan":
        plan(args.scratch, model)
    elif args.part == "ray":
        ray(args.scratch, model, args.rounds, args.cores)
    else:
        {"start": start, "killed": killed}[args.part](args.scratch, model, args.rounds)


if __name__ == "__main__":
    main()
