"""One file that says everything prediction needs.

`.safetensors` holds weights to train on, `.onnx` a network to run anywhere, `.xml` with its `.bin` one for OpenVINO.
All carry the same facts as JSON in their metadata under the key `maskfit`: labels, preprocessing, parts, recipe,
scores, calibration, card. Nothing is unpickled, and nothing in a file can name code to run: parts are looked up in
maskfit's own tables, and weights must have the shapes these give.

Reading the facts needs no torch.
"""

from __future__ import annotations

import json
import shutil
import struct
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from maskfit import __version__
from maskfit.calibration import Calibration
from maskfit.config.aliases import upgrade_model_metadata, upgrade_weight_names
from maskfit.data.backgrounds import BACKGROUNDS
from maskfit.data.crops import CROPS
from maskfit.data.preprocessing import Preprocessing
from maskfit.data.weight_pinning import check_pinned
from maskfit.errors import MissingExtraError, ModelFileError, RecipeError
from maskfit.file_io import atomic_write
from maskfit.labels.schema import JOINT_HEAD, LabelSchema
from maskfit.model_card import ModelCard
from maskfit.model_metadata import METADATA_KEY, read_metadata
from maskfit.registry import ComponentSpec, instantiate

if TYPE_CHECKING:
    from torch import Tensor

    from maskfit.models.network import Network

FORMAT_VERSION: Literal[1] = 1
MAX_METADATA_BYTES = 4 * 2**20
"""Bytes of JSON that a file may carry; a real one has a few thousand."""
MAX_OPTION_VALUE = 100_000
"""The largest number that an option of a part may be; a depth of a billion would fill the memory with plain lists."""
MAX_TEMPORARY_TENSORS = 64
"""Tensors that a network may make and drop again while it is built, such as the classifier it came with."""


class ModelMetadata(BaseModel):
    """What a model file says of its network.

    Attributes:
        format: The version of these facts.
        maskfit: The version of maskfit that wrote them.
        scheme: What the network was trained to tell apart; its `official()` is what is answered.
        preprocessing: What stands between a decoded photo and the network.
        backbone, head: The network's parts.
        heads: What the network's outputs are called: the attributes, or `labels.JOINT`.
        years: Whether it has a layer for years, which training used and no answer does.
        recipe: The whole recipe, for people and for training on.
        scores: What was measured on photos of held-out persons.
        about: One sentence for people.
        calibration: Temperatures and thresholds, fitted on persons that the network did not see.
        card: What it was trained and judged on, for people.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = FORMAT_VERSION
    maskfit: str = __version__
    label_schema: LabelSchema
    preprocessing: Preprocessing
    backbone: ComponentSpec
    head: ComponentSpec
    heads: tuple[str, ...] = Field(min_length=1, max_length=16)
    age_regression: bool = False
    recipe: dict[str, Any] = Field(default_factory=dict)
    scores: dict[str, float] = Field(default_factory=dict)
    description: str = ""
    calibration: Calibration = Calibration()
    card: ModelCard = ModelCard()

    @model_validator(mode="after")
    def _check(self) -> ModelMetadata:
        if self.heads not in ((JOINT_HEAD,), self.label_schema.names):
            raise ValueError(f"heads {self.heads} do not answer for {self.label_schema.names}")
        if any(
            abs(number) > MAX_OPTION_VALUE for part in (self.backbone, self.head) for number in _numbers(part.options)
        ):
            raise ValueError(f"an option of backbone or head is larger than {MAX_OPTION_VALUE:,}")
        # Built, not only looked up: a share out of range should be known now, not at the first photo.
        check_pinned(instantiate(CROPS, self.preprocessing.crop_resize.crop))
        check_pinned(instantiate(BACKGROUNDS, self.preprocessing.crop_resize.background_removal))
        with np.errstate(all="ignore"):
            numbers = np.array(self.preprocessing.normalization.scale_and_shift())
        if not np.isfinite(numbers).all():
            raise ValueError("preprocessing.normalising gives numbers that are not finite")
        return self

    @property
    def head_sizes(self) -> dict[str, int]:
        """How many logits each of the heads gives, by its name."""
        return {JOINT_HEAD: self.label_schema.num_classes} if self.heads == (JOINT_HEAD,) else self.label_schema.sizes

    def to_metadata(self) -> dict[str, str]:
        """The facts as a weight file keeps them."""
        # Not model_dump_json: that writes NaN and infinities as null, and a score may be NaN.
        return {METADATA_KEY: json.dumps(self.model_dump(mode="json"), ensure_ascii=False)}


def _numbers(value: Any) -> Iterator[float]:
    """Every number in an option, however deep."""
    if isinstance(value, int | float):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _numbers(item)


def read_model_metadata(path: str | Path) -> ModelMetadata:
    """What a model file says of itself; weights are not read where the format allows that.

    Raises:
        ModelFileError: The file is missing, is no model file, was made by another program, or is damaged.
    """
    path = Path(path)
    return parse_model_metadata(read_metadata(path), path)


def parse_model_metadata(metadata: Mapping[str, str] | None, path: Path) -> ModelMetadata:
    """The facts in a file's metadata.

    Raises:
        ModelFileError: They are missing, too large, of a newer format, or no facts.
    """
    text = (metadata or {}).get(METADATA_KEY)
    if text is None:
        raise ModelFileError(
            "this file was not made by maskfit: its metadata say nothing of labels and preprocessing",
            location=path,
            hint="start weights go into model.pretrained=PATH of 'maskfit train'; a model comes out of it",
        )
    if len(text) > MAX_METADATA_BYTES:
        raise ModelFileError(
            f"{len(text):,} bytes of metadata are too many", location=path, hint="do not trust this file"
        )
    try:
        return ModelMetadata.model_validate(_upgraded(json.loads(text), path))
    except (ValidationError, RecipeError, RecursionError, json.JSONDecodeError) as error:
        reason = _first_lines(error) if isinstance(error, ValidationError) else str(error)
        raise ModelFileError(
            f"its metadata are damaged or from a newer maskfit than {__version__}: {reason:.500}",
            location=path,
            hint="pip install --upgrade maskfit, or make the file anew",
        ) from None


def _upgraded(values: Any, path: Path) -> Any:
    """The metadata under today's names; one warning for a file that an earlier maskfit wrote."""
    if not isinstance(values, dict):
        return values
    old: list[str] = []
    upgraded = upgrade_model_metadata(values, old.append)
    if old:
        warnings.warn(
            f"{path} was written by an earlier maskfit: {len(old)} old names are read as today's ({old[0]}, ...)",
            FutureWarning,
            stacklevel=4,
        )
    return upgraded


