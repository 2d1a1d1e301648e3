"""The numeric precision of a run: the recipe's, or for `auto` what is fast and stable on this device, with the reason.

Chosen once when a run begins and stored in its folder: a resumed run keeps its precision, wherever it continues. `auto`
follows fixed rules instead of a benchmark, whose result would depend on the load of the machine, so that two runs with
one seed could differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call

from maskfit.config.recipe import Recipe
from maskfit.cpu_features import find_isa_limit
from maskfit.file_io import read_json
from maskfit.models.network import Network
from maskfit.run_dir import RunDir

Kind = Literal["32-true", "bf16-mixed", "16-mixed"]

MIN_MACS = 5_000_000
"""Multiplications per image from which bfloat16 is used on a CPU.

Measured (docs/performance.md): all networks above train faster in bfloat16. Below, the casts cost what the products
save.
"""


@dataclass(frozen=True)
class Precision:
    """Numeric precision of a run.

    Attributes:
        kind: Lightning's name: float32, or mixed with bfloat16 or float16.
        reason: Why it was chosen, for the log.
    """

    kind: Kind
    reason: str

    def __str__(self) -> str:
        name = {"32-true": "float32", "bf16-mixed": "bfloat16, mixed", "16-mixed": "float16, mixed"}[self.kind]
        return f"precision: {name}: {self.reason}"


def choose_precision(recipe: Recipe, network: Network) -> Precision:
    """Chooses the precision of a new run.

    Args:
        recipe: The recipe; `trainer.precision` names it or is "auto".
        network: The network to train, on the meta device.

    Returns:
        The precision.
    """
    requested = recipe.trainer.precision
    if requested != "auto":
        return Precision(requested, "set by the recipe")
    device = recipe.trainer.device
    if device in ("auto", "cuda") and torch.cuda.is_available():
        return _choose_on_gpu(recipe)
    if device == "mps" or (device == "auto" and torch.backends.mps.is_available()):
        return Precision("32-true", "mixed precision was not tested on this kind of GPU")
    return _choose_on_cpu(network, recipe.data.input_size)


def _choose_on_gpu(recipe: Recipe) -> Precision:
    if torch.cuda.is_bf16_supported(including_emulation=False):
        return Precision("bf16-mixed", "this GPU supports bfloat16, which needs no loss scaling")
    if recipe.optimizer.name == "sam":
        return Precision("32-true", "SAM does not support loss scaling")
    return Precision("16-mixed", "this GPU supports float16, but not bfloat16")


def _choose_on_cpu(network: Network, size: tuple[int, int]) -> Precision:
    if not supports_bf16():
        return Precision("32-true", "this CPU has no bfloat16 instructions")
    # Every weight is used at least once: a large network needs no count.
    if (
        sum(weights.numel() for weights in network.parameters()) < MIN_MACS
        and (macs := count_macs(network, size)) < MIN_MACS
    ):
        return Precision("32-true", f"bfloat16 is not faster for a network of {macs / 1e6:.1f} million multiplications")
    return Precision("bf16-mixed", "this CPU has bfloat16 instructions")


def supports_bf16() -> bool:
    """Returns whether bfloat16 products run natively on this CPU.

    torch reports the instructions of the CPU; oneDNN, which computes the products, can be limited to fewer by its
    environment variables.

    Returns:
        True where the CPU has AVX512-BF16 or AMX and oneDNN may use it.
    """
    limit = find_isa_limit()
    if limit is not None and not limit.allows_bf16:
        return False
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def count_macs(network: Network, size: tuple[int, int]) -> int:
    """Counts the multiply-accumulate operations per image over all convolutions and linear layers of a network.

    Args:
        network: The network, may be on the meta device; it is run once with zeros for weights.
        size: (height, width) of its input.

    Returns:
        The number of multiply-accumulate operations.
    """
    counted = [0]

    def count(layer: nn.Module, inputs: tuple[Tensor, ...], result: Tensor) -> None:
        # For convolutions and linear layers alike: each output is a sum over the weights of one output channel.
        counted[0] += result.numel() * layer.weight[0].numel()  # type: ignore[index]

    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    training = network.training
    try:
        # On the meta device the first convolution would import SymPy, which takes longer than one photo.
        with torch.no_grad(), torch.device("cpu"):
            named = (*network.named_parameters(), *network.named_buffers())
            tensors = {name: torch.zeros(values.shape, dtype=values.dtype) for name, values in named}
            functional_call(network.eval(), tensors, (torch.zeros(1, 3, *size),))
    finally:
        network.train(training)
        for hook in hooks:
            hook.remove()
    return counted[0]


def load_precision(folder: RunDir) -> Precision:
    """Reads the precision of an existing run.

    Args:
        folder: The run's folder.

    Returns:
        The precision.

    Raises:
        MaskfitError: The file that holds it cannot be read.
    """
    stored = read_json(folder.environment).get("precision")
    if stored is None:
        # Runs of the first versions did not store it; this is what `auto` meant for them.
        return Precision(
            "16-mixed" if torch.cuda.is_available() else "32-true", "the run was begun by an earlier maskfit"
        )
    # `why` is the name of the key in runs of earlier versions.
    return Precision(stored["kind"], stored.get("reason", stored.get("why", "")))
