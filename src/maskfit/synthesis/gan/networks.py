"""Conditional DCGAN generator and discriminator (Radford et al. 2015, arXiv:1511.06434).

They are conditioned on each attribute separately instead of on a class index: "60 and over" is one embedding, learned
from all masks and both genders. So a class with few photos shares what was learned from many.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

SIZES: dict[int, tuple[int, int]] = {16: (4, 2), 32: (4, 3), 48: (6, 3), 64: (4, 4), 96: (6, 4), 128: (4, 5)}
"""Side of a face in pixels: side of the generator's first feature map, and the number of doublings."""

MAX_CHANNEL_FACTOR = 8
"""Maximum ratio of channels between the smallest and the largest feature map."""


def channel_counts(size: int, width: int) -> list[int]:
    """Computes the channels of the feature maps, from the smallest map to the largest, which has `width`.

    Args:
        size: Side of a face in pixels, a key of `SIZES`.
        width: Channels of the largest map.

    Returns:
        One count per doubling.
    """
    _, doublings = SIZES[size]
    return [width * min(2**index, MAX_CHANNEL_FACTOR) for index in reversed(range(doublings))]


class AttributeEmbedding(nn.Module):
    """One embedding per value of each attribute; those of a face are summed.

    Args:
        sizes: Number of values of each attribute.
        width: Dimension of the embeddings.
        use_spectral_norm: Whether to apply spectral normalization, as in a discriminator.
    """

    def __init__(self, sizes: Sequence[int], width: int, *, use_spectral_norm: bool = False) -> None:
        """Builds the tables: zeros, or orthogonal with spectral normalization."""
        super().__init__()
        # One more row than values: an unknown label has an embedding too.
        tables = [nn.Embedding(size + 1, width) for size in sizes]
        for table in tables:
            nn.init.zeros_(table.weight) if not use_spectral_norm else nn.init.orthogonal_(table.weight)
        self.rows = [size + 1 for size in sizes]
        self.tables = (
            nn.ModuleList(spectral_norm(table) for table in tables) if use_spectral_norm else nn.ModuleList(tables)
        )

    def forward(self, codes: Tensor) -> Tensor:
        """Sums the embeddings.

        Args:
            codes: Attribute indices, `UNKNOWN` where unknown, shape (batch, attributes).

        Returns:
            Shape (batch, width).
        """
        # UNKNOWN is -1: the last row.
        indices = enumerate(zip(self.tables, self.rows, strict=True))
        vectors = [table(codes[:, index] % rows) for index, (table, rows) in indices]
        return torch.stack(vectors).sum(dim=0)


class ConditionalNorm(nn.Module):
    """BatchNorm with scale and shift conditioned on the attributes (Dumoulin et al. 2017, arXiv:1610.07629).

    Args:
        channels: Number of channels.
        sizes: Number of values of each attribute.
    """

    def __init__(self, channels: int, sizes: Sequence[int]) -> None:
        """Builds the layer; arguments as for the class."""
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.tables = AttributeEmbedding(sizes, 2 * channels)

    def forward(self, maps: Tensor, codes: Tensor) -> Tensor:
        """Normalizes feature maps.

        Args:
            maps: Shape (batch, channels, height, width).
            codes: Attribute indices, shape (batch, attributes).

        Returns:
            Maps of the same shape.
        """
        scale, shift = self.tables(codes)[:, :, None, None].chunk(2, dim=1)
        result: Tensor = self.norm(maps) * (1 + scale) + shift
        return result


class Generator(nn.Module):
    """Generates faces from noise and attributes.

    Args:
        size: Side of a face in pixels, a key of `SIZES`.
        width: Channels of the largest feature map.
        latent: Dimension of the noise vector.
        sizes: Number of values of each attribute.
    """

    def __init__(self, size: int, width: int, latent: int, sizes: Sequence[int]) -> None:
        """Builds the network with DCGAN's initialization; arguments as for the class."""
        super().__init__()
        self.side = SIZES[size][0]
        channels = channel_counts(size, width)
        self.start = nn.Linear(latent, channels[0] * self.side**2, bias=False)
        self.norms = nn.ModuleList(ConditionalNorm(count, sizes) for count in channels)
        # Kernel 4 at stride 2: a kernel not divisible by the stride gives checkerboard artifacts.
        self.doublings = nn.ModuleList(
            nn.ConvTranspose2d(before, after, 4, 2, 1, bias=after == 3)
            for before, after in zip(channels, [*channels[1:], 3], strict=True)
        )
        for layer in (self.start, *self.doublings):
            nn.init.normal_(layer.weight, 0.0, 0.02)

    def forward(self, noise: Tensor, codes: Tensor) -> Tensor:
        """Generates faces.

        Args:
            noise: Shape (batch, latent).
            codes: Attribute indices, shape (batch, attributes).

        Returns:
            Faces in -1 to 1, shape (batch, 3, size, size).
        """
        maps: Tensor = self.start(noise).view(len(noise), -1, self.side, self.side)
        for norm, double in zip(self.norms, self.doublings, strict=True):
            maps = double(torch.relu(norm(maps, codes)))
        return maps.tanh()


class Discriminator(nn.Module):
    """Scores how real a face is and how well it fits its attributes.

    Projection discriminator (Miyato and Koyama 2018, arXiv:1802.05637) in which every layer has spectral normalization
    (Miyato et al. 2018, arXiv:1802.05957).

    Args:
        size: Side of a face in pixels, a key of `SIZES`.
        width: Channels of the largest feature map.
        sizes: Number of values of each attribute.
    """

    def __init__(self, size: int, width: int, sizes: Sequence[int]) -> None:
        """Builds the network; arguments as for the class."""
        super().__init__()
        channels = [3, *reversed(channel_counts(size, width))]
        layers: list[nn.Module] = []
        for before, after in pairwise(channels):
            layers += [spectral_norm(nn.Conv2d(before, after, 4, 2, 1)), nn.LeakyReLU(0.2, inplace=True)]
        self.layers = nn.Sequential(*layers)
        self.real = spectral_norm(nn.Linear(channels[-1], 1))
        self.fitting = AttributeEmbedding(sizes, channels[-1], use_spectral_norm=True)

    def forward(self, faces: Tensor, codes: Tensor) -> Tensor:
        """Scores faces.

        Args:
            faces: Faces in -1 to 1, shape (batch, 3, size, size).
            codes: Attribute indices, shape (batch, attributes).

        Returns:
            Scores, above 0 for real, shape (batch,).
        """
        features = self.layers(faces).sum(dim=(2, 3))
        score: Tensor = self.real(features)[:, 0] + (self.fitting(codes) * features).sum(dim=1)
        return score
