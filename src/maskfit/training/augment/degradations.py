"""Image degradations: blur, noise, low resolution, JPEG compression, and dropout of rectangles."""

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
    """Gaussian blur with mirrored borders.

    Attributes:
        sigma: Range of the standard deviation in pixels of the result, drawn uniformly, 0.1 to 20.
    """

    sigma: Range

    def __post_init__(self) -> None:
        check_range("blur", self.sigma, 0.1, 20)

    def __call__(self, images: Tensor) -> Tensor:
        """Augments images (batch, 3, height, width; float32 in 0 to 255)."""
        return blur(images, uniform(len(images), *self.sigma), math.ceil(3 * self.sigma[1]))


def blur(images: Tensor, sigma: Tensor, radius: int) -> Tensor:
    """Blurs each image with its own standard deviation.

    Args:
        images: (batch, 3, height, width).
        sigma: Standard deviations in pixels, (batch,).
        radius: The kernels have 2 * radius + 1 pixels.

    Returns:
        New images.
    """
    count, channels, height, width = images.shape
    for axis, side in ((2, height), (3, width)):
        # Reflection padding must be smaller than the side.
        half = min(radius, side - 1)
        steps = torch.arange(-half, half + 1, dtype=torch.float32)
        kernels = torch.exp(-0.5 * (steps / sigma.view(-1, 1)).square())
        kernels = (kernels / kernels.sum(dim=1, keepdim=True)).repeat_interleave(channels, dim=0)
        kernels = kernels.to(images.device, non_blocking=True)
        shape, pad = (
            ((-1, 1, 2 * half + 1, 1), (0, 0, half, half))
            if axis == 2
            else ((-1, 1, 1, 2 * half + 1), (half, half, 0, 0))
        )
        rows = F.pad(images, pad, mode="reflect").view(1, count * channels, *_padded(height, width, pad))
        images = F.conv2d(rows, kernels.view(shape), groups=count * channels).view(count, channels, height, width)
    return images


def _padded(height: int, width: int, pad: tuple[int, ...]) -> tuple[int, int]:
    return height + pad[2] + pad[3], width + pad[0] + pad[1]


@dataclass(frozen=True)
class Noise:
    """Gaussian noise on every channel of every pixel.

    Attributes:
        std: Range of the standard deviation in levels of 255, drawn uniformly for each image, 0 to 255.
    """

    std: Range

    def __post_init__(self) -> None:
        check_range("noise", self.std, 0, 255)

    def __call__(self, images: Tensor) -> Tensor:
        """Augments images (batch, 3, height, width; float32 in 0 to 255)."""
        std = uniform(len(images), *self.std).to(images.device, non_blocking=True).view(-1, 1, 1, 1)
        return images.add_(torch.randn_like(images).mul_(std)).clamp_(0, 255)


@dataclass(frozen=True)
class Downscale:
    """Loss of resolution: area-averaging to a smaller size and bilinear enlargement, as of a distant face.

    Attributes:
        scale: Range of the remaining fraction of each side, 0.05 to 1; four values of it are drawn with equal
            probability.
    """

    scale: Range

    def __post_init__(self) -> None:
        check_range("downscale", self.scale, 0.05, 1)

    def __call__(self, images: Tensor) -> Tensor:
        """Augments images (batch, 3, height, width; float32 in 0 to 255)."""
        steps = torch.linspace(*self.scale, 4)
        drawn = torch.randint(len(steps), (len(images),))
        for number, scale in enumerate(steps.tolist()):
            images = apply_to_subset(images, drawn == number, partial(downscale, scale=scale))
        return images


def downscale(images: Tensor, scale: float) -> Tensor:
    """Reduces the resolution of images and enlarges them to their size again.

    Args:
        images: (batch, 3, height, width).
        scale: Remaining fraction of each side, in (0, 1].

    Returns:
        New images of the same size.
    """
    height, width = images.shape[2:]
    small = (max(round(height * scale), 1), max(round(width * scale), 1))
    return F.interpolate(F.interpolate(images, small, mode="area"), (height, width), mode="bilinear")


