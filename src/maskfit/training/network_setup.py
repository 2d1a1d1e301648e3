"""What a network is made to do before it trains: lie in memory as its layers want it, save memory, be compiled."""

from __future__ import annotations

import os
import shutil

import torch
from torch import nn

from maskfit.config.recipe import Recipe
from maskfit.errors import RecipeError
from maskfit.models.network import Network
from maskfit.training.kernels.depthwise_bf16 import optimize_depthwise_bf16
from maskfit.training.kernels.squeeze_excite import optimize_squeeze_excite
from maskfit.training.precision import Kind


def prepare_network(network: Network, recipe: Recipe, kind: Kind) -> Network:
    """Readies the network that is given for a precision and the trainer's keys `checkpointing` and `compile`.

    Its weights keep their names: none of these wraps a module.

    Args:
        network: What is going to be trained.
        recipe: Says how.
        kind: The precision that the run began with.
    """
    # Channels last before anything copies it: convolutions on a processor run up to five times as fast so.
    network = network.to(memory_format=torch.channels_last)
    optimize_squeeze_excite(network)
    if kind == "bf16-mixed":
        optimize_depthwise_bf16(network)
    if recipe.trainer.gradient_checkpointing:
        _checkpoint(network.backbone.body)
    if recipe.trainer.compile:
        # One graph for each shape, so that it does not matter which came first: a resumed run begins elsewhere.
        network.backbone.compile(dynamic=False)
    return network


def validate_network_options(recipe: Recipe, draft: Network) -> None:
    """Refuses what this network or this machine cannot do, before anything is written.

    Args:
        recipe: What is wanted.
        draft: The network, which may be on the meta device.

    Raises:
        RecipeError: The network has no stages to compute twice, or there is no compiler.
    """
    if recipe.trainer.gradient_checkpointing:
        try:
            _checkpoint(draft.backbone.body)
        except (AttributeError, AssertionError, NotImplementedError):
            raise RecipeError(
                f"'{recipe.model.backbone.name}' cannot compute its stages a second time to save memory",
                location="trainer.gradient_checkpointing",
                hint="trainer.gradient_checkpointing=false with a smaller trainer.batch_size and trainer.accumulate_grad_batches, or another "
                "backbone",
            ) from None
    # For a GPU torch brings its own compiler along.
    if recipe.trainer.compile and not torch.cuda.is_available() and not _compiler():
        raise RecipeError(
            "compiling a network for a processor needs a C++ compiler, and there is none",
            location="trainer.compile",
            hint="install g++ or clang++, or name one in CXX; or trainer.compile=false",
        )


def _checkpoint(body: nn.Module) -> None:
    body.set_grad_checkpointing(True)  # type: ignore[operator]


def _compiler() -> str | None:
    names = (os.environ.get("CXX") or "", "g++", "clang++", "c++", "cl")
    return next((found for name in names if name and (found := shutil.which(name))), None)
