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
from maskfit.data.boxes import Cut, cut_turned
from maskfit.data.crops import CROPS, Crop
from maskfit.data.detectors import Face
from maskfit.data.face_crop import FaceCrop
from maskfit.data.portrait import cut_face
from maskfit.data.settling import settle
from maskfit.parts import Part, build

Frames = NDArray[np.uint8]
"""Photos as the store keeps them: (photos, height, width, 3)."""

FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC, "box": Image.Resampling.BOX}
"""Filters for shrinking; Pillow widens each with the scale, so none of them aliases."""

POINTS = FILTERS | {"box": Image.Resampling.NEAREST}
"""How a single point of a turned box is read; the mean over the points of a pixel does the rest of the filter."""

Filter = Literal["bilinear", "bicubic", "box"]
Pixels = Annotated[int, Field(ge=8, le=4096)]
Channel = tuple[float, float, float]


class Framing(BaseModel):
    """Cuts the face from a photo and shrinks it, in one resampling step; before that may erase its background.

    Attributes:
        crop: A name of `crops.CROPS` with its options; it sees the photo as it is.
        size: (height, width) of the result in pixels.
        filter: A name of `FILTERS`.
        background: A name of `backgrounds.BACKGROUNDS` with its options.
        sharpen: How much of what a slight blur takes away is added once more after shrinking; 0 for not at all.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    crop: Part = Part.of("centre")
    size: tuple[Pixels, Pixels] = (224, 224)
    filter: Filter = "bilinear"
    background: Part = Part.of("none")
    sharpen: Annotated[float, Field(ge=0, le=5)] = 0.0

    @model_serializer(mode="wrap")
    def _as_before(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Model files and stores from before there was a choice say nothing of these; so do those that do not use them,
        # and stay readable, and found under their names.
        facts: dict[str, Any] = write(self)
        return {name: value for name, value in facts.items() if (name, value) not in _LEFT_OUT}

    @cached_property
    def _background(self) -> Background:
        background: Background = build(BACKGROUNDS, self.background)
        return background

    @cached_property
    def _crop(self) -> Crop:
        crop: Crop = build(CROPS, self.crop)
        return crop

    def settled(self) -> Framing:
        """The same framing with everything that its parts read from files named by content, as model files record it.

        Raises:
            RecipeError: The crop or background is unknown, or an option is refused.
            DataError: Weights are not here and cannot be fetched, or cannot be read.
            MissingExtraError: A detector or background needs an extra.
        """
        parts = {"crop": settle(self.crop, self._crop), "background": settle(self.background, self._background)}
        # Built anew: a copy would keep the crop that was built before.
        return type(self)(**{**dict(self), **parts})

    def cut(self, photo: NDArray[np.uint8]) -> Cut:
        """Which part of a photo this framing shows."""
        height, width = self.size
        found = self._crop.box(photo, width / height)
        return found if isinstance(found, Cut) else Cut(found)

    def cut_face(self, photo: NDArray[np.uint8], face: Face) -> Cut:
        """Which part of a photo this framing shows of one face on it; see `portrait.cut_face`."""
        height, width = self.size
        return cut_face(self._crop, photo, face, width / height)

    @property
    def finds_faces(self) -> FaceCrop | None:
        """The crop, where it is one that looks for faces."""
        return self._crop if isinstance(self._crop, FaceCrop) else None

    def frame(self, photo: NDArray[np.uint8], cut: Cut | None = None) -> NDArray[np.uint8]:
        """A photo (height, width, 3) of any size as pixels of this framing's size, (height, width, 3).

        Args:
            photo: The photo.
            cut: What `cut` said of it, where that is known already.
        """
        cut = cut or self.cut(photo)
        return self.shrink(self.erase(photo, cut), cut)

    def erase(self, photo: NDArray[np.uint8], cut: Cut) -> NDArray[np.uint8]:
        """A photo with its background erased, where this framing does so: the first step of `frame`."""
        return self._background.erase(photo, cut)

    def shrink(self, photo: NDArray[np.uint8], cut: Cut) -> NDArray[np.uint8]:
        """What `erase` gave, cut and shrunk: the second step of `frame`."""
        if cut.angle:
            return sharpened(cut_turned(photo, cut, self.size, POINTS[self.filter]), self.sharpen)
        height, width = self.size
        image = Image.fromarray(photo).resize((width, height), FILTERS[self.filter], box=cut.box)
        return sharpened(np.asarray(image, dtype=np.uint8), self.sharpen)

    def scaled(self, scale: float) -> Framing:
        """The same framing with each side `scale` times as long, rounded: what augmentation takes its crops from."""
        height, width = (round(side * scale) for side in self.size)
        return self.model_copy(update={"size": (height, width)})

    def sees_as(self, other: Framing) -> bool:
        """Whether both show the same part of every photo, with the same background: they may differ in resolution."""
        (height, width), (others_height, others_width) = self.size, other.size
        seen = (self.crop, self.background, width / height)
        return seen == (other.crop, other.background, others_width / others_height)


def frame_all(photo: NDArray[np.uint8], framings: Sequence[Framing]) -> list[tuple[NDArray[np.uint8], Cut]]:
    """A photo through several framings, each with its cut, as `Framing.frame` gives them one by one.

    What takes long, to find the face and to erase the background, is done once for framings that see the same.

    Args:
        photo: (height, width, 3).
        framings: Of any sizes.
    """
    seen: list[tuple[Framing, Cut, NDArray[np.uint8]]] = []
    framed = []
    for framing in framings:
        same = next((one for one in seen if framing.sees_as(one[0])), None)
        if same is None:
            cut = framing.cut(photo)
            same = (framing, cut, framing.erase(photo, cut))
            seen.append(same)
        _, cut, erased = same
        framed.append((framing.shrink(erased, cut), cut))
    return framed


_LEFT_OUT = (("background", "none"), ("sharpen", 0.0))

BLUR = 1 / 224
"""Of a frame's shorter side, the deviation of the blur that sharpening undoes. A share, so that the larger frames that
augmentation crops from are sharpened alike."""


def sharpened(frame: NDArray[np.uint8], amount: float) -> NDArray[np.uint8]:
    """An unsharp mask (seed s2 sharpened edges): the frame, and `amount` times what a slight blur takes from it.

    Args:
        frame: (height, width, 3).
        amount: 0 for the frame as it is.
    """
    if not amount:
        return frame
    radius = BLUR * min(frame.shape[:2])
    mask = ImageFilter.UnsharpMask(radius, percent=round(100 * amount), threshold=0)
    return np.asarray(Image.fromarray(frame).filter(mask), dtype=np.uint8)


LEAST_DEVIATION = 1.0
"""Levels of 255 that a photo's own deviation counts at least, so that a black photo is black and not noise."""


