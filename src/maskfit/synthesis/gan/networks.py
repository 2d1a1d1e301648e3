"""Generator and discriminator in the way of DCGAN (Radford et al. 2015, arXiv:1511.06434), told what to make.

They are conditioned on each attribute by itself and not on one class number: what is added for "60 and over" is one
vector, learned from all masks and both genders. So a class of eighteen photos borrows from those of hundreds.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

SIZES: dict[int, tuple[int, int]] = {16: (4, 2), 32: (4, 3), 48: (6, 3), 64: (4, 4), 96: (6, 4), 128: (4, 5)}
"""Side of a face in pixels: side of the generator's first map, and how often it is doubled."""

MAX_CHANNEL_FACTOR = 8
"""How many times the channels of the largest map the smallest one has at most."""


def channel_counts(size: int, width: int) -> list[int]:
    """Channels of the maps from the smallest to the largest, which has `width`."""
    _, doublings = SIZES[size]
    return [width * min(2**place, MAX_CHANNEL_FACTOR) for place in reversed(range(doublings))]


class AttributeEmbedding(nn.Module):
    """A vector for each value of each attribute; those of a face are added up.

    Args:
        sizes: How many values each attribute has.
        width: Numbers of a vector.
        normed: Whether the tables are spectrally normed, as all of a discriminator is.
    """

    def __init__(self, sizes: Sequence[int], width: int, *, use_spectral_norm: bool = False) -> None:
        super().__init__()
        # One more row than there are values: what nobody wrote down has a vector too.
        tables = [nn.Embedding(size + 1, width) for size in sizes]
        for table in tables:
            nn.init.zeros_(table.weight) if not use_spectral_norm else nn.init.orthogonal_(table.weight)
        self.rows = [size + 1 for size in sizes]
        self.tables = (
            nn.ModuleList(spectral_norm(table) for table in tables) if use_spectral_norm else nn.ModuleList(tables)
        )

    def forward(self, codes: Tensor) -> Tensor:
        """Codes (batch, attributes; `UNKNOWN` where not known) to (batch, width)."""
        # UNKNOWN is -1, and so the last row.
        places = enumerate(zip(self.tables, self.rows, strict=True))
        vectors = [table(codes[:, place] % rows) for place, (table, rows) in places]
        return torch.stack(vectors).sum(dim=0)


class ConditionalNorm(nn.Module):
    """BatchNorm whose scale and shift follow from the attributes (Dumoulin et al. 2017, arXiv:1610.07629)."""

    def __init__(self, channels: int, sizes: Sequence[int]) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.tables = AttributeEmbedding(sizes, 2 * channels)

    def forward(self, maps: Tensor, codes: Tensor) -> Tensor:
        scale, shift = self.tables(codes)[:, :, None, None].chunk(2, dim=1)
        result: Tensor = self.norm(maps) * (1 + scale) + shift
        return result


class Generator(nn.Module):
    """Noise and attributes to faces.

    Args:
        size: Side of a face in pixels, one of `SIZES`.
        width: Channels of the largest map.
        latent: Numbers of noise.
        sizes: How many values each attribute has.
    """

    def __init__(self, size: int, width: int, latent: int, sizes: Sequence[int]) -> None:
        super().__init__()
        self.side = SIZES[size][0]
        channels = channel_counts(size, width)
        self.start = nn.Linear(latent, channels[0] * self.side**2, bias=False)
        self.norms = nn.ModuleList(ConditionalNorm(count, sizes) for count in channels)
        # A kernel of 4 at a stride of 2: one that the stride does not divide would leave a chequered pattern.
        self.doublings = nn.ModuleList(
            nn.ConvTranspose2d(before, after, 4, 2, 1, bias=after == 3)
            for before, after in zip(channels, [*channels[1:], 3], strict=True)
        )
        for layer in (self.start, *self.doublings):
            nn.init.normal_(layer.weight, 0.0, 0.02)

    def forward(self, noise: Tensor, codes: Tensor) -> Tensor:
        """Noise (batch, latent) and codes (batch, attributes) to faces (batch, 3, size, size) in -1 to 1."""
        maps: Tensor = self.start(noise).view(len(noise), -1, self.side, self.side)
        for norm, double in zip(self.norms, self.doublings, strict=True):
            maps = double(torch.relu(norm(maps, codes)))
        return maps.tanh()


class Discriminator(nn.Module):
    """How real a face is, and how well it fits its attributes (projection: Miyato and Koyama 2018, arXiv:1802.05637).

    Every layer is spectrally normed (Miyato et al. 2018, arXiv:1802.05957). Arguments as the generator's.
    """

    def __init__(self, size: int, width: int, sizes: Sequence[int]) -> None:
        super().__init__()
        channels = [3, *reversed(channel_counts(size, width))]
        layers: list[nn.Module] = []
        for before, after in pairwise(channels):
            layers += [spectral_norm(nn.Conv2d(before, after, 4, 2, 1)), nn.LeakyReLU(0.2, inplace=True)]
        self.layers = nn.Sequential(*layers)
        self.real = spectral_norm(nn.Linear(channels[-1], 1))
        self.fitting = AttributeEmbedding(sizes, channels[-1], use_spectral_norm=True)

    def forward(self, faces: Tensor, codes: Tensor) -> Tensor:
        """Faces (batch, 3, size, size) in -1 to 1 and their codes (batch, attributes) to (batch,), above 0 for real."""
        features = self.layers(faces).sum(dim=(2, 3))
        score: Tensor = self.real(features)[:, 0] + (self.fitting(codes) * features).sum(dim=1)
        return score
