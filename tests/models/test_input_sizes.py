"""Image sizes of backbones: read from timm's source, settled by trying, refused in one line."""

from __future__ import annotations

import pytest
import timm
import torch

from maskfit.errors import RecipeError
from maskfit.models.backbone_names import find_timm_modules
from maskfit.models.backbones import build_backbone
from maskfit.models.input_sizes import (
    SIZE_STEPS,
    describe_input_size,
    describe_lost_pixels,
    resolve_image_size,
    settle_input_size,
)
from maskfit.models.timm_configs import read_timm_config
from maskfit.registry import ComponentSpec

SEED_BACKBONES = (
    "resnet34",
    "resnet50",
    "resnet152",
    "vit_base_patch16_224",
    "vit_large_patch16_224",
    *(f"efficientnet_b{number}" for number in range(6)),
    "efficientnet_b2_pruned",
    "efficientnetv2_rw_s",
    "seresnext26d_32x4d",
    "eca_nfnet_l0",
    # The image towers of CLIP.
    "vit_base_patch32_clip_224",
    "vit_base_patch16_clip_224",
    "resnet50_clip",
)
"""The backbones of the source projects."""


def test_what_is_read_from_the_source_is_what_timm_says():
    names = timm.list_models()
    assert set(names) == set(find_timm_modules())
    read = {name: config for name in names if (config := read_timm_config(name)) is not None}
    for name, config in read.items():
        expected = timm.get_pretrained_cfg(name)
        assert config == (tuple(expected.input_size[1:]), expected.crop_pct, bool(expected.fixed_input_size)), name
    # Few models have a table of another form, or none: nothing is said of them.
    assert len(read) > 0.97 * len(names)
    assert set(SEED_BACKBONES) <= set(read)
    assert read_timm_config("resnet43") is None


@pytest.mark.parametrize("size", [(96, 96), (256, 192)])
@pytest.mark.parametrize("name", SEED_BACKBONES)
def test_backbones_of_the_seeds_take_two_sizes(name, size):
    """On the meta device, where a network has shapes and no weights."""
    settled = settle_input_size(ComponentSpec.create(name), size)
    with torch.device("meta"), torch.no_grad():
        trunk = build_backbone(settled).eval()
        assert trunk(torch.empty(2, 3, *size)).shape == (2, trunk.features)
    config = timm.get_pretrained_cfg(name)
    assert ("img_size" in settled.options) == (name.startswith("vit_"))
    line = describe_input_size(ComponentSpec.create(name), size)
    height, width = config.input_size[1:]
    assert line.startswith(f"the weights of {name} are for {height} x {width} px, crop_pct {config.crop_pct:g}")


def test_options_are_kept_and_own_networks_need_none():
    settled = settle_input_size(ComponentSpec.create("vit_tiny_patch16_224", drop_path_rate=0.1), (96, 64))
    assert settled.options == {"drop_path_rate": 0.1, "img_size": [96, 64]}
    small = ComponentSpec.create("small")
    assert settle_input_size(small, (96, 64)) == small
    assert describe_input_size(small, (96, 64)) is None


def test_auto_is_the_size_of_the_weights():
    assert resolve_image_size(ComponentSpec.create("efficientnet_b2_pruned"), "auto") == (260, 260)
    assert resolve_image_size(ComponentSpec.create("small"), "auto") == (224, 224)
    assert resolve_image_size(ComponentSpec.create("resnet34"), (64, 48)) == (64, 48)
    with pytest.raises(RecipeError, match="not known"):
        resolve_image_size(ComponentSpec.create("inception_v4"), "auto")


def test_a_size_that_is_not_taken_is_refused_with_the_one_that_is():
    spec = ComponentSpec.create("efficientformer_l1")
    for refuse in (settle_input_size, describe_input_size):
        with pytest.raises(RecipeError, match="does not take images of 96 x 96 px") as caught:
            refuse(spec, (96, 96))
        assert "\n" not in caught.value.message
        assert "224 x 224" in str(caught.value.hint)
    with pytest.raises(RecipeError, match="multiples of 32"):
        describe_input_size(ComponentSpec.create("coat_tiny"), (280, 210))
    with pytest.raises(RecipeError, match="timm refused an option"):
        settle_input_size(ComponentSpec.create("test_vit", nonsense=1), (160, 160))
    assert settle_input_size(spec, (224, 224)) == spec


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "deit_tiny_patch16_224", "beit_base_patch16_224"])
def test_what_patches_leave_out_is_said(name):
    spec = ComponentSpec.create(name, depth=1)
    line = describe_lost_pixels(spec, (100, 100))
    assert line is not None
    assert "leave out the last 4 rows and 4 columns of each image; data.image_size=96 or 112" in line
    assert describe_input_size(spec, (100, 100)).endswith(line)
    assert describe_lost_pixels(spec, (96, 112)) is None
    assert "last 8 columns of each image; data.image_size=96 or [96,112]" in describe_lost_pixels(spec, (96, 104))
    # It is true: the features do not depend on these pixels, and do on the next one.
    network = build_backbone(settle_input_size(spec, (100, 100))).eval()
    images = torch.rand(1, 3, 100, 100, generator=torch.Generator().manual_seed(1))
    lost, seen = images.clone(), images.clone()
    lost[..., 96:], lost[..., 96:, :] = 9, 9
    seen[..., 95] = 9
    with torch.no_grad():
        before, same, other = network(images), network(lost), network(seen)
    assert torch.equal(before, same)
    assert not torch.equal(before, other)


def test_nothing_is_said_where_nothing_is_known_or_lost():
    for name in ("resnet18", "small", "swin_tiny_patch4_window7_224", "efficientformerv2_s0"):
        assert describe_lost_pixels(ComponentSpec.create(name), (100, 100)) is None
    vit = "vit_tiny_patch16_224"
    assert describe_lost_pixels(ComponentSpec.create(vit, dynamic_img_pad=True), (100, 100)) is None
    assert describe_lost_pixels(ComponentSpec.create(vit, patch_size=10), (100, 100)) is None
    # These weights were trained so.
    assert describe_lost_pixels(ComponentSpec.create("vit_so400m_patch14_siglip_384"), (384, 384)) is None


@pytest.mark.slow
@pytest.mark.parametrize("module", sorted(SIZE_STEPS))
def test_the_table_of_sizes_is_what_trying_finds(module):
    names = [name for name, file in find_timm_modules().items() if file.stem == module]
    fixed = [name for name in names if (config := read_timm_config(name)) is not None and config.is_fixed]
    smallest = min(fixed, key=lambda name: (not any(word in name for word in ("tiny", "xxs", "s0", "m0", "l1")), name))
    for size in ((96, 96), (256, 256), (280, 210)):
        step = SIZE_STEPS[module]
        fits = step > 0 and not any(side % step for side in size)
        try:
            settle_input_size(ComponentSpec.create(smallest), size)
        except RecipeError:
            assert not fits, (smallest, size)
        else:
            assert fits, (smallest, size)
