"""Export: tried against torch before it takes its place."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
import torch

import maskfit.inference.export
from maskfit.errors import MaskfitError, MissingExtraError, ModelFileError
from maskfit.inference.export import _noise, export_onnx
from maskfit.modelfile import read_facts


@pytest.fixture
def quick(monkeypatch, exported):
    """torch's exporter, which takes seconds, gives what it gave before."""

    def export(*words, **options):
        proto = onnx.load(exported["attributes"])
        del proto.metadata_props[:]
        return SimpleNamespace(model_proto=proto)

    monkeypatch.setattr(torch.onnx, "export", export)


def test_an_export_holds_the_facts_and_nothing_else(models, exported):
    for name, path in exported.items():
        assert read_facts(path) == read_facts(models[name])
        assert [item.name for item in path.parent.iterdir() if item.name.startswith(".")] == []
        proto = onnx.load(path)
        assert [item.key for item in proto.metadata_props] == ["maskfit"]
        assert str(models[name]) not in str(proto)


def test_what_was_tried_is_told(models, tmp_path, quick):
    done = export_onnx(models["attributes"], tmp_path / "new" / "a.onnx")
    assert done.path == tmp_path / "new" / "a.onnx"
    assert done.bytes == done.path.stat().st_size
    assert 0 <= done.difference < 1e-4
    assert done.photos == 4


def test_a_network_that_answers_otherwise_takes_no_place(models, tmp_path, quick):
    """The export of one network, tried against another."""
    path = tmp_path / "a.onnx"
    path.write_text("the old file")
    with pytest.raises(MaskfitError, match="probabilities differ by") as caught:
        export_onnx(models["sibling"], path)
    assert str(path) in str(caught.value)
    assert path.read_text() == "the old file"
    assert [item.name for item in tmp_path.iterdir()] == ["a.onnx"]


def test_a_network_that_answers_nan_takes_no_place(models, tmp_path, quick, monkeypatch):
    def nan(path, photos):
        return {head: np.full((4, width), np.nan, np.float32) for head, width in
                read_facts(models["attributes"]).widths.items()}  # fmt: skip

    monkeypatch.setattr(maskfit.inference.export, "_try", nan)
    with pytest.raises(MaskfitError, match="differ by nan"):
        export_onnx(models["attributes"], tmp_path / "a.onnx")
    assert list(tmp_path.iterdir()) == []


def test_the_noise_is_of_every_brightness(models):
    facts = read_facts(models["decades"])
    noise = _noise(facts, 4)
    assert noise.shape == (4, 3, *facts.preprocessing.framing.size)
    assert noise.dtype == np.float32
    means = noise.mean(axis=(1, 2, 3))
    assert (np.diff(means) > 0.3).all()


def test_other_endings_and_other_models_are_refused(models, exported, tmp_path):
    with pytest.raises(ModelFileError, match=r"ends in \.onnx"):
        export_onnx(models["mask"], tmp_path / "a.pb")
    with pytest.raises(ModelFileError, match="not weights to load"):
        export_onnx(exported["attributes"], tmp_path / "a.onnx")
    with pytest.raises(ModelFileError, match="no such model"):
        export_onnx(tmp_path / "absent.safetensors", tmp_path / "a.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("module", ["onnx", "onnxscript", "torch"])
def test_what_is_not_installed_is_named(models, tmp_path, monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match="'maskfit export' needs the extra 'train'"):
        export_onnx(models["mask"], tmp_path / "a.onnx")
