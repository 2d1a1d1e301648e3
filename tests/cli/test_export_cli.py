"""`maskfit export` as a user types it; one test runs torch's exporter, which takes seconds."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import sys
from pathlib import Path

import pytest

from maskfit.cli.export import ExportFormat
from maskfit.errors import MaskfitError
from maskfit.inference.benchmark import BenchmarkResult, Throughput, compare_speed
from maskfit.inference.engines.int8_origin import describe_instructions
from maskfit.inference.export import EXPORTS, ExportResult
from maskfit.inference.export.parity import Parity
from maskfit.model_file import read_model_metadata


def test_exported_model_predicts_as_the_run(command, run_dir, evaluation, monkeypatch):
    result = command(
        "export", run_dir, "--format", "onnx", "--out", "[m].onnx", "--images", evaluation / "images", "--no-timing"
    )
    assert result.code == 0
    assert result.out.startswith("compared with torch on 6 photos\n")
    assert re.search(r"^onnx +0\.1 +\d\.\de-\d\d +0 \(0\.00%\) *$", result.out, re.MULTILINE)
    assert "written: [m].onnx" in result.err
    assert read_model_metadata("[m].onnx") == read_model_metadata(run_dir / "fold0" / "best.safetensors")
    args = ("--images", evaluation / "images", "--json")
    torch_rows = json.loads(command("predict", run_dir, *args).out)["answers"]
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "torch", None)
        for engine in ("auto", "openvino"):
            rows = json.loads(command("predict", "[m].onnx", *args, "--engine", engine).out)["answers"]
            assert [row["class"] for row in rows] == [row["class"] for row in torch_rows]
            assert [row["probability"] for row in rows] == pytest.approx(
                [row["probability"] for row in torch_rows], abs=1e-4
            )
    result = command("export", run_dir, "--out", "[m].onnx")
    assert result.code == 2
    assert "the file exists" in result.err


def test_measurements_as_json(command, model, monkeypatch):
    timed = []

    def time_model(path, engine, batches, *, seconds):
        timed.append((str(path), engine))
        return [
            BenchmarkResult(engine, batch, Throughput.from_rates([rate]))
            for batch, rate in zip(batches, (100.0, 400.0), strict=True)
        ], ""

    monkeypatch.setattr("maskfit.inference.benchmark.time_model", time_model)
    result = command("export", model, "--format", "torch", "--out", "w.safetensors", "--json")
    assert result.code == 0
    data = json.loads(result.out)
    assert data["files"] == ["w.safetensors"]
    reference, row = data["engines"]
    assert reference["engine"] == row["engine"] == "torch"
    assert row["difference"] < 1e-6
    assert row["photos_per_second"] == {"1": 100.0, "32": 400.0}
    assert timed == [(str(model), "torch"), ("w.safetensors", "torch")]
    result = command("export", model, "--format", "torch", "--out", "v.safetensors")
    assert re.search(r"^torch +0\.1 +- +- +100 +400 *$", result.out, re.MULTILINE)


def test_int8_is_shown_beside_f32_on_this_processor(command, model, evaluation, monkeypatch):
    parity = (Parity(100, 0.01, 1), Parity(100, 0.02, 2))
    result = ExportResult((Path("m.onnx"),), 10**6, ("onnx", "openvino"), parity, "100 photos", {"onnx": 1.5})
    seen = {}

    def export_model(*args, **options):
        seen.update(options)
        return result

    monkeypatch.setattr("maskfit.inference.export.export_model", export_model)
    monkeypatch.setattr("maskfit.inference.benchmark.time_model", lambda *rest, seconds: ([], ""))
    args = ("export", model, "--out", "m.onnx", "--int8", "--calibrate", evaluation / "images")
    done = command(*args)
    assert done.code == 0
    assert seen["compare_speed"] is compare_speed
    assert re.search(r"^onnx +1\.0 +1\.0e-02 +1 \(1\.00%\) +1\.50 *$", done.out, re.MULTILINE)
    assert re.search(r"^openvino +1\.0 +2\.0e-02 +2 \(2\.00%\) +- *$", done.out, re.MULTILINE)
    assert f"on this processor ({describe_instructions()})" in done.out
    data = json.loads(command(*args, "--no-timing", "--json").out)
    assert seen["compare_speed"] is None
    assert data["instructions"] == describe_instructions()
    assert data["engines"][1]["times_f32"] == 1.5


@pytest.mark.parametrize(
    ("count", "own", "few"), [(3, 0, True), (100, 0, False), (98, 0, True), (50, 50, False), (60, 49, True)]
)
def test_int8_by_few_photos_says_that_it_tells_little(command, model, tmp_path, monkeypatch, count, own, few):
    for folder, number in (("calibrate", count), ("own", own)):
        (tmp_path / folder).mkdir()
        for photo in range(number):
            (tmp_path / folder / f"{photo}.jpg").touch()
    compared = own or count // 2
    result = ExportResult((Path("m.onnx"),), 10**6, ("onnx",), (Parity(compared, 0.0, 0),), f"{compared} photos", {})
    monkeypatch.setattr("maskfit.inference.export.export_model", lambda *args, **options: result)
    images = ("--images", tmp_path / "own") if own else ()
    options = ("--out", "m.onnx", "--int8", "--calibrate", tmp_path / "calibrate", "--no-timing", *images)
    done = command("export", model, *options)
    assert done.code == 0, done.err
    assert (f"compared on {compared}: too few to know" in done.err) == few


def test_failed_measurement_hints_at_no_timing(command, model, monkeypatch):
    def time_model(path, engine, batches, *, seconds):
        raise MaskfitError("the engine 'torch' could not be timed: no reason")

    monkeypatch.setattr("maskfit.inference.benchmark.time_model", time_model)
    result = command("export", model, "--format", "torch", "--out", "w.safetensors")
    assert result.code == 2
    assert "no reason" in result.err
    assert "--no-timing" in result.err


def test_formats_match_the_export_table():
    assert [item.value for item in ExportFormat] == list(EXPORTS)


def test_further_output_files_are_not_overwritten(command, model):
    Path("m.bin").write_text("mine")
    result = command("export", model, "--format", "openvino", "--out", "m.xml")
    assert result.code == 2
    assert "m.bin" in result.err
    assert Path("m.bin").read_text() == "mine"


def test_one_of_several_folds_must_be_named(command, run_dir):
    shutil.copytree(run_dir / "fold0", run_dir / "fold1")
    result = command("export", run_dir, "--out", "m.onnx")
    assert result.code == 2
    assert "the run has 2 models" in result.err
    assert f"choose one: {run_dir}/fold0/best.safetensors" in result.err


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ("absent.safetensors --out m.onnx", "there is no such model"),
        ("MODEL --out m.pb", "ends in .onnx, not in '.pb'"),
        ("MODEL --out m.onnx --format openvino", "ends in .xml, not in '.onnx'"),
        ("MODEL --out m.onnx --int8", "--int8 needs --calibrate, and --calibrate needs --int8"),
        ("MODEL --out m.onnx --calibrate .", "--int8 needs --calibrate, and --calibrate needs --int8"),
        ("MODEL --out m.safetensors --format torch --half", "the format torch has no half"),
        ("MODEL --out m.onnx --half --int8 --calibrate EVAL", "fp16 or in int8, not both"),
        ("MODEL --out m.onnx --format tflite", "'tflite' is not"),
        ("MODEL", "maskfit export needs --out, what it writes"),
        ("--out m.onnx", "Missing argument"),
        (". --out m.onnx", "no run"),
    ],
)
def test_user_errors_exit_with_2_and_name_the_problem(command, model, evaluation, args, message):
    result = command("export", *args.replace("MODEL", str(model)).replace("EVAL", str(evaluation / "images")).split())
    assert result.code == 2
    assert message in result.err


@pytest.mark.parametrize("missing", ["torch", "timm", "onnx", "onnxscript", "openvino"])
def test_missing_packages_name_the_extra(command, model, monkeypatch, missing):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == missing else real(name, *rest))
    result = command("export", model, "--out", "m.xml", "--format", "openvino")
    assert result.code == 2
    extra = "openvino" if missing == "openvino" else "train"
    assert f"needs the extra '{extra}'" in result.err
    assert f"pip install 'maskfit[{extra}]'" in result.err
