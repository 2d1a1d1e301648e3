"""Windows: which part of a stored photo a training crop shows, how large, turned and mirrored; one resampling step."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from maskfit.training.augment.parameter_checks import Range, check_range, check_share
from maskfit.training.augment.random_apply import apply_to_subset
from maskfit.training.seeding import uniform


@dataclass(frozen=True)
class RandomAffineCrop:
    """Random crop, move, zoom, flip and turn.

    Args:
        size: (height, width) of the result.
        area: Share of the photo's area that a crop holds, drawn evenly.
        ratio: How much wider or narrower a crop may be than the result's format; its logarithm is drawn evenly.
        flip: Chance of a mirrored photo.
        turn: Largest turn in degrees.
        shift: Largest move of the window to each side, in shares of the photo's width and height. What it then shows
            beyond the photo is the photo mirrored at its edge.
        zoom: How much larger, or below 1 smaller, the face gets, drawn evenly; beyond the edge as with `shift`.
    """

    size: tuple[int, int]
    area: Range = (1.0, 1.0)
    ratio: Range = (1.0, 1.0)
    flip: float = 0.5
    turn: float = 0.0
    shift: float = 0.0
    zoom: Range = (1.0, 1.0)

    def __post_init__(self) -> None:
        check_range("area", self.area, 0, 1, above=True)
        check_range("ratio", self.ratio, 0, math.inf, above=True)
        check_range("zoom", self.zoom, 0.1, 10)
        check_share(flip=self.flip, shift=self.shift)
        if not 0 <= self.turn <= 180:
            raise ValueError(f"turn={self.turn} must lie in 0 to 180 degrees")

    def __call__(self, photos: Tensor) -> Tensor:
        """Photos (batch, 3, height, width; float32) of the stored size as new ones of the network's size."""
        count = len(photos)
        area = uniform(count, *self.area)
        stretch = uniform(count, math.log(self.ratio[0]), math.log(self.ratio[1])).exp().sqrt()
        # Shares of the photo's width and height; a stretched crop must still lie inside.
        wide = (area.sqrt() * stretch).clamp(max=1)
        high = (area.sqrt() / stretch).clamp(max=1)
        # In half widths and half heights from the middle, as affine_grid counts.
        across = (1 - wide) * uniform(count, -1, 1) + 2 * uniform(count, -self.shift, self.shift)
        down = (1 - high) * uniform(count, -1, 1) + 2 * uniform(count, -self.shift, self.shift)
        zoom = uniform(count, *self.zoom)
        wide, high = wide / zoom, high / zoom
        flipped = uniform(count) < self.flip
        mirrored = torch.where(flipped, -1.0, 1.0)
        angle = uniform(count, -self.turn, self.turn) * (math.pi / 180)
        if self._is_whole and photos.shape[2:] == torch.Size(self.size):
            # To the pixel, and without looking for each one where it comes from.
            return apply_to_subset(photos.clone(), flipped, lambda some: some.flip(3))
        # A turn must know the photo's aspect to stay a turn.
        aspect = photos.shape[3] / photos.shape[2]
        rows = [
            torch.stack([mirrored * wide * angle.cos(), -high * angle.sin() / aspect, across], dim=1),
            torch.stack([mirrored * wide * angle.sin() * aspect, high * angle.cos(), down], dim=1),
        ]
        return warp(photos, torch.stack(rows, dim=1), self.size)

    @property
    def _is_whole(self) -> bool:
        """Whether it shows the whole photo upright, mirrored or not."""
        return (self.area, self.ratio, self.zoom, self.turn, self.shift) == ((1, 1), (1, 1), (1, 1), 0, 0)


def warp(photos: Tensor, matrices: Tensor, size: tuple[int, int]) -> Tensor:
    """New photos (batch, 3, *size) whose pixels are taken from where `matrices` say.

    Args:
        photos: (batch, 3, height, width; float32).
        matrices: (batch, 2, 3), on the host: from a place in the result to one in the photo, (x, y) with -1 and 1 at
            the outer edges. Beyond the edge lies the photo's mirror image.
        size: (height, width).
    """
    matrices = matrices.to(photos.device, non_blocking=True)
    grid = F.affine_grid(matrices, [len(photos), 3, *size], align_corners=False)
    return F.grid_sample(photos, grid, padding_mode="reflection", align_corners=False)
