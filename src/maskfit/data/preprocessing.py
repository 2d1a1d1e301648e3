"""Evaluation preprocessing: the exact pixels that a network receives of a photo, in numpy and Pillow.

Validation, prediction, service, web app, video and export all build it from the same settings, which the model file
stores. It has two steps: `CropResize` crops and resizes a decoded photo to 8-bit pixels, which the image cache stores;
`Normalize` turns them into the network's input.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from maskfit.data.backgrounds import BACKGROUNDS, Background
from maskfit.data.boxes import CropBox, crop_rotated
from maskfit.data.crops import CROPS, Crop
from maskfit.data.crops.face import FaceCrop, crop_single_face
from maskfit.data.detectors import Face
from maskfit.data.face_boxes import face_of
from maskfit.data.fast_downscale import downscale
from maskfit.data.image_decoding import decode
from maskfit.data.photo_dataset import Photo
from maskfit.pretrained_weights import pin_component
from maskfit.registry import ComponentSpec, instantiate

ImageBatch = NDArray[np.uint8]
"""Cropped and resized images, (batch, height, width, 3)."""

FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC, "box": Image.Resampling.BOX}
"""Resampling filters by name; Pillow scales each filter's support when downscaling, so none of them aliases."""

ROTATED_FILTERS = FILTERS | {"box": Image.Resampling.NEAREST}
"""Interpolation of single samples of a rotated box; the mean over a pixel's samples does the rest of the filter."""

FilterName = Literal["bilinear", "bicubic", "box"]
SideLength = Annotated[int, Field(ge=8, le=4096)]
ChannelTriple = tuple[float, float, float]


