"""Model files: weights or an exported network, with all metadata that prediction needs.

`.safetensors` files hold weights for prediction and further training, `.onnx` files a network for any runtime, `.xml`
files with their `.bin` one for OpenVINO. All hold the same metadata as JSON under the key `maskfit`: label schema,
preprocessing, components, recipe, scores, calibration and model card. Nothing is unpickled, and nothing in a file can
name code to run: components are looked up in maskfit's own registries, and weights must have the shapes of the network
that is built from them.

Reading metadata does not need torch.
"""

from __future__ import annotations

import json
import shutil
import struct
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from maskfit.calibration import Calibration
from maskfit.config.aliases import upgrade_model_metadata, upgrade_weight_names, warn_once
from maskfit.data.backgrounds import BACKGROUNDS
from maskfit.data.crops import CROPS
from maskfit.data.preprocessing import Preprocessing
from maskfit.errors import MissingExtraError, ModelFileError, RecipeError
from maskfit.file_io import atomic_write
from maskfit.labels.schema import JOINT_HEAD, LabelSchema
from maskfit.model_card import ModelCard
from maskfit.model_metadata import METADATA_KEY, read_metadata
from maskfit.pretrained_weights import REINSTALL_HINT, check_pinned, find_packaged_damage, packaged_path
from maskfit.registry import ComponentSpec, instantiate
from maskfit.text import format_count, format_validation_error, parse_json
from maskfit.version import __version__

if TYPE_CHECKING:
    from torch import Tensor

    from maskfit.models.network import Network

FORMAT_VERSION: Literal[1] = 1
"""Version of the metadata format."""
BUNDLED_MODEL_NAME, BUNDLED_INT8_NAME = "bundled.onnx", "bundled_int8.onnx"
"""Files of the bundled model and of its int8 conversion, in `weights/` of the package."""
MAX_METADATA_BYTES = 4 * 2**20
"""Maximum size of the JSON metadata; real files have a few thousand bytes."""
MAX_OPTION_VALUE = 100_000
"""Maximum of numbers in component options; a depth of a billion would exhaust memory with plain lists."""
BUILDS = 2
"""How often a network's layers may be created: timm builds its pruned models whole, and then each layer once more."""
MAX_TEMPORARY_TENSORS = 64
"""Number of tensors that a network may create and drop while it is built, such as a backbone's own classifier."""


def bundled_model_path() -> Path:
    """Finds the model that is installed with maskfit.

    Returns:
        Its `.onnx` file.

    Raises:
        ModelFileError: This install is without it, or its content is not what was packaged.
    """
    path = packaged_path(BUNDLED_MODEL_NAME)
    # A package inside of a zip archive has no file that ONNX Runtime could open.
    if not path.is_file():
        raise ModelFileError(
            "the bundled model is missing from this install", location=path, hint=f"{REINSTALL_HINT}, or name a model"
        )
    if (damage := find_packaged_damage(path)) is not None:
        raise ModelFileError(
            f"the bundled model is damaged: {damage}", location=path, hint=f"{REINSTALL_HINT}, or name a model"
        )
    return path


def bundled_int8_path() -> Path:
    """Returns where the int8 conversion of the bundled model is installed.

    Returns:
        Its `.onnx` file, which an install may lack: then the bundled model runs in f32.
    """
    return packaged_path(BUNDLED_INT8_NAME)


