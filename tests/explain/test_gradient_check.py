"""The gradient check on networks with known defects, and the graphs of a known network."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from maskfit.errors import MaskfitError
from maskfit.explain import model_graph
from maskfit.explain.gradient_chart import depth_chart
from maskfit.explain.gradient_check import check_gradients, summarize_gradients, target_mask
from maskfit.labels.schema import LABEL_SCHEMAS
from maskfit.models.network import build_network
from maskfit.registry import ComponentSpec

SIZES = LABEL_SCHEMAS["mask-gender-age"].sizes


def make_network() -> nn.Module:
    torch.manual_seed(0)
    return build_network(ComponentSpec.create("small", width=4), ComponentSpec.create("multi_head"), SIZES).eval()


def batch(count: int = 6) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    photos = rng.normal(size=(count, 3, 32, 24)).astype(np.float32)
    return photos, {name: np.eye(size, dtype=bool)[rng.integers(0, size, count)] for name, size in SIZES.items()}


def verdicts(network: nn.Module, photos: np.ndarray | None = None) -> dict[str, str]:
    own, allowed = batch()
    return {layer.name: layer.verdict for layer in check_gradients(network, own if photos is None else photos, allowed)}


def test_all_layers_of_an_intact_network_are_fine_and_in_forward_order() -> None:
    photos, allowed = batch()
    layers = check_gradients(make_network(), photos, allowed)
    assert {layer.verdict for layer in layers} == {"fine"}
    assert layers[0].name.startswith("backbone")
    assert layers[-1].name.startswith("head")
    assert summarize_gradients(layers) == [f"all {len(layers)} layers learn: each has a finite gradient that is not 0"]


def test_norms_equal_those_of_a_training_step() -> None:
    network = make_network()
    photos, allowed = batch()
    layers = {layer.name: layer for layer in check_gradients(network, photos, allowed)}
    network.train()
    logits = network(torch.from_numpy(photos))
    loss = sum(
        nn.functional.cross_entropy(logits[head], torch.from_numpy(own.argmax(1))) for head, own in allowed.items()
    )
    loss.backward()
    for name, module in network.named_modules():
        own = [parameter.grad for parameter in module.parameters(recurse=False)]
        if own:
            norm = math.sqrt(sum(float((grad**2).sum()) for grad in own))
            assert layers[name].norm == pytest.approx(norm, rel=1e-4)
            assert layers[name].num_parameters == sum(grad.numel() for grad in own)


def test_the_network_is_not_changed() -> None:
    network = make_network()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    photos, allowed = batch()
    check_gradients(network, photos, allowed)
    assert not network.training
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


def first_convolution(network: nn.Module) -> tuple[str, nn.Conv2d]:
    return next((name, layer) for name, layer in network.named_modules() if isinstance(layer, nn.Conv2d))


def last_linear(network: nn.Module) -> tuple[str, nn.Linear]:
    return [(name, layer) for name, layer in network.named_modules() if isinstance(layer, nn.Linear)][-1]


def test_a_frozen_layer_is_reported() -> None:
    network = make_network()
    name, layer = first_convolution(network)
    for parameter in layer.parameters():
        parameter.requires_grad = False
    assert verdicts(network)[name] == "frozen"


def test_an_unused_layer_has_no_gradient() -> None:
    network = make_network()
    network.head.spare = nn.Linear(3, 3)
    assert verdicts(network)["head.spare"] == "none"


def test_nan_gradients_are_reported() -> None:
    network = make_network()
    photos, _ = batch()
    photos[0, 0, 0, 0] = np.nan
    assert "not a number" in verdicts(network, photos).values()


class ScaleGradient(nn.Module):
    """The identity whose gradient is multiplied by a factor."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return values.detach() + self.factor * (values - values.detach())


@pytest.mark.parametrize(("factor", "verdict"), [(0.0, "zero"), (1e-9, "vanishing"), (1e9, "exploding")])
def test_vanishing_and_exploding_gradients_are_reported(factor: float, verdict: str) -> None:
    network = make_network()
    name, layer = first_convolution(network)
    head, _ = last_linear(network)
    parent = network.get_submodule(name.rpartition(".")[0]) if "." in name else network
    setattr(parent, name.rpartition(".")[2], nn.Sequential(layer, ScaleGradient(factor)))
    found = verdicts(network)
    assert found[f"{name}.0"] == verdict
    assert found[head] == "fine" if factor < 1 else True
    layers = check_gradients(network, *batch())
    assert any(verdict in line for line in summarize_gradients(layers))


def test_unknown_labels_are_replaced_by_predictions() -> None:
    codes = np.array([[0, -1], [-1, 2]])
    found = target_mask(codes, {"a": 2, "b": 3}, {"a": np.array([1, 1]), "b": np.array([0, 1])})
    np.testing.assert_array_equal(found["a"], [[True, False], [False, True]])
    np.testing.assert_array_equal(found["b"], [[True, False, False], [False, False, True]])


def test_the_chart_has_a_mark_for_each_layer() -> None:
    network = make_network()
    network.head.spare = nn.Linear(3, 3)
    layers = check_gradients(network, *batch())
    drawing = depth_chart(layers)
    assert drawing.count("<rect") + drawing.count("<path") == len(layers)
    assert "head.spare (Linear): no number" in drawing
    assert depth_chart([]).startswith("<svg")


def test_the_backward_graph_names_every_weight() -> None:
    network = make_network()
    text = model_graph.backward_graph(network, (32, 24))
    for name, _ in network.named_parameters():
        assert f'"{name}\\n' in text
    assert all(f'"head {head}"' in text for head in SIZES)


def test_the_graph_of_modules_shows_heads_and_shapes() -> None:
    pytest.importorskip("torchview")
    text = model_graph.module_graph(make_network(), (32, 24), depth=2)
    assert text.startswith("strict digraph")
    assert "(1, 3, 32, 24)" in text


def test_without_graphviz_the_text_is_written_and_the_error_has_a_hint(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(model_graph.shutil, "which", lambda name: None)
    with pytest.raises(MaskfitError, match="install Graphviz"):
        model_graph.draw_graph_file("digraph a { b -> c; }", tmp_path / "a.svg")
    assert (tmp_path / "a.gv").read_text() == "digraph a { b -> c; }"


@pytest.mark.skipif(not model_graph.can_draw(), reason="Graphviz is not installed")
def test_graphviz_draws_an_svg(tmp_path) -> None:
    path = model_graph.draw_graph_file("digraph a { b -> c; }", tmp_path / "a.svg")
    assert "<svg" in path.read_text()
    with pytest.raises(MaskfitError, match="cannot draw"):
        model_graph.draw_graph_file("not a graph {", tmp_path / "b.svg")


def test_importing_the_package_does_not_import_torch() -> None:
    code = "import sys, maskfit.explain.gradient_check, maskfit.explain.model_graph; print('torch' in sys.modules)"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "False"
