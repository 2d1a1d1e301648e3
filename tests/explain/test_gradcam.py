"""Grad-CAM compared with a direct implementation of the paper, on every kind of backbone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

pytest.importorskip("pytorch_grad_cam", reason="needs the extra 'inspect'")

from maskfit.errors import DataError, LabelError, MissingExtraError
from maskfit.explain import gradcam
from maskfit.explain.gradcam import find_feature_maps, grad_cam, logits_for, overlay
from maskfit.labels.age_rule import AgeLabelRule
from maskfit.labels.schema import JOINT_HEAD, LABEL_SCHEMAS, logits_to_probabilities
from maskfit.models.backbones import Backbone
from maskfit.models.network import Network, build_network
from maskfit.registry import ComponentSpec

SCHEME = LABEL_SCHEMAS["mask-gender-age"]
DECADES = AgeLabelRule(by_decade=True).training_schema(SCHEME)


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)


def small(head: str = "multi_head", schema=SCHEME) -> Network:
    return build_network(ComponentSpec.create("small", width=4), ComponentSpec.create(head), schema.sizes).eval()


def photos(count: int = 2, height: int = 48, width: int = 40) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, 3, height, width)).astype(np.float32)


def reference_grad_cam(network: Network, batch: np.ndarray, head: str, logits: list[int]) -> np.ndarray:
    """Equations 1 and 2 of the paper, photo by photo, on the last feature maps of the small backbone."""
    found = []
    for photo in batch:
        maps = network.backbone.body.layers(torch.from_numpy(photo[None]))
        maps.retain_grad()
        score = network.head(maps.mean((2, 3)))[head][0, logits].exp().sum().log()
        score.backward()
        heat = np.zeros(maps.shape[2:])
        for channel in range(maps.shape[1]):
            heat += float(maps.grad[0, channel].mean()) * maps[0, channel].detach().numpy()
        heat = np.maximum(heat, 0)
        large = nn.functional.interpolate(torch.from_numpy(heat)[None, None], batch.shape[2:], mode="bilinear")
        large = (large - large.min()) / (large.max() - large.min())
        found.append(large[0, 0].numpy())
    return np.stack(found)


@pytest.mark.parametrize(("head", "logits"), [("mask", [1]), ("age", [0, 2])])
def test_heat_equals_the_formula_of_the_paper(head, logits):
    network, batch = small(), photos()
    heat = grad_cam(network, batch, head, logits)
    assert heat.shape == (2, 48, 40)
    assert heat.min() >= 0
    assert heat.max() <= 1
    assert heat.max(axis=(1, 2)).min() > 0.5
    np.testing.assert_allclose(heat, reference_grad_cam(network, batch, head, logits), atol=1e-3)


def test_the_network_is_not_changed():
    network, batch = small(), photos()
    before = network(torch.from_numpy(batch))["mask"]
    grad_cam(network, batch, "mask", [1])
    assert torch.equal(before, network(torch.from_numpy(batch))["mask"])
    assert all(parameter.grad is None for parameter in network.parameters())
    assert not any(module._forward_hooks for module in network.modules())
    with torch.inference_mode():  # the mode in which engines run networks
        assert grad_cam(network, batch, "mask", [1]).any()


class Bright(nn.Module):
    """A backbone whose only feature is the brightness."""

    def __init__(self) -> None:
        super().__init__()
        self.look = nn.Sequential(nn.Conv2d(3, 1, 1, bias=False), nn.ReLU())
        nn.init.constant_(self.look[0].weight, 1 / 3)

    def forward(self, batch):
        return self.look(batch).mean((2, 3))


class ForAndAgainst(nn.Module):
    """A head whose first logit rises with its one feature and whose second logit falls."""

    names = ("mask",)

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([[1.0, -1.0]]))

    def forward(self, features):
        return {"mask": features @ self.weight}


def test_heat_lies_where_the_evidence_is_and_nowhere_for_the_opposite():
    network = Network(Backbone(Bright(), 1, (0.5,) * 3, (0.5,) * 3, "bilinear"), ForAndAgainst()).eval()
    batch = np.zeros((1, 3, 20, 30), np.float32)
    batch[:, :, 4:10, 16:26] = 1
    (heat,) = grad_cam(network, batch, "mask", [0])
    assert heat[6, 20] == pytest.approx(1)
    assert heat[15, 5] == 0
    assert not grad_cam(network, batch, "mask", [1]).any()


@pytest.mark.parametrize(
    ("name", "options", "grid"),
    [
        ("resnet10t", {}, (2, 2)),
        ("convnext_atto", {"depths": [1, 1, 1, 1], "dims": [8, 8, 8, 8]}, (2, 2)),
        ("vit_tiny_patch16_224", {"img_size": 64, "depth": 2}, (4, 4)),
        (
            "swin_tiny_patch4_window7_224",
            {"img_size": 64, "depths": [1, 1], "embed_dim": 12, "num_heads": [2, 2], "window_size": 4},
            (8, 8),
        ),
        ("three_conv", {}, (16, 16)),
        ("custom_dark", {"width": 2, "blocks": [1, 1]}, (16, 16)),
    ],
)
def test_every_kind_of_backbone_has_feature_maps(name, options, grid):
    network = build_network(
        ComponentSpec.create(name, **options), ComponentSpec.create("multi_head"), SCHEME.sizes
    ).eval()
    batch = photos(2, 64, 64)
    layer, reshape = find_feature_maps(network, torch.from_numpy(batch[:1]))
    found = []
    hook = layer.register_forward_hook(lambda module, inputs, output: found.append(output))
    network(torch.from_numpy(batch))
    hook.remove()
    maps = reshape(found[0]) if reshape else found[0]
    assert maps.shape[2:] == grid
    heat = grad_cam(network, batch, "gender", [0])
    assert heat.shape == (2, 64, 64)
    assert np.isfinite(heat).all()


def test_an_attribute_that_reads_local_features_is_explained_at_their_stage():
    network = build_network(
        ComponentSpec.create("resnet10t", local_stages=[3], local_grid=[2, 1]),
        ComponentSpec.create("multi_head", global_only=["gender"]),
        SCHEME.sizes,
    ).eval()
    photo = torch.from_numpy(photos(1, 64, 64))
    assert find_feature_maps(network, photo, "mask")[0] is network.backbone.body.layer3
    assert find_feature_maps(network, photo, "gender")[0] is not network.backbone.body.layer3
    assert np.isfinite(grad_cam(network, photos(2, 64, 64), "mask", [0])).all()


class Sequences(nn.Module):
    """A backbone whose features are a sequence without known positions in the image."""

    def forward_features(self, batch):
        return batch.flatten(2).transpose(1, 2)

    def forward(self, batch):
        return self.forward_features(batch).mean(1)


def test_a_backbone_without_feature_maps_is_refused():
    network = Network(Backbone(Sequences(), 3, (0.5,) * 3, (0.5,) * 3, "bilinear"), small().head)
    with pytest.raises(DataError, match="no feature maps"):
        find_feature_maps(network.eval(), torch.zeros(1, 3, 8, 8))


@pytest.mark.parametrize(("head", "logits"), [("beard", [0]), ("mask", [3]), ("mask", [])])
def test_an_unknown_head_or_logit_is_refused(head, logits):
    with pytest.raises(DataError, match="there is no head"):
        grad_cam(small(), photos(1), head, logits)


@pytest.mark.parametrize("schema", [SCHEME, DECADES], ids=["official", "decades"])
@pytest.mark.parametrize("joint", [False, True], ids=["heads", "joint"])
def test_the_logits_for_a_value_are_those_that_raise_it(schema, joint):
    """Checked without the function: raise one logit at a time and see whether the value's probability rises."""
    heads = (JOINT_HEAD,) if joint else schema.names
    widths = {JOINT_HEAD: schema.num_classes} if joint else schema.sizes
    official = schema.scored_schema()
    for attribute in official.attributes:
        for code in range(len(attribute.values)):
            head, logits = logits_for(schema, heads, attribute.name, code)
            flat = {name: np.zeros((1, width)) for name, width in widths.items()}
            before = official.marginals(logits_to_probabilities(schema, flat))[attribute.name][0, code]
            raising = []
            for index in range(widths[head]):
                raised = {**flat, head: flat[head].copy()}
                raised[head][0, index] = 1
                raising.append(
                    official.marginals(logits_to_probabilities(schema, raised))[attribute.name][0, code]
                    > before + 1e-12
                )
            assert logits == tuple(np.flatnonzero(raising).tolist())


def test_unknown_values_and_attributes_are_refused():
    with pytest.raises(DataError, match="no value 3"):
        logits_for(SCHEME, SCHEME.names, "mask", 3)
    with pytest.raises(LabelError):
        logits_for(SCHEME, SCHEME.names, "beard", 0)


def test_without_the_library_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(gradcam.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="'inspect'"):
        grad_cam(small(), photos(1), "mask", [0])


def test_an_overlay_is_gray_at_heat_0_and_lighter_at_heat_1():
    frame = np.full((4, 6, 3), (200, 40, 10), np.uint8)
    heat = np.zeros((4, 6))
    heat[:, 3:] = 1
    shown = overlay(frame, heat)
    assert shown.shape == frame.shape
    assert shown.dtype == np.uint8
    cold, hot = shown[0, 0], shown[0, 5]
    assert cold[0] == cold[1] == cold[2]
    assert hot.mean() > cold.mean() + 50
