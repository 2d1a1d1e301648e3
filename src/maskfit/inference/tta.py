"""Test-time augmentation: several views of one image, whose predictions are averaged.

Views are made of an image after cropping and resizing, of each by itself, so that neither the batch nor the order
matters. Random views follow from the image's own pixels and a seed: the same image gets the same views under any name,
in any run. A `ModelInput` is what the networks take of an image: its views, for each way to crop and resize it.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from typing import ClassVar, NamedTuple, Protocol

import numpy as np
from PIL import Image

from maskfit.config.aliases import upgrade_component, warn_once
from maskfit.config.loader import parse_component
from maskfit.data.boxes import Box, CropBox
from maskfit.data.image_decoding import Pixels
from maskfit.data.preprocessing import CropResize, ImageBatch
from maskfit.errors import DataError, PhotoError, RecipeError, did_you_mean
from maskfit.registry import ComponentSpec, instantiate

MAX_CROP_TRIES = 10
"""Tries to draw a random crop that fits into the image, as in torchvision's `RandomResizedCrop`."""


class TestTimeAugmentation(Protocol):
    """Makes the views of an image.

    Attributes:
        depends_on_pixels: Whether which views are made depends on the image's pixels.
    """

    depends_on_pixels: ClassVar[bool]

    def __len__(self) -> int:
        """Counts the views."""
        ...

    def __call__(self, frame: Pixels) -> Sequence[Pixels]:
        """Makes the views.

        Args:
            frame: uint8 (height, width, 3).

        Returns:
            The views, each of the same size.
        """
        ...


@dataclass(frozen=True)
class NoTTA:
    """The image itself."""

    depends_on_pixels: ClassVar[bool] = False

    def __len__(self) -> int:
        return 1

    def __call__(self, frame: Pixels) -> list[Pixels]:
        """Makes the views; see `TestTimeAugmentation`.

        Args:
            frame: uint8 (height, width, 3).

        Returns:
            The views.
        """
        return [frame]


@dataclass(frozen=True)
class FlipTTA:
    """The image and its horizontal mirror (as in nlp09)."""

    depends_on_pixels: ClassVar[bool] = False

    def __len__(self) -> int:
        return 2

    def __call__(self, frame: Pixels) -> list[Pixels]:
        """Makes the views; see `TestTimeAugmentation`.

        Args:
            frame: uint8 (height, width, 3).

        Returns:
            The views.
        """
        return [frame, _mirror(frame)]


@dataclass(frozen=True)
class RandomCropTTA:
    """Random crops, resized to the image's size; `random_resized_crop` has torchvision's ranges.

    Args:
        n: Number of crops, 1 to 100.
        seed: Another seed gives other crops.
        area: Minimum and maximum area of a crop as a fraction of the image's, each in (0, 1].
        ratio: Minimum and maximum aspect ratio (width over height) of a crop, relative to the image's own.
        flip: Add the mirror of each crop, which makes 2 n views.
    """

    depends_on_pixels: ClassVar[bool] = True

    n: int = 4
    seed: int = 0
    area: Sequence[float] = (0.5, 1.0)
    ratio: Sequence[float] = (3 / 4, 4 / 3)
    flip: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.n <= 100:
            raise ValueError(f"n must be in 1 to 100, got {self.n}")
        if len(self.area) != 2 or not 0 < self.area[0] <= self.area[1] <= 1:
            raise ValueError(f"area must be two ascending fractions in (0, 1], got {list(self.area)}")
        if len(self.ratio) != 2 or not 0 < self.ratio[0] <= self.ratio[1]:
            raise ValueError(f"ratio must be two ascending numbers > 0, got {list(self.ratio)}")

    def __len__(self) -> int:
        return self.n * (2 if self.flip else 1)

    def __call__(self, frame: Pixels) -> list[Pixels]:
        """Makes the views; see `TestTimeAugmentation`.

        Args:
            frame: uint8 (height, width, 3).

        Returns:
            The views.
        """
        generator = np.random.default_rng([self.seed, _fingerprint(frame)])
        crops = [_crop(frame, self._draw_box(generator, *frame.shape[:2])) for _ in range(self.n)]
        return crops + [_mirror(crop) for crop in crops if self.flip]

    def _draw_box(self, generator: np.random.Generator, height: int, width: int) -> Box:
        """A box as `RandomResizedCrop` draws it, in fractions of pixels; the whole image where none fits."""
        for _ in range(MAX_CROP_TRIES):
            scale = math.sqrt(generator.uniform(self.area[0], self.area[1]))
            stretch = math.exp(generator.uniform(math.log(self.ratio[0]), math.log(self.ratio[1])) / 2)
            crop_width, crop_height = scale * stretch * width, scale / stretch * height
            if crop_width <= width and crop_height <= height:
                left, upper = generator.uniform(0, width - crop_width), generator.uniform(0, height - crop_height)
                return (left, upper, min(left + crop_width, width), min(upper + crop_height, height))
        return (0.0, 0.0, width, height)


