"""Augmentation pipelines by name: batches of cached images become augmented batches of the network's input size.

The steps are in `random_affine_crop` (crop, flip, rotation), `color_jitter`, `degradations` (blur, noise, dropout) and
`randaugment`. They run on whole batches, on the device of the images. Validation images are never augmented: they have
the crop, size and normalization of prediction.

The center crop of a source project after a resize (nlp09: 256, then 224) is its recipe's `data.crop` (center, scale
224/256), the same in training and prediction; the size of what it takes random crops from (iloveslowfood: 384 for
224) is the recipe's `data.train_resize_scale`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from maskfit.training.augment.color_jitter import Brightness, Contrast, Hue, Saturation
from maskfit.training.augment.degradations import Blur, CoarseDropout, Downscale, Jpeg, Noise
from maskfit.training.augment.parameter_checks import Range, check_fraction, symmetric_range
from maskfit.training.augment.randaugment import OperationSet, RandAugment
from maskfit.training.augment.random_affine_crop import RandomAffineCrop
from maskfit.training.augment.random_apply import OneOf, RandomOrder, Step

Size = tuple[int, int]


@dataclass(frozen=True)
class Augmentation:
    """A crop followed by steps.

    Attributes:
        crop: Random crop; its result has the network's input size.
        steps: Steps applied to the result, in order.
    """

    crop: RandomAffineCrop
    steps: tuple[Step, ...] = ()

    def __call__(self, images: Tensor) -> Tensor:
        """Augments a batch, with random numbers from torch's global generator, different for each image.

        Args:
            images: (batch, 3, height, width; float in 0 to 255) of the cached size, not changed.

        Returns:
            New images of the network's input size, in 0 to 255.
        """
        # Mixed precision would compute the sampling grid in 16 bits, half a pixel off.
        with torch.autocast(images.device.type, enabled=False):
            augmented = self.crop(images.float())
            for step in self.steps:
                augmented = step(augmented)
        return augmented.to(images.dtype)


def none(size: Size) -> Augmentation:
    """Builds no augmentation: the whole cached image.

    Args:
        size: (height, width) of the result.

    Returns:
        The augmentation.
    """
    return Augmentation(RandomAffineCrop(size, flip=0.0))


def flip(size: Size, flip: float = 0.5) -> Augmentation:
    """Builds a random horizontal flip of the whole image (boostup).

    Args:
        size: (height, width) of the result.
        flip: Probability of a flip.

    Returns:
        The augmentation.
    """
    return Augmentation(RandomAffineCrop(size, flip=flip))


def random_resized_crop(size: Size, area: Range = (0.08, 1.0), ratio: Range = (3 / 4, 4 / 3)) -> Augmentation:
    """Builds a random resized crop with torchvision's default ranges (iloveslowfood's `base`).

    Its 384-pixel center crop is the recipe's `data.crop`, so that validation and prediction have it too.

    Args:
        size: (height, width) of the result.
        area: Range of the crop's fraction of the image area.
        ratio: Range of the crop's relative aspect ratio.

    Returns:
        The augmentation.
    """
    return Augmentation(RandomAffineCrop(size, area, ratio, flip=0.0))


def rand_augment(
    size: Size,
    area: Range = (0.08, 1.0),
    ratio: Range = (3 / 4, 4 / 3),
    operations: int = 2,
    magnitude: float = 9,
    operation_set: OperationSet = "paper",
) -> Augmentation:
    """Builds a random resized crop followed by RandAugment (iloveslowfood's `random`, `tta` and `facecrop`).

    Those three differ elsewhere only: in test-time augmentation and in `data.crop`.

    Args:
        size: (height, width) of the result.
        area: Range of the crop's fraction of the image area.
        ratio: Range of the crop's relative aspect ratio.
        operations: RandAugment operations per image, 1 to 14.
        magnitude: Magnitude of the operations, 0 to 30.
        operation_set: `paper`, the paper's 14 operations; `tpu`, the 16 of EfficientNet's own code and of the package
            pytorch-randaugment, which iloveslowfood used.

    Returns:
        The augmentation.
    """
    steps = (RandAugment(operations, magnitude, operation_set),)
    return Augmentation(RandomAffineCrop(size, area, ratio, flip=0.0), steps)


def color_jitter(
    size: Size,
    brightness: float = 0.5,
    contrast: float = 0.5,
    saturation: float = 0.5,
    hue: float = 0.5,
    flip: float = 0.5,
) -> Augmentation:
    """Builds torchvision's color jitter in random order, and a flip (nlp09).

    Args:
        size: (height, width) of the result.
        brightness: Largest change of the brightness factor from 1, 0 to 1.
        contrast: Largest change of the contrast factor from 1, 0 to 1.
        saturation: Largest change of the saturation factor from 1, 0 to 1.
        hue: Largest hue shift, 0 to 0.5 of the color circle; 0.5 is any color, such as green faces.
        flip: Probability of a horizontal flip.

    Returns:
        The augmentation.
    """
    check_fraction(brightness=brightness, contrast=contrast, saturation=saturation)
    steps = (
        Brightness(symmetric_range(brightness)),
        Contrast(symmetric_range(contrast)),
        Saturation(symmetric_range(saturation)),
        Hue(hue),
    )
    return Augmentation(RandomAffineCrop(size, flip=flip), (RandomOrder(steps),))


def one_of_color(
    size: Size,
    brightness: Range = (0.2, 3.0),
    contrast: Range = (0.2, 3.0),
    saturation: Range = (0.2, 3.0),
    hue: float = 0.3,
    flip: float = 0.5,
) -> Augmentation:
    """Builds exactly one strong change of brightness, contrast, saturation or hue, and a flip (level1-06).

    Args:
        size: (height, width) of the result.
        brightness: Range of the brightness factor.
        contrast: Range of the contrast factor.
        saturation: Range of the saturation factor.
        hue: Largest hue shift, 0 to 0.5 of the color circle.
        flip: Probability of a horizontal flip.

    Returns:
        The augmentation.
    """
    steps = (Brightness(brightness), Contrast(contrast), Saturation(saturation), Hue(hue))
    return Augmentation(RandomAffineCrop(size, flip=flip), (OneOf(steps),))


def shift_scale_rotate(
    size: Size,
    shift: float = 0.1,
    scale: float = 0.1,
    degrees: float = 5.0,
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
    """Builds shift, scale, rotation, brightness, contrast, flip, blur or noise, and coarse dropout (cv-08).

    The defaults of blur, noise and holes are about those of albumentations: kernels of 3 to 7 pixels, a variance of 10
    to 50, up to 8 holes of 8 of 224 pixels.

    Args:
        size: (height, width) of the result.
        shift: Largest shift as a fraction of the sides.
        scale: Largest change of the magnification from 1.
        degrees: Largest rotation in degrees.
        brightness: Largest change of the brightness factor from 1.
        contrast: Largest change of the contrast factor from 1.
        flip: Probability of a horizontal flip.
        blur: Range of the blur's standard deviation in pixels.
        noise: Range of the noise's standard deviation in levels of 255.
        blur_or_noise: Probability of one of blur and noise.
        holes: Largest number of holes.
        hole: Range of a hole's sides as fractions of the image's.
        dropout: Probability of holes.

    Returns:
        The augmentation.
    """
    check_fraction(brightness=brightness, contrast=contrast, blur_or_noise=blur_or_noise, dropout=dropout, scale=scale)
    return Augmentation(
        RandomAffineCrop(size, flip=flip, degrees=degrees, shift=shift, zoom=symmetric_range(scale)),
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
    degrees: float = 10.0,
    brightness: float = 0.2,
    contrast: float = 0.2,
    saturation: float = 0.2,
    blur: Range = (0.5, 1.5),
    blur_prob: float = 0.2,
) -> Augmentation:
    """Builds crop, flip, rotation, color changes and occasional blur, all moderate.

    Stands in for the "complex transformation" of boostup, which does not describe it further.

    Args:
        size: (height, width) of the result.
        area: Range of the crop's fraction of the image area.
        degrees: Largest rotation in degrees.
        brightness: Largest change of the brightness factor from 1.
        contrast: Largest change of the contrast factor from 1.
        saturation: Largest change of the saturation factor from 1.
        blur: Range of the blur's standard deviation in pixels.
        blur_prob: Probability of blur.

    Returns:
        The augmentation.
    """
    check_fraction(brightness=brightness, contrast=contrast, saturation=saturation, blur_prob=blur_prob)
    steps = (
        Brightness(symmetric_range(brightness)),
        Contrast(symmetric_range(contrast)),
        Saturation(symmetric_range(saturation)),
    )
    crop = RandomAffineCrop(size, area, (0.9, 1.1), degrees=degrees)
    return Augmentation(crop, (*steps, OneOf((Blur(blur),), blur_prob)))


def light(
    size: Size,
    area: Range = (0.8, 1.0),
    degrees: float = 5.0,
    brightness: float = 0.2,
    contrast: float = 0.2,
    saturation: float = 0.1,
) -> Augmentation:
    """Builds a weak augmentation: crop, flip, small rotation, small changes of brightness, contrast and saturation.

    Args:
        size: (height, width) of the result.
        area: Range of the crop's fraction of the image area.
        degrees: Largest rotation in degrees.
        brightness: Largest change of the brightness factor from 1.
        contrast: Largest change of the contrast factor from 1.
        saturation: Largest change of the saturation factor from 1.

    Returns:
        The augmentation.
    """
    check_fraction(brightness=brightness, contrast=contrast, saturation=saturation)
    steps = (
        Saturation(symmetric_range(saturation)),
        Contrast(symmetric_range(contrast)),
        Brightness(symmetric_range(brightness)),
    )
    return Augmentation(RandomAffineCrop(size, area, (0.95, 1.05), degrees=degrees), steps)


def _color_steps(strength: float, hue: float, gray: float) -> tuple[Step, ...]:
    """Changes of brightness, contrast, saturation and hue, and grayscale with probability `gray`."""
    jitter = (
        Brightness(symmetric_range(strength)),
        Contrast(symmetric_range(strength)),
        Saturation(symmetric_range(strength)),
        Hue(hue),
    )
    return (*jitter, OneOf((Saturation((0.0, 0.0)),), gray))


def strong(
    size: Size,
    area: Range = (0.5, 1.0),
    degrees: float = 15.0,
    jitter: float = 0.4,
    hue: float = 0.03,
    gray: float = 0.1,
    degrade: float = 0.4,
    holes: float = 0.25,
) -> Augmentation:
    """Builds a strong augmentation for long trainings: wide crops, color, grayscale, degradations and dropout.

    The hue changes little, since skin is never green. Holes are few and large, since a face is recognized by more than
    one of its parts.

    Args:
        size: (height, width) of the result.
        area: Range of the crop's fraction of the image area.
        degrees: Largest rotation in degrees.
        jitter: Largest change of the factors of brightness, contrast and saturation from 1, 0 to 1.
        hue: Largest hue shift, 0 to 0.5 of the color circle.
        gray: Probability of grayscale.
        degrade: Probability of one of blur (0.5 to 2 pixels), noise (3 to 15 levels) and JPEG (quality 20 to 70).
        holes: Probability of 1 or 2 black holes with sides of 0.1 to 0.35 of the image's.

    Returns:
        The augmentation.
    """
    check_fraction(jitter=jitter, gray=gray, degrade=degrade, holes=holes)
    steps: tuple[Step, ...] = (
        *_color_steps(jitter, hue, gray),
        OneOf((Blur((0.5, 2.0)), Noise((3.0, 15.0)), Jpeg((20, 70))), degrade),
        OneOf((CoarseDropout(2, (0.1, 0.35)),), holes),
    )
    return Augmentation(RandomAffineCrop(size, area, (0.8, 1.25), degrees=degrees, shift=0.05), steps)


def unconstrained(
    size: Size,
    area: Range = (0.6, 1.0),
    ratio: Range = (0.75, 1.33),
    zoom: Range = (0.75, 1.15),
    shift: float = 0.06,
    degrees: float = 15.0,
    jitter: float = 0.4,
    hue: float = 0.04,
    gray: float = 0.1,
    downscale: float = 0.25,
    degrade: float = 0.5,
    holes: float = 0.1,
) -> Augmentation:
    """Builds an augmentation for photos taken without constraints: any framing, lighting, sharpness and resolution.

    For models that predict photos of other cameras than those they were trained on, with or without a detected face.

    Args:
        size: (height, width) of the result.
        area: Range of the crop's fraction of the image area.
        ratio: Range of the crop's relative aspect ratio.
        zoom: Range of a further magnification.
        shift: Largest shift as a fraction of the sides.
        degrees: Largest rotation in degrees.
        jitter: Largest change of the factors of brightness, contrast and saturation from 1, 0 to 1.
        hue: Largest hue shift, 0 to 0.5 of the color circle.
        gray: Probability of grayscale.
        downscale: Probability of a resolution of 0.2 to 0.6 of each side, as of a distant face.
        degrade: Probability, after that, of one of blur (0.4 to 2 pixels), noise (3 to 15 levels) and JPEG (quality 20
            to 80).
        holes: Probability of a black hole with sides of 0.1 to 0.3 of the image's.

    Returns:
        The augmentation.
    """
    check_fraction(jitter=jitter, gray=gray, downscale=downscale, degrade=degrade, holes=holes)
    steps: tuple[Step, ...] = (
        *_color_steps(jitter, hue, gray),
        OneOf((Downscale((0.2, 0.6)),), downscale),
        OneOf((Blur((0.4, 2.0)), Noise((3.0, 15.0)), Jpeg((20, 80))), degrade),
        OneOf((CoarseDropout(1, (0.1, 0.3)),), holes),
    )
    return Augmentation(RandomAffineCrop(size, area, ratio, degrees=degrees, shift=shift, zoom=zoom), steps)
