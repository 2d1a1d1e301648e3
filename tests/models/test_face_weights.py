"""The weights `model.pretrained=faces`: read from the package's archive, adapted to the input, set, and trained on.

The archive here has the package's layout and random weights; the real one is downloaded by whoever names it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.face_weights_archive import use_as_package, write_archive, write_mobilenet
from torch import nn

from maskfit.errors import DataError, ModelFileError
from maskfit.models.backbone_names import FACES, FACES_BACKBONE, check_pretrained
from maskfit.models.backbones import build_backbone
from maskfit.models.face_weights import (
    MEAN_BGR,
    ConvolutionWeights,
    read_graph,
    read_layers,
    set_layers,
    take_normalized_rgb,
)
from maskfit.registry import ComponentSpec
from maskfit.training.exported_start import measure_batch_norms


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_mobilenet(tmp_path_factory.mktemp("package") / "human-3.3.6.tgz")


@pytest.fixture
def is_the_package(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_as_package(archive, monkeypatch)


def test_a_layer_is_read_from_the_package(tmp_path: Path) -> None:
    kernel = np.arange(54, dtype=np.float16).reshape(3, 3, 3, 2)
    offset = np.array([0.5, -2.0], np.float32)
    nodes: list[dict[str, object]] = [
        {"name": "conv", "op": "Conv2D", "input": ["x", "kernel"]},
        {"name": "add", "op": "Add", "input": ["conv", "offset"]},
    ]
    path = write_archive(tmp_path / "a.tgz", nodes, {"kernel": kernel, "offset": offset})

    (layer,) = read_layers(*read_graph(path))

    assert np.array_equal(layer.kernel, kernel.astype(np.float32).transpose(3, 2, 0, 1))
    assert layer.scale.tolist() == [1, 1]
    assert layer.offset.tolist() == [0.5, -2.0]


def test_rgb_in_minus_one_to_one_gives_what_bgr_bytes_less_the_mean_give() -> None:
    rng = np.random.default_rng(1)
    layer = ConvolutionWeights(
        rng.normal(size=(4, 3, 3, 3)).astype(np.float32),
        rng.random(4).astype(np.float32) + 0.5,
        rng.normal(size=4).astype(np.float32),
    )
    rgb = torch.from_numpy(rng.integers(0, 256, (2, 3, 9, 9)).astype(np.float32))

    def run(own: ConvolutionWeights, images: torch.Tensor) -> torch.Tensor:
        scale, offset = (torch.from_numpy(item).reshape(1, -1, 1, 1) for item in own[1:])
        return nn.functional.conv2d(images, torch.from_numpy(own.kernel)) * scale + offset

    expected = run(layer, rgb.flip(1) - torch.tensor(MEAN_BGR).reshape(1, 3, 1, 1))
    torch.testing.assert_close(run(take_normalized_rgb(layer), rgb / 127.5 - 1), expected, rtol=1e-4, atol=1e-2)


@pytest.mark.usefixtures("is_the_package")
def test_a_backbone_computes_what_the_layers_say(archive: Path) -> None:
    backbone = build_backbone(FACES_BACKBONE, FACES).eval()
    layers = list(read_layers(*read_graph(archive)))
    layers[0] = take_normalized_rgb(layers[0])
    images = torch.rand(3, 3, 40, 40, generator=torch.Generator().manual_seed(2)) * 2 - 1

    # Written out: a convolution with padding as TensorFlow's "same", scale, offset, ReLU (of timm's network: ReLU6).
    values = images
    convolutions = [module for module in backbone.modules() if isinstance(module, nn.Conv2d)]
    for convolution, layer in zip(convolutions, layers, strict=True):
        stride, size = convolution.stride[0], layer.kernel.shape[2]
        width = values.shape[2]
        need = max((-(-width // stride) - 1) * stride + size - width, 0)
        padded = nn.functional.pad(values, [need // 2, need - need // 2] * 2)
        groups = len(layer.kernel) if layer.kernel.shape[1] == 1 else 1
        values = nn.functional.conv2d(padded, torch.from_numpy(layer.kernel), stride=stride, groups=groups)
        scale, offset = (torch.from_numpy(item).reshape(1, -1, 1, 1) for item in layer[1:])
        values = (values * scale + offset).clamp(0, 6)
    expected = values.mean((2, 3))

    with torch.no_grad():
        found = backbone(images)
    assert expected.std() > 0.01
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.usefixtures("is_the_package")
def test_measured_statistics_change_no_output_and_keep_it_in_training() -> None:
    backbone = build_backbone(FACES_BACKBONE, FACES).eval()
    images = torch.rand(16, 3, 64, 64, generator=torch.Generator().manual_seed(3)) * 2 - 1
    with torch.no_grad():
        before = backbone(images)
        measure_batch_norms(backbone, [images[:10], images[10:]])
        after = backbone(images)
        in_training = backbone.train()(images)
    torch.testing.assert_close(after, before, rtol=1e-3, atol=1e-4)
    assert np.corrcoef(in_training.numpy().ravel(), before.numpy().ravel())[0, 1] > 0.99


def test_an_archive_of_other_content_is_refused(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASKFIT_START_WEIGHTS", str(archive.parent))
    with pytest.raises(DataError, match="damaged or a different one"):
        build_backbone(FACES_BACKBONE, FACES)


@pytest.mark.parametrize(
    ("backbone", "words"),
    [
        (ComponentSpec.create("mobilenetv2_100", pad_type="same"), "not of the backbone mobilenetv2_100"),
        (ComponentSpec.create("mobilenetv1_100"), "mobilenetv1_100 with other padding"),
        (ComponentSpec.create("small"), "'small' has no published weights"),
    ],
)
def test_another_backbone_is_refused_without_a_download(backbone: ComponentSpec, words: str) -> None:
    with pytest.raises(ModelFileError, match=words):
        check_pretrained(backbone, FACES)


def test_the_backbone_of_the_weights_passes() -> None:
    check_pretrained(FACES_BACKBONE, FACES)


@pytest.mark.usefixtures("is_the_package")
def test_layers_of_another_width_are_refused(archive: Path) -> None:
    body = build_backbone(ComponentSpec.create("mobilenetv1_100h", pad_type="same")).body
    with pytest.raises(ModelFileError, match="another network"):
        set_layers(body, list(read_layers(*read_graph(archive)))[:3])
