"""Local features: what they are, which attributes read them, and what is refused."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from maskfit.config.loader import read_recipe
from maskfit.errors import RecipeError
from maskfit.labels.schema import LABEL_SCHEMAS
from maskfit.models.backbone_names import find_local_problem
from maskfit.models.backbones import build_backbone
from maskfit.models.input_sizes import settle_input_size
from maskfit.models.linear_heads import LocalNorm
from maskfit.models.local_features import LocalFeatures, stage_module
from maskfit.models.network import build_network
from maskfit.registry import ComponentSpec
from maskfit.training.recipe_registry import RECIPE_REGISTRY

SIZES = LABEL_SCHEMAS["mask-gender-age"].sizes
NAMES = ("test_efficientnet", "test_resnet", "convnext_atto", "vit_tiny_patch16_224")
SMALL = {"convnext_atto": {"depths": [1, 1, 1, 1], "dims": [8, 8, 8, 8]}, "vit_tiny_patch16_224": {"img_size": 64}}


@settings(deadline=None)  # torch is slow at its first call
@given(st.integers(1, 9), st.integers(1, 9), st.data())
def test_cells_are_averaged_as_in_adaptive_pooling(height, width, data):
    grid = data.draw(st.integers(1, height)), data.draw(st.integers(1, width))
    maps = torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(height))
    # torch gives them channel by channel.
    expected = F.adaptive_avg_pool2d(maps, grid).flatten(2).transpose(1, 2).flatten(1)
    torch.testing.assert_close(LocalFeatures((0,), grid, 3).pool(maps), expected)


@pytest.mark.parametrize("name", NAMES)
def test_they_follow_the_pooled_features_and_are_those_of_the_stage(name):
    spec = ComponentSpec.create(name, **SMALL.get(name, {}))
    torch.manual_seed(0)
    plain = build_backbone(spec).eval()
    local = build_backbone(
        spec.model_copy(update={"options": {**spec.options, "local_stages": [2], "local_grid": [2, 1]}})
    )
    local.load_state_dict(plain.state_dict())
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    kept = []
    layer = stage_module(local.body, 2)
    layer.register_forward_hook(lambda module, inputs, output: kept.append(output))
    with torch.no_grad():
        features = local.eval()(images)
        expected = plain(images)
    assert features.shape == (2, local.features)
    assert local.features == plain.features + local.local_features
    torch.testing.assert_close(features[:, : plain.features], expected)
    if kept[0].ndim == 4:
        top = kept[0][:, :, : kept[0].shape[2] // 2].mean((2, 3))
        torch.testing.assert_close(features[:, plain.features : plain.features + top.shape[1]], top)


def network(*global_only: str):
    torch.manual_seed(3)
    return build_network(
        ComponentSpec.create("test_efficientnet", local_stages=[3], local_grid=[2, 1]),
        ComponentSpec.create("multi_head", global_only=list(global_only)),
        SIZES,
    ).eval()


def test_an_attribute_reads_them_unless_it_is_global_only():
    own = network("gender", "age", "an attribute of another schema")
    features = torch.randn(4, own.backbone.features, generator=torch.Generator().manual_seed(2))
    changed = features.clone()
    changed[:, -own.backbone.local_features :] += 1
    before, after = own.forward_head(features), own.forward_head(changed)
    assert not torch.allclose(before["mask"], after["mask"])
    for name in ("gender", "age"):
        assert torch.equal(before[name], after[name])


def test_without_a_list_every_attribute_reads_them_and_other_heads_read_all_features():
    assert network().head.local_attributes == set(SIZES)
    joint = build_network(
        ComponentSpec.create("test_efficientnet", local_stages=[3]), ComponentSpec.create("single_head"), SIZES
    )
    assert joint.head.layer[1].in_features == joint.backbone.features


def test_none_reads_them_where_every_attribute_of_the_schema_is_global_only():
    """The recipe quick with data.label_schema=gender-age."""
    assert network(*SIZES)(torch.zeros(2, 3, 64, 64)).keys() == SIZES.keys()


def test_a_channel_of_large_values_does_not_outweigh_the_others():
    """Each local feature is normalized over the batch in training."""
    own = network("gender", "age").train()
    features = torch.randn(64, own.backbone.features, generator=torch.Generator().manual_seed(2))
    large = features.clone()
    large[:, -1] = 1000 * large[:, -1] + 5
    found, expected = own.forward_head(large)["mask"], own.forward_head(features)["mask"]
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"local_stages": [9]}, "local_stages must be of 0 to 4"),
        ({"local_stages": [-1]}, "local_stages must be"),
        ({"local_stages": [3, 2]}, "ascending"),
        ({"local_stages": [2, 2]}, "ascending"),
        ({"local_stages": [3], "local_grid": [4]}, "rows, columns"),
        ({"local_stages": [3], "local_grid": [0, 1]}, "local_grid"),
    ],
)
def test_a_stage_or_grid_that_is_none_is_refused(options, words):
    with pytest.raises(RecipeError, match=words):
        build_backbone(ComponentSpec.create("test_efficientnet", **options))


def test_networks_without_stages_refuse_them():
    with pytest.raises(RecipeError, match="local_stages"):
        build_backbone(ComponentSpec.create("small", local_stages=[1]))


def test_a_grid_finer_than_the_maps_is_refused_with_both_sizes():
    backbone = build_backbone(ComponentSpec.create("test_efficientnet", local_stages=[4], local_grid=[4, 1]))
    with pytest.raises(ValueError, match=r"4 x 1 cells, and the maps of a stage of \[4\] are 2 x 2"):
        backbone(torch.zeros(1, 3, 64, 64))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, None),
        ({"pad_type": "same"}, None),
        ({"local_stages": [2, 3], "local_grid": [2, 1]}, None),
        ({"local_stages": []}, None),
        ({"local_stages": 3}, "list of stages"),
        ({"local_stages": [3, 2]}, "ascending"),
        ({"local_stages": [-1]}, "from 0"),
        ({"local_stages": [True]}, "list of stages"),
        ({"local_stages": ["3"]}, "list of stages"),
        ({"local_stages": [3], "local_grid": [4]}, "rows, columns"),
        ({"local_stages": [3], "local_grid": [4, 0]}, ">= 1"),
        ({"local_grid": [4, 1]}, "no effect without local_stages"),
        ({"local_stage": [3]}, "did you mean 'local_stages'"),
    ],
)
def test_what_shows_without_the_network_is_found_without_it(options, words):
    problem = find_local_problem(options)
    assert problem is None if words is None else words in str(problem)


def test_maskfit_check_finds_it():
    with pytest.raises(RecipeError, match=r"model.backbone: local_stages must be a list"):
        read_recipe("quick", ["model.backbone.local_stages=[3,2]"], registries=RECIPE_REGISTRY)
    assert read_recipe("quick", ["model.backbone.local_grid=[2,1]"], registries=RECIPE_REGISTRY)


def test_maps_with_fewer_rows_than_the_grid_name_the_grid():
    spec = ComponentSpec.create("test_efficientnet", local_stages=[4], local_grid=[4, 1])
    with pytest.raises(RecipeError, match="4 x 1 cells") as raised:
        settle_input_size(spec, (64, 64))
    assert "local_grid=[2,1]" in str(raised.value.hint)


def test_an_age_regressor_reads_pooled_features_only():
    own = build_network(
        ComponentSpec.create("test_efficientnet", local_stages=[3], local_grid=[2, 1]),
        ComponentSpec.create("multi_head"),
        SIZES,
        age_regression=True,
    )
    features = torch.randn(4, own.backbone.features, generator=torch.Generator().manual_seed(2))
    changed = features.clone()
    changed[:, -own.backbone.local_features :] += 1
    assert torch.equal(own.age_regressor(features), own.age_regressor(changed))


def test_statistics_do_not_begin_with_the_variance_one():
    """After a few steps they are those of the features, whose variance is far below 1."""
    norm = LocalNorm(3, affine=False).train()
    features = 0.01 * torch.randn(3, 32, 3, generator=torch.Generator().manual_seed(0)) + 0.2
    for batch in features:
        norm(batch)
    torch.testing.assert_close(norm.running_mean, features.flatten(0, 1).mean(0))
    torch.testing.assert_close(norm.running_var, features.var(1).mean(0))
