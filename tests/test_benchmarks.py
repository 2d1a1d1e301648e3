"""Tests that the benchmarks run, on the smallest data; what they measure is tested nowhere."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"

pytestmark = pytest.mark.slow


def run(name: str, *options: object) -> str:
    """Returns what a benchmark printed."""
    command = [sys.executable, str(BENCHMARKS / name), *map(str, options)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600)
    assert done.returncode == 0, done.stdout
    return done.stdout


STARTED_BY_OTHERS = {"baselines.py", "litserve_faces.py"}
"""Scripts that other benchmarks start, the second with a package that maskfit does not use."""


@pytest.mark.parametrize(
    "name", sorted(path.name for path in BENCHMARKS.glob("*.py") if path.name not in STARTED_BY_OTHERS)
)
def test_every_benchmark_says_how_it_is_used(name):
    assert "usage:" in run(name, "--help")


SMALLEST = ("--persons", 12, "--backbone", "small", "--size", 32, "--batch", 16, "--rounds", 1, "--seconds", 1)


def test_the_gpu_benchmark_runs_without_one(tmp_path):
    out = tmp_path / "gpu.json"
    run("gpu.py", *SMALLEST, "--epoch-photos", 160, "--compare", 20, "--out", out)
    results = json.loads(out.read_text())
    assert results["training"]["ratio"] > 0
    # 84 photos, each twice.
    assert (results["epoch"]["times"], results["prediction"]["photos"]) == (2, 84)
    assert (results["prediction"]["compared"], results["prediction"]["other_answers"]) == (20, 0)


def test_the_gpu_benchmark_ends_in_time_and_says_what_it_left_out(tmp_path):
    out = tmp_path / "gpu.json"
    run("gpu.py", *SMALLEST, "--minutes", 0.1, "--out", out)
    results = json.loads(out.read_text())
    left_out = [results[part]["left_out"] for part in ("training", "epoch", "prediction")]
    assert all(reason.startswith("not begun") for reason in left_out)
