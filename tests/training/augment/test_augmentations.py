"""Augmentation: what every named pipeline keeps to, and what tells them apart."""

from __future__ import annotations

import math

import pytest
import torch

from maskfit.errors import RecipeError
from maskfit.registry import ComponentSpec, instantiate
from maskfit.training.augment import AUGMENTATIONS
from maskfit.training.augment.augmentations import Augmentation
from maskfit.training.seeding import derive_generator, derive_seed, seed_torch, uniform
from maskfit.training.task import ClassificationTask

NAMES = list(AUGMENTATIONS)
RANDOM = [name for name in NAMES if name != "none"]
HIDES = {"shift_scale_rotate", "strong", "unconstrained"}
"""Those with holes and noise."""


def make(name: str, size: tuple[int, int], **options: object) -> Augmentation:
    return instantiate(AUGMENTATIONS, ComponentSpec.create(name, **options), size=size)


def noise(count: int, height: int, width: int) -> torch.Tensor:
    made = torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(0)) * 255
    return made.round()


# The contract


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(24, 24), (32, 20), (20, 32), (13, 9)])
def test_the_result_has_the_size_and_stays_in_range(name, size):
    seed_torch(0, "size", name)
    cached = noise(12, round(size[0] * 1.25), round(size[1] * 1.25))
    before = cached.clone()
    result = make(name, size)(cached)
    assert result.shape == (12, 3, *size)
    assert result.dtype == torch.float32
    assert result.isfinite().all()
    assert result.min() >= 0
    assert result.max() <= 255
    assert torch.equal(cached, before)


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_of_one_and_frames_as_the_store_has_them(name):
    seed_torch(1, name)
    frames = noise(1, 30, 20).to(torch.uint8).permute(0, 2, 3, 1).contiguous()
    result = make(name, (24, 16))(frames.permute(0, 3, 1, 2).float())
    assert result.shape == (1, 3, 24, 16)


@pytest.mark.parametrize("name", RANDOM)
def test_each_photo_is_changed_in_its_own_way(name):
    seed_torch(1)
    count = 6
    result = make(name, (24, 16))(noise(1, 30, 20).expand(count, 3, 30, 20))
    alike = sum(bool((result[one] - result[other]).abs().mean() < 1e-3) for one in range(count) for other in range(one))
    if name == "flip":
        # There are two ways only.
        assert 0 < alike < count * (count - 1) / 2
    else:
        assert alike == 0


@pytest.mark.parametrize("name", RANDOM)
def test_chance_follows_from_where_training_stands(name):
    augmentation, cached = make(name, (24, 16)), noise(8, 30, 20)
    results = []
    for where in ((0, "fold", 0, "step", 3), (0, "fold", 0, "step", 4), (0, "fold", 0, "step", 3)):
        seed_torch(*where)
        results.append(augmentation(cached))
    assert torch.equal(results[0], results[2])
    assert not torch.equal(results[0], results[1])


@pytest.mark.parametrize("name", [name for name in NAMES if name not in HIDES])
def test_a_flat_photo_has_no_edges_afterwards(name):
    """Nothing outside of the photo, such as black corners, comes in."""
    seed_torch(2)
    flat = torch.full((24, 3, 30, 20), 200.0)
    result = make(name, (24, 16))(flat)
    assert (result.amax(dim=(2, 3)) - result.amin(dim=(2, 3))).max() < 1e-3


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_half_precision_comes_back_as_half_and_computes_in_whole(name, kind):
    cached = noise(8, 30, 20)
    seed_torch(3, name)
    whole = make(name, (24, 16))(cached)
    seed_torch(3, name)
    half = make(name, (24, 16))(cached.to(kind))
    assert half.dtype == kind
    # Whole levels up to 255 lose nothing in either; results are rounded once, at the end.
    torch.testing.assert_close(half.float(), whole, rtol=2**-8, atol=1e-2)


