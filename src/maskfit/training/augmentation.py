"""Augmentation: batches of stored photos become batches of the network's size, each photo changed in its own way.

All of it runs on the device the photos are on, in one resampling step and a few multiplications. Validation never comes
here: it reads the evaluation transform's own pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

Range = tuple[float, float]


def _draw(count: int, low: float, high: float, device: torch.device) -> Tensor:
    return torch.empty(count, device=device).uniform_(low, high)


@dataclass(frozen=True)
class Augmentation:
    """Random crop, flip, turn and light.

    Args:
        size: (height, width) of the result.
        area: Share of the photo's area that a crop holds, drawn evenly.
        ratio: How much wider or narrower a crop may be than the result's format; its logarithm is drawn evenly.
        flip: Chance of a mirrored photo.
        turn: Largest turn in degrees.
        brightness: Largest change, as a factor 1 +- this.
        contrast: The same, about the photo's own mean.
        saturation: The same, about each pixel's own grey.
    """

    size: tuple[int, int]
    area: Range = (1.0, 1.0)
    ratio: Range = (1.0, 1.0)
    flip: float = 0.5
    turn: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0

    def __post_init__(self) -> None:
        if len(self.area) != 2 or not 0 < self.area[0] <= self.area[1] <= 1:
            raise ValueError(f"area={self.area} must be two rising numbers in (0, 1]")
        if len(self.ratio) != 2 or not 0 < self.ratio[0] <= self.ratio[1] < math.inf:
            raise ValueError(f"ratio={self.ratio} must be two rising numbers above 0")
        if not 0 <= self.turn <= 180:
            raise ValueError(f"turn={self.turn} must lie in 0 to 180 degrees")
        for name in ("flip", "brightness", "contrast", "saturation"):
            # A factor of 1 - 1.5 would turn light into dark.
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}={getattr(self, name)} must lie in 0 to 1")

    def __call__(self, photos: Tensor) -> Tensor:
        """Photos (batch, 3, height, width; float in 0 to 255) of the stored size to the network's, in the same range.

        Draws from torch's global generator, each photo its own numbers.
        """
        return self._lit(self._framed(photos))

    def _framed(self, photos: Tensor) -> Tensor:
        count, device = len(photos), photos.device
        area = _draw(count, *self.area, device)
        stretch = _draw(count, math.log(self.ratio[0]), math.log(self.ratio[1]), device).exp().sqrt()
        # Shares of the photo's width and height; a stretched crop must still lie inside.
        wide = (area.sqrt() * stretch).clamp(max=1)
        high = (area.sqrt() / stretch).clamp(max=1)
        across = (1 - wide) * _draw(count, -1, 1, device)
        down = (1 - high) * _draw(count, -1, 1, device)
        mirrored = torch.where(torch.rand(count, device=device) < self.flip, -1.0, 1.0)
        angle = _draw(count, -self.turn, self.turn, device) * (math.pi / 180)
        # affine_grid counts in half widths and half heights: a turn must know the photo's aspect to stay a turn.
        aspect = photos.shape[3] / photos.shape[2]
        rows = [
            torch.stack([mirrored * wide * angle.cos(), -high * angle.sin() / aspect, across], dim=1),
            torch.stack([mirrored * wide * angle.sin() * aspect, high * angle.cos(), down], dim=1),
        ]
        grid = F.affine_grid(torch.stack(rows, dim=1), [count, 3, *self.size], align_corners=False)
        return F.grid_sample(photos, grid.to(photos.dtype), padding_mode="reflection", align_corners=False)

    def _lit(self, photos: Tensor) -> Tensor:
        def factor(most: float) -> Tensor:
            return 1 + _draw(len(photos), -most, most, photos.device).to(photos.dtype).view(-1, 1, 1, 1)

        if self.saturation:
            grey = photos.mean(dim=1, keepdim=True)
            photos = grey + (photos - grey) * factor(self.saturation)
        if self.contrast:
            mean = photos.mean(dim=(1, 2, 3), keepdim=True)
            photos = mean + (photos - mean) * factor(self.contrast)
        if self.brightness:
            photos = photos * factor(self.brightness)
        return photos.clamp(0, 255) if self.saturation or self.contrast or self.brightness else photos


def none(size: tuple[int, int]) -> Augmentation:
    """The whole stored photo, unchanged."""
    return Augmentation(size, flip=0.0)


def base(size: tuple[int, int], area: Range = (0.08, 1.0), ratio: Range = (3 / 4, 4 / 3)) -> Augmentation:
    """Seed s1's `base`: a random resized crop with torchvision's default ranges, and nothing else.

    Its 384-pixel centre crop is the recipe's `data.crop`, so that validation and prediction have it too.
    """
    return Augmentation(size, area=area, ratio=ratio, flip=0.0)


def light(
    size: tuple[int, int],
    area: Range = (0.8, 1.0),
    turn: float = 5.0,
    brightness: float = 0.2,
    contrast: float = 0.2,
    saturation: float = 0.1,
) -> Augmentation:
    """A little of everything that leaves a face a face: crop, flip, small turn, a bit of light and colour."""
    return Augmentation(
        size, area, (0.95, 1.05), turn=turn, brightness=brightness, contrast=contrast, saturation=saturation
    )


AUGMENTATIONS: dict[str, Callable[..., Augmentation]] = {
    "none": none,
    "base": base,
    "light": light,
}
