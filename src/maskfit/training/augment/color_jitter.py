"""Brightness, contrast, saturation and hue: functions with one factor per image, and steps that draw the factors.

The functions are those of torchvision's `transforms.v2.functional` (which follow Pillow), with a factor for each image.
All of them change the images in place and keep them in 0 to 255.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from maskfit.training.augment.parameter_checks import Range, check_range
from maskfit.training.seeding import uniform

GRAY_WEIGHTS = (0.2989, 0.587, 0.114)
"""Weights of red, green and blue in a gray level (ITU-R BT.601, with torchvision's digits)."""


def rgb_to_grayscale(images: Tensor) -> Tensor:
    """Computes the gray level of each pixel.

    Args:
        images: (batch, 3, height, width).

    Returns:
        Gray levels, (batch, 1, height, width).
    """
    red, green, blue = (images[:, channel : channel + 1] for channel in range(3))
    return (red * GRAY_WEIGHTS[0]).add_(green, alpha=GRAY_WEIGHTS[1]).add_(blue, alpha=GRAY_WEIGHTS[2])


def adjust_brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Multiplies every pixel by its image's factor.

    Args:
        images: (batch, 3, height, width; float in 0 to 255), changed in place.
        factor: (batch,); 0 gives black, 1 the image.

    Returns:
        The images.
    """
    return images.mul_(_per_image(factor, images)).clamp_(0, 255)


def adjust_contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Scales every pixel's distance from its image's mean gray level.

    Args:
        images: (batch, 3, height, width; float in 0 to 255), changed in place.
        factor: (batch,); 0 gives uniform gray, 1 the image.

    Returns:
        The images.
    """
    weights = torch.tensor(GRAY_WEIGHTS).to(images.device, non_blocking=True)
    mean = (images.mean(dim=(2, 3)) * weights).sum(dim=1).view(-1, 1, 1, 1)
    factor = _per_image(factor, images)
    return images.mul_(factor).add_((1 - factor) * mean).clamp_(0, 255)


def adjust_saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Scales every pixel's distance from its own gray level.

    Args:
        images: (batch, 3, height, width; float in 0 to 255), changed in place.
        factor: (batch,); 0 gives a grayscale image, 1 the image.

    Returns:
        The images.
    """
    gray, factor = rgb_to_grayscale(images), _per_image(factor, images)
    return images.mul_(factor).add_(gray * (1 - factor)).clamp_(0, 255)


def adjust_hue(images: Tensor, shift: Tensor) -> Tensor:
    """Shifts every pixel's hue; saturation and value stay.

    Args:
        images: (batch, 3, height, width; float in 0 to 255), changed in place.
        shift: (batch,) in -0.5 to 0.5 of the color circle.

    Returns:
        The images.
    """
    low, value = images.aminmax(dim=1, keepdim=True)
    chroma = value - low
    red, green, blue = (images[:, channel : channel + 1] for channel in range(3))
    # Hue in sixths of the circle; where chroma is 0, any hue gives the same color.
    hue = torch.where(value == red, green - blue, torch.where(value == green, blue - red, red - green))
    hue /= chroma.clamp(min=1e-6)
    hue += torch.where(value == red, 0.0, torch.where(value == green, 2.0, 4.0))
    hue += 6 * _per_image(shift, images)
    for channel, offset in enumerate((5.0, 3.0, 1.0)):
        # A periodic trapezoid: 0 for two sixths of the circle, 1 for two, and linear between.
        ramp = (hue + offset).remainder_(6)
        ramp = torch.minimum(ramp, 4 - ramp).clamp_(0, 1)
        images[:, channel : channel + 1] = value - chroma * ramp
    return images


def _per_image(factor: Tensor, images: Tensor) -> Tensor:
    return factor.to(images.device, images.dtype, non_blocking=True).view(-1, 1, 1, 1)


@dataclass(frozen=True)
class Brightness:
    """Random brightness.

    Attributes:
        factors: Range of each image's factor, drawn uniformly, >= 0.
    """

    factors: Range

    def __post_init__(self) -> None:
        check_range("brightness", self.factors, 0, math.inf)

    def __call__(self, images: Tensor) -> Tensor:
        """Augments images (batch, 3, height, width; float32 in 0 to 255), in place."""
        return adjust_brightness(images, uniform(len(images), *self.factors))


@dataclass(frozen=True)
class Contrast:
    """Random contrast.

    Attributes:
        factors: Range of each image's factor, drawn uniformly, >= 0.
    """

    factors: Range

    def __post_init__(self) -> None:
        check_range("contrast", self.factors, 0, math.inf)

    def __call__(self, images: Tensor) -> Tensor:
        """Augments images (batch, 3, height, width; float32 in 0 to 255), in place."""
        return adjust_contrast(images, uniform(len(images), *self.factors))


@dataclass(frozen=True)
class Saturation:
    """Random saturation.

    Attributes:
        factors: Range of each image's factor, drawn uniformly, >= 0.
    """

    factors: Range

    def __post_init__(self) -> None:
        check_range("saturation", self.factors, 0, math.inf)

    def __call__(self, images: Tensor) -> Tensor:
        """Augments images (batch, 3, height, width; float32 in 0 to 255), in place."""
        return adjust_saturation(images, uniform(len(images), *self.factors))


@dataclass(frozen=True)
class Hue:
    """Random shift of the hue.

    Attributes:
        max_shift: Each image's shift is drawn uniformly from -max_shift to max_shift of the color circle, 0 to 0.5.
    """

    max_shift: float

    def __post_init__(self) -> None:
        if not 0 <= self.max_shift <= 0.5:
            raise ValueError(f"hue must be in 0 to 0.5, got {self.max_shift}")

    def __call__(self, images: Tensor) -> Tensor:
        """Augments images (batch, 3, height, width; float32 in 0 to 255), in place."""
        shift = uniform(len(images), -self.max_shift, self.max_shift)
        # A shift of 0 would only round the colors.
        return adjust_hue(images, shift) if self.max_shift else images
