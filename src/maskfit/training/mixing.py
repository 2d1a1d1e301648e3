"""Mixing: two photos of a batch become one, and so do their labels, by the share of pixels each one gives.

The share that a loss sees is counted on the pixels, after every cut was rounded and clipped: label share equals pixel
share, exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

from torch import Tensor


class Mixed(NamedTuple):
    """A batch of mixed photos.

    Attributes:
        photos: (batch, 3, height, width).
        partner: (batch,) the place in the batch of the photo that was mixed in.
        share: (batch,) how much of each photo is its own, in 0 to 1; the rest is the partner's.
    """

    photos: Tensor
    partner: Tensor
    share: Tensor


class Mixing(Protocol):
    """Mixes a batch, drawing from torch's global generator."""

    def __call__(self, photos: Tensor, allowed: Mapping[str, Tensor]) -> Mixed | None:
        """Photos (batch, 3, height, width) and what their labels allow by head, mixed; None where nothing is mixed."""
        ...


def none() -> Mixing:
    """Every photo stays itself."""
    return lambda photos, allowed: None


MIXINGS: dict[str, Callable[..., Mixing]] = {
    "none": none,
}
