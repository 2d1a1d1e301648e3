"""`maskfit export` as a user types it; one real export, which takes seconds."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys

import pytest

from maskfit.modelfile import read_facts


def test_an_exported_run_answers_as_the_run(command, run_folder, evaluation, monkeypatch):
    said = command("export", run_folder, "--to", "onnx", "--out", "[m].onnx")
    assert said.code == 0
    assert said.out.startswith("wrote [m].onnx: 0.2 MB\n")
    assert "differ from torch's by at most" in said.out
    assert read_facts("[m].onnx") == read_facts(run_folder / "fold0" / "best.safetensors")
    words = ("--images", evaluation / "images", "--json")
    torch_rows = json.loads(command("predict", run_folder, *words).out)["answers"]
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "torch", None)
        onnx_rows = json.loads(command("predict", "[m].onnx", *words).out)["answers"]
    assert [row["class"] for row in onnx_rows] == [row["class"] for row in torch_rows]
    assert [row["probability"] for row in onnx_rows] == pytest.approx(
        [row["probability"] for row in torch_rows], abs=1e-4
    )
    said = command("export", run_folder, "--out", "[m].onnx")
    assert said.code == 2
    assert "exists already" in said.err


def test_one_of_several_folds_must_be_named(command, run_folder):
    shutil.copytree(run_folder / "fold0", run_folder / "fold1")
    said = command("export", run_folder, "--out", "m.onnx")
    assert said.code == 2
    assert "this run has 2 models" in said.err
    assert f"name one of them: {run_folder}/fold0/best.safetensors" in said.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("absent.safetensors --out m.onnx", "there is no such model"),
        ("MODEL --out m.pb", "ends in .onnx, not in '.pb'"),
        ("MODEL --out m.onnx --to tflite", "'tflite' is not"),
        ("MODEL", "Missing option '--out'"),
        ("--out m.onnx", "Missing argument"),
        (". --out m.onnx", "no run"),
    ],
)
def test_mistakes_end_with_2_and_say_what(command, model, words, message):
    said = command("export", *words.replace("MODEL", str(model)).split())
    assert said.code == 2
    assert message in said.err


@pytest.mark.parametrize("missing", ["torch", "timm", "onnx", "onnxscript"])
def test_what_is_not_installed_is_named(command, model, monkeypatch, missing):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == missing else real(name, *rest))
    said = command("export", model, "--out", "m.onnx")
    assert said.code == 2
    assert "'maskfit export' needs the extra 'train'" in said.err
    assert "pip install 'maskfit[train]'" in said.err
