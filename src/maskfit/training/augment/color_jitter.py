"""Light and colour: what each photo's own factor does to its pixels, and the steps that draw the factors.

The functions are torchvision's (`transforms.v2.functional`, which follow Pillow), with a factor for each photo. All of
them write into the photos they are given and keep them in 0 to 255.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from maskfit.training.augment.parameter_checks import Range, check_range
from maskfit.training.seeding import uniform

GREY = (0.2989, 0.587, 0.114)
"""How much red, green and blue add to a grey (ITU-R 601, with torchvision's digits)."""


def rgb_to_grayscale(photos: Tensor) -> Tensor:
    """The grey of each pixel, (batch, 1, height, width)."""
    red, green, blue = (photos[:, channel : channel + 1] for channel in range(3))
    return (red * GREY[0]).add_(green, alpha=GREY[1]).add_(blue, alpha=GREY[2])


def adjust_brightness(photos: Tensor, factor: Tensor) -> Tensor:
    """Every pixel times its photo's factor.

    Args:
        photos: (batch, 3, height, width; float in 0 to 255), written into.
        factor: (batch,), 0 is black and 1 the photo; this and `photos` are those of the functions below too.
    """
    return photos.mul_(_wide(factor, photos)).clamp_(0, 255)


def adjust_contrast(photos: Tensor, factor: Tensor) -> Tensor:
    """Every pixel's distance from its photo's mean grey times the factor; 0 is an even grey."""
    grey = torch.tensor(GREY).to(photos.device, non_blocking=True)
    mean = (photos.mean(dim=(2, 3)) * grey).sum(dim=1).view(-1, 1, 1, 1)
    factor = _wide(factor, photos)
    return photos.mul_(factor).add_((1 - factor) * mean).clamp_(0, 255)


def adjust_saturation(photos: Tensor, factor: Tensor) -> Tensor:
    """Every pixel's distance from its own grey times the factor; 0 is a grey photo."""
    grey, factor = rgb_to_grayscale(photos), _wide(factor, photos)
    return photos.mul_(factor).add_(grey * (1 - factor)).clamp_(0, 255)


def adjust_hue(photos: Tensor, turn: Tensor) -> Tensor:
    """Every pixel's hue turned, its saturation and value kept.

    Args:
        photos: As above.
        turn: (batch,) in -0.5 to 0.5 of the colour circle.
    """
    low, value = photos.aminmax(dim=1, keepdim=True)
    chroma = value - low
    red, green, blue = (photos[:, channel : channel + 1] for channel in range(3))
    # The hue in sixths of the circle; where there is no chroma, any hue is right.
    hue = torch.where(value == red, green - blue, torch.where(value == green, blue - red, red - green))
    hue /= chroma.clamp(min=1e-6)
    hue += torch.where(value == red, 0.0, torch.where(value == green, 2.0, 4.0))
    hue += 6 * _wide(turn, photos)
    for channel, offset in enumerate((5.0, 3.0, 1.0)):
        # Rises and falls once round the circle: 0 for two sixths, 1 for two, and a ramp between.
        ramp = (hue + offset).remainder_(6)
        ramp = torch.minimum(ramp, 4 - ramp).clamp_(0, 1)
        photos[:, channel : channel + 1] = value - chroma * ramp
    return photos


def _wide(factor: Tensor, photos: Tensor) -> Tensor:
    return factor.to(photos.device, photos.dtype, non_blocking=True).view(-1, 1, 1, 1)


@dataclass(frozen=True)
class Brightness:
    """A factor for each photo, drawn evenly from `factors`, 0 or more."""

    factors: Range

    def __post_init__(self) -> None:
        check_range("brightness", self.factors, 0, math.inf)

    def __call__(self, photos: Tensor) -> Tensor:
        return adjust_brightness(photos, uniform(len(photos), *self.factors))


@dataclass(frozen=True)
class Contrast:
    """As `Brightness`, about the photo's mean grey."""

    factors: Range

    def __post_init__(self) -> None:
        check_range("contrast", self.factors, 0, math.inf)

    def __call__(self, photos: Tensor) -> Tensor:
        return adjust_contrast(photos, uniform(len(photos), *self.factors))


@dataclass(frozen=True)
class Saturation:
    """As `Brightness`, about each pixel's own grey."""

    factors: Range

    def __post_init__(self) -> None:
        check_range("saturation", self.factors, 0, math.inf)

    def __call__(self, photos: Tensor) -> Tensor:
        return adjust_saturation(photos, uniform(len(photos), *self.factors))


@dataclass(frozen=True)
class Hue:
    """A turn of the colour circle for each photo, drawn evenly from -`most` to `most`, 0.5 at most."""

    most: float

    def __post_init__(self) -> None:
        if not 0 <= self.most <= 0.5:
            raise ValueError(f"hue={self.most} must lie in 0 to 0.5")

    def __call__(self, photos: Tensor) -> Tensor:
        turn = uniform(len(photos), -self.most, self.most)
        # Of no turn at all the colours would be taken apart and put together again.
        return adjust_hue(photos, turn) if self.most else photos
