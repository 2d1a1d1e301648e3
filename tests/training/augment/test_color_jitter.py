"""Light, damage and RandAugment: each photo by its own number, against torchvision and Pillow."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as V

from maskfit.training.augment.color_jitter import (
    Brightness,
    Contrast,
    Hue,
    Saturation,
    adjust_brightness,
    adjust_contrast,
    adjust_hue,
    adjust_saturation,
)
from maskfit.training.augment.degradations import (
    Blur,
    CoarseDropout,
    Downscale,
    Jpeg,
    Noise,
    blur,
    downscale,
    jpeg_compress,
)
from maskfit.training.augment.randaugment import (
    GEOMETRIC,
    OPERATIONS,
    RandAugment,
    adjust_sharpness,
    autocontrast,
    equalize,
    posterize,
    solarize,
)
from maskfit.training.augment.random_apply import OneOf, RandomOrder, apply_to_subset
from maskfit.training.seeding import seed_torch


@pytest.fixture
def photos() -> torch.Tensor:
    """Whole levels, not square, with even, gray, black and white pixels, and one photo of one color."""
    made = torch.randint(0, 256, (6, 3, 17, 11), generator=torch.Generator().manual_seed(0)).float()
    made[0, :, :4] = made[0, :1, :4]
    made[1, :, 5], made[1, :, 6] = 0, 255
    made[2] = torch.tensor([20.0, 200.0, 90.0]).view(3, 1, 1)
    made[3] = made[3] * 0.3 + 60
    return made.round()


def each(photos: torch.Tensor, factors: torch.Tensor, change) -> torch.Tensor:
    """torchvision's change of each photo by itself, in floats of 0 to 1."""
    changed = [change(photo / 255, float(factor)) * 255 for photo, factor in zip(photos, factors, strict=True)]
    return torch.stack(changed)


FACTORS = torch.tensor([0.0, 0.3, 1.0, 1.7, 3.0, 0.8])


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (adjust_brightness, V.adjust_brightness),
        (adjust_contrast, V.adjust_contrast),
        (adjust_saturation, V.adjust_saturation),
        (adjust_sharpness, V.adjust_sharpness),
    ],
)
def test_factors_do_what_torchvisions_do(photos, ours, theirs):
    torch.testing.assert_close(ours(photos.clone(), FACTORS), each(photos, FACTORS, theirs), rtol=0, atol=0.01)


@pytest.mark.parametrize("least", [-0.5, -0.3, 0.0])
def test_a_turn_of_the_hue_does_what_torchvisions_does(photos, least):
    turns = torch.linspace(least, 0.5, 6)
    torch.testing.assert_close(adjust_hue(photos.clone(), turns), each(photos, turns, V.adjust_hue), rtol=0, atol=0.02)


def test_levels_are_changed_as_torchvision_changes_them(photos):
    whole = photos.to(torch.uint8)
    assert torch.equal(posterize(photos.clone(), 3), V.posterize(whole, 3).float())
    assert torch.equal(solarize(photos.clone(), 100.0), V.solarize(whole, 100.0).float())
    assert torch.equal(equalize(photos.clone()), V.equalize(whole).float())
    torch.testing.assert_close(autocontrast(photos.clone()), V.autocontrast(photos / 255) * 255, rtol=0, atol=0.01)
    pillow = ImageOps.equalize(Image.fromarray(whole[4].permute(1, 2, 0).numpy()))
    assert np.array_equal(equalize(photos.clone())[4].permute(1, 2, 0).numpy(), np.asarray(pillow))


@pytest.mark.parametrize("sigma", [0.3, 1.0, 2.5])
def test_a_blur_is_torchvisions_with_each_photos_own_sigma(photos, sigma):
    sigmas = torch.linspace(0.2, sigma, 6)
    reach = min(math.ceil(3 * sigma), 10)
    ours = blur(photos.clone(), sigmas, reach)
    for photo, one, result in zip(photos, sigmas, ours, strict=True):
        expected = V.gaussian_blur(photo, [2 * reach + 1] * 2, [float(one)] * 2)
        torch.testing.assert_close(result, expected, rtol=0, atol=0.01)


def test_a_blur_is_never_wider_than_a_mirror_can_be():
    assert blur(torch.rand(2, 3, 5, 3) * 255, torch.tensor([5.0, 9.0]), 27).shape == (2, 3, 5, 3)


