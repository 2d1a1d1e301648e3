"""Starting from a model that maskfit trained before, of the same labels or of others (seed s1's `load_state_dict`)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file

from maskfit.errors import ModelFileError
from maskfit.model_file import read_model_metadata
from maskfit.models.network import Network


@dataclass(frozen=True)
class WarmStartReport:
    """What a network took from a model file.

    Attributes:
        taken: Names of the weights that were taken.
        new: Names of the network's weights that the file has not, or has in another shape: they start anew.
        unused: Names of the file's weights that the network has no place for.
    """

    taken: tuple[str, ...]
    new: tuple[str, ...]
    unused: tuple[str, ...]

    def __str__(self) -> str:
        lines = [f"{len(self.taken)} weights taken"]
        lines += [f"new: {', '.join(self.new)}"] if self.new else []
        lines += [f"not used: {', '.join(self.unused)}"] if self.unused else []
        return "; ".join(lines)


def load_matching_weights(network: Network, path: str | Path) -> WarmStartReport:
    """Gives a network those weights of a model file that fit it, by name and shape.

    Raises:
        ModelFileError: The file is no model of maskfit's, or holds less than half of the network's trunk.
    """
    read_model_metadata(path)
    if Path(path).suffix != ".safetensors":
        raise ModelFileError("this file holds no weights to train on", location=path, hint="name a .safetensors model")
    try:
        weights = load_file(path)
    except (SafetensorError, OSError) as error:
        raise ModelFileError(f"its weights cannot be read: {error}", location=path, hint="make the file anew") from None
    own = network.state_dict()
    fitting = {name: item for name, item in weights.items() if name in own and own[name].shape == item.shape}
    # Biases and counters fit by chance; a trunk in common is what starting from a model means.
    trunk = sum(item.numel() for name, item in own.items() if name.startswith("trunk."))
    if 2 * sum(item.numel() for name, item in fitting.items() if name.startswith("trunk.")) < trunk:
        raise ModelFileError(
            "less than half of this network's trunk is in it",
            location=path,
            hint="name the backbone that it was trained with as model.backbone, with the same options",
        )
    network.load_state_dict(fitting, strict=False)
    return WarmStartReport(
        tuple(fitting),
        tuple(name for name in own if name not in fitting),
        tuple(name for name in weights if name not in fitting),
    )