class CropResize(BaseModel):
    """Crops the face from a photo and resizes it in one resampling step; may remove the background before that.

    Attributes:
        crop: A component of `crops.CROPS`; it receives the photo with its background.
        size: (height, width) of the result in pixels, each in 8 to 4096.
        filter: A name of `FILTERS`.
        background_removal: A component of `backgrounds.BACKGROUNDS`.
        unsharp_mask: Strength of the unsharp mask after resizing, in 0 (off) to 5.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    crop: ComponentSpec = ComponentSpec.create("center")
    size: tuple[SideLength, SideLength] = (224, 224)
    filter: FilterName = "bilinear"
    background_removal: ComponentSpec = ComponentSpec.create("none")
    unsharp_mask: Annotated[float, Field(ge=0, le=5)] = 0.0

    @model_serializer(mode="wrap")
    def _omit_defaults(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Fields that were added later are written only where they are used: model files and image caches that do not
        # use them keep the same text, and so the same cache folder.
        values: dict[str, Any] = serialize(self)
        return {name: value for name, value in values.items() if (name, value) not in _OMITTED_DEFAULTS}

    @cached_property
    def _background(self) -> Background:
        background: Background = instantiate(BACKGROUNDS, self.background_removal)
        return background

    @cached_property
    def _crop(self) -> Crop:
        crop: Crop = instantiate(CROPS, self.crop)
        return crop

    def pinned(self) -> CropResize:
        """Returns the same settings with external weights named by their SHA-256, as model files store them.

        Returns:
            A new instance.

        Raises:
            RecipeError: The crop or background is unknown, or an option is invalid.
            DataError: Weights are missing and cannot be downloaded, or cannot be read.
            MissingExtraError: A detector or background needs an extra.
        """
        components = {
            "crop": pin_component(self.crop, self._crop),
            "background_removal": pin_component(self.background_removal, self._background),
        }
        # Constructed again: a copy would keep the cached crop and background.
        return type(self)(**{**dict(self), **components})

    def find_crop(self, photo: NDArray[np.uint8], face: Face | None = None) -> CropBox:
        """Returns the box of a photo that will be cropped.

        Args:
            photo: Image of shape (height, width, 3).
            face: The face to crop, where a table or a detector gave it; a crop that detects faces then detects none.

        Returns:
            The crop box.
        """
        if face is not None:
            return self.find_face_crop(photo, face)
        height, width = self.size
        found = self._crop.box(photo, width / height)
        return found if isinstance(found, CropBox) else CropBox(found)

    def find_face_crop(self, photo: NDArray[np.uint8], face: Face) -> CropBox:
        """Returns the crop box for one face of a photo; see `crops.face.crop_single_face`.

        Args:
            photo: Image of shape (height, width, 3).
            face: A face that a detector found on it.

        Returns:
            The crop box.
        """
        height, width = self.size
        return crop_single_face(self._crop, photo, face, width / height)

    @property
    def face_crop(self) -> FaceCrop | None:
        """The crop, if it is one that detects faces."""
        return self._crop if isinstance(self._crop, FaceCrop) else None

    def __call__(self, photo: NDArray[np.uint8], crop_box: CropBox | None = None) -> NDArray[np.uint8]:
        """Crops and resizes a photo.

        Args:
            photo: Image of shape (height, width, 3), of any size.
            crop_box: Result of `find_crop`, where it is already known.

        Returns:
            The image, uint8 of shape (*size, 3).
        """
        crop_box = crop_box or self.find_crop(photo)
        return self.crop_and_resize(self.remove_background(photo, crop_box), crop_box)

    def read(self, photo: Photo) -> NDArray[np.uint8]:
        """Reads a row of a dataset: decodes its photo, crops the row's own face if it has a box, and resizes.

        Args:
            photo: The row.

        Returns:
            The image, uint8 of shape (*size, 3).

        Raises:
            PhotoError: The photo cannot be read, or nothing of the row's box is on it.
        """
        pixels = decode(photo.path)
        return self(pixels, self.find_crop(pixels, face_of(photo, pixels.shape[1], pixels.shape[0])))

    def remove_background(self, photo: NDArray[np.uint8], crop_box: CropBox) -> NDArray[np.uint8]:
        """Removes the background of a photo, if the settings say so: the first step of `__call__`.

        Args:
            photo: Image of shape (height, width, 3).
            crop_box: The crop box of the photo.

        Returns:
            The photo at its original size.
        """
        if self.background_removal.name == "none":
            return photo
        return self._background.remove_background(photo, crop_box)

    def crop_and_resize(self, photo: NDArray[np.uint8], crop_box: CropBox) -> NDArray[np.uint8]:
        """Crops, resizes and sharpens: the second step of `__call__`.

        Args:
            photo: Result of `remove_background`, (height, width, 3).
            crop_box: The crop box of the photo.

        Returns:
            The image, uint8 of shape (*size, 3).
        """
        if crop_box.angle:
            return unsharp_mask(
                crop_rotated(photo, crop_box, self.size, ROTATED_FILTERS[self.filter]), self.unsharp_mask
            )
        height, width = self.size
        image = Image.fromarray(photo).resize((width, height), FILTERS[self.filter], box=crop_box.box)
        return unsharp_mask(np.asarray(image, dtype=np.uint8), self.unsharp_mask)

    def approximate(self, photo: NDArray[np.uint8], crop_box: CropBox) -> NDArray[np.uint8] | None:
        """Does what `__call__` does in a fraction of the time, to pixels some of which are off by a level.

        Args:
            photo: Image of shape (height, width, 3).
            crop_box: Result of `find_crop`.

        Returns:
            The image, uint8 of shape (*size, 3); None where it can only be made as `__call__` does: where nothing is
            downscaled, the filter is `box`, the crop is rotated, the background is removed, or the extra `fast` is not
            installed.
        """
        if crop_box.angle or self.background_removal.name != "none":
            return None
        image = downscale(photo, crop_box.box, self.size, self.filter)
        return image if image is None else unsharp_mask(image, self.unsharp_mask)

    def scaled(self, scale: float) -> CropResize:
        """Returns the same settings at a larger size, from which augmentation takes random crops.

        Args:
            scale: Factor of each side; the result is rounded to whole pixels.

        Returns:
            A new instance.
        """
        height, width = (round(side * scale) for side in self.size)
        return self.model_copy(update={"size": (height, width)})

    def is_equivalent(self, other: CropResize) -> bool:
        """Returns whether both crop the same region of every photo with the same background; the sizes may differ.

        Args:
            other: The settings to compare with.

        Returns:
            Whether crop, background removal and aspect ratio are equal.
        """
        (height, width), (other_height, other_width) = self.size, other.size
        region = (self.crop, self.background_removal, width / height)
        return region == (other.crop, other.background_removal, other_width / other_height)


def apply_all(
    photo: NDArray[np.uint8], crop_resizes: Sequence[CropResize], face: Face | None = None
) -> list[tuple[NDArray[np.uint8], CropBox]]:
    """Applies several `CropResize` to one photo; face detection and background removal run once per distinct region.

    Args:
        photo: Image of shape (height, width, 3).
        crop_resizes: The settings, of any sizes.
        face: The face to crop, where it is known; see `CropResize.find_crop`.

    Returns:
        For each setting the image and its crop box, equal to what each gives alone.
    """
    regions: list[tuple[CropResize, CropBox, NDArray[np.uint8]]] = []
    results = []
    for crop_resize in crop_resizes:
        region = next((known for known in regions if crop_resize.is_equivalent(known[0])), None)
        if region is None:
            crop_box = crop_resize.find_crop(photo, face)
            region = (crop_resize, crop_box, crop_resize.remove_background(photo, crop_box))
            regions.append(region)
        _, crop_box, foreground = region
        results.append((crop_resize.crop_and_resize(foreground, crop_box), crop_box))
    return results


_OMITTED_DEFAULTS = (("background_removal", "none"), ("unsharp_mask", 0.0))

UNSHARP_SIGMA = 1 / 224
"""Standard deviation of the unsharp mask's blur as a fraction of the image's shorter side, so that the larger images
from which augmentation crops are sharpened alike."""


def unsharp_mask(image: NDArray[np.uint8], amount: float) -> NDArray[np.uint8]:
    """Sharpens an image with an unsharp mask (project nlp09 sharpened edges).

    Args:
        image: Pixels of shape (height, width, 3).
        amount: Weight of the difference between image and blurred image; 0 returns the image itself.

    Returns:
        The sharpened image, same shape.
    """
    if not amount:
        return image
    radius = UNSHARP_SIGMA * min(image.shape[:2])
    mask = ImageFilter.UnsharpMask(radius, percent=round(100 * amount), threshold=0)
    return np.asarray(Image.fromarray(image).filter(mask), dtype=np.uint8)


MIN_STD = 1.0
"""Lower bound of a channel's standard deviation in levels of 255, so that a black image does not become noise."""


