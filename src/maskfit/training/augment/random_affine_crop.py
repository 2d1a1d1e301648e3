"""Random crop, shift, zoom, flip and rotation of training images, in one resampling step."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from maskfit.training.augment.parameter_checks import Range, check_fraction, check_range
from maskfit.training.augment.random_apply import apply_to_subset
from maskfit.training.seeding import uniform


@dataclass(frozen=True)
class RandomAffineCrop:
    """Random crop, shift, zoom, flip and rotation.

    Attributes:
        size: (height, width) of the result.
        area: Range of the crop's fraction of the image area, drawn uniformly, in (0, 1].
        ratio: Range of the crop's aspect ratio relative to the result's, drawn uniformly in its logarithm, > 0.
        flip: Probability of a horizontal flip, 0 to 1.
        degrees: Largest rotation in degrees, 0 to 180.
        shift: Largest shift to each side as a fraction of width and height, 0 to 1. Beyond the image's border lies its
            mirror image.
        zoom: Range of the magnification, drawn uniformly, 0.1 to 10; below 1, the mirror image fills the border.
    """

    size: tuple[int, int]
    area: Range = (1.0, 1.0)
    ratio: Range = (1.0, 1.0)
    flip: float = 0.5
    degrees: float = 0.0
    shift: float = 0.0
    zoom: Range = (1.0, 1.0)

    def __post_init__(self) -> None:
        check_range("area", self.area, 0, 1, exclusive=True)
        check_range("ratio", self.ratio, 0, math.inf, exclusive=True)
        check_range("zoom", self.zoom, 0.1, 10)
        check_fraction(flip=self.flip, shift=self.shift)
        if not 0 <= self.degrees <= 180:
            raise ValueError(f"degrees must be in 0 to 180, got {self.degrees}")

    def __call__(self, images: Tensor) -> Tensor:
        """Augments a batch.

        Args:
            images: (batch, 3, height, width; float32), not changed.

        Returns:
            New images, (batch, 3, *size).
        """
        count = len(images)
        area = uniform(count, *self.area)
        stretch = uniform(count, math.log(self.ratio[0]), math.log(self.ratio[1])).exp().sqrt()
        # Fractions of the image's width and height; a stretched crop must still lie inside.
        width = (area.sqrt() * stretch).clamp(max=1)
        height = (area.sqrt() / stretch).clamp(max=1)
        # In half widths and half heights from the center, the coordinates of affine_grid.
        x = (1 - width) * uniform(count, -1, 1) + 2 * uniform(count, -self.shift, self.shift)
        y = (1 - height) * uniform(count, -1, 1) + 2 * uniform(count, -self.shift, self.shift)
        zoom = uniform(count, *self.zoom)
        width, height = width / zoom, height / zoom
        flipped = uniform(count) < self.flip
        sign = torch.where(flipped, -1.0, 1.0)
        angle = uniform(count, -self.degrees, self.degrees) * (math.pi / 180)
        if self._is_flip_only and images.shape[2:] == torch.Size(self.size):
            # Exact and without resampling.
            return apply_to_subset(images.clone(), flipped, lambda some: some.flip(3))
        # The aspect ratio turns a rotation in pixels into these coordinates.
        aspect = images.shape[3] / images.shape[2]
        rows = [
            torch.stack([sign * width * angle.cos(), -height * angle.sin() / aspect, x], dim=1),
            torch.stack([sign * width * angle.sin() * aspect, height * angle.cos(), y], dim=1),
        ]
        return warp(images, torch.stack(rows, dim=1), self.size)

    @property
    def _is_flip_only(self) -> bool:
        """Whether the result is the whole image upright, flipped or not."""
        return (self.area, self.ratio, self.zoom, self.degrees, self.shift) == ((1, 1), (1, 1), (1, 1), 0, 0)


def warp(images: Tensor, matrices: Tensor, size: tuple[int, int]) -> Tensor:
    """Resamples images bilinearly by affine maps.

    Args:
        images: (batch, 3, height, width; float32 in 0 to 255).
        matrices: (batch, 2, 3), on the CPU: maps positions in the result to positions in the image, (x, y) with -1 and
            1 at the outer edges. Beyond the border lies the image's mirror image.
        size: (height, width) of the result.

    Returns:
        New images, (batch, 3, *size).
    """
    matrices = matrices.to(images.device, non_blocking=True)
    grid = F.affine_grid(matrices, [len(images), 3, *size], align_corners=False)
    # Bilinear weights sum to 1 up to rounding, which can exceed 255 by 1e-5.
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False).clamp_(0, 255)
