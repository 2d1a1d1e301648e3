"""ONNX programs from traced calls: what torch computes, for any number of images, or none at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from maskfit.inference.engines.engine import FRAMES
from maskfit.inference.export.onnx_export import _export, _make_export_module, _trace
from maskfit.labels.schema import LABEL_SCHEMAS
from maskfit.model_file import load_model
from maskfit.models.export_module import DatasetNormalize, ExportModule
from maskfit.models.network import build_network
from maskfit.registry import ComponentSpec
from maskfit.training.exported_start import read_convolutions

SCHEMA = LABEL_SCHEMAS["mask-gender-age"]
OUTPUTS = [*SCHEMA.names, "probabilities"]


def make_module(backbone: str, **options: object) -> ExportModule:
    torch.manual_seed(1)
    spec = ComponentSpec.create(backbone, **options)
    network = build_network(spec, ComponentSpec.create("multi_head"), SCHEMA.sizes)
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm2d):
                # As after training: with 0 and 1 a layer that was left out would not be noticed.
                layer.running_mean.normal_(0, 0.1)
                layer.running_var.uniform_(0.5, 1.5)
    return ExportModule(network, DatasetNormalize([1 / 60] * 3, [-2.0] * 3), SCHEMA.sizes, {}, {}).eval()


def check(program: onnx.ModelProto, module: ExportModule, size: tuple[int, int]) -> None:
    session = onnxruntime.InferenceSession(program.SerializeToString(), providers=["CPUExecutionProvider"])
    for number in (1, 2, 5):
        frames = np.random.default_rng(number).integers(0, 256, (number, *size, 3), dtype=np.uint8)
        with torch.inference_mode():
            expected = module(torch.from_numpy(frames))
        found = session.run(None, {FRAMES: frames})
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other.numpy(), rtol=1e-3, atol=1e-5)
        # Every image has its own answer: none is a constant of the traced calls.
        assert number == 1 or np.ptp(found[-1], axis=0).max() > 1e-7


@pytest.mark.parametrize("kind", ["attributes", "joint", "decades", "joint-decades", "cropped"])
def test_a_trace_computes_what_torch_does(models: dict[str, Path], kind: str) -> None:
    network, metadata = load_model(models[kind])
    module, size = _make_export_module(network, metadata), metadata.preprocessing.crop_resize.size
    program = _trace(module, size, [*metadata.heads, "probabilities"])
    assert program is not None
    check(program, module, size)


@pytest.mark.parametrize(
    ("backbone", "options", "size"),
    [
        ("mobilenetv2_100", {"pad_type": "same"}, (64, 64)),
        ("mobilenetv2_100", {"pad_type": "same"}, (75, 50)),
        ("tf_mobilenetv3_small_100", {}, (64, 49)),
    ],
)
def test_same_padding_becomes_numbers_of_the_convolutions(
    backbone: str, options: dict[str, str], size: tuple[int, int]
) -> None:
    """timm computes it from each input's size, in Python, which a trace records as arithmetic on shapes."""
    module = make_module(backbone, **options)
    program = _trace(module, size, OUTPUTS)
    assert program is not None
    assert not {node.op_type for node in program.graph.node} & {"Shape", "Pad", "Constant", "Identity", "Slice"}
    check(program, module, size)


def test_cells_of_local_features_that_overlap_are_those_of_torch() -> None:
    """A trace holds lengths as tensors, and ONNX rounds their quotients towards 0."""
    size = (75, 50)  # No multiples of the grid's sides in either stage.
    module = make_module("test_efficientnet", local_stages=[2, 3], local_grid=[3, 2])
    program = _trace(module, size, OUTPUTS)
    assert program is not None
    check(program, module, size)
    # A training can start from the file (model.init_from).
    names = {node.input[1] for node in program.graph.node if node.op_type == "Conv"}
    assert "network.backbone.body.conv_stem.weight" in names
    assert all(name.startswith("network.backbone.body.") for name in names)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "options"),
    [
        ("mobilenetv1_100", {"pad_type": "same"}),
        ("mobilenetv2_100", {"pad_type": "same"}),
        ("mobilenetv3_small_050", {}),
        ("tf_efficientnet_b0", {}),
        ("resnet18", {}),
        ("small", {}),
    ],
)
def test_convolutions_are_named_as_in_the_network(tmp_path: Path, backbone: str, options: dict[str, object]) -> None:
    """Training from an exported file finds them by their names, of either exporter."""
    module, size = make_module(backbone, **options), (64, 64)
    program = _trace(module, size, OUTPUTS)
    assert program is not None
    check(program, module, size)
    onnx.save(program, tmp_path / "m.onnx")
    found = read_convolutions(tmp_path / "m.onnx")
    layers = {name: layer for name, layer in module.network.backbone.named_modules() if isinstance(layer, nn.Conv2d)}
    assert found.keys() == layers.keys()
    assert all(weight.shape == layers[name].weight.shape for name, (weight, _) in found.items())


def test_both_exporters_write_the_same_layers() -> None:
    module = make_module("mobilenetv2_100", pad_type="same")
    traced, exported = _trace(module, (64, 64), OUTPUTS), _export(module, (64, 64), OUTPUTS, Path("m.safetensors"))
    kinds = [[node.op_type for node in program.graph.node].count("Conv") for program in (traced, exported)]
    assert kinds == [52, 52]
    check(exported, module, (64, 64))


class _Strange(nn.Module):
    """A module whose result `change` makes of the mean color."""

    def __init__(self, change: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.change = change

    def forward(self, frames: Tensor) -> tuple[Tensor]:
        return (self.change(frames.float().mean((1, 2))),)


@pytest.mark.parametrize(
    ("change", "converts"),
    [
        (lambda colors: colors * 2, True),
        (lambda colors: colors + torch.arange(len(colors))[:, None], False),
        (lambda colors: colors.reshape(int(colors.shape[0]), 3), False),
        (lambda colors: colors.reshape(-1, 3), True),
        (torch.linalg.det, False),
    ],
)
def test_a_program_for_one_number_of_images_is_none(change: Callable[[Tensor], Tensor], converts: bool) -> None:
    program = _trace(_Strange(change), (4, 5), ["colors"])  # type: ignore[arg-type]
    assert (program is not None) == converts


def test_what_a_trace_cannot_convert_is_not_printed(capfd: pytest.CaptureFixture[str]) -> None:
    """The exporter would print its graph where a command writes its results."""
    assert _trace(_Strange(torch.linalg.det), (4, 5), ["colors"]) is None  # type: ignore[arg-type]
    assert capfd.readouterr().out == ""


class _Convolutions(nn.Module):
    """Three convolutions of the mean color."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(*(nn.Conv2d(3, 3, 1) for _ in range(3)))

    def forward(self, frames: Tensor) -> tuple[Tensor]:
        colors: Tensor = self.layers(frames.float().mean((1, 2))[:, :, None, None])
        return (colors[:, :, 0, 0],)


def test_equal_weights_are_read_under_one_name() -> None:
    """The exporter stores new biases, which are all 0, once; quantization looks for a layer's weights by their name."""
    module = _Convolutions().eval()
    for layer in module.layers:
        nn.init.zeros_(layer.bias)
    program = _trace(module, (4, 5), ["colors"])  # type: ignore[arg-type]
    assert program is not None
    known = {item.name for item in program.graph.initializer}
    convolutions = [node for node in program.graph.node if node.op_type == "Conv"]
    assert len(convolutions) == 3
    assert all(set(node.input[1:]) <= known for node in convolutions)
