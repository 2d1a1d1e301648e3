"""RandAugment (Cubuk et al. 2020; seed s1): each photo gets a few operations drawn from fourteen, of one strength.

Operations and their ranges are those of torchvision's `RandAugment`, with 31 steps of strength, so that 9 means the
same. What lies beyond the photo's edge is its mirror image here, and photos are sheared about their middle.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from maskfit.training.augment.color_jitter import adjust_brightness, adjust_contrast, adjust_saturation
from maskfit.training.augment.random_affine_crop import warp
from maskfit.training.augment.random_apply import Step, apply_to_subset
from maskfit.training.seeding import uniform

STRONGEST = 30
"""The highest strength."""


def adjust_sharpness(photos: Tensor, factor: Tensor) -> Tensor:
    """Every pixel's distance from the mean about it times its photo's factor; pixels at the edge stay.

    Args:
        photos: (batch, 3, height, width; 0 to 255), written into; so are those of the functions below.
        factor: (batch,), 0 is blurred, 1 the photo, more is sharper.
    """
    inner = photos[:, :, 1:-1, 1:-1]
    if inner.numel() == 0:
        return photos
    # A kernel of ones with five in its middle, as Pillow's.
    smooth = (9 * F.avg_pool2d(photos, 3, stride=1) + 4 * inner) / 13
    inner.copy_(smooth + (inner - smooth) * factor.to(photos.device, non_blocking=True).view(-1, 1, 1, 1))
    return photos.clamp_(0, 255)


def posterize(photos: Tensor, bits: int) -> Tensor:
    """Levels with the lowest bits at zero, `bits` of eight kept."""
    step = 2 ** (8 - bits)
    return photos.round_().div_(step).floor_().mul_(step)


def solarize(photos: Tensor, threshold: float) -> Tensor:
    """Pixels as bright as the threshold or brighter are turned into their negatives."""
    return torch.where(photos >= threshold, 255 - photos, photos)


def autocontrast(photos: Tensor) -> Tensor:
    """Each channel's darkest pixel becomes 0, its brightest 255; an even channel stays."""
    low, high = photos.amin(dim=(2, 3), keepdim=True), photos.amax(dim=(2, 3), keepdim=True)
    # Less than a level is what resampling rounds, and no contrast.
    even = high - low < 1
    scale = torch.where(even, 1.0, 255 / (high - low).clamp(min=1))
    return photos.sub_(torch.where(even, 0.0, low)).mul_(scale).clamp_(0, 255)


def equalize(photos: Tensor) -> Tensor:
    """Each channel's levels spread so that all are about as frequent, with Pillow's rounding."""
    count, channels, height, width = photos.shape
    levels = photos.round().long().flatten(2)
    histogram = torch.zeros(count, channels, 256, dtype=torch.long, device=photos.device)
    histogram.scatter_add_(2, levels, torch.ones_like(levels))
    # All pixels but those of the brightest level, over 255 steps.
    step = (height * width - histogram.gather(2, levels.amax(dim=2, keepdim=True))) // 255
    below = histogram.cumsum(dim=2) - histogram
    table = ((below + step // 2) // step.clamp(min=1)).clamp_(0, 255)
    spread = table.gather(2, levels).view_as(photos).to(photos.dtype)
    return torch.where((step == 0).unsqueeze(3), photos, spread)


GEOMETRY = ("shear_x", "shear_y", "translate_x", "translate_y", "rotate")
"""Done together in one resampling step."""
LIGHT: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "brightness": adjust_brightness,
    "colour": adjust_saturation,
    "contrast": adjust_contrast,
    "sharpness": adjust_sharpness,
}
"""Those with a factor for each photo."""
LEVELS = ("posterise", "solarise", "stretch_contrast", "equalise")
OPERATIONS = ("identity", *GEOMETRY, *LIGHT, *LEVELS)


@dataclass(frozen=True)
class RandAugment:
    """Applies operations drawn for each photo, one after the other.

    Args:
        operations: How many each photo gets, 1 to 14.
        magnitude: Their strength, 0 to 30.
    """

    operations: int = 2
    magnitude: float = 9

    def __post_init__(self) -> None:
        if not (isinstance(self.operations, int) and 1 <= self.operations <= len(OPERATIONS)):
            raise ValueError(f"operations={self.operations} must be a whole number from 1 to {len(OPERATIONS)}")
        if not 0 <= self.magnitude <= STRONGEST:
            raise ValueError(f"magnitude={self.magnitude} must lie in 0 to {STRONGEST}")

    def __call__(self, photos: Tensor) -> Tensor:
        for _ in range(self.operations):
            chosen = torch.randint(len(OPERATIONS), (len(photos),))
            sign = torch.where(uniform(len(photos)) < 0.5, -1.0, 1.0)
            photos = self.apply(photos, chosen, sign)
        return photos

    def apply(self, photos: Tensor, chosen: Tensor, sign: Tensor) -> Tensor:
        """One operation for each photo.

        Args:
            photos: (batch, 3, height, width; float32 in 0 to 255), written into.
            chosen: (batch,) places in `OPERATIONS`, on the host.
            sign: (batch,) of -1 and 1, on the host: to which side an operation goes that has two.
        """
        strength = self.magnitude / STRONGEST
        place = {name: number for number, name in enumerate(OPERATIONS)}
        moved = (chosen >= place[GEOMETRY[0]]) & (chosen <= place[GEOMETRY[-1]])
        kinds, sides = chosen[moved] - place[GEOMETRY[0]], sign[moved]
        photos = apply_to_subset(photos, moved, lambda some: _move(some, kinds, sides * strength))
        for name, change in LIGHT.items():
            own = chosen == place[name]
            photos = apply_to_subset(photos, own, _by(change, 1 + 0.9 * strength * sign[own]))
        bits, threshold = 8 - round(4 * strength), 255 * (1 - strength)
        photos = apply_to_subset(photos, chosen == place["posterise"], lambda some: posterize(some, bits))
        photos = apply_to_subset(photos, chosen == place["solarise"], lambda some: solarize(some, threshold))
        photos = apply_to_subset(photos, chosen == place["stretch_contrast"], autocontrast)
        return apply_to_subset(photos, chosen == place["equalise"], equalize)


def _by(change: Callable[[Tensor, Tensor], Tensor], factor: Tensor) -> Step:
    return lambda photos: change(photos, factor)


def _move(photos: Tensor, kinds: Tensor, amounts: Tensor) -> Tensor:
    """Photos sheared, shifted or turned: each by its kind, a place in `GEOMETRY`, and amount, -1 to 1 of the most."""
    height, width = photos.shape[2:]
    aspect = width / height
    most = {"shear_x": 0.3, "shear_y": 0.3, "translate_x": 150 / 331, "translate_y": 150 / 331, "rotate": math.pi / 6}
    shear_x, shear_y, shift_x, shift_y, angle = (
        torch.where(kinds == number, amounts * most[name], 0.0) for number, name in enumerate(GEOMETRY)
    )
    # In half widths and half heights: a slope between the two must know the photo's aspect.
    rows = [
        torch.stack([angle.cos(), (shear_x - angle.sin()) / aspect, 2 * shift_x], dim=1),
        torch.stack([(shear_y + angle.sin()) * aspect, angle.cos(), 2 * shift_y], dim=1),
    ]
    return warp(photos, torch.stack(rows, dim=1), (height, width))
