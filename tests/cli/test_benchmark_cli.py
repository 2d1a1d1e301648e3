"""`maskfit benchmark`: figures for every engine that runs the file, and one recommendation."""

from __future__ import annotations

import json

import numpy as np
import pytest

from maskfit.cli.benchmark import _recommend
from maskfit.inference import benchmark
from maskfit.inference.benchmark import (
    BenchmarkResult,
    Throughput,
    compare_speed,
    describe_machine,
    find_engines,
    time_model,
)
from maskfit.inference.engines import int8_origin


@pytest.fixture
def fake_timing(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, tuple[int, ...], int]]:
    """Replaces measurements by constants; returns the calls."""
    calls = []

    def time_here(path, engine, batches, photos):
        calls.append((engine, tuple(batches), len(photos)))
        if engine == "openvino":
            raise benchmark.MaskfitError("the engine 'openvino' could not be timed")
        speed = 100.0 if engine.startswith("torch") else 10.0
        files = Throughput.from_rates([speed / 2]) if photos else None
        return [
            BenchmarkResult(engine, size, Throughput.from_rates([speed * size, speed * size + 1]), files)
            for size in batches
        ], "said"

    monkeypatch.setattr(benchmark, "time_model", time_here)
    return calls


def test_a_real_engine_is_timed_in_its_own_process(model, evaluation, monkeypatch):
    photos = sorted((evaluation / "images").iterdir())
    rows, description = time_model(model, "torch", [1, 3], photos, seconds=0.1)
    assert [(row.engine, row.batch) for row in rows] == [("torch", 1), ("torch", 3)]
    for row in rows:
        assert 0 < row.network.low <= row.network.median <= row.network.high
        assert 0 < row.files.low <= row.files.median <= row.files.high
        assert row.median_throughput == row.files.median
    assert "torch" in description.lower()


def test_failing_engine_reports_the_reason(model):
    with pytest.raises(benchmark.MaskfitError, match=r"'onnx' could not be timed: the engine 'onnx' runs \.onnx"):
        time_model(model, "onnx", [1])


def test_two_networks_take_turns(model, monkeypatch):
    """CPU time: warming up 9 and 9 s; then 2, 1 and 3 s against 3, 3 and 3 s."""
    ticks = iter(np.cumsum([0, 9, 0, 9, 0, 2, 0, 3, 0, 1, 0, 3, 0, 3, 0, 3]).tolist())
    monkeypatch.setattr(benchmark.time, "process_time", lambda: next(ticks))
    opened = []

    def open_engine(path, threads, engine):
        opened.append((path.name, threads, engine))
        return real(model, threads, engine)

    real = benchmark.open_engine
    monkeypatch.setattr(benchmark, "open_engine", open_engine)
    job = {"paths": ["small", "large"], "engine": "torch", "seconds": 0}
    assert benchmark._run_job(job) == 1.5
    assert opened == [("small", 1, "torch"), ("large", 1, "torch")]


def test_two_networks_are_compared_in_a_process_of_their_own(model, tmp_path):
    with pytest.raises(benchmark.MaskfitError, match="'onnx' could not be timed"):
        compare_speed(model, tmp_path / "absent.onnx", "onnx")


def test_an_int8_file_of_another_processor_is_said_to_be(command, model, fake_timing, monkeypatch):
    monkeypatch.setattr(int8_origin, "read_int8_origin", lambda path: int8_origin.Int8Origin("AVX9", 100))
    result = command("benchmark", model, "--engine", "torch")
    assert result.code == 0
    assert "calibrated on a processor with AVX9" in " ".join(result.err.split())


def test_rounds_last_as_long_as_requested(monkeypatch):
    # Start; then the elapsed time from the third round on, and each round's start and end: 0.1, 0.2, 0.9, 0.1 s.
    ticks = iter([0.0, 0.0, 0.1, 0.1, 0.3, 0.3, 1.2, 1.2, 1.2, 1.3, 1.3])
    monkeypatch.setattr(benchmark.time, "perf_counter", lambda: next(ticks))
    done = []
    rates = list(benchmark._measure(2, lambda: done.append(1), seconds=1.25))
    assert rates == pytest.approx([20, 10, 2 / 0.9, 20])
    assert len(done) == 5
    rate = Throughput.from_rates(rates)
    assert (rate.median, rate.low, rate.high) == pytest.approx((15, 2 / 0.9, 20))


def test_engines_that_fit_the_file(model, tmp_path, monkeypatch):
    assert find_engines(model)[0] == "torch"
    assert not [word for word in find_engines(model) if word.startswith(("onnx", "openvino"))]
    monkeypatch.setattr(benchmark.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(benchmark, "select_engine", lambda *_: Choice(model))
    assert find_engines(model) == []


class Choice:
    def __init__(self, path) -> None:
        self.path, self.engine = path, benchmark.ComponentSpec.create("auto")


def test_the_table_and_the_recommendation(command, model, evaluation, fake_timing):
    result = command(
        "benchmark",
        model,
        "--photos",
        evaluation / "images",
        "--engine",
        "torch",
        "--engine",
        "onnx",
        "--engine",
        "openvino",
        "--batch-size",
        "1, 4",
    )
    assert result.code == 0
    assert fake_timing == [("torch", (1, 4), 6), ("onnx", (1, 4), 6), ("openvino", (1, 4), 6)]
    assert "from files" in result.out
    assert "fastest: --engine torch --batch-size 1, 50 photos/s end to end, 10.0 times" in result.out
    assert describe_machine() in result.out
    assert "openvino" in result.err


def test_json_holds_every_figure(command, model, fake_timing):
    data = json.loads(command("benchmark", model, "--engine", "torch", "--json").out)
    assert [row["batch"] for row in data["timed"]] == [1, 8, 32]
    assert data["timed"][0]["network"] == {"median": 100.5, "low": 100.0, "high": 101.0}
    assert data["timed"][0]["files"] is None
    assert "network alone" in data["fastest"]


@pytest.mark.parametrize("batch", ["0", "", "1,,2", "-1", "x", "5000", "1.5"])
def test_invalid_batch_sizes(command, model, batch):
    result = command("benchmark", model, f"--batch-size={batch}")
    assert result.code == 2
    assert "batch sizes must be integers in 1 to 4,096" in result.err


def test_an_engine_that_does_not_exist_is_named_before_anything_is_timed(command, model, monkeypatch):
    monkeypatch.setattr("maskfit.inference.benchmark.time_model", lambda *rest: pytest.fail("timed"))
    result = command("benchmark", str(model), "--engine", "onnx", "--engine", "onxx")
    assert (result.code, result.out) == (2, "")
    assert "there is no engine 'onxx'; did you mean 'onnx'?\n  next: --engine onnx" in result.err


def test_nothing_timed_is_an_error(command, model, fake_timing):
    result = command("benchmark", model, "--engine", "openvino")
    assert result.code == 2
    assert "no engine could be measured" in result.err


def test_one_engine_alone_is_compared_with_none():
    assert "times" not in _recommend(
        [
            BenchmarkResult("onnx", 1, Throughput.from_rates([3.0])),
            BenchmarkResult("onnx", 8, Throughput.from_rates([5.0])),
        ]
    )
