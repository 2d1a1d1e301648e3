"""Training that starts from an exported network: the same features, in evaluation and nearly so in training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from maskfit.errors import ModelFileError
from maskfit.model_file import bundled_model_path
from maskfit.models.backbones import Backbone, build_backbone
from maskfit.registry import ComponentSpec
from maskfit.synthesis.drawn import render_photo, sample_person
from maskfit.training.exported_start import load_exported_backbone, read_convolutions

SIZE = 128


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    """Drawn faces, uint8."""
    people = [render_photo(sample_person(7, number), "normal", size=(SIZE, SIZE)).image for number in range(16)]
    return np.stack([np.asarray(image.convert("RGB")) for image in people])


def normalized(frames: np.ndarray, backbone: Backbone) -> torch.Tensor:
    values = (frames / 255 - np.array(backbone.mean)) / np.array(backbone.std)
    return torch.from_numpy(values.astype(np.float32).transpose(0, 3, 1, 2).copy())


@pytest.fixture(scope="module")
def started(frames: np.ndarray) -> Backbone:
    backbone = build_backbone(ComponentSpec.create("mobilenetv1_100", pad_type="same"))
    images = normalized(frames, backbone)
    assert load_exported_backbone(backbone, bundled_model_path(), [images[:8], images[8:]]) == 27
    return backbone


@pytest.fixture(scope="module")
def features_of_onnx(frames: np.ndarray) -> np.ndarray:
    """The features before the heads, as ONNX Runtime computes them."""
    program = onnx.load(str(bundled_model_path()))
    name = next(node.input[0] for node in program.graph.node if node.op_type == "Gemm")
    program.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(program.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run([name], {"frames": frames})[0]


def test_features_are_those_of_onnx_runtime(started, frames, features_of_onnx):
    with torch.inference_mode():
        found = started.eval()(normalized(frames, started)).numpy()
    assert np.abs(features_of_onnx).max() > 1
    np.testing.assert_allclose(found, features_of_onnx, rtol=1e-3, atol=2e-3)


def test_with_batch_statistics_the_features_stay_nearly_the_same(started, frames, features_of_onnx):
    started.train()
    with torch.no_grad():
        found = started(normalized(frames, started)).numpy()
    started.eval()
    assert np.corrcoef(found.ravel(), features_of_onnx.ravel())[0, 1] > 0.99


def test_another_backbone_is_refused(frames):
    backbone = build_backbone(ComponentSpec.create("small"))
    with pytest.raises(ModelFileError, match="does not fit this backbone"):
        load_exported_backbone(backbone, bundled_model_path(), [normalized(frames[:2], backbone)])


def test_layers_that_are_no_convolutions_are_refused(frames):
    backbone = build_backbone(ComponentSpec.create("mobilenetv1_100", pad_type="same"))
    backbone.body.extra = torch.nn.Linear(3, 3)
    with pytest.raises(ModelFileError, match=r"does not restore, such as body\.extra"):
        load_exported_backbone(backbone, bundled_model_path(), [normalized(frames[:2], backbone)])


def test_a_network_without_float_convolutions_is_refused(tmp_path: Path):
    program = onnx.load(str(bundled_model_path()))
    for node in program.graph.node:
        if node.op_type == "Conv":
            node.op_type = "ConvInteger"
    onnx.save(program, str(tmp_path / "int8.onnx"))
    with pytest.raises(ModelFileError, match="no weights of convolutions"):
        read_convolutions(tmp_path / "int8.onnx")
