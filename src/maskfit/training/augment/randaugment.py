"""RandAugment (Cubuk et al. 2020, arXiv:1909.13719; iloveslowfood): random operations of one magnitude per image.

The paper's 14 operations and their ranges are those of torchvision's `RandAugment` with 31 magnitude bins, so that a
magnitude of 9 means the same. Differences: beyond the border lies the image's mirror image, and images are sheared
about their center.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from maskfit.training.augment.color_jitter import adjust_brightness, adjust_contrast, adjust_saturation
from maskfit.training.augment.random_affine_crop import warp
from maskfit.training.augment.random_apply import Step, apply_to_subset
from maskfit.training.seeding import uniform

OperationSet = Literal["paper", "tpu"]

MAX_MAGNITUDE = 30
"""Highest magnitude."""


def adjust_sharpness(images: Tensor, factor: Tensor) -> Tensor:
    """Scales every pixel's distance from its neighborhood mean; pixels at the border stay.

    Args:
        images: (batch, 3, height, width; float in 0 to 255), changed in place.
        factor: (batch,); 0 gives a blurred image, 1 the image, more a sharper one.

    Returns:
        The images.
    """
    inner = images[:, :, 1:-1, 1:-1]
    if inner.numel() == 0:
        return images
    # A kernel of ones with 5 at its center, as in Pillow.
    smooth = (9 * F.avg_pool2d(images, 3, stride=1) + 4 * inner) / 13
    inner.copy_(smooth + (inner - smooth) * factor.to(images.device, non_blocking=True).view(-1, 1, 1, 1))
    return images.clamp_(0, 255)


def posterize(images: Tensor, bits: int) -> Tensor:
    """Sets the lowest bits of every level to zero.

    Args:
        images: (batch, 3, height, width; float in 0 to 255), changed in place.
        bits: Bits to keep of eight.

    Returns:
        The images.
    """
    step = 2 ** (8 - bits)
    return images.round_().div_(step).floor_().mul_(step)


def solarize(images: Tensor, threshold: float) -> Tensor:
    """Inverts the levels at or above a threshold.

    Args:
        images: (batch, 3, height, width; float in 0 to 255).
        threshold: The threshold.

    Returns:
        New images.
    """
    return torch.where(images >= threshold, 255 - images, images)


def autocontrast(images: Tensor) -> Tensor:
    """Stretches each channel's levels to 0 to 255; a uniform channel stays.

    Args:
        images: (batch, 3, height, width; float in 0 to 255), changed in place.

    Returns:
        The images.
    """
    low, high = images.amin(dim=(2, 3), keepdim=True), images.amax(dim=(2, 3), keepdim=True)
    # A difference below one level comes from resampling and is no contrast.
    uniform_channel = high - low < 1
    scale = torch.where(uniform_channel, 1.0, 255 / (high - low).clamp(min=1))
    return images.sub_(torch.where(uniform_channel, 0.0, low)).mul_(scale).clamp_(0, 255)


def equalize(images: Tensor) -> Tensor:
    """Equalizes each channel's histogram, with Pillow's rounding.

    Args:
        images: (batch, 3, height, width; float in 0 to 255).

    Returns:
        New images.
    """
    count, channels, height, width = images.shape
    levels = images.round().long().flatten(2)
    histogram = torch.zeros(count, channels, 256, dtype=torch.long, device=images.device)
    histogram.scatter_add_(2, levels, torch.ones_like(levels))
    # All pixels but those of the brightest level, over 255 steps.
    step = (height * width - histogram.gather(2, levels.amax(dim=2, keepdim=True))) // 255
    below = histogram.cumsum(dim=2) - histogram
    table = ((below + step // 2) // step.clamp(min=1)).clamp_(0, 255)
    equalized = table.gather(2, levels).view_as(images).to(images.dtype)
    return torch.where((step == 0).unsqueeze(3), images, equalized)


GEOMETRIC = ("shear_x", "shear_y", "translate_x", "translate_y", "rotate")
"""Operations that share one resampling step."""
WITH_FACTOR: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "brightness": adjust_brightness,
    "color": adjust_saturation,
    "contrast": adjust_contrast,
    "sharpness": adjust_sharpness,
}
"""Operations with one factor per image."""
WITH_LEVELS = ("posterize", "solarize", "autocontrast", "equalize")
"""Operations on levels, without a random factor."""
OPERATIONS = ("identity", *GEOMETRIC, *WITH_FACTOR, *WITH_LEVELS)
"""All operations; their order is part of what a seed means."""


EXTRA = ("invert", "solarize_add", "cutout")
"""What the operations of EfficientNet's own code have in place of `identity`."""
TPU_OPERATIONS = (*OPERATIONS[1:], *EXTRA)
"""The operations of EfficientNet's own code; their order is part of what a seed means."""
OPERATION_SETS = {"paper": OPERATIONS, "tpu": TPU_OPERATIONS}
"""Names of the option `operation_set`."""
TPU_SIDE = 224
"""Side of the images that the absolute lengths of `tpu` are meant for; they are scaled to other sizes."""
CUTOUT_COLOR = (125.0, 123.0, 114.0)
"""Color of a cut-out square, about ImageNet's mean."""