@dataclass(frozen=True)
class FiveCropTTA:
    """The four corners and the center, resized to the image's size (Krizhevsky et al. 2012; torchvision `FiveCrop`).

    Args:
        scale: The sides of each crop as a fraction of the image's, in (0, 1].
        flip: Add the mirror of each crop, which makes ten views.
    """

    depends_on_pixels: ClassVar[bool] = False

    scale: float = 0.9
    flip: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.scale <= 1:
            raise ValueError(f"scale must be in (0, 1], got {self.scale}")

    def __len__(self) -> int:
        return 10 if self.flip else 5

    def __call__(self, frame: Pixels) -> list[Pixels]:
        """Makes the views; see `TestTimeAugmentation`.

        Args:
            frame: uint8 (height, width, 3).

        Returns:
            The views.
        """
        height, width = frame.shape[:2]
        free = (1 - self.scale) * width, (1 - self.scale) * height
        offsets = [(0.5, 0.5), *((x, y) for y, x in product((0.0, 1.0), repeat=2))]
        boxes = [(x * free[0], y * free[1], width - (1 - x) * free[0], height - (1 - y) * free[1]) for x, y in offsets]
        crops = [_crop(frame, box) for box in boxes]
        return crops + [_mirror(crop) for crop in crops if self.flip]


def random_resized_crop(n: int = 2, seed: int = 0, flip: bool = False) -> RandomCropTTA:
    """Builds random crops of the ranges of torchvision's `RandomResizedCrop` (iloveslowfood's `tta`, two views).

    A crop may be as small as 8 % of the image, as in training with `rand_augment`; `crops` keeps at least half of it.

    Args:
        n: Number of crops, 1 to 100.
        seed: Another seed gives other crops.
        flip: Add the mirror of each crop, which makes 2 n views.

    Returns:
        What makes the views.
    """
    return RandomCropTTA(n, seed, area=(0.08, 1.0), flip=flip)


TTA_METHODS: dict[str, Callable[..., TestTimeAugmentation]] = {
    "original": NoTTA,
    "flip": FlipTTA,
    "crops": RandomCropTTA,
    "random_resized_crop": random_resized_crop,
    "five_crop": FiveCropTTA,
}
"""TTA methods by name, as `--tta` takes them."""


def build_tta(tta: str | ComponentSpec) -> TestTimeAugmentation:
    """Builds a TTA method.

    Args:
        tta: A name of `TTA_METHODS` with options: `flip`, `crops:n=4,seed=1` or `{name: five_crop, scale: 0.9}`.

    Returns:
        What makes the views of an image.

    Raises:
        DataError: There is no such method, or an option is unknown or refused.
    """
    try:
        if isinstance(tta, str):
            # A name alone needs no parser.
            spec = ComponentSpec.create(tta) if tta in TTA_METHODS else parse_component(tta, "tta")
        else:
            spec = upgrade_component("tta", tta, warn_once)
        if spec.name not in TTA_METHODS:
            raise DataError(f"there is no TTA method '{spec.name}'; {did_you_mean(spec.name, TTA_METHODS)}")
        built: TestTimeAugmentation = instantiate(TTA_METHODS, spec)
    except RecipeError as error:
        hint = error.hint or "maskfit predict --help lists them"
        raise DataError(f"test-time augmentation: {error.message}", hint=hint) from None
    return built


