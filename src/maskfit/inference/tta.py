"""Views: one photo seen in several ways, whose answers are averaged.

Views are made of a photo's frame, each by itself, so that neither the batch nor the order has a say. What chance there
is follows from the frame's own pixels and a seed: the same photo is seen in the same ways under any name, in any run.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Protocol

import numpy as np
from PIL import Image

from maskfit.config.loader import parse_component
from maskfit.data.crops import Box
from maskfit.data.image_decoding import Pixels
from maskfit.errors import DataError, RecipeError, did_you_mean
from maskfit.registry import ComponentSpec, instantiate

MAX_CROP_TRIES = 10
"""How often a random crop is drawn until one fits into the frame, as torchvision's `RandomResizedCrop` has it."""


class TestTimeAugmentation(Protocol):
    """The ways in which a photo is seen."""

    def __len__(self) -> int:
        """How many they are."""
        ...

    def __call__(self, frame: Pixels) -> Sequence[Pixels]:
        """A frame (height, width, 3) as each view of it, of the same size."""
        ...


@dataclass(frozen=True)
class NoTTA:
    """The photo as it is."""

    def __len__(self) -> int:
        return 1

    def __call__(self, frame: Pixels) -> list[Pixels]:
        return [frame]


@dataclass(frozen=True)
class FlipTTA:
    """The photo and its mirror (seed s2)."""

    def __len__(self) -> int:
        return 2

    def __call__(self, frame: Pixels) -> list[Pixels]:
        return [frame, _mirrored(frame)]


@dataclass(frozen=True)
class RandomCropTTA:
    """Random parts of the photo, blown up to its size (seed s1's `tta`, there with torchvision's area 0.08 to 1).

    Args:
        n: How many.
        seed: Another seed, other parts.
        area: The least and greatest share of the photo's area, each in (0, 1].
        ratio: The least and greatest width over height of a part, as a multiple of the photo's own.
        flip: Each part also mirrored, which makes 2 n views.
    """

    n: int = 4
    seed: int = 0
    area: Sequence[float] = (0.5, 1.0)
    ratio: Sequence[float] = (3 / 4, 4 / 3)
    flip: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.n <= 100:
            raise ValueError(f"n={self.n} must be 1 to 100")
        if len(self.area) != 2 or not 0 < self.area[0] <= self.area[1] <= 1:
            raise ValueError(f"area={list(self.area)} must be two rising shares in (0, 1]")
        if len(self.ratio) != 2 or not 0 < self.ratio[0] <= self.ratio[1]:
            raise ValueError(f"ratio={list(self.ratio)} must be two rising numbers above 0")

    def __len__(self) -> int:
        return self.n * (2 if self.flip else 1)

    def __call__(self, frame: Pixels) -> list[Pixels]:
        generator = np.random.default_rng([self.seed, _fingerprint(frame)])
        parts = [_cut(frame, self._draw(generator, *frame.shape[:2])) for _ in range(self.n)]
        return parts + [_mirrored(part) for part in parts if self.flip]

    def _draw(self, generator: np.random.Generator, height: int, width: int) -> Box:
        """A box as `RandomResizedCrop` draws it, in parts of pixels; the whole frame where none fits."""
        for _ in range(MAX_CROP_TRIES):
            share = math.sqrt(generator.uniform(self.area[0], self.area[1]))
            stretch = math.exp(generator.uniform(math.log(self.ratio[0]), math.log(self.ratio[1])) / 2)
            wide, high = share * stretch * width, share / stretch * height
            if wide <= width and high <= height:
                left, upper = generator.uniform(0, width - wide), generator.uniform(0, height - high)
                return (left, upper, min(left + wide, width), min(upper + high, height))
        return (0.0, 0.0, width, height)


@dataclass(frozen=True)
class FiveCropTTA:
    """The photo's four corners and its centre, blown up to its size (Krizhevsky et al. 2012; torchvision `FiveCrop`).

    Args:
        scale: The sides of each part, as a share of the photo's, in (0, 1].
        flip: Each part also mirrored, which makes ten views.
    """

    scale: float = 0.9
    flip: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.scale <= 1:
            raise ValueError(f"scale={self.scale} must lie in (0, 1]")

    def __len__(self) -> int:
        return 10 if self.flip else 5

    def __call__(self, frame: Pixels) -> list[Pixels]:
        height, width = frame.shape[:2]
        free = (1 - self.scale) * width, (1 - self.scale) * height
        places = [(0.5, 0.5), *((x, y) for y, x in product((0.0, 1.0), repeat=2))]
        boxes = [(x * free[0], y * free[1], width - (1 - x) * free[0], height - (1 - y) * free[1]) for x, y in places]
        parts = [_cut(frame, box) for box in boxes]
        return parts + [_mirrored(part) for part in parts if self.flip]


TTA_METHODS: dict[str, Callable[..., TestTimeAugmentation]] = {
    "original": NoTTA,
    "flip": FlipTTA,
    "crops": RandomCropTTA,
    "five_crop": FiveCropTTA,
}
"""What `--tta` can name."""


def build_tta(views: str | ComponentSpec) -> TestTimeAugmentation:
    """Views from a part, or from a word such as `flip`, `crops:n=4,seed=1` or `{name: five, scale: 0.9}`.

    Raises:
        DataError: There are no such views, or an option is unknown or refused.
    """
    try:
        part = parse_component(views) if isinstance(views, str) else views
        if part.name not in TTA_METHODS:
            raise DataError(f"there are no views '{part.name}'; {did_you_mean(part.name, TTA_METHODS)}")
        built: TestTimeAugmentation = instantiate(TTA_METHODS, part)
    except RecipeError as error:
        raise DataError(f"views: {error.message}", hint=error.hint or "maskfit predict --help names them") from None
    return built


def _mirrored(frame: Pixels) -> Pixels:
    """Left and right exchanged."""
    return frame[:, ::-1]


def _cut(frame: Pixels, box: Box) -> Pixels:
    """The part of a frame in a box, resized to the frame's own size."""
    height, width = frame.shape[:2]
    image = Image.fromarray(frame).resize((width, height), Image.Resampling.BILINEAR, box=box)
    return np.asarray(image, dtype=np.uint8)


def _fingerprint(frame: Pixels) -> int:
    """A number that follows from the pixels alone, on any machine."""
    digest = hashlib.blake2b(np.ascontiguousarray(frame).tobytes(), digest_size=8).digest()
    return int.from_bytes(digest, "little")