class Normalize(BaseModel):
    """Normalizes 8-bit pixels per channel: (pixel / 255 - mean) / std.

    Attributes:
        mean: Means of red, green and blue, in 0 to 1; the default is ImageNet's.
        std: Standard deviations of red, green and blue, > 0; the default is ImageNet's.
        mode: `pretrained` uses `mean` and `std`; `per_image` uses the mean and standard deviation (at least
            `MIN_STD`) of each image's own channels instead (project boostup).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    mean: ChannelTriple = (0.485, 0.456, 0.406)
    std: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] = (
        0.229,
        0.224,
        0.225,
    )
    # Older model files lack this field.
    mode: Literal["pretrained", "per_image"] = "pretrained"

    def scale_and_shift(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Returns mode `pretrained` as pixel * scale + shift.

        The training loop uses the same numbers, so that both give the same floats.

        Returns:
            Scale and shift, float32 of shape (3,) each.
        """
        std = np.array(self.std)
        return (1 / (255 * std)).astype(np.float32), (-np.array(self.mean) / std).astype(np.float32)

    def __call__(self, images: ImageBatch) -> NDArray[np.float32]:
        """Normalizes a batch and moves the channels to the front.

        Args:
            images: Pixels, uint8 of shape (batch, height, width, 3).

        Returns:
            Network input, float32 of shape (batch, 3, height, width).
        """
        if self.mode == "per_image":
            planes = np.empty((len(images), 3, *images.shape[1:3]), dtype=np.float32)
            for image, plane in zip(images, planes, strict=True):
                _normalize_per_image(image, plane)
            return planes
        scale, shift = self.scale_and_shift()
        planes = images.transpose(0, 3, 1, 2).astype(np.float32, order="C")
        planes *= scale[:, None, None]
        planes += shift[:, None, None]
        return planes


def _normalize_per_image(image: NDArray[np.uint8], out: NDArray[np.float32]) -> None:
    """Standardizes each channel of an image (height, width, 3) and writes it to `out` (3, height, width)."""
    for channel in range(3):
        pixels = image[..., channel].astype(np.float64)
        std = max(float(pixels.std()), MIN_STD)
        out[channel] = (pixels - pixels.mean()) / std


class Preprocessing(BaseModel):
    """All steps between a decoded photo and the network, as a model file stores them.

    Attributes:
        crop_resize: Cropping and resizing to 8-bit pixels.
        normalization: Normalization of those pixels.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    crop_resize: CropResize = CropResize()
    normalization: Normalize = Normalize()

    def __call__(self, photo: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Preprocesses one decoded photo.

        Args:
            photo: Image of shape (height, width, 3).

        Returns:
            Network input, float32 of shape (1, 3, height, width).
        """
        return self.normalization(self.crop_resize(photo)[None])
