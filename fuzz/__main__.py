"""Command line of the fuzzers."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

from fuzz.engine import Result, run_child, run_reader
from fuzz.readers import READERS


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number > 0, got {text}")
    return value


def _jobs(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be an integer >= 1, got {text}")
    return value


def main() -> int:
    """Fuzzes the named readers one after another, or `--jobs` at a time, and prints a table.

    Returns:
        0 where nothing crashed, else 1.
    """
    parser = argparse.ArgumentParser(
        prog="python -m fuzz",
        description="Reads mutated files with maskfit's readers; anything but a result or a clean refusal is a crash.",
        epilog="example: python -m fuzz photos tables --seconds 600 --log fuzz.jsonl",
    )
    parser.add_argument("readers", nargs="*", metavar="READER", help=f"default: all of {', '.join(READERS)}")
    parser.add_argument(
        "--seconds", type=_seconds, default=60, help="for all readers together, besides their start (default: 60)"
    )
    parser.add_argument("--jobs", type=_jobs, default=1, help="readers at a time (default: 1)")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="seed (default: the time)")
    parser.add_argument("--keep", type=Path, help="folder for inputs that crash (default: a temporary one)")
    parser.add_argument("--log", type=Path, help="append the counts of each reader to this file, as JSON lines")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    unknown = [name for name in options.readers if name not in READERS]
    if unknown:
        parser.error(f"there is no reader {', '.join(unknown)}; there are {', '.join(READERS)}")
    if options.child:
        run_child(READERS[options.readers[0]](), options.seconds, options.seed, options.keep, options.child)
        return 0
    keep = options.keep or Path(tempfile.mkdtemp(prefix="fuzz-"))
    keep.mkdir(parents=True, exist_ok=True)
    names = options.readers or list(READERS)
    seconds = options.seconds * options.jobs / len(names)

    def run(name: str) -> tuple[str, Result]:
        result = run_reader(name, seconds, options.seed, keep.absolute())
        _report(name, result)
        if options.log:
            with options.log.open("a") as stream:
                stream.write(json.dumps({"reader": name, "seed": options.seed, **asdict(result)}) + "\n")
        return name, result

    print(f"seed {options.seed}; inputs that crash are kept in {keep}")
    print(f"{'reader':10} {'inputs':>9}  {'past each check':22} {'read':>7}  crashes")
    with ThreadPoolExecutor(options.jobs) as pool:
        results = dict(pool.map(run, names))
    inputs, crashes = sum(item.inputs for item in results.values()), sum(len(item.crashes) for item in results.values())
    print(f"{inputs:,} inputs, {crashes} kinds of crashes")
    if not os.listdir(keep) and not options.keep:
        keep.rmdir()
    return 1 if crashes else 0


def _report(name: str, result: Result) -> None:
    total = max(result.inputs, 1)
    passed = ", ".join(f"{count / total:.1%}" for count in result.passed)
    print(
        f"{name:10} {result.inputs:9,}  {passed:22} {result.accepted / total:7.1%}  {len(result.crashes)}", flush=True
    )
    for crash, count in sorted(result.crashes.items(), key=lambda item: -item[1]):
        print(f"  {count} x {crash}\n    {result.kept.get(crash, '')}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
