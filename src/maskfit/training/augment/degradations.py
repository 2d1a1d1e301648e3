"""Damage: what cameras and programs do (blur, noise, few pixels, JPEG), and holes that hide a part of a face."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from maskfit.training.augment.parameter_checks import Range, check_range
from maskfit.training.augment.random_apply import apply_to_subset
from maskfit.training.seeding import uniform


@dataclass(frozen=True)
class Blur:
    """Gaussian blur, the photo mirrored at its edge.

    Args:
        sigma: Range of the deviation in pixels of the result, drawn evenly; 0.1 to 20.
    """

    sigma: Range

    def __post_init__(self) -> None:
        check_range("blur", self.sigma, 0.1, 20)

    def __call__(self, photos: Tensor) -> Tensor:
        return blur(photos, uniform(len(photos), *self.sigma), math.ceil(3 * self.sigma[1]))


def blur(photos: Tensor, sigma: Tensor, radius: int) -> Tensor:
    """Photos (batch, 3, height, width) blurred, each with its own `sigma` (batch,), by kernels of 2 * radius + 1."""
    count, channels, height, width = photos.shape
    for axis, side in ((2, height), (3, width)):
        # A mirror is never wider than what it mirrors.
        reach = min(radius, side - 1)
        steps = torch.arange(-reach, reach + 1, dtype=torch.float32)
        kernels = torch.exp(-0.5 * (steps / sigma.view(-1, 1)).square())
        kernels = (kernels / kernels.sum(dim=1, keepdim=True)).repeat_interleave(channels, dim=0)
        kernels = kernels.to(photos.device, non_blocking=True)
        shape, pad = (
            ((-1, 1, 2 * reach + 1, 1), (0, 0, reach, reach))
            if axis == 2
            else ((-1, 1, 1, 2 * reach + 1), (reach, reach, 0, 0))
        )
        rows = F.pad(photos, pad, mode="reflect").view(1, count * channels, *_padded(height, width, pad))
        photos = F.conv2d(rows, kernels.view(shape), groups=count * channels).view(count, channels, height, width)
    return photos


def _padded(height: int, width: int, pad: tuple[int, ...]) -> tuple[int, int]:
    return height + pad[2] + pad[3], width + pad[0] + pad[1]


@dataclass(frozen=True)
class Noise:
    """Gaussian noise on every channel of every pixel.

    Args:
        deviation: Range of its standard deviation in levels of 255, drawn evenly for each photo.
    """

    deviation: Range

    def __post_init__(self) -> None:
        check_range("noise", self.deviation, 0, 255)

    def __call__(self, photos: Tensor) -> Tensor:
        deviation = uniform(len(photos), *self.deviation).to(photos.device, non_blocking=True).view(-1, 1, 1, 1)
        return photos.add_(torch.randn_like(photos).mul_(deviation)).clamp_(0, 255)


@dataclass(frozen=True)
class Downscale:
    """What a face far away loses: shrunk by a mean over the pixels, and enlarged again.

    Args:
        share: Range of what remains of each side, 0.05 to 1; four steps of it, drawn evenly for each photo.
    """

    share: Range

    def __post_init__(self) -> None:
        check_range("coarse", self.share, 0.05, 1)

    def __call__(self, photos: Tensor) -> Tensor:
        steps = torch.linspace(*self.share, 4)
        drawn = torch.randint(len(steps), (len(photos),))
        for number, share in enumerate(steps.tolist()):
            photos = apply_to_subset(photos, drawn == number, partial(downscale, share=share))
        return photos


def downscale(photos: Tensor, share: float) -> Tensor:
    """Photos (batch, 3, height, width) with what is left of them at `share` of each side."""
    height, width = photos.shape[2:]
    small = (max(round(height * share), 1), max(round(width * share), 1))
    return F.interpolate(F.interpolate(photos, small, mode="area"), (height, width), mode="bilinear")


@dataclass(frozen=True)
class CoarseDropout:
    """Black rectangles anywhere in the photo, clipped at its edge (DeVries and Taylor 2017: cut-out).

    Args:
        most: The most holes a photo gets; how many, 1 to this, is drawn evenly.
        side: Range of a hole's height and width as shares of the photo's, each drawn evenly.
    """

    most: int
    side: Range

    def __post_init__(self) -> None:
        if not (isinstance(self.most, int) and 1 <= self.most <= 64):
            raise ValueError(f"holes={self.most} must be a whole number from 1 to 64")
        check_range("hole", self.side, 0, 1)

    def __call__(self, photos: Tensor) -> Tensor:
        count, _, height, width = photos.shape
        used = torch.arange(self.most) < torch.randint(1, self.most + 1, (count, 1))
        down = self._spans(count, height) * used[:, :, None]
        across = self._spans(count, width)
        down, across = (spans.to(photos.device, non_blocking=True) for spans in (down, across))
        # A pixel is hidden where a hole covers its row and its column.
        hidden = torch.bmm(down.transpose(1, 2), across) > 0
        return photos.masked_fill_(hidden[:, None], 0.0)

    def _spans(self, count: int, side: int) -> Tensor:
        """For each photo and hole which of `side` pixels it covers, (count, most, side) of 0 and 1."""
        shape = (count, self.most, 1)
        half = uniform(count * self.most, *self.side).view(shape) * side / 2
        middle = uniform(count * self.most, 0, side).view(shape)
        return ((torch.arange(side) + 0.5 - middle).abs() <= half).float()


_LUMA = (
    16,
    11,
    10,
    16,
    24,
    40,
    51,
    61,
    12,
    12,
    14,
    19,
    26,
    58,
    60,
    55,
    14,
    13,
    16,
    24,
    40,
    57,
    69,
    56,
    14,
    17,
    22,
    29,
    51,
    87,
    80,
    62,
    18,
    22,
    37,
    56,
    68,
    109,
    103,
    77,
    24,
    35,
    55,
    64,
    81,
    104,
    113,
    92,
    49,
    64,
    78,
    87,
    103,
    121,
    120,
    101,
    72,
    92,
    95,
    98,
    112,
    100,
    103,
    99,
)
_CHROMA = (
    17,
    18,
    24,
    47,
    99,
    99,
    99,
    99,
    18,
    21,
    26,
    66,
    99,
    99,
    99,
    99,
    24,
    26,
    56,
    99,
    99,
    99,
    99,
    99,
    47,
    66,
    99,
    99,
    99,
    99,
    99,
    99,
    *(99,) * 32,
)
_TO_YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))


@dataclass(frozen=True)
class Jpeg:
    """What saving as JPEG loses: rounded cosines of blocks of 8 x 8, colour at full resolution (ITU-T T.81).

    Args:
        quality: Range of the quality as cameras and libjpeg count it, drawn evenly; 5 to 100.
    """

    quality: Range

    def __post_init__(self) -> None:
        check_range("quality", self.quality, 5, 100)

    def __call__(self, photos: Tensor) -> Tensor:
        return jpeg_compress(photos, uniform(len(photos), *self.quality))


def jpeg_compress(photos: Tensor, quality: Tensor) -> Tensor:
    """Photos (batch, 3, height, width; 0 to 255) as they come back from JPEGs of each one's `quality` (batch,)."""
    count, _, height, width = photos.shape
    to_ycc = torch.tensor(_TO_YCC)
    # Inverted on the host: a GPU would be waited for, to hear that it could.
    to_rgb = torch.linalg.inv(to_ycc)
    tables = torch.tensor([_LUMA, _CHROMA, _CHROMA], dtype=torch.float32)
    scale = torch.where(quality < 50, 50 / quality, 2 - quality / 50)
    to_ycc, to_rgb, tables, scale, cosines = (
        item.to(photos.device, non_blocking=True) for item in (to_ycc, to_rgb, tables, scale, _cosines())
    )
    tables = (tables * scale.view(-1, 1, 1)).round().clamp(1, 255).view(count, 3, 1, 8, 1, 8)
    planes = F.pad(photos, (0, -width % 8, 0, -height % 8), mode="replicate")
    planes = torch.einsum("dc,nchw->ndhw", to_ycc, planes)
    planes[:, 0] -= 128
    blocks = planes.view(count, 3, planes.shape[2] // 8, 8, planes.shape[3] // 8, 8)
    waves = torch.einsum("ui,ncaibj,vj->ncaubv", cosines, blocks, cosines)
    waves = waves.div_(tables).round_().mul_(tables)
    blocks = torch.einsum("ui,ncaubv,vj->ncaibj", cosines, waves, cosines)
    planes = blocks.reshape(planes.shape)[:, :, :height, :width]
    planes[:, 0] += 128
    return torch.einsum("dc,nchw->ndhw", to_rgb, planes).clamp_(0, 255)


def _cosines() -> Tensor:
    """The orthonormal cosine transform of 8 numbers, (8 waves, 8 places)."""
    waves, places = torch.arange(8.0).view(8, 1), torch.arange(8.0)
    matrix = 0.5 * torch.cos((2 * places + 1) * waves * math.pi / 16)
    matrix[0] /= math.sqrt(2)
    return matrix