class Normalising(BaseModel):
    """Turns 8-bit pixels into what the network was trained on: (pixel / 255 - mean) / std, for each channel.

    Attributes:
        mean: Of red, green and blue, in 0 to 1.
        std: The same, above 0.
        mode: `dataset` takes `mean` and `std`; `photo` takes those of each photo's own channels in their place, of all
            its pixels, `std` at least `LEAST_DEVIATION` (seed s0).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    mean: Channel = (0.485, 0.456, 0.406)
    std: tuple[
        Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]
    ] = (0.229, 0.224, 0.225)  # fmt: skip
    # Model files from before there was a choice say nothing of it.
    mode: Literal["dataset", "photo"] = "dataset"

    def scale_and_shift(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The mode `dataset` as one multiplication and one addition: pixel * scale + shift, three numbers each.

        The training loop uses these numbers too, so that both give the same floats.
        """
        std = np.array(self.std)
        return (1 / (255 * std)).astype(np.float32), (-np.array(self.mean) / std).astype(np.float32)

    def normalise(self, frames: Frames) -> NDArray[np.float32]:
        """Frames (photos, height, width, 3) as network input (photos, 3, height, width)."""
        if self.mode == "photo":
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
        deviation = max(float(pixels.std()), LEAST_DEVIATION)
        out[channel] = (pixels - pixels.mean()) / deviation


class Preprocessing(BaseModel):
    """Everything between a decoded photo and the network; this is what a model file records."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    framing: Framing = Framing()
    normalising: Normalising = Normalising()

    def __call__(self, photo: NDArray[np.uint8]) -> NDArray[np.float32]:
        """One decoded photo (height, width, 3) as network input (1, 3, height, width)."""
        return self.normalising.normalise(self.framing.frame(photo)[None])
