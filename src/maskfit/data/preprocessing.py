"""The one evaluation transform: what a network sees of a photo, exactly, in numpy and Pillow.

Validation, prediction, service, page, camera and export all build it from the same few facts, which the model file
holds. It has two halves: `Framing` cuts and shrinks a decoded photo to 8-bit pixels, which the store keeps;
`Normalising` turns them into the network's numbers.
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
from maskfit.data.crops.face import FaceCrop
from maskfit.data.crops.single_face import crop_single_face
from maskfit.data.detectors import Face
from maskfit.data.weight_pinning import pin_component
from maskfit.registry import ComponentSpec, instantiate

ImageBatch = NDArray[np.uint8]
"""Photos as the store keeps them: (photos, height, width, 3)."""

FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC, "box": Image.Resampling.BOX}
"""Filters for shrinking; Pillow widens each with the scale, so none of them aliases."""

ROTATED_FILTERS = FILTERS | {"box": Image.Resampling.NEAREST}
"""How a single point of a turned box is read; the mean over the points of a pixel does the rest of the filter."""

FilterName = Literal["bilinear", "bicubic", "box"]
SideLength = Annotated[int, Field(ge=8, le=4096)]
ChannelTriple = tuple[float, float, float]


class CropResize(BaseModel):
    """Cuts the face from a photo and shrinks it, in one resampling step; before that may erase its background.

    Attributes:
        crop: A name of `crops.CROPS` with its options; it sees the photo as it is.
        size: (height, width) of the result in pixels.
        filter: A name of `FILTERS`.
        background: A name of `backgrounds.BACKGROUNDS` with its options.
        sharpen: How much of what a slight blur takes away is added once more after shrinking; 0 for not at all.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    crop: ComponentSpec = ComponentSpec.create("center")
    size: tuple[SideLength, SideLength] = (224, 224)
    filter: FilterName = "bilinear"
    background_removal: ComponentSpec = ComponentSpec.create("none")
    unsharp_mask: Annotated[float, Field(ge=0, le=5)] = 0.0

    @model_serializer(mode="wrap")
    def _as_before(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Model files and stores from before there was a choice say nothing of these; so do those that do not use them,
        # and stay readable, and found under their names.
        facts: dict[str, Any] = write(self)
        return {name: value for name, value in facts.items() if (name, value) not in _LEFT_OUT}

    @cached_property
    def _background(self) -> Background:
        background: Background = instantiate(BACKGROUNDS, self.background_removal)
        return background

    @cached_property
    def _crop(self) -> Crop:
        crop: Crop = instantiate(CROPS, self.crop)
        return crop

    def pinned(self) -> CropResize:
        """The same framing with everything that its parts read from files named by content, as model files record it.

        Raises:
            RecipeError: The crop or background is unknown, or an option is refused.
            DataError: Weights are not here and cannot be fetched, or cannot be read.
            MissingExtraError: A detector or background needs an extra.
        """
        parts = {
            "crop": pin_component(self.crop, self._crop),
            "background_removal": pin_component(self.background_removal, self._background),
        }
        # Built anew: a copy would keep the crop that was built before.
        return type(self)(**{**dict(self), **parts})

    def find_crop(self, photo: NDArray[np.uint8]) -> CropBox:
        """Which part of a photo this framing shows."""
        height, width = self.size
        found = self._crop.box(photo, width / height)
        return found if isinstance(found, CropBox) else CropBox(found)

    def find_face_crop(self, photo: NDArray[np.uint8], face: Face) -> CropBox:
        """Which part of a photo this framing shows of one face on it; see `portrait.cut_face`."""
        height, width = self.size
        return crop_single_face(self._crop, photo, face, width / height)

    @property
    def face_crop(self) -> FaceCrop | None:
        """The crop, where it is one that looks for faces."""
        return self._crop if isinstance(self._crop, FaceCrop) else None

    def __call__(self, photo: NDArray[np.uint8], cut: CropBox | None = None) -> NDArray[np.uint8]:
        """A photo (height, width, 3) of any size as pixels of this framing's size, (height, width, 3).

        Args:
            photo: The photo.
            cut: What `cut` said of it, where that is known already.
        """
        cut = cut or self.find_crop(photo)
        return self.crop_and_resize(self.remove_background(photo, cut), cut)

    def remove_background(self, photo: NDArray[np.uint8], cut: CropBox) -> NDArray[np.uint8]:
        """A photo with its background erased, where this framing does so: the first step of `frame`."""
        return self._background.remove_background(photo, cut)

    def crop_and_resize(self, photo: NDArray[np.uint8], cut: CropBox) -> NDArray[np.uint8]:
        """What `erase` gave, cut and shrunk: the second step of `frame`."""
        if cut.angle:
            return unsharp_mask(crop_rotated(photo, cut, self.size, ROTATED_FILTERS[self.filter]), self.unsharp_mask)
        height, width = self.size
        image = Image.fromarray(photo).resize((width, height), FILTERS[self.filter], box=cut.box)
        return unsharp_mask(np.asarray(image, dtype=np.uint8), self.unsharp_mask)

    def scaled(self, scale: float) -> CropResize:
        """The same framing with each side `scale` times as long, rounded: what augmentation takes its crops from."""
        height, width = (round(side * scale) for side in self.size)
        return self.model_copy(update={"size": (height, width)})

    def is_equivalent(self, other: CropResize) -> bool:
        """Whether both show the same part of every photo, with the same background: they may differ in resolution."""
        (height, width), (others_height, others_width) = self.size, other.size
        seen = (self.crop, self.background_removal, width / height)
        return seen == (other.crop, other.background_removal, others_width / others_height)


def apply_all(photo: NDArray[np.uint8], framings: Sequence[CropResize]) -> list[tuple[NDArray[np.uint8], CropBox]]:
    """A photo through several framings, each with its cut, as `Framing.frame` gives them one by one.

    What takes long, to find the face and to erase the background, is done once for framings that see the same.

    Args:
        photo: (height, width, 3).
        framings: Of any sizes.
    """
    seen: list[tuple[CropResize, CropBox, NDArray[np.uint8]]] = []
    framed = []
    for framing in framings:
        same = next((one for one in seen if framing.is_equivalent(one[0])), None)
        if same is None:
            cut = framing.find_crop(photo)
            same = (framing, cut, framing.remove_background(photo, cut))
            seen.append(same)
        _, cut, erased = same
        framed.append((framing.crop_and_resize(erased, cut), cut))
    return framed


_LEFT_OUT = (("background_removal", "none"), ("unsharp_mask", 0.0))

UNSHARP_SIGMA = 1 / 224
"""Of a frame's shorter side, the deviation of the blur that sharpening undoes. A share, so that the larger frames that
augmentation crops from are sharpened alike."""


def unsharp_mask(frame: NDArray[np.uint8], amount: float) -> NDArray[np.uint8]:
    """An unsharp mask (seed s2 sharpened edges): the frame, and `amount` times what a slight blur takes from it.

    Args:
        frame: (height, width, 3).
        amount: 0 for the frame as it is.
    """
    if not amount:
        return frame
    radius = UNSHARP_SIGMA * min(frame.shape[:2])
    mask = ImageFilter.UnsharpMask(radius, percent=round(100 * amount), threshold=0)
    return np.asarray(Image.fromarray(frame).filter(mask), dtype=np.uint8)


MIN_STD = 1.0
"""Levels of 255 that a photo's own deviation counts at least, so that a black photo is black and not noise."""


class Normalize(BaseModel):
    """Turns 8-bit pixels into what the network was trained on: (pixel / 255 - mean) / std, for each channel.

    Attributes:
        mean: Of red, green and blue, in 0 to 1.
        std: The same, above 0.
        mode: `pretrained` takes `mean` and `std`; `per_image` takes those of each photo's own channels in their place, of all
            its pixels, `std` at least `LEAST_DEVIATION` (seed s0).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    mean: ChannelTriple = (0.485, 0.456, 0.406)
    std: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] = (
        0.229,
        0.224,
        0.225,
    )
    # Model files from before there was a choice say nothing of it.
    mode: Literal["pretrained", "per_image"] = "pretrained"

    def scale_and_shift(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The mode `dataset` as one multiplication and one addition: pixel * scale + shift, three numbers each.

        The training loop uses these numbers too, so that both give the same floats.
        """
        std = np.array(self.std)
        return (1 / (255 * std)).astype(np.float32), (-np.array(self.mean) / std).astype(np.float32)

    def __call__(self, frames: ImageBatch) -> NDArray[np.float32]:
        """Frames (photos, height, width, 3) as network input (photos, 3, height, width)."""
        if self.mode == "per_image":
            planes = np.empty((len(frames), 3, *frames.shape[1:3]), dtype=np.float32)
            for frame, plane in zip(frames, planes, strict=True):
                _normalise_by_itself(frame, plane)
            return planes
        scale, shift = self.scale_and_shift()
        planes = frames.transpose(0, 3, 1, 2).astype(np.float32, order="C")
        planes *= scale[:, None, None]
        planes += shift[:, None, None]
        return planes


def _normalise_by_itself(frame: NDArray[np.uint8], out: NDArray[np.float32]) -> None:
    """Writes a frame (height, width, 3), less its channels' means and over their deviations, as (3, height, width)."""
    for channel in range(3):
        pixels = frame[..., channel].astype(np.float64)
        deviation = max(float(pixels.std()), MIN_STD)
        out[channel] = (pixels - pixels.mean()) / deviation


class Preprocessing(BaseModel):
    """Everything between a decoded photo and the network; this is what a model file records."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    crop_resize: CropResize = CropResize()
    normalization: Normalize = Normalize()

    def __call__(self, photo: NDArray[np.uint8]) -> NDArray[np.float32]:
        """One decoded photo (height, width, 3) as network input (1, 3, height, width)."""
        return self.normalization(self.crop_resize(photo)[None])