class ModelInput(NamedTuple):
    """An image, or one face of it, as the networks take it.

    Attributes:
        tta_views: Pixels (height, width, 3), by crop_resize and TTA view.
        crops: What each crop_resize cut out of the image.
        reload: Returns the decoded image again, where the views are made of approximate pixels, for a first pass of the
            networks that is checked (`inference.precision_cascade`); None where they are exact.
    """

    tta_views: Sequence[Sequence[Pixels]]
    crops: tuple[CropBox, ...]
    reload: Callable[[], Pixels] | None = None


def make_exact(
    inputs: Sequence[ModelInput], crop_resizes: Sequence[CropResize], tta: TestTimeAugmentation
) -> list[ModelInput]:
    """Returns inputs with their exact pixels.

    Args:
        inputs: The inputs. A photo whose faces follow each other is reloaded once, since decoding a large one takes as
            long as the networks need for many faces.
        crop_resizes: Those that the inputs were made with.
        tta: The same.

    Returns:
        For each input itself where it is exact, and where the photo was deleted or changed since it was read: its
        pixels are nearly the same, and one photo must not end the prediction of all others.
    """
    exact: list[ModelInput] = []
    reloaded: Callable[[], Pixels] | None = None
    pixels: Pixels | None = None
    for item in inputs:
        if item.reload is not None and item.reload is not reloaded:
            # Not beside the pixels of the photo before it.
            reloaded, pixels = item.reload, None
            with suppress(PhotoError):
                pixels = item.reload()
        if item.reload is None or pixels is None:
            exact.append(item)
        else:
            exact.append(make_input(crop_resizes, tta, pixels, item.crops))
    return exact


def make_input(
    crop_resizes: Sequence[CropResize],
    tta: TestTimeAugmentation,
    pixels: Pixels,
    crops: tuple[CropBox, ...],
    reload: Callable[[], Pixels] | None = None,
) -> ModelInput:
    """Crops, resizes and makes the TTA views.

    Args:
        crop_resizes: How to crop and resize.
        tta: Makes the views.
        pixels: (height, width, 3), uint8, upright RGB.
        crops: What each of `crop_resizes` cuts out.
        reload: Returns `pixels` again; downscaling may then be approximate.

    Returns:
        The input.
    """
    frames, is_approximate = [], False
    for crop_resize, crop in zip(crop_resizes, crops, strict=True):
        frame = crop_resize.approximate(pixels, crop) if reload else None
        is_approximate |= frame is not None
        frames.append(crop_resize(pixels, crop) if frame is None else frame)
    return ModelInput([tta(frame) for frame in frames], crops, reload if is_approximate else None)


def stack_views(inputs: Sequence[ModelInput]) -> list[list[ImageBatch]]:
    """Stacks the views of inputs to batches.

    Args:
        inputs: At least one.

    Returns:
        The batch of each crop_resize and TTA view.
    """
    by_crop = zip(*(item.tta_views for item in inputs), strict=True)
    return [[np.stack(view) for view in zip(*views, strict=True)] for views in by_crop]


def _mirror(frame: Pixels) -> Pixels:
    return frame[:, ::-1]


def _crop(frame: Pixels, box: Box) -> Pixels:
    """The part of an image in a box, resized to the image's own size."""
    height, width = frame.shape[:2]
    image = Image.fromarray(frame).resize((width, height), Image.Resampling.BILINEAR, box=box)
    return np.asarray(image, dtype=np.uint8)


def _fingerprint(frame: Pixels) -> int:
    """An integer that depends on the pixels alone, on any machine."""
    digest = hashlib.blake2b(np.ascontiguousarray(frame).tobytes(), digest_size=8).digest()
    return int.from_bytes(digest, "little")
