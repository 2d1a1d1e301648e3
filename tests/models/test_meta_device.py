"""Networks on the meta device: the shapes of the real ones, and nothing imported for weights that are never drawn."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

from maskfit.models.meta_device import meta_device
from maskfit.models.network import build_network
from maskfit.registry import ComponentSpec

SIZES = {"mask": 3, "age": 4}


@pytest.mark.parametrize("backbone", ["small", "three_conv", "test_vit", "test_efficientnet"])
def test_shapes_are_those_of_a_real_network(backbone: str) -> None:
    if backbone.startswith("test_"):
        pytest.importorskip("timm")
    parts = ComponentSpec.create(backbone), ComponentSpec.create("multi_head", init="xavier"), SIZES
    with meta_device():
        draft = build_network(*parts)
    real = build_network(*parts)
    assert all(tensor.is_meta for tensor in draft.state_dict().values())
    assert not any(tensor.is_meta for tensor in real.state_dict().values())
    assert {name: item.shape for name, item in draft.state_dict().items()} == {
        name: item.shape for name, item in real.state_dict().items()
    }


def test_tensors_with_values_are_drawn_as_ever() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(3, 2)
    torch.manual_seed(0)
    with meta_device():
        values = torch.empty(2, 3, device="cpu")
        nn.init.kaiming_uniform_(values, a=5**0.5)
        assert nn.init.trunc_normal_(torch.empty(3)).is_meta
    assert torch.equal(values, layer.weight)


def test_nothing_is_imported_to_draw_weights() -> None:
    pytest.importorskip("timm")
    script = """
import sys
from maskfit.models.meta_device import meta_device
from maskfit.models.network import build_network
from maskfit.registry import ComponentSpec
from maskfit.training import lightning_api
with meta_device():
    for name in ("test_vit", "test_efficientnet", "test_resnet"):
        build_network(ComponentSpec.create(name), ComponentSpec.create("multi_head"), {"mask": 3})
print([name for name in ("sympy", "torch.fx.experimental.symbolic_shapes", "torchvision") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True, timeout=300)
    assert done.stdout.strip() == "[]", done.stderr