class ModelMetadata(BaseModel):
    """Metadata of a model file: everything that prediction needs besides the weights.

    Attributes:
        format: Version of the metadata format.
        maskfit: Version of maskfit that wrote the file.
        label_schema: The label schema that the network was trained on; predictions are for its `scored_schema()`.
        preprocessing: Conversion of a decoded photo to the network's input.
        backbone: Backbone of the network.
        head: Classification head of the network.
        heads: Names of the network's outputs: the attributes, or `JOINT_HEAD`.
        age_regression: Whether the network has an age regression layer, which only training uses.
        recipe: The whole recipe, for information and for fine-tuning.
        scores: Name -> score on photos of held-out persons.
        description: One sentence for people.
        calibration: Temperatures and thresholds, fitted on persons that the network was not trained on.
        card: Training data, evaluation, license and intended use.
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
            raise ValueError(f"heads {self.heads} do not match the attributes {self.label_schema.names}")
        if any(
            abs(number) > MAX_OPTION_VALUE for spec in (self.backbone, self.head) for number in _numbers(spec.options)
        ):
            raise ValueError(f"an option of backbone or head is larger than {MAX_OPTION_VALUE:,}")
        self.calibration.check_schema(self.label_schema.scored_schema())
        # Instantiated, not only looked up: an option out of range is an error now, not at the first photo.
        check_pinned(instantiate(CROPS, self.preprocessing.crop_resize.crop))
        check_pinned(instantiate(BACKGROUNDS, self.preprocessing.crop_resize.background_removal))
        with np.errstate(all="ignore"):
            numbers = np.array(self.preprocessing.normalization.scale_and_shift())
        if not np.isfinite(numbers).all():
            raise ValueError("preprocessing.normalization gives numbers that are not finite")
        return self

    @property
    def head_sizes(self) -> dict[str, int]:
        """Number of logits of each head by its name."""
        return {JOINT_HEAD: self.label_schema.num_classes} if self.heads == (JOINT_HEAD,) else self.label_schema.sizes

    def to_metadata(self) -> dict[str, str]:
        """Returns the metadata strings for a weight file: the JSON of this object under `METADATA_KEY`."""
        # Not model_dump_json, which writes NaN and infinity as null, and a score may be NaN.
        return {METADATA_KEY: json.dumps(self.model_dump(mode="json"), ensure_ascii=False)}


def describe_bundled_training() -> str:
    """Says which photos the bundled model was trained on, for people who start from it.

    Returns:
        Two sentences.

    Raises:
        ModelFileError: This install is without the bundled model.
    """
    card = read_model_metadata(bundled_model_path()).card
    return f"the bundled model was trained on: {card.training_data} Scores on photos of these sets are optimistic"


def _numbers(value: Any) -> Iterator[float]:
    """Yields every number in an option value, at any depth."""
    if isinstance(value, int | float):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _numbers(item)


def read_model_metadata(path: str | Path) -> ModelMetadata:
    """Reads the metadata of a model file; weights are not read where the format allows that, and torch is not needed.

    Args:
        path: A `.safetensors`, `.onnx` or `.xml` file.

    Returns:
        The metadata; old names are converted, with one warning for the file.

    Raises:
        ModelFileError: The file is missing, damaged, or was not made by maskfit.
    """
    path = Path(path)
    return parse_model_metadata(read_metadata(path), path)


def parse_model_metadata(metadata: Mapping[str, str] | None, path: Path) -> ModelMetadata:
    """Parses the metadata strings of a model file.

    Args:
        metadata: Metadata key -> text.
        path: The file, for messages.

    Returns:
        The metadata; old names are converted, with one warning for the file.

    Raises:
        ModelFileError: The metadata is missing, too large, of a newer format, or invalid.
    """
    text = (metadata or {}).get(METADATA_KEY)
    if text is None:
        raise ModelFileError(
            "this file was not made by maskfit: it has no maskfit metadata",
            location=path,
            hint="to start training from these weights, set model.pretrained=PATH in 'maskfit train'",
        )
    if len(text) > MAX_METADATA_BYTES:
        raise ModelFileError(
            f"the metadata has {len(text):,} bytes, more than {MAX_METADATA_BYTES:,}",
            location=path,
            hint="do not trust this file",
        )
    try:
        return ModelMetadata.model_validate(_upgrade(parse_json(text), path))
    except (ValidationError, RecipeError, RecursionError, ValueError) as error:
        reason = str(error)
        if isinstance(error, ValidationError):
            reason = format_validation_error(error)
        elif isinstance(error, ValueError):
            reason = f"invalid JSON: {error}"
        raise ModelFileError(
            f"the metadata is damaged or from a newer maskfit than {__version__}: {reason:.500}",
            location=path,
            hint="pip install --upgrade maskfit, or train or export the model again",
        ) from None


def _upgrade(values: Any, path: Path) -> Any:
    """Converts old names, with one warning for a file that an earlier version of maskfit wrote."""
    if not isinstance(values, dict):
        return values
    old: list[str] = []
    upgraded = upgrade_model_metadata(values, old.append)
    if old:
        warn_once(
            f"{path} was written by an earlier maskfit; "
            f"{format_count(len(old), 'old name is', 'old names are')} converted, such as: {old[0]}"
        )
    return upgraded


def save_model(path: Path, weights: Mapping[str, Tensor], metadata: ModelMetadata) -> Path:
    """Writes a `.safetensors` model file, atomically.

    Args:
        path: The target.
        weights: Tensors by name, such as a network's `state_dict()`.
        metadata: Metadata of the network.

    Returns:
        The path.
    """
    from safetensors.torch import save

    # Copies, because safetensors rejects tensors that share memory, as tied weights do.
    copies = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in weights.items()}
    # Not save_file, whose files are readable by their owner only, whatever the user's umask.
    content = save(copies, metadata.to_metadata())
    with atomic_write(path, needed=len(content)) as temporary:
        temporary.write_bytes(content)
    return path


def update_model_metadata(path: Path, metadata: ModelMetadata) -> Path:
    """Replaces the metadata of a `.safetensors` model file; its weights stay identical byte for byte.

    Args:
        path: The model file; not written where it has this metadata already.
        metadata: The new metadata.

    Returns:
        The path.

    Raises:
        ModelFileError: The file is not a `.safetensors` model.
    """
    if read_model_metadata(path) == metadata:
        return path
    with path.open("rb") as stream, atomic_write(path) as temporary:
        (length,) = struct.unpack("<Q", stream.read(8))
        header = parse_json(stream.read(length))
        header["__metadata__"] |= metadata.to_metadata()
        text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
        # The format aligns the weights to eight bytes.
        text += b" " * (-len(text) % 8)
        with temporary.open("wb") as out:
            out.write(struct.pack("<Q", len(text)) + text)
            shutil.copyfileobj(stream, out)
    return path


def load_model(path: str | Path) -> tuple[Network, ModelMetadata]:
    """Loads the network of a `.safetensors` model file.

    Args:
        path: The model file.

    Returns:
        The network in evaluation mode, and its metadata.

    Raises:
        ModelFileError: The file is not such a model, or its weights do not match its components.
        MissingExtraError: torch is not installed.
    """
    metadata = read_model_metadata(path)
    if Path(path).suffix != ".safetensors":
        raise ModelFileError(
            "this file is an exported network, not weights to load",
            location=path,
            hint="name the .safetensors file that it was exported from",
        )
    # timm is imported by the networks that are built from it.
    if not all(find_spec(name) for name in ("torch", "timm")):
        raise MissingExtraError(f"a model with weights ({path})", "train")
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from maskfit.models.meta_device import meta_device
    from maskfit.models.network import build_network

    def build() -> Network:
        return build_network(
            metadata.backbone, metadata.head, metadata.label_schema.sizes, age_regression=metadata.age_regression
        )

    try:
        weights = upgrade_weight_names(load_file(path))
        # Options from a file may ask for any size. On the meta device they cost no memory, and the file's own weights
        # show whether that size is real before any memory is allocated.
        with meta_device(), _limit_parameters(BUILDS * len(weights) + MAX_TEMPORARY_TENSORS):
            draft = build()
        _check_weights({name: tensor.shape for name, tensor in draft.state_dict().items()}, weights, Path(path))
        if draft.heads != metadata.heads:
            raise RecipeError(f"the network has the heads {draft.heads}, the metadata {metadata.heads}")
        network = build()
        network.load_state_dict(weights)
    except (SafetensorError, RecipeError, OSError, RuntimeError) as error:
        raise ModelFileError(
            f"the network cannot be built: {str(error).splitlines()[0]:.300}",
            location=path,
            hint="train or export it again",
        ) from error
    return network.eval(), metadata


@contextmanager
def _limit_parameters(limit: int) -> Iterator[None]:
    """Raises a RuntimeError when the networks built inside the block register more than `limit` parameters.

    Modules are Python objects, so a billion of them exhaust memory even on the meta device.
    """
    from torch.nn.modules.module import register_module_parameter_registration_hook

    thread, registered = threading.get_ident(), 0

    def count(module: object, name: str, parameter: object) -> None:
        nonlocal registered
        # The hook is global to the process; networks built in other threads do not count.
        registered += threading.get_ident() == thread
        if registered > limit:
            raise RuntimeError("it has more layers than the file has weights for")

    handle = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        handle.remove()


def _check_weights(expected: Mapping[str, Any], weights: Mapping[str, Tensor], path: Path) -> None:
    mismatched = [name for name in expected if name not in weights or weights[name].shape != expected[name]]
    mismatched += [name for name in weights if name not in expected]
    if mismatched:
        raise ModelFileError(
            f"{format_count(len(mismatched), 'weight does', 'weights do')} not match the network "
            f"of the metadata, such as {mismatched[0]}",
            location=path,
            hint="the file is damaged, or timm has another version than at training time; train or export it again",
        )
