"""Augmentation: batches of stored photos become batches of the network's size, each photo changed in its own way.

The named pipelines stand here; what they are made of stands in `windows` (crop, flip, turn), `light` (colour), `damage`
(blur, noise, holes) and `randaugment`. All of it runs in batches on the device that the photos are on. Validation never
comes here: it reads the evaluation transform's own pixels, and so has the crop, size and numbers of prediction.

A seed's centre crop after a resize (s2: 256, then 224) is its recipe's `data.crop` (centre, scale 224/256), the same in
training and prediction; what it takes random crops from (s1: 384 for 224) is the recipe's `data.train_resize_scale`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from maskfit.training.augment.color_jitter import Brightness, Contrast, Hue, Saturation
from maskfit.training.augment.degradations import Blur, CoarseDropout, Downscale, Jpeg, Noise
from maskfit.training.augment.parameter_checks import Range, check_share, symmetric_range
from maskfit.training.augment.randaugment import RandAugment
from maskfit.training.augment.random_affine_crop import RandomAffineCrop
from maskfit.training.augment.random_apply import OneOf, RandomOrder, Step

Size = tuple[int, int]


@dataclass(frozen=True)
class Augmentation:
    """What a training photo goes through.

    Args:
        window: Which part of the photo is seen; its result has the network's size.
        steps: What is done to that, in order.
    """

    window: RandomAffineCrop
    steps: tuple[Step, ...] = ()

    def __call__(self, photos: Tensor) -> Tensor:
        """Photos (batch, 3, height, width; float in 0 to 255) of the stored size to the network's, in the same range.

        Draws from torch's global generator, each photo its own numbers. The photos that are given stay as they are.
        """
        # Mixed precision would multiply matrices in 16 bits, and so look for a pixel half a pixel beside it.
        with torch.autocast(photos.device.type, enabled=False):
            changed = self.window(photos.float())
            for step in self.steps:
                changed = step(changed)
        return changed.to(photos.dtype)


def none(size: Size) -> Augmentation:
    """The whole stored photo, unchanged."""
    return Augmentation(RandomAffineCrop(size, flip=0.0))


def flip(size: Size, flip: float = 0.5) -> Augmentation:
    """Seed s0: the whole photo, mirrored by chance."""
    return Augmentation(RandomAffineCrop(size, flip=flip))


def random_resized_crop(size: Size, area: Range = (0.08, 1.0), ratio: Range = (3 / 4, 4 / 3)) -> Augmentation:
    """Seed s1's `base`: a random resized crop with torchvision's default ranges, and nothing else.

    Its 384-pixel centre crop is the recipe's `data.crop`, so that validation and prediction have it too.
    """
    return Augmentation(RandomAffineCrop(size, area, ratio, flip=0.0))


def rand_augment(
    size: Size,
    area: Range = (0.08, 1.0),
    ratio: Range = (3 / 4, 4 / 3),
    operations: int = 2,
    magnitude: float = 9,
) -> Augmentation:
    """Seed s1's `random`: its `base`, then RandAugment(2, 9).

    Also its `tta` and its `facecrop`: those differ in what stands elsewhere, the views of a prediction and `data.crop`.
    """
    return Augmentation(RandomAffineCrop(size, area, ratio, flip=0.0), (RandAugment(operations, magnitude),))


def color_jitter(
    size: Size,
    brightness: float = 0.5,
    contrast: float = 0.5,
    saturation: float = 0.5,
    hue: float = 0.5,
    flip: float = 0.5,
) -> Augmentation:
    """Seed s2: torchvision's colour jitter in any order, and a flip.

    A hue of 0.5 is any colour at all: faces turn green and blue.
    """
    check_share(brightness=brightness, contrast=contrast, saturation=saturation)
    light = (
        Brightness(symmetric_range(brightness)),
        Contrast(symmetric_range(contrast)),
        Saturation(symmetric_range(saturation)),
        Hue(hue),
    )
    return Augmentation(RandomAffineCrop(size, flip=flip), (RandomOrder(light),))


def one_of_color(
    size: Size,
    brightness: Range = (0.2, 3.0),
    contrast: Range = (0.2, 3.0),
    saturation: Range = (0.2, 3.0),
    hue: float = 0.3,
    flip: float = 0.5,
) -> Augmentation:
    """Seed s3: each photo gets exactly one of brightness, contrast, saturation and hue, strongly; and a flip."""
    light = (Brightness(brightness), Contrast(contrast), Saturation(saturation), Hue(hue))
    return Augmentation(RandomAffineCrop(size, flip=flip), (OneOf(light),))


def shift_scale_rotate(
    size: Size,
    shift: float = 0.1,
    scale: float = 0.1,
    turn: float = 5.0,
    brightness: float = 0.2,
    contrast: float = 0.2,
    flip: float = 0.5,
    blur: Range = (0.5, 1.5),
    noise: Range = (3.0, 7.0),
    blur_or_noise: float = 0.5,
    holes: int = 8,
    hole: Range = (1 / 28, 1 / 28),
    dropout: float = 0.3,
) -> Augmentation:
    """Seed s4: shift, scale, turn, brightness, contrast, flip; blur or noise by chance, holes by chance.

    Blur, noise and holes have about the sizes that albumentations gave them by default: kernels of 3 to 7 pixels, a
    variance of 10 to 50, up to 8 holes of 8 of 224 pixels.
    """
    check_share(brightness=brightness, contrast=contrast, blur_or_noise=blur_or_noise, dropout=dropout, scale=scale)
    return Augmentation(
        RandomAffineCrop(size, flip=flip, turn=turn, shift=shift, zoom=symmetric_range(scale)),
        (
            Brightness(symmetric_range(brightness)),
            Contrast(symmetric_range(contrast)),
            OneOf((Blur(blur), Noise(noise)), blur_or_noise),
            OneOf((CoarseDropout(holes, hole),), dropout),
        ),
    )


def crop_color_blur(
    size: Size,
    area: Range = (0.7, 1.0),
    turn: float = 10.0,
    brightness: float = 0.2,
    contrast: float = 0.2,
    saturation: float = 0.2,
    blur: Range = (0.5, 1.5),
    blurred: float = 0.2,
) -> Augmentation:
    """In the place of seed s0's "complex transformation", of which it says no more than that: ours, moderate.

    Crop, flip, turn, colour, and blur by chance.
    """
    check_share(brightness=brightness, contrast=contrast, saturation=saturation, blurred=blurred)
    light = (
        Brightness(symmetric_range(brightness)),
        Contrast(symmetric_range(contrast)),
        Saturation(symmetric_range(saturation)),
    )
    window = RandomAffineCrop(size, area, (0.9, 1.1), turn=turn)
    return Augmentation(window, (*light, OneOf((Blur(blur),), blurred)))


def light(
    size: Size,
    area: Range = (0.8, 1.0),
    turn: float = 5.0,
    brightness: float = 0.2,
    contrast: float = 0.2,
    saturation: float = 0.1,
) -> Augmentation:
    """A little of everything that leaves a face a face: crop, flip, small turn, a bit of light and colour."""
    check_share(brightness=brightness, contrast=contrast, saturation=saturation)
    steps = (
        Saturation(symmetric_range(saturation)),
        Contrast(symmetric_range(contrast)),
        Brightness(symmetric_range(brightness)),
    )
    return Augmentation(RandomAffineCrop(size, area, (0.95, 1.05), turn=turn), steps)


def _lit(most: float, hue: float, grey: float) -> tuple[Step, ...]:
    """Other light and colour, and by the chance `grey` no colour at all."""
    light = (
        Brightness(symmetric_range(most)),
        Contrast(symmetric_range(most)),
        Saturation(symmetric_range(most)),
        Hue(hue),
    )
    return (*light, OneOf((Saturation((0.0, 0.0)),), grey))


def strong(
    size: Size,
    area: Range = (0.5, 1.0),
    turn: float = 15.0,
    light: float = 0.4,
    hue: float = 0.03,
    grey: float = 0.1,
    damage: float = 0.4,
    holes: float = 0.25,
) -> Augmentation:
    """For long trainings: wide framing, light and colour, some photos grey; blur, noise or JPEG, and holes, by chance.

    Hue moves little: skin is never green. Holes are few and large, since a face is known by more than one of its parts.

    Args:
        size: (height, width) of the result.
        area: Share of the photo's area that a crop holds.
        turn: Largest turn in degrees.
        light: Largest change of brightness, contrast and saturation, as a factor 1 +- this.
        hue: Largest turn of the colour circle, which is 1 round.
        grey: Chance of a grey photo.
        damage: Chance of one of blur (0.5 to 2 pixels), noise (3 to 15 levels) and JPEG (quality 20 to 70).
        holes: Chance of 1 or 2 black holes with sides of 0.1 to 0.35 of the photo's.
    """
    check_share(light=light, grey=grey, damage=damage, holes=holes)
    steps: tuple[Step, ...] = (
        *_lit(light, hue, grey),
        OneOf((Blur((0.5, 2.0)), Noise((3.0, 15.0)), Jpeg((20, 70))), damage),
        OneOf((CoarseDropout(2, (0.1, 0.35)),), holes),
    )
    return Augmentation(RandomAffineCrop(size, area, (0.8, 1.25), turn=turn, shift=0.05), steps)


def unconstrained(
    size: Size,
    area: Range = (0.6, 1.0),
    ratio: Range = (0.75, 1.33),
    zoom: Range = (0.75, 1.15),
    shift: float = 0.06,
    turn: float = 15.0,
    light: float = 0.4,
    hue: float = 0.04,
    grey: float = 0.1,
    coarse: float = 0.25,
    damage: float = 0.5,
    holes: float = 0.1,
) -> Augmentation:
    """For photos that nobody framed: near and far, cut and squeezed, dark and bright, blurred, tiny, compressed.

    What a model needs that will read other cameras' photos than those it learned from, with a face found or without.

    Args:
        size: (height, width) of the result.
        area: Share of the photo's area that a crop holds.
        ratio: How much wider or narrower a crop may be.
        zoom: How much larger, or smaller, the face gets besides.
        shift: Largest move, in shares of the photo's sides.
        turn: Largest turn in degrees.
        light: Largest change of brightness, contrast and saturation, as a factor 1 +- this.
        hue: Largest turn of the colour circle, which is 1 round.
        grey: Chance of a grey photo.
        coarse: Chance of a photo with 0.2 to 0.6 of its pixels to each side, as of a face far away.
        damage: Chance, after that, of blur (0.4 to 2 pixels), noise (3 to 15 levels) or JPEG (quality 20 to 80).
        holes: Chance of a black hole with sides of 0.1 to 0.3 of the photo's.
    """
    check_share(light=light, grey=grey, coarse=coarse, damage=damage, holes=holes)
    steps: tuple[Step, ...] = (
        *_lit(light, hue, grey),
        OneOf((Downscale((0.2, 0.6)),), coarse),
        OneOf((Blur((0.4, 2.0)), Noise((3.0, 15.0)), Jpeg((20, 80))), damage),
        OneOf((CoarseDropout(1, (0.1, 0.3)),), holes),
    )
    return Augmentation(RandomAffineCrop(size, area, ratio, turn=turn, shift=shift, zoom=zoom), steps)


AUGMENTATIONS: dict[str, Callable[..., Augmentation]] = {
    "none": none,
    "flip": flip,
    "random_resized_crop": random_resized_crop,
    "rand_augment": rand_augment,
    "color_jitter": color_jitter,
    "one_of_color": one_of_color,
    "shift_scale_rotate": shift_scale_rotate,
    "crop_color_blur": crop_color_blur,
    "light": light,
    "strong": strong,
    "unconstrained": unconstrained,
}
