"""Augmentation: what each option does to a photo, by its geometry and its light."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from maskfit.errors import RecipeError
from maskfit.parts import Part, build
from maskfit.training.augmentation import AUGMENTATIONS, Augmentation
from maskfit.training.chance import generator, number, set_chance

NAMES = list(AUGMENTATIONS)
RANDOM = [name for name in NAMES if name != "none"]


def make(name: str, size: tuple[int, int], **options: object) -> Augmentation:
    return build(AUGMENTATIONS, Part.of(name, **options), size=size)


def noise(count: int, height: int, width: int) -> torch.Tensor:
    made = torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(0)) * 255
    return made.round()


def coordinates(count: int, height: int, width: int) -> torch.Tensor:
    """Photos whose channels are each pixel's own place: x, y and nothing, in pixels from the photo's corner."""
    x = torch.arange(width) + 0.5
    y = torch.arange(height) + 0.5
    planes = torch.stack([x.expand(height, width), y[:, None].expand(height, width), torch.zeros(height, width)])
    return planes.expand(count, 3, height, width).contiguous()


def corners(photos: torch.Tensor) -> torch.Tensor:
    """Where a crop's middle pixel's neighbours come from: steps right and down in source pixels, (photos, 2, 2)."""
    _, _, height, width = photos.shape
    middle = photos[:, :2, height // 2, width // 2]
    right = photos[:, :2, height // 2, width // 2 + 1] - middle
    down = photos[:, :2, height // 2 + 1, width // 2] - middle
    return torch.stack([right, down], dim=1)


# The contract


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(24, 24), (32, 20), (20, 32)])
def test_the_result_has_the_size_and_stays_in_range(name, size):
    set_chance(0, name)
    stored = noise(6, round(size[0] * 1.25), round(size[1] * 1.25))
    result = make(name, size)(stored)
    assert result.shape == (6, 3, *size)
    assert result.dtype == torch.float32
    assert result.isfinite().all()
    assert result.min() >= 0
    assert result.max() <= 255


@pytest.mark.parametrize("name", RANDOM)
def test_each_photo_is_changed_in_its_own_way(name):
    set_chance(1)
    result = make(name, (24, 16))(noise(1, 30, 20).expand(5, 3, 30, 20))
    for one in range(5):
        for other in range(one):
            assert (result[one] - result[other]).abs().mean() > 1


@pytest.mark.parametrize("name", RANDOM)
def test_chance_follows_from_where_training_stands(name):
    augmentation, stored = make(name, (24, 16)), noise(4, 30, 20)
    results = []
    for where in ((0, "fold", 0, "step", 3), (0, "fold", 0, "step", 4), (0, "fold", 0, "step", 3)):
        set_chance(*where)
        results.append(augmentation(stored))
    assert torch.equal(results[0], results[2])
    assert not torch.equal(results[0], results[1])


@pytest.mark.parametrize("name", NAMES)
def test_a_flat_photo_has_no_edges_afterwards(name):
    """Nothing outside of the photo, such as black corners, comes in."""
    set_chance(2)
    flat = torch.full((8, 3, 30, 20), 200.0)
    result = make(name, (24, 16))(flat)
    assert (result.amax(dim=(2, 3)) - result.amin(dim=(2, 3))).max() < 1e-3


# None


@pytest.mark.parametrize("size", [(24, 24), (32, 20)])
def test_none_is_the_photo_itself_at_its_own_size(size):
    stored = noise(3, *size)
    torch.testing.assert_close(make("none", size)(stored), stored, rtol=0, atol=0.02)


def test_none_shrinks_the_whole_photo():
    result = make("none", (16, 12))(coordinates(1, 32, 24))
    wanted = F.interpolate(coordinates(1, 32, 24), size=(16, 12), mode="bilinear", align_corners=False)
    torch.testing.assert_close(result, wanted, rtol=0, atol=1e-3)


# Geometry


def test_a_flip_mirrors_left_and_right():
    stored = noise(2, 24, 16)
    result = Augmentation((24, 16), flip=1.0)(stored)
    torch.testing.assert_close(result, stored.flip(3), rtol=0, atol=0.02)


def test_the_chance_of_a_flip_is_as_documented():
    set_chance(3)
    stored = coordinates(400, 8, 8)
    result = Augmentation((8, 8), flip=0.25)(stored)
    flipped = result[:, 0, 0, 0] > result[:, 0, 0, -1]
    assert 0.15 < flipped.float().mean() < 0.35


@pytest.mark.parametrize("size", [(40, 40), (60, 30), (30, 60)])
def test_a_turn_is_a_turn_also_where_the_photo_is_not_square(size):
    """A step to the right and a step down stay one pixel long and at right angles."""
    set_chance(4)
    height, width = size
    result = Augmentation(size, flip=0.0, turn=30.0)(coordinates(64, height, width))
    steps = corners(result)
    torch.testing.assert_close(steps.norm(dim=2), torch.ones(64, 2), rtol=0, atol=1e-3)
    torch.testing.assert_close((steps[:, 0] * steps[:, 1]).sum(dim=1), torch.zeros(64), rtol=0, atol=1e-3)
    angles = torch.rad2deg(torch.atan2(steps[:, 0, 1], steps[:, 0, 0]))
    assert angles.abs().max() <= 30.01
    assert angles.max() > 20
    assert angles.min() < -20
    # It turns about the middle.
    middle = result[:, :2, height // 2 - 1 : height // 2 + 1, width // 2 - 1 : width // 2 + 1].mean(dim=(2, 3))
    torch.testing.assert_close(middle, torch.tensor([width / 2, height / 2]).expand(64, 2), rtol=0, atol=1e-2)


def test_a_turn_of_a_crop_and_a_mirror_is_still_a_turn():
    set_chance(5)
    result = Augmentation((40, 20), area=(0.4, 0.5), flip=1.0, turn=20.0)(coordinates(64, 80, 40))
    steps = corners(result)
    lengths = steps.norm(dim=2)
    torch.testing.assert_close(lengths[:, 0], lengths[:, 1], rtol=1e-3, atol=0)
    torch.testing.assert_close((steps[:, 0] * steps[:, 1]).sum(dim=1), torch.zeros(64), rtol=0, atol=1e-3)
    # Mirrored: x falls where the result goes right.
    assert (steps[:, 0, 0] < 0).all()


@pytest.mark.parametrize("size", [(32, 32), (48, 24)])
def test_area_and_ratio_are_drawn_from_their_ranges_and_crops_lie_inside(size):
    set_chance(6)
    height, width = 64, round(64 * size[1] / size[0])
    result = Augmentation(size, area=(0.3, 0.7), ratio=(0.8, 1.25), flip=0.0)(coordinates(300, height, width))
    steps = corners(result)
    wide, high = steps[:, 0, 0] * size[1] / width, steps[:, 1, 1] * size[0] / height
    area, ratio = wide * high, wide / high
    assert 0.299 < area.min() < 0.33
    assert 0.67 < area.max() < 0.701
    assert 0.799 < ratio.min() < 0.82
    assert 1.22 < ratio.max() < 1.251
    # Drawn evenly: the logarithm of the ratio about 0, the area about its middle.
    assert abs(ratio.log().mean()) < 0.03
    assert abs(area.mean() - 0.5) < 0.03
    left, right = result[:, 0, 0, 0] - steps[:, 0, 0] / 2, result[:, 0, 0, -1] + steps[:, 0, 0] / 2
    upper, lower = result[:, 1, 0, 0] - steps[:, 1, 1] / 2, result[:, 1, -1, 0] + steps[:, 1, 1] / 2
    for low, high, end in ((left, right, width), (upper, lower, height)):
        assert low.min() > -0.01
        assert high.max() < end + 0.01
        # Places reach from one edge to the other.
        assert low.min() < 0.05 * end
        assert high.max() > 0.95 * end


def test_a_whole_photo_that_is_stretched_stays_inside():
    set_chance(7)
    result = Augmentation((20, 20), ratio=(0.5, 2.0), flip=0.0)(coordinates(100, 20, 20))
    steps = corners(result)
    assert steps[:, 0, 0].max() < 1.001
    assert steps[:, 1, 1].max() < 1.001
    assert steps[:, 0, 0].min() < 0.8


# Light


def test_brightness_is_one_factor_for_each_photo():
    set_chance(8)
    stored = noise(200, 8, 8) * 0.5
    result = Augmentation((8, 8), flip=0.0, brightness=0.4)(stored)
    factors = result.sum(dim=(1, 2, 3)) / stored.sum(dim=(1, 2, 3))
    torch.testing.assert_close(result, stored * factors.view(-1, 1, 1, 1), rtol=0, atol=0.05)
    assert 0.6 < factors.min() < 0.65
    assert 1.35 < factors.max() < 1.4


def test_contrast_keeps_the_mean_and_saturation_keeps_each_grey():
    set_chance(9)
    stored = noise(100, 8, 8) * 0.3 + 90
    result = Augmentation((8, 8), flip=0.0, contrast=0.5)(stored)
    torch.testing.assert_close(result.mean(dim=(1, 2, 3)), stored.mean(dim=(1, 2, 3)), rtol=1e-4, atol=0)
    factors = result.std(dim=(1, 2, 3)) / stored.std(dim=(1, 2, 3))
    assert 0.5 <= factors.min() < 0.56
    assert 1.44 < factors.max() <= 1.51
    result = Augmentation((8, 8), flip=0.0, saturation=0.5)(stored)
    torch.testing.assert_close(result.mean(dim=1), stored.mean(dim=1), rtol=0, atol=0.01)
    spread = result.std(dim=1).mean(dim=(1, 2)) / stored.std(dim=1).mean(dim=(1, 2))
    assert 0.49 <= spread.min() < 0.56
    assert 1.44 < spread.max() <= 1.51


def test_base_changes_no_light_and_no_side():
    set_chance(10)
    result = make("base", (24, 24))(coordinates(50, 30, 30))
    steps = corners(result)
    assert (steps[:, 0, 0] > 0).all()
    assert (result[:, 2] == 0).all()
    assert (steps[:, 0, 0] * steps[:, 1, 1] * (24 / 30) ** 2).min() < 0.2


# Mistakes


@pytest.mark.parametrize(
    "options",
    [
        {"area": (0, 1)}, {"area": (0.9, 0.8)}, {"area": (0.5, 1.1)}, {"area": (0.5,)}, {"area": (0.1, 0.2, 0.3)},
        {"area": 0.5}, {"turn": -1}, {"turn": 181}, {"turn": "far"}, {"brightness": 1.5}, {"brightness": -0.1},
        {"contrast": 2}, {"saturation": math.nan},
    ],
)  # fmt: skip
def test_options_out_of_range_are_the_recipes_mistake(options):
    with pytest.raises(RecipeError, match="light"):
        make("light", (8, 8), **options)


@pytest.mark.parametrize("options", [{"ratio": (0, 1)}, {"ratio": (2, 1)}, {"ratio": (1, math.inf)}, {"ratio": (1,)}])
def test_ratios_out_of_range_are_refused(options):
    with pytest.raises(RecipeError, match="ratio"):
        make("base", (8, 8), **options)
    with pytest.raises(ValueError, match="flip"):
        Augmentation((8, 8), flip=1.5)


# Chance


def test_seeds_depend_on_everything_they_are_given_and_on_nothing_else():
    places = [(seed, "fold", fold, what, step) for seed in range(3) for fold in range(3)
              for what in ("step", "order") for step in range(5)]  # fmt: skip
    places += [(seed, "fold", fold, "start") for seed in range(3) for fold in range(3)]
    seeds = [number(*place) for place in places]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)
    torch.manual_seed(1)
    assert number(*places[0]) == seeds[0]
    assert generator(1, "a").random() == generator(1, "a").random() != generator(1, "b").random()
    set_chance(1, "a")
    first = torch.rand(3)
    set_chance(1, "a")
    assert torch.equal(torch.rand(3), first)
