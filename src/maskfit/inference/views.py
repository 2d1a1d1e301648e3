"""Views: one photo seen in several ways, whose answers are averaged."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from maskfit.inference.engines import Batch

View = Callable[[Batch], Batch]
"""From normalised photos (batch, 3, height, width) to the same seen another way."""


def original(photos: Batch) -> Batch:
    """As it is."""
    return photos


def mirrored(photos: Batch) -> Batch:
    """Left and right exchanged."""
    return np.ascontiguousarray(photos[..., ::-1])


VIEWS: dict[str, tuple[View, ...]] = {
    "original": (original,),
    "flip": (original, mirrored),
}
"""What `--views` can name."""