@dataclass(frozen=True)
class CoarseDropout:
    """Sets rectangles anywhere in the image to black, clipped at the border (Cutout, arXiv:1708.04552).

    Attributes:
        max_holes: Largest number of holes per image, 1 to 64; the number is drawn uniformly from 1 to it.
        side: Range of a hole's height and width as fractions of the image's, each drawn uniformly, 0 to 1.
    """

    max_holes: int
    side: Range

    def __post_init__(self) -> None:
        if not (isinstance(self.max_holes, int) and 1 <= self.max_holes <= 64):
            raise ValueError(f"holes must be an integer in 1 to 64, got {self.max_holes}")
        check_range("hole", self.side, 0, 1)

    def __call__(self, images: Tensor) -> Tensor:
        """Augments images (batch, 3, height, width; float32 in 0 to 255)."""
        count, _, height, width = images.shape
        active = torch.arange(self.max_holes) < torch.randint(1, self.max_holes + 1, (count, 1))
        rows = self._spans(count, height) * active[:, :, None]
        columns = self._spans(count, width)
        rows, columns = (spans.to(images.device, non_blocking=True) for spans in (rows, columns))
        # A pixel is dropped where a hole covers its row and its column.
        dropped = torch.bmm(rows.transpose(1, 2), columns) > 0
        return images.masked_fill_(dropped[:, None], 0.0)

    def _spans(self, count: int, side: int) -> Tensor:
        """Mask of the pixels of a side that each hole covers, (count, max_holes, side) of 0 and 1."""
        shape = (count, self.max_holes, 1)
        half_length = uniform(count * self.max_holes, *self.side).view(shape) * side / 2
        center = uniform(count * self.max_holes, 0, side).view(shape)
        return ((torch.arange(side) + 0.5 - center).abs() <= half_length).float()


# The example quantization tables of the JPEG standard (ITU-T T.81, annex K), by rows.
# fmt: off
_LUMA = (
    16, 11, 10, 16, 24, 40, 51, 61,
    12, 12, 14, 19, 26, 58, 60, 55,
    14, 13, 16, 24, 40, 57, 69, 56,
    14, 17, 22, 29, 51, 87, 80, 62,
    18, 22, 37, 56, 68, 109, 103, 77,
    24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101,
    72, 92, 95, 98, 112, 100, 103, 99,
)
_CHROMA = (
    17, 18, 24, 47, 99, 99, 99, 99,
    18, 21, 26, 66, 99, 99, 99, 99,
    24, 26, 56, 99, 99, 99, 99, 99,
    47, 66, 99, 99, 99, 99, 99, 99,
    *(99,) * 32,
)
# fmt: on
_TO_YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))


@dataclass(frozen=True)
class Jpeg:
    """JPEG compression: quantized cosines of 8 x 8 blocks, without chroma subsampling (ITU-T T.81).

    Attributes:
        quality: Range of the quality as in libjpeg, drawn uniformly, 5 to 100.
    """

    quality: Range

    def __post_init__(self) -> None:
        check_range("quality", self.quality, 5, 100)

    def __call__(self, images: Tensor) -> Tensor:
        """Augments images (batch, 3, height, width; float32 in 0 to 255)."""
        return jpeg_compress(images, uniform(len(images), *self.quality))


def jpeg_compress(images: Tensor, quality: Tensor) -> Tensor:
    """Compresses images as JPEG and decompresses them.

    Args:
        images: (batch, 3, height, width; float in 0 to 255).
        quality: Quality of each image, (batch,).

    Returns:
        New images.
    """
    count, _, height, width = images.shape
    to_ycc = torch.tensor(_TO_YCC)
    # Inverted on the CPU: on a GPU the host would wait for the check that the matrix is invertible.
    to_rgb = torch.linalg.inv(to_ycc)
    tables = torch.tensor([_LUMA, _CHROMA, _CHROMA], dtype=torch.float32)
    scale = torch.where(quality < 50, 50 / quality, 2 - quality / 50)
    to_ycc, to_rgb, tables, scale, cosines = (
        item.to(images.device, non_blocking=True) for item in (to_ycc, to_rgb, tables, scale, _cosines())
    )
    tables = (tables * scale.view(-1, 1, 1)).round().clamp(1, 255).view(count, 3, 1, 8, 1, 8)
    planes = F.pad(images, (0, -width % 8, 0, -height % 8), mode="replicate")
    planes = torch.einsum("dc,nchw->ndhw", to_ycc, planes)
    planes[:, 0] -= 128
    blocks = planes.view(count, 3, planes.shape[2] // 8, 8, planes.shape[3] // 8, 8)
    coefficients = torch.einsum("ui,ncaibj,vj->ncaubv", cosines, blocks, cosines)
    coefficients = coefficients.div_(tables).round_().mul_(tables)
    blocks = torch.einsum("ui,ncaubv,vj->ncaibj", cosines, coefficients, cosines)
    planes = blocks.reshape(planes.shape)[:, :, :height, :width]
    planes[:, 0] += 128
    return torch.einsum("dc,nchw->ndhw", to_rgb, planes).clamp_(0, 255)


def _cosines() -> Tensor:
    """The orthonormal cosine transform of 8 numbers, (8 frequencies, 8 positions)."""
    frequencies, positions = torch.arange(8.0).view(8, 1), torch.arange(8.0)
    matrix = 0.5 * torch.cos((2 * positions + 1) * frequencies * math.pi / 16)
    matrix[0] /= math.sqrt(2)
    return matrix