def _first_lines(error: ValidationError) -> str:
    """The first three mistakes as "key: what"."""
    lines = []
    for item in error.errors(include_input=False, include_url=False)[:3]:
        key = ".".join(map(str, item["loc"]))
        message = str(item["msg"]).removeprefix("Value error, ")
        lines.append(f"{key}: {message}" if key else message)
    return "; ".join(lines)


def save_model(path: Path, weights: Mapping[str, Tensor], facts: ModelMetadata) -> Path:
    """Writes a `.safetensors` model: weights by name, and the facts beside them."""
    from safetensors.torch import save

    # Copies, since safetensors refuses tensors that share their memory, as tied weights do.
    copies = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in weights.items()}
    with atomic_write(path) as temporary:
        # Not save_file: it makes a file that its owner alone can read, whatever the user's umask says.
        temporary.write_bytes(save(copies, facts.to_metadata()))
    return path


def update_model_metadata(path: Path, facts: ModelMetadata) -> Path:
    """Gives a `.safetensors` model other facts; its weights stay what they are, byte for byte, and so does a file that
    says them already.

    Raises:
        ModelFileError: It is no such file.
    """
    if read_model_metadata(path) == facts:
        return path
    with path.open("rb") as stream, atomic_write(path) as temporary:
        (length,) = struct.unpack("<Q", stream.read(8))
        header = json.loads(stream.read(length))
        header["__metadata__"] |= facts.to_metadata()
        text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
        # As the format wants it: weights begin at a multiple of eight bytes.
        text += b" " * (-len(text) % 8)
        with temporary.open("wb") as out:
            out.write(struct.pack("<Q", len(text)) + text)
            shutil.copyfileobj(stream, out)
    return path


def load_model(path: str | Path) -> tuple[Network, ModelMetadata]:
    """The network of a `.safetensors` model, in evaluation mode, and its facts.

    Raises:
        ModelFileError: The file is no such model, or its weights are not those of its parts.
        MissingExtraError: torch is not installed.
    """
    facts = read_model_metadata(path)
    if Path(path).suffix != ".safetensors":
        raise ModelFileError(
            "this file holds a network to run, not weights to load",
            location=path,
            hint="name the .safetensors it came from",
        )
    try:
        import timm  # noqa: F401 (networks are built from its parts)
        import torch
    except ImportError:
        raise MissingExtraError(f"a model with weights ({path})", "train") from None
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from maskfit.models.network import build_network

    try:
        weights = upgrade_weight_names(load_file(path))
        # Parts from a file may ask for any size. On the meta device they cost nothing, and the file's own weights say
        # whether that size is real before any memory is taken.
        with torch.device("meta"), _at_most(len(weights) + MAX_TEMPORARY_TENSORS):
            draft = build_network(facts.backbone, facts.head, facts.label_schema.sizes, age_regression=facts.age_regression)
        _compare({name: tensor.shape for name, tensor in draft.state_dict().items()}, weights, Path(path))
        if draft.heads != facts.heads:
            raise RecipeError(f"its head answers for {draft.heads}, its facts say {facts.heads}")
        network = build_network(facts.backbone, facts.head, facts.label_schema.sizes, age_regression=facts.age_regression)
        network.load_state_dict(weights)
    except (SafetensorError, RecipeError, OSError, RuntimeError) as error:
        raise ModelFileError(
            f"its network cannot be built: {str(error).splitlines()[0]:.300}", location=path, hint="make the file anew"
        ) from error
    return network.eval(), facts


@contextmanager
def _at_most(tensors: int) -> Iterator[None]:
    """Stops a network that is being built once it has more parameters than its file has tensors.

    Layers are objects, so a billion of them take all memory even on the meta device.
    """
    from torch.nn.modules.module import register_module_parameter_registration_hook

    own, made = threading.get_ident(), 0

    def count(module: object, name: str, parameter: object) -> None:
        nonlocal made
        # The hook is the whole process's; another thread's network is no concern of this one.
        made += threading.get_ident() == own
        if made > tensors:
            raise RuntimeError("it has more layers than the file has weights for")

    handle = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        handle.remove()


def _compare(wanted: Mapping[str, Any], found: Mapping[str, Tensor], path: Path) -> None:
    odd = [name for name in wanted if name not in found or found[name].shape != wanted[name]]
    odd += [name for name in found if name not in wanted]
    if odd:
        raise ModelFileError(
            f"{len(odd)} of its weights do not fit the network that it names, such as {odd[0]}",
            location=path,
            hint="the file is damaged, or its timm is another version than the one installed; make it anew",
        )
