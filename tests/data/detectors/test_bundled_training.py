"""Tests of the training of the bundled detector: an exported network is a start, and sizes weigh as told."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

torch = pytest.importorskip("torch")

MODULES = "network", "export"


@pytest.fixture
def modules(monkeypatch):
    """`network` and `export` of the scripts."""
    for name in MODULES:
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(str(Path(__file__).parents[3] / "scripts" / "bundled_detector"))
    import export
    import network

    yield network, export
    for name in MODULES:
        sys.modules.pop(name, None)


@pytest.fixture
def exported(modules, tmp_path):
    """A network with random weights and statistics, and its file."""
    network, export = modules
    torch.manual_seed(0)
    original = network.FaceNetwork()
    for part in original.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.weight.data.uniform_(0.5, 1.5)
            part.bias.data.normal_()
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2)
    path = tmp_path / "face.onnx"
    path.write_bytes(export.to_onnx(original))
    return original, path


def pixels(seed=0):
    return np.random.default_rng(seed).integers(0, 256, (2, 64, 96, 3), dtype=np.uint8)


def run(path, image):
    return onnxruntime.InferenceSession(str(path)).run(None, {"image": image})


def test_an_exported_network_is_a_start_with_the_same_answers(modules, exported):
    network, _ = modules
    _, path = exported
    started = network.FaceNetwork()
    network.start_from(started, path)
    image = torch.from_numpy(pixels())
    expected = run(path, image.numpy())
    with torch.no_grad():
        for stage in ("loaded", "normalized", "training"):
            if stage == "normalized":
                network.normalize(started, torch.from_numpy(pixels(1)))
            started.train(stage == "training")
            for found, wanted in zip(started(image), expected, strict=True):
                np.testing.assert_allclose(found, wanted, atol=1e-2, rtol=1e-3, err_msg=stage)


def test_the_size_weighs_on_the_score_alone(modules, exported, tmp_path):
    network, export = modules
    original, path = exported
    # With the same convolutions across space, the sum of four products is one of two.
    for head in original.heads:
        head.space.weight.data[4:6] = head.space.weight.data[:2]
    path.write_bytes(export.to_onnx(original))
    network.weigh_size(original, 0.2, -0.5)
    weighed = tmp_path / "weighed.onnx"
    weighed.write_bytes(export.to_onnx(original))
    image = pixels()
    for stride, before, after in zip(network.STRIDES, run(path, image), run(weighed, image), strict=True):
        np.testing.assert_allclose(after[:, 2:], before[:, 2:], atol=1e-3)
        wanted = before[:, :2].mean(1) + 0.2 * (before[:, 4:6].mean(1) + np.log(stride)) - 0.5
        np.testing.assert_allclose(after[:, :2].mean(1), wanted, atol=1e-3)
