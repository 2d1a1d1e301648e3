"""Windows: what a crop, a turn, a shift and a flip do to a photo's geometry."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from maskfit.training.augment.random_affine_crop import RandomAffineCrop
from maskfit.training.seeding import seed_torch


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


@pytest.mark.parametrize("size", [(24, 24), (32, 20)])
def test_a_whole_window_is_the_photo_itself_at_its_own_size(size):
    cached = noise(3, *size)
    torch.testing.assert_close(RandomAffineCrop(size, flip=0.0)(cached), cached, rtol=0, atol=0.02)


def test_a_whole_window_shrinks_the_whole_photo():
    result = RandomAffineCrop((16, 12), flip=0.0)(coordinates(1, 32, 24))
    expected = F.interpolate(coordinates(1, 32, 24), size=(16, 12), mode="bilinear", align_corners=False)
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-3)


def test_height_and_width_are_never_exchanged():
    """A bright left half stays to the left, a blue top on top, at a size that is not square."""
    photo = torch.zeros(2, 3, 40, 24)
    photo[..., :12] = 255
    photo[:, 2, :10] = 77
    result = RandomAffineCrop((30, 18), flip=0.0)(photo)
    assert result.shape == (2, 3, 30, 18)
    assert (result[:, :2, :, :8] > 254.9).all()
    assert (result[:, :2, :, 10:] < 0.1).all()
    torch.testing.assert_close(result[:, 2, :7], torch.full((2, 7, 18), 77.0), rtol=0, atol=0.1)


def test_a_flip_mirrors_left_and_right():
    cached = noise(2, 24, 16)
    result = RandomAffineCrop((24, 16), flip=1.0)(cached)
    torch.testing.assert_close(result, cached.flip(3), rtol=0, atol=0.02)


def test_mirroring_alone_takes_pixels_as_they_are_and_draws_as_a_crop_does():
    cached = noise(40, 24, 16)
    given = cached.clone()
    seed_torch(4)
    result = RandomAffineCrop((24, 16))(cached)
    after = torch.rand(3)
    mirrored = (result == cached.flip(3)).flatten(1).all(dim=1)
    assert (mirrored | (result == cached).flatten(1).all(dim=1)).all()
    assert 5 < mirrored.sum() < 35
    assert torch.equal(cached, given)
    # A turn of next to nothing is resampled: the same photos are mirrored, and the next draw is the same.
    seed_torch(4)
    resampled = RandomAffineCrop((24, 16), degrees=1e-6)(cached)
    assert torch.equal(torch.rand(3), after)
    torch.testing.assert_close(result, resampled, rtol=0, atol=0.02)


def test_the_chance_of_a_flip_is_as_documented():
    seed_torch(3)
    cached = coordinates(400, 8, 8)
    result = RandomAffineCrop((8, 8), flip=0.25)(cached)
    flipped = result[:, 0, 0, 0] > result[:, 0, 0, -1]
    assert 0.15 < flipped.float().mean() < 0.35


@pytest.mark.parametrize("size", [(40, 40), (60, 30), (30, 60)])
def test_a_turn_is_a_turn_also_where_the_photo_is_not_square(size):
    """A step to the right and a step down stay one pixel long and at right angles."""
    seed_torch(4)
    height, width = size
    result = RandomAffineCrop(size, flip=0.0, degrees=30.0)(coordinates(64, height, width))
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
    seed_torch(5)
    result = RandomAffineCrop((40, 20), area=(0.4, 0.5), flip=1.0, degrees=20.0)(coordinates(64, 80, 40))
    steps = corners(result)
    lengths = steps.norm(dim=2)
    torch.testing.assert_close(lengths[:, 0], lengths[:, 1], rtol=1e-3, atol=0)
    torch.testing.assert_close((steps[:, 0] * steps[:, 1]).sum(dim=1), torch.zeros(64), rtol=0, atol=1e-3)
    # Mirrored: x falls where the result goes right.
    assert (steps[:, 0, 0] < 0).all()


@pytest.mark.parametrize("size", [(32, 32), (48, 24)])
def test_area_and_ratio_are_drawn_from_their_ranges_and_crops_lie_inside(size):
    seed_torch(6)
    height, width = 64, round(64 * size[1] / size[0])
    result = RandomAffineCrop(size, area=(0.3, 0.7), ratio=(0.8, 1.25), flip=0.0)(coordinates(300, height, width))
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
    seed_torch(7)
    result = RandomAffineCrop((20, 20), ratio=(0.5, 2.0), flip=0.0)(coordinates(100, 20, 20))
    steps = corners(result)
    assert steps[:, 0, 0].max() < 1.001
    assert steps[:, 1, 1].max() < 1.001
    assert steps[:, 0, 0].min() < 0.8


@pytest.mark.parametrize("size", [(40, 40), (60, 30)])
def test_a_shift_moves_by_shares_of_the_photo_and_mirrors_what_lies_beyond(size):
    seed_torch(8)
    height, width = size
    result = RandomAffineCrop(size, flip=0.0, shift=0.2)(coordinates(200, height, width))
    middle = result[:, :2, height // 2 - 1 : height // 2 + 1, width // 2 - 1 : width // 2 + 1].mean(dim=(2, 3))
    moved = (middle - torch.tensor([width / 2, height / 2])) / torch.tensor([float(width), float(height)])
    assert moved.abs().max() <= 0.2001
    assert (moved.amax(dim=0) > 0.17).all()
    assert (moved.amin(dim=0) < -0.17).all()
    # Right and down are drawn apart.
    assert abs(torch.corrcoef(moved.T)[0, 1]) < 0.2
    assert result[:, 0].min() > 0
    assert result[:, 0].max() < width


def test_a_zoom_makes_the_face_larger_or_smaller():
    seed_torch(9)
    steps = corners(RandomAffineCrop((40, 20), flip=0.0, zoom=(0.8, 1.25))(coordinates(200, 40, 20)))
    torch.testing.assert_close(steps[:, 0, 0], steps[:, 1, 1], rtol=1e-3, atol=0)
    factors = 1 / steps[:, 0, 0]
    assert 0.799 < factors.min() < 0.83
    assert 1.22 < factors.max() < 1.251


@pytest.mark.parametrize(
    "options",
    [
        {"area": (0, 1)},
        {"area": (0.9, 0.8)},
        {"area": (0.5, 1.1)},
        {"area": (0.5,)},
        {"area": (0.1, 0.2, 0.3)},
        {"area": (math.nan, 1)},
        {"ratio": (0, 1)},
        {"ratio": (2, 1)},
        {"ratio": (1, math.inf)},
        {"ratio": (1,)},
        {"degrees": -1},
        {"degrees": 181},
        {"flip": 1.5},
        {"shift": -0.1},
        {"zoom": (0, 1)},
        {"zoom": (1.2, 0.8)},
    ],
)
def test_windows_out_of_range_are_refused(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        RandomAffineCrop((8, 8), **options)


def test_white_stays_in_range():
    """Bilinear weights sum to 1 only up to rounding; over white that gave 255.00002."""
    seed_torch(0, "white")
    warped = RandomAffineCrop((23, 29), area=(0.3, 1.0), degrees=30.0)(torch.full((64, 3, 40, 37), 255.0))
    assert warped.max() <= 255