@pytest.mark.parametrize("name", NAMES)
def test_mixed_precision_changes_nothing(name):
    """Without care the grid is multiplied out in 16 bits, and a crop is off by more than half a pixel."""
    cached = noise(8, 30, 20)
    results = []
    for enabled in (False, True):
        seed_torch(4, name)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            results.append(make(name, (24, 16))(cached))
    assert torch.equal(*results)


def test_validation_never_passes_the_augmentation(monkeypatch):
    """Validation photos through the random training transform was an error of one of the source projects."""
    task = ClassificationTask.__new__(ClassificationTask)
    torch.nn.Module.__init__(task)
    seen: list[torch.Tensor] = []

    def refuse(*_: object) -> None:
        raise AssertionError("a validation photo was augmented")

    task.augmentation, task.batch_mixing = refuse, refuse  # type: ignore[assignment]
    task.scale, task.shift = torch.ones(1, 3, 1, 1), torch.zeros(1, 3, 1, 1)
    task.normalization = type("N", (), {"mode": "pretrained"})()
    task.criterion = lambda logits, allowed: {"loss": torch.zeros(())}  # type: ignore[assignment]
    task.network = lambda photos: seen.append(photos) or {"mask": photos.flatten(1)}  # type: ignore[assignment]
    task.weight_average, task.val_outputs = None, []
    frames = noise(2, 5, 4).to(torch.uint8).permute(0, 2, 3, 1)
    task.validation_step({"images": frames, "allowed": {}, "indices": torch.arange(2)}, 0)
    assert torch.equal(seen[0], frames.permute(0, 3, 1, 2).float())


# Pipelines of the source projects


def test_none_is_the_photo_itself_at_its_own_size():
    cached = noise(3, 32, 20)
    torch.testing.assert_close(make("none", (32, 20))(cached), cached, rtol=0, atol=0.02)


def test_flip_mirrors_about_half_of_the_photos_and_does_nothing_else():
    seed_torch(5)
    cached = noise(100, 12, 8)
    result = make("flip", (12, 8))(cached)
    same = (result - cached).abs().amax(dim=(1, 2, 3)) < 0.02
    mirrored = (result - cached.flip(3)).abs().amax(dim=(1, 2, 3)) < 0.02
    assert (same ^ mirrored).all()
    assert 35 < mirrored.sum() < 65


def test_base_changes_no_light():
    seed_torch(6)
    flat = torch.tensor([10.0, 100.0, 200.0]).view(1, 3, 1, 1).expand(20, 3, 30, 30)
    torch.testing.assert_close(make("random_resized_crop", (24, 24))(flat), flat[..., :24, :24], rtol=0, atol=1e-3)


def test_one_of_changes_exactly_one_thing():
    """Brightness keeps ratios, contrast the mean gray, saturation each gray, hue each value."""
    seed_torch(7)
    cached = noise(200, 8, 8) * 0.25 + 60
    result = make("one_of_color", (8, 8), brightness=(0.5, 1.5), contrast=(0.5, 1.4), saturation=(0.5, 1.4), flip=0.0)(
        cached
    )
    weights = torch.tensor([0.2989, 0.587, 0.114]).view(1, 3, 1, 1)
    grey = [(photos * weights).sum(dim=1) for photos in (cached, result)]
    ratio = result / cached
    kept = torch.stack(
        [
            ratio.flatten(1).std(dim=1) < 1e-3,
            (grey[0].mean(dim=(1, 2)) - grey[1].mean(dim=(1, 2))).abs() < 0.05,
            (grey[0] - grey[1]).abs().amax(dim=(1, 2)) < 0.05,
            (cached.amax(dim=1) - result.amax(dim=1)).abs().amax(dim=(1, 2)) < 0.05,
        ]
    )
    # A photo whose grays are kept keeps their mean too.
    kept[1] &= ~kept[2]
    # Now and then a factor is so near 1 that it keeps everything.
    assert (kept.sum(dim=0) >= 1).all()
    assert (kept.sum(dim=0) == 1).float().mean() > 0.95
    assert (kept.sum(dim=1) > 30).all()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        (
            "shift_scale_rotate",
            {"blur_or_noise": 0.0, "brightness": 0.0, "contrast": 0.0, "hole": [0.2, 0.2], "holes": 1},
        ),
        ("strong", {"degrade": 0.0, "jitter": 0.0, "gray": 0.0, "hue": 0.0, "holes": 0.3}),
    ],
)
def test_holes_come_by_their_chance(name, options):
    seed_torch(8)
    result = make(name, (20, 20), **options)(torch.full((300, 3, 20, 20), 200.0))
    assert 0.22 < ((result == 0).any(dim=1).flatten(1).any(dim=1)).float().mean() < 0.38


