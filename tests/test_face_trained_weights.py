"""The scripts that make the bundled model's start weights and its teacher's table."""

from __future__ import annotations

import io
import json
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import Tensor, nn

SCRIPTS = Path(__file__).parents[1] / "scripts"


@pytest.fixture(scope="module")
def weights_script() -> Iterator[ModuleType]:
    yield from _load("face_trained_weights")


@pytest.fixture(scope="module")
def teacher_script() -> Iterator[ModuleType]:
    yield from _load("face_teacher")


def _load(name: str) -> Iterator[ModuleType]:
    pytest.importorskip("timm")
    sys.path.insert(0, str(SCRIPTS))
    yield __import__(name)
    sys.path.remove(str(SCRIPTS))


def test_a_network_is_read_from_the_package(weights_script: ModuleType) -> None:
    kernel = np.arange(54, dtype=np.float16).reshape(3, 3, 3, 2)
    offset = np.array([0.5, -2.0], np.float32)
    nodes = [
        {"name": "kernel", "op": "Const"},
        {"name": "conv", "op": "Conv2D", "input": ["x", "kernel"]},
        {"name": "add", "op": "Add", "input": ["conv", "offset"]},
    ]
    entries = [
        {"name": "kernel", "shape": [3, 3, 3, 2], "dtype": "float32", "quantization": {"dtype": "float16"}},
        {"name": "offset", "shape": [2], "dtype": "float32"},
    ]
    model = {"modelTopology": {"node": nodes}, "weightsManifest": [{"weights": entries}]}
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as files:
        for suffix, content in (("json", json.dumps(model).encode()), ("bin", kernel.tobytes() + offset.tobytes())):
            member = tarfile.TarInfo(f"package/models/faceres.{suffix}")
            member.size = len(content)
            files.addfile(member, io.BytesIO(content))

    ((read, scale, read_offset),) = weights_script.read_layers(*weights_script.read_network(archive.getvalue()))

    assert torch.equal(read, torch.tensor(kernel.astype(np.float32)).permute(3, 2, 0, 1))
    assert scale.tolist() == [1, 1]
    assert read_offset.tolist() == [0.5, -2.0]


def test_unfolded_normalization_computes_scale_and_offset(weights_script: ModuleType) -> None:
    torch.manual_seed(0)
    timm = pytest.importorskip("timm")
    plain = timm.create_model(weights_script.BACKBONE, num_classes=0, pad_type="same").eval()
    layers = []
    for module in plain.modules():
        if isinstance(module, nn.Conv2d):
            kernel = torch.randn_like(module.weight) * (2 / module.weight[0].numel()) ** 0.5
            layers.append((kernel, torch.rand(len(kernel)) + 0.5, torch.rand(len(kernel)) - 0.3))
    network = weights_script.build(layers, torch.rand(8, 3, 64, 64) * 2 - 1)
    others = torch.rand(4, 3, 64, 64) * 2 - 1

    with torch.no_grad():
        convolutions = [module for module in plain.modules() if isinstance(module, nn.Conv2d)]
        norms = [module for module in plain.modules() if isinstance(module, nn.BatchNorm2d)]
        for number, (convolution, norm, layer) in enumerate(zip(convolutions, norms, layers, strict=True)):
            kernel, scale, offset = layer
            if number == 0:
                kernel, offset = weights_script.take_normalized_rgb(kernel, offset)
            convolution.weight.copy_(kernel)
            # Mean 0 and variance 1 - eps: only scale and offset are left.
            norm.running_mean.zero_()
            norm.running_var.fill_(1 - norm.eps)
            norm.weight.copy_(scale)
            norm.bias.copy_(offset)
        expected = plain(others)
        given = network(others)

    assert expected.std() > 0.01
    torch.testing.assert_close(given, expected, rtol=1e-3, atol=1e-4)


def test_rgb_in_minus_one_to_one_gives_what_bgr_bytes_less_the_mean_give(weights_script: ModuleType) -> None:
    rng = torch.Generator().manual_seed(1)
    kernel, offset = torch.randn(4, 3, 3, 3, generator=rng), torch.randn(4, generator=rng)
    rgb = torch.randint(0, 256, (2, 3, 9, 9), generator=rng).float()

    changed, changed_offset = weights_script.take_normalized_rgb(kernel, offset)

    mean = torch.tensor(weights_script.MEAN_BGR).reshape(1, 3, 1, 1)
    expected = nn.functional.conv2d(rgb.flip(1) - mean, kernel, offset)
    given = nn.functional.conv2d(rgb / 127.5 - 1, changed, changed_offset)
    torch.testing.assert_close(given, expected, rtol=1e-4, atol=1e-2)


def _teacher_inputs(count: int) -> tuple[Tensor, list[dict[str, str]]]:
    rng = np.random.default_rng(0)
    ages = rng.integers(18, 81, count)
    features = rng.normal(size=(count, 3, 8)).astype(np.float32)
    features[..., 0] = ages[:, None] / 20
    features[..., 1] = (np.arange(count) % 2)[:, None] * 4
    rows = [
        {"person": f"p{number}", "age": str(age), "gender": ("female", "male")[number % 2], "source": "faces"}
        for number, age in enumerate(ages)
    ]
    return torch.tensor(features), rows


def test_a_teacher_learns_ages_and_genders(teacher_script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teacher_script, "RATE", 1e-2)
    features, rows = _teacher_inputs(800)

    years, males = teacher_script.cross_fit(features, rows, np.ones(800, dtype=bool))

    assert years.sum(1) == pytest.approx(np.ones(800), abs=1e-5)
    assert ((males > 0.5) == (np.arange(800) % 2 == 1)).mean() > 0.95
    off = np.abs(years @ teacher_script.YEARS - [float(row["age"]) for row in rows]).mean()
    assert off < 10  # 16 for the mean age


@pytest.mark.parametrize("is_held_out", [False, True])
def test_a_teacher_never_sees_the_labels_of_the_person_it_speaks_of(
    teacher_script: ModuleType, is_held_out: bool
) -> None:
    features, rows = _teacher_inputs(300)
    may_fit = np.arange(300) % 10 > 0
    person = 20 if is_held_out else 21
    changed = [dict(row) for row in rows]
    changed[person].update(age="80" if rows[person]["age"] != "80" else "20", gender="female" if person % 2 else "male")

    before = teacher_script.cross_fit(features, rows, may_fit)
    after = teacher_script.cross_fit(features, changed, may_fit)

    assert np.array_equal(before[0][person], after[0][person])
    assert before[1][person] == after[1][person]
    # The others are told by networks that saw it, unless it is held out.
    assert np.array_equal(before[0], after[0]) == is_held_out
