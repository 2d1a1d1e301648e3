"""The file of a generator: its weights, what it draws, and everybody it learned from.

Like a model file it is `.safetensors` with JSON in its metadata: nothing is unpickled, nothing in it names code to run,
and no memory is taken for weights that the file does not hold. The persons stand in it, since without them nobody who
draws from it again could know whose training it must be kept out of.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from maskfit import __version__
from maskfit.data.preprocessing import CropResize
from maskfit.errors import ModelFileError, RecipeError
from maskfit.file_io import atomic_write
from maskfit.labels.schema import LabelSchema
from maskfit.model_metadata import read_metadata
from maskfit.synthesis.gan.networks import SIZES, Generator

KEY = "maskfit-gan"
"""The metadata key that makes a weight file a generator of maskfit's."""


class GanMetadata(BaseModel):
    """What a generator says of itself.

    Attributes:
        format: The version of these facts.
        maskfit: The version of maskfit that wrote them.
        scheme: What it is told to draw; official values.
        framing: How the photos it learned from were cut; its size is that of a face.
        width: Channels of its largest map.
        latent: Numbers of noise.
        batch: Photos of a step.
        seed: What all chance of its training followed from.
        steps: For how many steps it was trained.
        photos: How many photos it learned from.
        persons: Everybody on them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    maskfit: str = __version__
    label_schema: LabelSchema
    framing: CropResize
    width: Annotated[int, Field(ge=1, le=512)] = 32
    latent: Annotated[int, Field(ge=1, le=1024)] = 128
    batch: Annotated[int, Field(ge=2, le=4096)] = 32
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    steps: Annotated[int, Field(ge=0)] = 0
    photos: Annotated[int, Field(ge=1)]
    persons: tuple[str, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _check(self) -> GanMetadata:
        height, width = self.framing.size
        if height != width or height not in SIZES:
            raise ValueError(f"faces of {height} x {width} pixels are none of {', '.join(map(str, SIZES))}")
        return self

    @property
    def size(self) -> int:
        """Side of a face in pixels."""
        return self.framing.size[0]

    def network(self) -> Generator:
        """A generator of these sizes, its weights new."""
        return Generator(self.size, self.width, self.latent, self.label_schema.shape)


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: GanMetadata) -> Path:
    """Writes tensors by name with the facts beside them."""
    copies = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    text = json.dumps(metadata.model_dump(mode="json"), ensure_ascii=False)
    with atomic_write(path) as temporary:
        temporary.write_bytes(save(copies, {KEY: text}))
    return path


def read_gan_metadata(path: Path) -> GanMetadata:
    """What a file of `write_tensors` says of itself.

    Raises:
        ModelFileError: The file is missing, is no such file, or is damaged.
    """
    text = read_metadata(path).get(KEY)
    if text is None:
        raise ModelFileError(
            "this is no generator of faces", location=path, hint="name a gan.safetensors that 'maskfit data gan' wrote"
        )
    try:
        return GanMetadata.model_validate_json(text)
    except (ValidationError, RecipeError, RecursionError) as error:
        raise ModelFileError(
            f"its metadata are damaged or from a newer maskfit than {__version__}: {error!s:.300}",
            location=path,
            hint="pip install --upgrade maskfit, or train it anew",
        ) from None


def read_tensors(path: Path, expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a file, which must be those that are wanted, of the same shapes, and numbers.

    Raises:
        ModelFileError: They are not.
    """
    with safe_open(path, framework="pt") as file:
        found = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 (it is no dict)
    # Compared before they are read: a file may hold anything, of any size.
    shapes = {name: tuple(tensor.shape) for name, tensor in expected.items()}
    mismatched = [name for name in {**shapes, **found} if shapes.get(name) != found.get(name)]
    if mismatched:
        raise ModelFileError(
            f"{len(mismatched)} of its weights do not fit what it says of itself, such as {mismatched[0]:.100}",
            location=path,
            hint="the file is damaged; train it anew",
        )
    try:
        tensors: dict[str, Tensor] = load_file(path)
    except (SafetensorError, OSError) as error:
        raise ModelFileError(f"its weights cannot be read: {error}", location=path, hint="train it anew") from None
    non_finite = [name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()]
    if non_finite:
        raise ModelFileError(f"its weights are not numbers: {non_finite[0]}", location=path, hint="train it anew")
    return tensors


def load_generator(path: Path) -> tuple[Generator, GanMetadata]:
    """A generator in evaluation mode, and its facts.

    Raises:
        ModelFileError: The file is no generator, or its weights are not those that its facts ask for.
    """
    metadata = read_gan_metadata(path)
    # On the meta device a network of any size costs nothing, and the file says whether that size is real.
    with torch.device("meta"):
        draft = metadata.network()
    tensors = read_tensors(path, draft.state_dict())
    network = metadata.network()
    network.load_state_dict(tensors)
    return network.eval(), metadata
