"""In which precision a run trains: what the recipe says, or for `auto` what is fast and steady here, and why.

Decided once when a run begins and kept in its folder: a resumed run goes on as it began, wherever it goes on. A table
and not a race: a race on a machine that also does other things would train two runs of one seed differently.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from maskfit.config.recipe import Recipe
from maskfit.cpu_features import find_isa_limit
from maskfit.file_io import read_json
from maskfit.models.network import Network
from maskfit.run_dir import RunDir

Kind = Literal["32-true", "bf16-mixed", "16-mixed"]

MIN_MULTIPLICATIONS = 5_000_000
"""Multiplications for a photo from which on bfloat16 is taken on a processor.

Measured (docs/performance.md): all networks above train faster in it. Below, casting takes what multiplying spares.
"""


@dataclass(frozen=True)
class Precision:
    """What a run computes in.

    Attributes:
        kind: 32 bits, or mixed with bfloat16 or float16.
        why: The reason, for the log.
    """

    kind: Kind
    reason: str

    def __str__(self) -> str:
        name = {"32-true": "32 bits", "bf16-mixed": "bfloat16, mixed", "16-mixed": "float16, mixed"}[self.kind]
        return f"precision: {name}: {self.reason}"


def choose_precision(recipe: Recipe, network: Network) -> Precision:
    """The precision of a new run.

    Args:
        recipe: Says it, or `auto`.
        network: What is trained; it may be on the meta device.
    """
    said = recipe.trainer.precision
    if said != "auto":
        return Precision(said, "the recipe says so")
    device = recipe.trainer.device
    if device in ("auto", "cuda") and torch.cuda.is_available():
        return _on_gpu(recipe)
    if device == "mps" or (device == "auto" and torch.backends.mps.is_available()):
        return Precision("32-true", "16 bits were not tried on this kind of GPU")
    return _on_processor(network, recipe.data.image_size)


def _on_gpu(recipe: Recipe) -> Precision:
    if torch.cuda.is_bf16_supported(including_emulation=False):
        return Precision("bf16-mixed", "this GPU multiplies bfloat16, which needs no scaling of the loss")
    if recipe.optimizer.name == "sam":
        return Precision("32-true", "SAM does not go with a scaled loss")
    return Precision("16-mixed", "this GPU multiplies float16, but no bfloat16")


def _on_processor(network: Network, size: tuple[int, int]) -> Precision:
    if not multiplies_bf16():
        return Precision("32-true", "this processor does not multiply bfloat16")
    work = count_macs(network, size)
    if work < MIN_MULTIPLICATIONS:
        return Precision("32-true", f"bfloat16 gains nothing for a network of {work / 1e6:.1f} million multiplications")
    return Precision("bf16-mixed", "this processor multiplies bfloat16")


def multiplies_bf16() -> bool:
    """Returns whether torch multiplies bfloat16 natively on this processor.

    torch reports what the processor has; oneDNN, which does the work, can be held to fewer instructions by its
    environment variables.

    Returns:
        True where the processor has AVX512-BF16 or AMX and oneDNN may use it.
    """
    limit = find_isa_limit()
    if limit is not None and not limit.allows_bf16:
        return False
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def count_macs(network: Network, size: tuple[int, int]) -> int:
    """How many multiplications one photo takes, over all convolutions and linear layers of a network.

    Args:
        network: It is run once, without computing; it must be on the meta device.
        size: Height and width of its photos.
    """
    counted = [0]

    def count(layer: nn.Module, given: tuple[Tensor, ...], result: Tensor) -> None:
        # Of a convolution or a linear layer alike: what one number of the result is the sum of.
        counted[0] += result.numel() * layer.weight[0].numel()  # type: ignore[index]

    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    training = network.training
    try:
        with torch.no_grad():
            network.eval()(torch.empty(1, 3, *size, device="meta"))
    finally:
        network.train(training)
        for hook in hooks:
            hook.remove()
    return counted[0]


def load_precision(folder: RunDir) -> Precision:
    """The precision that a run began with.

    Raises:
        MaskfitError: The file that holds it cannot be read.
    """
    kept = read_json(folder.environment).get("precision")
    if kept is None:
        # Before it was kept, this is what `auto` meant.
        return Precision(
            "16-mixed" if torch.cuda.is_available() else "32-true", "the run was begun by an earlier maskfit"
        )
    return Precision(kept["kind"], kept["why"])
