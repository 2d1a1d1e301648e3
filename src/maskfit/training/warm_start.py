"""Warm start: initializes a network from a maskfit model of the same or another label schema (iloveslowfood, s1)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file

from maskfit.config.aliases import upgrade_weight_names
from maskfit.errors import ModelFileError
from maskfit.model_file import read_model_metadata
from maskfit.models.network import Network
from maskfit.text import format_count


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