@pytest.mark.parametrize("quality", [20, 50, 85])
@pytest.mark.parametrize("size", [(48, 64), (37, 51)])
def test_jpeg_loses_what_pillows_loses(quality, size):
    seed_torch(0)
    smooth = blur(torch.rand(2, 3, *size) * 255, torch.tensor([3.0, 1.0]), 9)
    smooth = ((smooth - smooth.mean()) * 3 + 128).clamp(0, 255).round()
    ours = jpeg_compress(smooth.clone(), torch.tensor([float(quality)] * 2))
    for photo, result in zip(smooth, ours, strict=True):
        pixels = photo.permute(1, 2, 0).to(torch.uint8).numpy()
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling=0)
        pillow = torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1).float()
        lost = (pillow - photo).abs().mean()
        # Pillow rounds colors and waves to whole numbers on the way, which now and then tips a wave over; else it is
        # the same.
        assert (result - pillow).abs().median() < 1.2
        assert (result - pillow).abs().mean() < 0.6 * lost


def test_a_coarse_photo_keeps_means_and_loses_what_is_finer():
    seed_torch(3)
    photos = torch.rand(2, 3, 32, 48) * 255
    result = downscale(photos, 0.25)
    torch.testing.assert_close(result.mean(dim=(2, 3)), photos.mean(dim=(2, 3)), rtol=0, atol=4)
    # In the middle of each four pixels by four, enlarging lies between the means of the nearest four such blocks.
    means = photos.view(2, 3, 8, 4, 12, 4).mean(dim=(3, 5))
    expected = (means[:, :, :-1, :-1] + means[:, :, 1:, :-1] + means[:, :, :-1, 1:] + means[:, :, 1:, 1:]) / 4
    corners = result[:, :, 3:-1, 3:-1].unfold(2, 2, 4).unfold(3, 2, 4).mean(dim=(4, 5))
    torch.testing.assert_close(corners, expected)
    assert torch.equal(downscale(photos, 1.0), photos)


def test_each_photo_is_as_coarse_as_it_drew():
    seed_torch(4)
    result = Downscale((0.1, 1.0))(torch.rand(200, 3, 20, 20) * 255)
    spread = result.flatten(1).std(dim=1)
    counts = torch.histc(spread, 4, float(spread.min()), float(spread.max()))
    assert spread.max() > 5 * spread.min()
    assert counts[0] > 30


def test_noise_has_each_photos_own_deviation_and_no_bias():
    seed_torch(1)
    result = Noise((2.0, 20.0))(torch.full((100, 3, 24, 24), 128.0)) - 128
    spread = result.flatten(1).std(dim=1)
    assert 1.8 < spread.min() < 4
    assert 18 < spread.max() < 22
    assert result.mean().abs() < 0.2


