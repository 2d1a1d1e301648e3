"""The bundled detector's network: residual blocks at strides 8, 16 and 32, joined from coarse to fine; no anchors."""

from __future__ import annotations

import torch
from torch import Tensor, nn

STRIDES = (8, 16, 32)
"""Pixels per cell of the three output maps."""

CHANNELS = (16, 32, 48, 64, 96)
"""Width after each halving of the image."""

JOINED = 48
"""Width of the maps that the heads see."""

OUTPUTS = 15
"""Score, left, upper, right and lower distance, and five landmarks of a cell."""


def conv(source: int, target: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Returns a convolution with normalization and activation."""
    return nn.Sequential(
        nn.Conv2d(source, target, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(target),
        nn.ReLU(inplace=True),
    )


def separable(source: int, target: int, stride: int = 1) -> nn.Sequential:
    """Returns a depthwise convolution and one across channels."""
    return nn.Sequential(conv(source, source, 3, stride, source), conv(source, target, 1))


class Residual(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = conv(width, width)
        self.second = nn.Sequential(nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))
        nn.init.zeros_(self.second[1].weight)

    def forward(self, features: Tensor) -> Tensor:
        """Returns features of the same shape."""
        return torch.relu(features + self.second(self.first(features)))


class FaceNetwork(nn.Module):
    """Maps RGB pixels to one output map for each stride.

    Input: (photos, height, width, 3), 0 to 255, height and width multiples of 32. Outputs: (photos, 15, height /
    stride, width / stride): the score's logit; logarithms of the distances from the cell's center to the box's four
    sides, in strides; landmarks relative to the cell's center, in strides.
    """

    def __init__(self) -> None:
        super().__init__()
        c2, c4, c8, c16, c32 = CHANNELS
        self.stem = nn.Sequential(conv(3, c2, 3, 2), separable(c2, c4, 2), separable(c4, c8, 2), Residual(c8))
        self.down16 = nn.Sequential(conv(c8, c16, 3, 2), Residual(c16))
        self.down32 = nn.Sequential(conv(c16, c32, 3, 2), Residual(c32), Residual(c32))
        self.joins = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, JOINED, 1, bias=False), nn.BatchNorm2d(JOINED)) for width in (c8, c16, c32)
        )
        self.towers = nn.ModuleList(separable(JOINED, JOINED) for _ in STRIDES)
        self.heads = nn.ModuleList(nn.Conv2d(JOINED, OUTPUTS, 1) for _ in STRIDES)
        for head in self.heads:
            nn.init.normal_(head.weight, std=0.01)
            nn.init.zeros_(head.bias)
            with torch.no_grad():
                head.bias[0] = -4.5
                head.bias[1:5] = 0.7

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Returns the output maps by rising stride."""
        image = (pixels.float().permute(0, 3, 1, 2) - 120) / 64
        fine = self.stem(image)
        middle = self.down16(fine)
        coarse = self.down32(middle)
        above: Tensor | None = None
        maps = []
        for level, features in reversed(list(enumerate((fine, middle, coarse)))):
            joined = self.joins[level](features)
            if above is not None:
                joined = joined + nn.functional.interpolate(above, scale_factor=2.0, mode="nearest")
            above = self.towers[level](torch.relu(joined))
            maps.append(self.heads[level](above))
        return tuple(reversed(maps))


def cell_centers(shapes: list[tuple[int, int]]) -> tuple[Tensor, Tensor]:
    """Returns the center of every cell in pixels, (cells, 2), and its stride, (cells,)."""
    centers, strides = [], []
    for (height, width), stride in zip(shapes, STRIDES, strict=True):
        y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        centers.append((torch.stack([x, y], -1).reshape(-1, 2) + 0.5) * stride)
        strides.append(torch.full((height * width,), float(stride)))
    return torch.cat(centers), torch.cat(strides)


def decode(maps: tuple[Tensor, ...]) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Returns logits (photos, cells), boxes (…, 4) and landmarks (…, 10) in pixels, and `cell_centers`."""
    centers, strides = cell_centers([tuple(item.shape[2:]) for item in maps])
    values = torch.cat([item.flatten(2).transpose(1, 2) for item in maps], 1)
    sides = values[..., 1:5].clamp(-4, 4).exp() * strides[:, None]
    boxes = torch.cat([centers - sides[..., :2], centers + sides[..., 2:]], -1)
    marks = values[..., 5:] * strides[:, None] + centers.repeat(1, 5)
    return values[..., 0], boxes, marks, centers, strides
