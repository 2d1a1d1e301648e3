"""`maskfit export` as a user types it; one real export by torch's exporter, which takes seconds."""

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
from maskfit.inference.benchmark import BenchmarkResult, Throughput
from maskfit.inference.export import EXPORTS
from maskfit.model_file import read_model_metadata


def test_an_exported_run_answers_as_the_run(command, run_folder, evaluation, monkeypatch):
    said = command(
        "export", run_folder, "--format", "onnx", "--out", "[m].onnx", "--images", evaluation / "images", "--no-timing"
    )
    assert said.code == 0
    assert said.out.startswith("compared with torch on 6 photos\n")
    assert re.search(r"^onnx +0\.1 +\d\.\de-\d\d +0 \(0\.00%\) *$", said.out, re.MULTILINE)
    assert "written: [m].onnx" in said.err
    assert read_model_metadata("[m].onnx") == read_model_metadata(run_folder / "fold0" / "best.safetensors")
    words = ("--images", evaluation / "images", "--json")
    torch_rows = json.loads(command("predict", run_folder, *words).out)["answers"]
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "torch", None)
        for engine in ("auto", "openvino"):
            rows = json.loads(command("predict", "[m].onnx", *words, "--engine", engine).out)["answers"]
            assert [row["class"] for row in rows] == [row["class"] for row in torch_rows]
            assert [row["probability"] for row in rows] == pytest.approx(
                [row["probability"] for row in torch_rows], abs=1e-4
            )
    said = command("export", run_folder, "--out", "[m].onnx")
    assert said.code == 2
    assert "the file exists" in said.err


def test_what_was_measured_is_told_to_scripts(command, model, monkeypatch):
    timed = []

    def time_model(path, engine, batches, *, seconds):
        timed.append((str(path), engine))
        return [
            BenchmarkResult(engine, batch, Throughput.from_rates([rate]))
            for batch, rate in zip(batches, (100.0, 400.0), strict=True)
        ], ""

    monkeypatch.setattr("maskfit.inference.benchmark.time_model", time_model)
    said = command("export", model, "--format", "torch", "--out", "w.safetensors", "--json")
    assert said.code == 0
    told = json.loads(said.out)
    assert told["files"] == ["w.safetensors"]
    reference, row = told["engines"]
    assert reference["engine"] == row["engine"] == "torch"
    assert row["difference"] < 1e-6
    assert row["photos_per_second"] == {"1": 100.0, "32": 400.0}
    assert timed == [(str(model), "torch"), ("w.safetensors", "torch")]
    said = command("export", model, "--format", "torch", "--out", "v.safetensors")
    assert re.search(r"^torch +0\.1 +- +- +100 +400 *$", said.out, re.MULTILINE)


def test_an_engine_that_cannot_be_timed_says_how_to_do_without(command, model, monkeypatch):
    def time_model(path, engine, batches, *, seconds):
        raise MaskfitError("the engine 'torch' could not be timed: no reason")

    monkeypatch.setattr("maskfit.inference.benchmark.time_model", time_model)
    said = command("export", model, "--format", "torch", "--out", "w.safetensors")
    assert said.code == 2
    assert "no reason" in said.err
    assert "--no-timing" in said.err


def test_the_formats_are_those_of_the_table():
    assert [item.value for item in ExportFormat] == list(EXPORTS)


def test_what_is_written_beside_is_not_overwritten_either(command, model):
    Path("m.bin").write_text("mine")
    said = command("export", model, "--format", "openvino", "--out", "m.xml")
    assert said.code == 2
    assert "m.bin" in said.err
    assert Path("m.bin").read_text() == "mine"


def test_one_of_several_folds_must_be_named(command, run_folder):
    shutil.copytree(run_folder / "fold0", run_folder / "fold1")
    said = command("export", run_folder, "--out", "m.onnx")
    assert said.code == 2
    assert "the run has 2 models" in said.err
    assert f"choose one: {run_folder}/fold0/best.safetensors" in said.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("absent.safetensors --out m.onnx", "there is no such model"),
        ("MODEL --out m.pb", "ends in .onnx, not in '.pb'"),
        ("MODEL --out m.onnx --format openvino", "ends in .xml, not in '.onnx'"),
        ("MODEL --out m.onnx --int8", "--int8 needs --calibrate, and --calibrate needs --int8"),
        ("MODEL --out m.onnx --calibrate .", "--int8 needs --calibrate, and --calibrate needs --int8"),
        ("MODEL --out m.safetensors --format torch --half", "torch knows no half"),
        ("MODEL --out m.onnx --half --int8 --calibrate EVAL", "sixteen bits or eight"),
        ("MODEL --out m.onnx --format tflite", "'tflite' is not"),
        ("MODEL", "Missing option '--out'"),
        ("--out m.onnx", "Missing argument"),
        (". --out m.onnx", "no run"),
    ],
)
def test_mistakes_end_with_2_and_say_what(command, model, evaluation, words, message):
    said = command("export", *words.replace("MODEL", str(model)).replace("EVAL", str(evaluation / "images")).split())
    assert said.code == 2
    assert message in said.err


@pytest.mark.parametrize("missing", ["torch", "timm", "onnx", "onnxscript", "openvino"])
def test_what_is_not_installed_is_named(command, model, monkeypatch, missing):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == missing else real(name, *rest))
    said = command("export", model, "--out", "m.xml", "--format", "openvino")
    assert said.code == 2
    extra = "openvino" if missing == "openvino" else "train"
    assert f"needs the extra '{extra}'" in said.err
    assert f"pip install 'maskfit[{extra}]'" in said.err