@pytest.mark.parametrize("size", [(40, 40), (40, 20)])
def test_holes_are_black_rectangles_of_their_share_anywhere(size):
    seed_torch(2)
    height, width = size
    result = CoarseDropout(1, (0.2, 0.4))(torch.full((400, 3, height, width), 9.0))
    hidden = (result == 0).all(dim=1)
    assert torch.equal(hidden, (result == 0).any(dim=1))
    rows, columns = hidden.any(dim=2), hidden.any(dim=1)
    # A rectangle: every pixel in its rows and columns.
    assert torch.equal(hidden, rows[:, :, None] & columns[:, None])
    assert rows.sum(dim=1).max() <= math.ceil(0.4 * height) + 1
    assert columns.sum(dim=1).max() <= math.ceil(0.4 * width) + 1
    assert hidden.float().mean(dim=0).min() > 0.01
    assert hidden[:, height // 2, width // 2].float().mean() == pytest.approx(0.09, abs=0.05)
    many = CoarseDropout(5, (0.1, 0.1))(torch.full((50, 3, height, width), 9.0))
    assert (many == 0).float().mean() > 2 * (0.1 * 0.1) * 0.8


# Choices


def test_a_step_sees_its_own_photos_only():
    cached = torch.arange(5.0).view(5, 1, 1, 1).expand(5, 3, 2, 2).clone()
    seen = []

    def step(some: torch.Tensor) -> torch.Tensor:
        seen.append(some[:, 0, 0, 0].tolist())
        return some + 10

    chosen = torch.tensor([True, False, False, True, False])
    assert apply_to_subset(cached, chosen, step)[:, 0, 0, 0].tolist() == [10, 1, 2, 13, 4]
    apply_to_subset(cached, torch.zeros(5, dtype=torch.bool), step)
    apply_to_subset(cached, torch.ones(5, dtype=torch.bool), step)
    assert seen == [[0, 3], [10, 1, 2, 13, 4]]


def test_one_of_several_and_none_by_chance():
    seed_torch(3)
    steps = tuple(lambda some, number=number: some + number for number in (1, 2, 4))
    got = OneOf(steps, 0.6)(torch.zeros(3000, 1, 1, 1)).flatten()
    fractions = [float((got == number).float().mean()) for number in (0, 1, 2, 4)]
    assert fractions == pytest.approx([0.4, 0.2, 0.2, 0.2], abs=0.03)


def test_any_order_is_drawn_anew():
    steps = RandomOrder((lambda some: some + 1, lambda some: some * 2))
    seed_torch(4)
    assert {float(steps(torch.ones(1))) for _ in range(20)} == {3.0, 4.0}


@pytest.mark.parametrize("make", [Brightness, Contrast, Saturation])
def test_factors_are_drawn_evenly_for_each_photo(make):
    seed_torch(5)
    photo = torch.tensor([100.0, 110.0, 120.0]).view(1, 3, 1, 1).repeat(2000, 1, 2, 2)
    photo[..., 0] += 4
    result = make((0.5, 1.5))(photo.clone())
    change = (result - photo).flatten(1).abs().amax(dim=1)
    assert change.max() > 1.9 * change.mean()
    assert len(change.round(decimals=3).unique()) > 200


def test_the_hue_turns_to_both_sides():
    seed_torch(6)
    red = torch.tensor([200.0, 10.0, 10.0]).view(1, 3, 1, 1).repeat(100, 1, 1, 1)
    result = Hue(0.1)(red)
    assert 30 < (result[:, 1] > result[:, 2]).sum() < 70
    assert (result[:, 0] == 200).all()


def test_no_turn_of_the_hue_leaves_every_pixel_and_draws_as_one_does(photos):
    seed_torch(6)
    assert torch.equal(Hue(0.0)(photos.clone()), photos)
    after = torch.rand(2)
    seed_torch(6)
    Hue(0.1)(photos.clone())
    assert torch.equal(torch.rand(2), after)


# RandAugment


def applied(photos: torch.Tensor, name: str, sign: float = 1.0, magnitude: float = 9) -> torch.Tensor:
    count = len(photos)
    chosen = torch.full((count,), OPERATIONS.index(name))
    return RandAugment(1, magnitude).apply(photos.clone(), chosen, torch.full((count,), sign))


def test_it_has_torchvisions_operations():
    assert len(OPERATIONS) == len(set(OPERATIONS)) == len(v2.RandAugment._AUGMENTATION_SPACE) == 14


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_strengths_are_torchvisions(photos, sign):
    space = v2.RandAugment._AUGMENTATION_SPACE
    ours = {"brightness": "Brightness", "color": "Color", "contrast": "Contrast", "sharpness": "Sharpness"}
    changes = (V.adjust_brightness, V.adjust_saturation, V.adjust_contrast, V.adjust_sharpness)
    for (name, theirs), change in zip(ours.items(), changes, strict=True):
        factor = 1 + sign * float(space[theirs][0](31, 17, 11)[9])
        expected = each(photos, torch.full((6,), factor), change)
        torch.testing.assert_close(applied(photos, name, sign), expected, rtol=0, atol=0.02)
    bits = int(space["Posterize"][0](31, 17, 11)[9])
    assert torch.equal(applied(photos, "posterize"), V.posterize(photos.to(torch.uint8), bits).float())
    threshold = float(space["Solarize"][0](31, 17, 11)[9])
    torch.testing.assert_close(
        applied(photos, "solarize"), V.solarize(photos / 255, threshold) * 255, rtol=0, atol=0.01
    )
    assert torch.equal(applied(photos, "identity"), photos)


@pytest.mark.parametrize("size", [(41, 41), (61, 31)])
@pytest.mark.parametrize("name", GEOMETRIC)
def test_geometry_moves_as_torchvision_moves(size, name):
    """Where a pixel comes from, about the middle; torchvision's signs are the other way round for some."""
    height, width = size
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    plane = torch.stack([x, y, torch.zeros_like(x)])[None]
    result = applied(plane, name)[0, :2, height // 2 - 3 : height // 2 + 4, width // 2 - 3 : width // 2 + 4]
    moved = result - plane[0, :2, height // 2 - 3 : height // 2 + 4, width // 2 - 3 : width // 2 + 4]
    down, across = torch.meshgrid(torch.arange(-3.0, 4), torch.arange(-3.0, 4), indexing="ij")
    none, angle = torch.zeros_like(down), math.radians(9)
    expected = {
        "shear_x": (0.09 * down, none),
        "shear_y": (none, 0.09 * across),
        "translate_x": (none + 0.3 * 150 / 331 * width, none),
        "translate_y": (none, none + 0.3 * 150 / 331 * height),
        "rotate": (
            across * (math.cos(angle) - 1) - down * math.sin(angle),
            across * math.sin(angle) + down * (math.cos(angle) - 1),
        ),
    }[name]
    torch.testing.assert_close(moved, torch.stack(expected), rtol=0, atol=2e-3)


def test_a_strength_of_nothing_moves_nothing(photos):
    for name in OPERATIONS:
        if name not in ("autocontrast", "equalize", "solarize"):
            torch.testing.assert_close(applied(photos, name, magnitude=0), photos, rtol=0, atol=0.01)


def test_every_operation_is_as_likely_for_every_photo(monkeypatch):
    draws = []
    monkeypatch.setattr(RandAugment, "apply", lambda self, photos, chosen, sign: draws.append((chosen, sign)) or photos)
    seed_torch(7)
    RandAugment(2)(torch.zeros(7000, 3, 1, 1))
    assert len(draws) == 2
    for chosen, sign in draws:
        counts = torch.bincount(chosen, minlength=14)
        assert 400 < counts.min() < counts.max() < 600
        assert abs(sign.mean()) < 0.05
    assert (draws[0][0] == draws[1][0]).float().mean() < 0.1


def applied_tpu(photos: torch.Tensor, name: str, magnitude: float = 9) -> torch.Tensor:
    augment = RandAugment(1, magnitude, "tpu")
    chosen = torch.full((len(photos),), augment.names.index(name))
    return augment.apply(photos.clone(), chosen, torch.ones(len(photos)))


@pytest.mark.parametrize("magnitude", [0, 9, 20])
def test_the_second_set_does_what_pillow_does(photos, magnitude):
    """Ranges of EfficientNet's own code: factors 0.1 to 1.9, bits 0 to 4, threshold 0 to 256, addition 0 to 110."""
    fraction = magnitude / 30

    def expected(change) -> torch.Tensor:
        pictures = [Image.fromarray(photo.permute(1, 2, 0).byte().numpy()) for photo in photos]
        return torch.stack([torch.from_numpy(np.array(change(item))).permute(2, 0, 1) for item in pictures]).float()

    enhance = {"brightness": "Brightness", "color": "Color", "contrast": "Contrast", "sharpness": "Sharpness"}
    for name, theirs in enhance.items():
        found = applied_tpu(photos, name, magnitude)
        reference = expected(lambda item, kind=theirs: getattr(ImageEnhance, kind)(item).enhance(0.1 + 1.8 * fraction))
        # Pillow rounds the gray or blurred image to whole levels.
        torch.testing.assert_close(found, reference, rtol=0, atol=2.01, msg=name)
    plain = {
        "invert": ImageOps.invert,
        "posterize": lambda item: item.point(lambda level: level & (256 - (1 << (8 - int(4 * fraction))))),
        "solarize": lambda item: ImageOps.solarize(item, 256 * fraction),
        "solarize_add": lambda item: ImageOps.solarize(
            item.point(lambda level: min(255, int(level + 110 * fraction))), 128
        ),
    }
    for name, change in plain.items():
        torch.testing.assert_close(applied_tpu(photos, name, magnitude), expected(change), rtol=0, atol=1.01, msg=name)


def test_the_second_set_cuts_a_square_out_and_has_sixteen_operations():
    assert len(set(RandAugment(2, 9, "tpu").names)) == 16
    seed_torch(3)
    images = torch.full((40, 3, 224, 224), 10.0)
    cut = applied_tpu(images, "cutout")
    holes = (cut != 10).any(dim=1)
    assert torch.equal(
        cut[0][:, holes[0]], torch.tensor([125.0, 123.0, 114.0])[:, None].expand(-1, int(holes[0].sum()))
    )
    # 40 x 9 / 30 pixels wide, less at the border.
    assert 11 <= holes.any(dim=1).sum(dim=1).max() <= 13
    assert holes.flatten(1).any(dim=1).all()
    assert len({tuple(hole.nonzero()[0].tolist()) for hole in holes}) > 30
    small = applied_tpu(torch.full((40, 3, 112, 112), 10.0), "cutout")
    assert 5 <= (small != 10).any(dim=1).any(dim=1).sum(dim=1).max() <= 7


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Blur((0.0, 1.0)),
        lambda: RandAugment(2, 9, "torchvision"),
        lambda: Jpeg((0, 50)),
        lambda: CoarseDropout(True + 64, (0.1, 0.2)),
        lambda: Downscale((0.0, 1.0)),
    ],
)
def test_steps_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match="must be"):
        wrong()
