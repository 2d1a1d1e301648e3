"""The file of a generator: weights, architecture, and the persons it was trained on.

Like a model file it is `.safetensors` with JSON in its metadata: nothing is unpickled, no code is named, and no memory
is allocated for weights that the file does not hold. The persons are part of it, since samples must be kept out of
every
training whose validation persons the generator has seen.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from maskfit.config.aliases import upgrade_gan_metadata, warn_once
from maskfit.data.preprocessing import CropResize
from maskfit.errors import ModelFileError, RecipeError
from maskfit.file_io import atomic_write
from maskfit.labels.schema import LabelSchema
from maskfit.model_metadata import read_metadata
from maskfit.synthesis.gan.networks import SIZES, Generator
from maskfit.text import format_count, format_validation_error, parse_json
from maskfit.version import __version__

KEY = "maskfit-gan"
"""Metadata key that identifies a generator file."""


class GanMetadata(BaseModel):
    """Metadata of a generator file.

    Attributes:
        format: Version of this format.
        maskfit: Version of maskfit that wrote it.
        label_schema: Schema of the conditioning attributes, with their official values.
        crop_resize: Crop and resize of the training photos; its size is that of the samples.
        width: Channels of the largest feature map.
        latent_dim: Dimension of the noise vector.
        batch_size: Photos per step.
        seed: Seed of the training.
        steps: Steps trained.
        photos: Number of training photos.
        persons: Persons on the training photos.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    maskfit: str = __version__
    label_schema: LabelSchema
    crop_resize: CropResize
    width: Annotated[int, Field(ge=1, le=512)] = 32
    latent_dim: Annotated[int, Field(ge=1, le=1024)] = 128
    batch_size: Annotated[int, Field(ge=2, le=4096)] = 32
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    steps: Annotated[int, Field(ge=0)] = 0
    photos: Annotated[int, Field(ge=1)]
    persons: tuple[str, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _check(self) -> GanMetadata:
        height, width = self.crop_resize.size
        if height != width or height not in SIZES:
            raise ValueError(f"face size {height} x {width} is none of {', '.join(map(str, SIZES))}")
        return self

    @property
    def size(self) -> int:
        """Side of a sample in pixels."""
        return self.crop_resize.size[0]

    def network(self) -> Generator:
        """Builds a generator of this architecture with random weights."""
        return Generator(self.size, self.width, self.latent_dim, self.label_schema.shape)


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: GanMetadata) -> Path:
    """Writes tensors and metadata to a `.safetensors` file, atomically.

    Args:
        path: File to write.
        tensors: Tensors by name, on any device.
        metadata: Metadata of the file.

    Returns:
        `path`.
    """
    copies = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    text = json.dumps(metadata.model_dump(mode="json"), ensure_ascii=False)
    with atomic_write(path) as temporary:
        temporary.write_bytes(save(copies, {KEY: text}))
    return path


def read_gan_metadata(path: Path) -> GanMetadata:
    """Reads the metadata of a file written by `write_tensors`; keys of earlier versions are upgraded.

    Args:
        path: The file.

    Returns:
        The metadata.

    Raises:
        ModelFileError: The file is missing, is not a generator, or is damaged.
    """
    text = read_metadata(path).get(KEY)
    if text is None:
        raise ModelFileError(
            "not a generator file", location=path, hint="use a gan.safetensors that 'maskfit data gan' wrote"
        )
    try:
        return GanMetadata.model_validate(_upgrade(parse_json(text), path))
    except (ValidationError, RecipeError, RecursionError, ValueError) as error:
        reason = format_validation_error(error) if isinstance(error, ValidationError) else str(error)
        raise ModelFileError(
            f"the metadata is damaged or from a newer maskfit than {__version__}: {reason:.300}",
            location=path,
            hint="pip install --upgrade maskfit, or train the generator again",
        ) from None


def _upgrade(values: Any, path: Path) -> Any:
    """Converts keys and component names of earlier versions, with one warning for the file."""
    if not isinstance(values, dict):
        return values
    old: list[str] = []
    upgraded = upgrade_gan_metadata(values, old.append)
    if old:
        warn_once(
            f"{path} was written by an earlier maskfit; "
            f"{format_count(len(old), 'old name is', 'old names are')} converted, such as: {old[0]}"
        )
    return upgraded


def read_tensors(path: Path, expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Reads tensors after checking that their names and shapes are the expected ones.

    Args:
        path: A file written by `write_tensors`.
        expected: Tensors by name, whose shapes the file must have; may be on the meta device.

    Returns:
        Tensors by name, on the CPU.

    Raises:
        ModelFileError: Names or shapes differ, the file is damaged, or a value is not finite.
    """
    with safe_open(path, framework="pt") as file:
        found = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 (not a dict)
    # Compared before reading: an untrusted file may hold tensors of any size.
    shapes = {name: tuple(tensor.shape) for name, tensor in expected.items()}
    mismatched = [name for name in {**shapes, **found} if shapes.get(name) != found.get(name)]
    if mismatched:
        raise ModelFileError(
            f"{len(mismatched)} tensors do not match the metadata, such as {mismatched[0]:.100}",
            location=path,
            hint="the file is damaged; train the generator again",
        )
    try:
        tensors: dict[str, Tensor] = load_file(path)
    except (SafetensorError, OSError) as error:
        hint = "the file is damaged; train the generator again"
        raise ModelFileError(f"the weights cannot be read: {error}", location=path, hint=hint) from None
    non_finite = [name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()]
    if non_finite:
        message = f"non-finite weights (NaN or inf): {non_finite[0]}"
        raise ModelFileError(message, location=path, hint="train the generator again")
    return tensors


def load_generator(path: Path) -> tuple[Generator, GanMetadata]:
    """Loads a generator in evaluation mode on the CPU.

    Args:
        path: A `gan.safetensors` file.

    Returns:
        The generator and its metadata.

    Raises:
        ModelFileError: The file is not a generator, or its weights do not match its metadata.
    """
    metadata = read_gan_metadata(path)
    # On the meta device a network of any size costs no memory; the file's tensors then confirm the size.
    with torch.device("meta"):
        draft = metadata.network()
    tensors = read_tensors(path, draft.state_dict())
    network = metadata.network()
    network.load_state_dict(tensors)
    return network.eval(), metadata