# Mistakes


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("light", {"area": (0.9, 0.8)}),
        ("light", {"area": 0.5}),
        ("light", {"degrees": "far"}),
        ("light", {"brightness": 1.5}),
        ("light", {"brightness": -0.1}),
        ("light", {"contrast": 2}),
        ("light", {"saturation": math.nan}),
        ("random_resized_crop", {"ratio": (2, 1)}),
        ("random_resized_crop", {"area": (0, 1)}),
        ("flip", {"flip": 2}),
        ("rand_augment", {"operations": 0}),
        ("rand_augment", {"operations": 1.5}),
        ("rand_augment", {"magnitude": 31}),
        ("rand_augment", {"magnitude": -1}),
        ("color_jitter", {"hue": 0.6}),
        ("color_jitter", {"hue": -0.1}),
        ("color_jitter", {"brightness": 1.1}),
        ("one_of_color", {"brightness": (-1, 1)}),
        ("one_of_color", {"contrast": (3, 0.2)}),
        ("one_of_color", {"saturation": 0.3}),
        ("one_of_color", {"hue": math.nan}),
        ("shift_scale_rotate", {"shift": 1.1}),
        ("shift_scale_rotate", {"scale": 1.0}),
        ("shift_scale_rotate", {"blur": (0, 1)}),
        ("shift_scale_rotate", {"noise": (-1, 1)}),
        ("shift_scale_rotate", {"holes": 0}),
        ("shift_scale_rotate", {"hole": (0.1, 1.5)}),
        ("shift_scale_rotate", {"dropout": 1.5}),
        ("shift_scale_rotate", {"blur_or_noise": -1}),
        ("crop_color_blur", {"blur_prob": 2}),
        ("crop_color_blur", {"blur": (1, math.inf)}),
        ("strong", {"jitter": 1.2}),
        ("strong", {"degrade": 2}),
        ("strong", {"gray": -1}),
        ("strong", {"holes": 3}),
        ("unconstrained", {"downscale": 2}),
        ("unconstrained", {"zoom": (0, 1)}),
        ("unconstrained", {"jitter": -1}),
        ("none", {"flip": 0.5}),
    ],
)
def test_options_out_of_range_are_the_recipes_mistake(name, options):
    with pytest.raises(RecipeError, match=name):
        make(name, (8, 8), **options)


def test_numbers_are_drawn_on_the_host_from_their_range():
    seed_torch(0)
    numbers = uniform(1000, -2, 3)
    assert numbers.device.type == "cpu"
    assert -2 <= numbers.min() < -1.9 < 2.9 < numbers.max() <= 3
    assert uniform(3, 1.5, 1.5).tolist() == [1.5] * 3


# Chance


def test_seeds_depend_on_everything_they_are_given_and_on_nothing_else():
    indices = [
        (seed, "fold", fold, what, step)
        for seed in range(3)
        for fold in range(3)
        for what in ("step", "order")
        for step in range(5)
    ]
    indices += [(seed, "fold", fold, "start") for seed in range(3) for fold in range(3)]
    seeds = [derive_seed(*index) for index in indices]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)
    torch.manual_seed(1)
    assert derive_seed(*indices[0]) == seeds[0]
    assert derive_generator(1, "a").random() == derive_generator(1, "a").random() != derive_generator(1, "b").random()
    seed_torch(1, "a")
    first = torch.rand(3)
    seed_torch(1, "a")
    assert torch.equal(torch.rand(3), first)