@dataclass(frozen=True)
class RandAugment:
    """Applies random operations to each image, one after the other.

    There are two published sets. `paper` has the paper's 14, whose strength grows with the magnitude. `tpu` has the 16
    of EfficientNet's own code, which the package pytorch-randaugment follows, and with it iloveslowfood: `invert`,
    `solarize_add` and `cutout` in place of `identity`; posterizing and solarizing are the stronger the lower the
    magnitude, and factors of color, contrast, brightness and sharpness rise from 0.1 to 1.9 with it.

    Attributes:
        operations: Number of operations per image, 1 to 14.
        magnitude: Their magnitude, 0 to 30.
        operation_set: `paper` or `tpu`.
    """

    operations: int = 2
    magnitude: float = 9
    operation_set: OperationSet = "paper"

    def __post_init__(self) -> None:
        if not (isinstance(self.operations, int) and 1 <= self.operations <= len(OPERATIONS)):
            raise ValueError(f"operations must be an integer in 1 to {len(OPERATIONS)}, got {self.operations}")
        if not 0 <= self.magnitude <= MAX_MAGNITUDE:
            raise ValueError(f"magnitude must be in 0 to {MAX_MAGNITUDE}, got {self.magnitude}")
        if self.operation_set not in OPERATION_SETS:
            raise ValueError(f"operation_set must be one of {', '.join(OPERATION_SETS)}, got {self.operation_set}")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the operations, in the order of their indices."""
        return OPERATION_SETS[self.operation_set]

    def __call__(self, images: Tensor) -> Tensor:
        """Augments images (batch, 3, height, width; float32 in 0 to 255), in place."""
        for _ in range(self.operations):
            choice = torch.randint(len(self.names), (len(images),))
            sign = torch.where(uniform(len(images)) < 0.5, -1.0, 1.0)
            images = self.apply(images, choice, sign)
        return images

    def apply(self, images: Tensor, choice: Tensor, sign: Tensor) -> Tensor:
        """Applies one operation to each image.

        Args:
            images: (batch, 3, height, width; float32 in 0 to 255), changed in place.
            choice: (batch,) indices into `names`, on the CPU.
            sign: (batch,) of -1 and 1, on the CPU: direction of operations that have two.

        Returns:
            The images.
        """
        strength, tpu = self.magnitude / MAX_MAGNITUDE, self.operation_set == "tpu"
        index = {name: number for number, name in enumerate(self.names)}
        geometric = (choice >= index[GEOMETRIC[0]]) & (choice <= index[GEOMETRIC[-1]])
        kinds, amounts = choice[geometric] - index[GEOMETRIC[0]], sign[geometric] * strength
        shift = 100 / TPU_SIDE if tpu else 150 / 331
        images = apply_to_subset(images, geometric, lambda some: _transform(some, kinds, amounts, shift))
        for name, adjust in WITH_FACTOR.items():
            selected = choice == index[name]
            factor = torch.full((int(selected.sum()),), 0.1 + 1.8 * strength)
            factor = factor if tpu else 1 + 0.9 * strength * sign[selected]
            images = apply_to_subset(images, selected, _with_factor(adjust, factor))
        bits, threshold = 8 - round(4 * strength), 255 * (1 - strength)
        if tpu:
            bits, threshold = int(4 * strength), 256 * strength
        images = apply_to_subset(images, choice == index["posterize"], lambda some: posterize(some, bits))
        images = apply_to_subset(images, choice == index["solarize"], lambda some: solarize(some, threshold))
        images = apply_to_subset(images, choice == index["autocontrast"], autocontrast)
        images = apply_to_subset(images, choice == index["equalize"], equalize)
        return self._apply_extra(images, choice, index, strength) if tpu else images

    def _apply_extra(self, images: Tensor, choice: Tensor, index: dict[str, int], strength: float) -> Tensor:
        """Applies the operations that only `tpu` has."""
        images = apply_to_subset(images, choice == index["invert"], lambda some: 255 - some)
        images = apply_to_subset(
            images, choice == index["solarize_add"], lambda some: solarize((some + 110 * strength).clamp_(0, 255), 128)
        )
        selected = choice == index["cutout"]
        # Drawn for every image: what one image gets does not depend on the operations of the others.
        center = torch.stack([uniform(len(images)), uniform(len(images))], dim=1)[selected]
        return apply_to_subset(images, selected, lambda some: _cut_out(some, center, 40 / TPU_SIDE * strength))


def _with_factor(adjust: Callable[[Tensor, Tensor], Tensor], factor: Tensor) -> Step:
    return lambda images: adjust(images, factor)


def _cut_out(images: Tensor, center: Tensor, side: float) -> Tensor:
    """Fills a square about a center (batch, 2; x and y in 0 to 1) whose side is a fraction of the width."""
    height, width = images.shape[2:]
    half = side * width / 2
    columns, rows = torch.arange(width).view(1, 1, -1), torch.arange(height).view(1, -1, 1)
    x, y = (center[:, axis, None, None] * length for axis, length in ((0, width), (1, height)))
    inside = ((columns - x).abs() <= half) & ((rows - y).abs() <= half)
    color = torch.tensor(CUTOUT_COLOR, dtype=images.dtype, device=images.device).view(1, 3, 1, 1)
    return torch.where(inside.to(images.device, non_blocking=True)[:, None], color, images)


def _transform(images: Tensor, kinds: Tensor, amounts: Tensor, shift: float) -> Tensor:
    """Shears, shifts or rotates each image by its kind, an index into `GEOMETRIC`, and amount, -1 to 1 of the limit.

    `shift` is the limit of shifts, as a fraction of the side.
    """
    height, width = images.shape[2:]
    aspect = width / height
    limits = {"shear_x": 0.3, "shear_y": 0.3, "translate_x": shift, "translate_y": shift, "rotate": math.pi / 6}
    shear_x, shear_y, shift_x, shift_y, angle = (
        torch.where(kinds == number, amounts * limits[name], 0.0) for number, name in enumerate(GEOMETRIC)
    )
    # In half widths and half heights: slopes between the axes depend on the aspect ratio.
    rows = [
        torch.stack([angle.cos(), (shear_x - angle.sin()) / aspect, 2 * shift_x], dim=1),
        torch.stack([(shear_y + angle.sin()) * aspect, angle.cos(), 2 * shift_y], dim=1),
    ]
    return warp(images, torch.stack(rows, dim=1), (height, width))
