"""Freezing: which weights may move in which epoch, for networks that start from weights worth keeping."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from maskfit.models.network import Network

Freezing = Callable[[Network, int], None]
"""Sets which of a network's weights get a gradient in an epoch, counted from 0."""


def none() -> Freezing:
    """All weights move from the start."""
    return lambda network, epoch: _set(network, True)


def freeze_backbone(epochs: int = 1) -> Freezing:
    """The head alone for the first epochs, then everything.

    Args:
        epochs: How many epochs the trunk stays as it was.
    """
    if epochs < 1:
        raise ValueError(f"epochs={epochs} must be 1 or more")

    def freeze(network: Network, epoch: int) -> None:
        _set(network, True)
        _set(network.backbone, epoch >= epochs)

    return freeze


def gradual_unfreeze(epochs: int = 1, stages: int = 4) -> Freezing:
    """The head first, then the trunk from its end to its start, a stage every so many epochs.

    Args:
        epochs: Epochs from one stage to the next.
        stages: In how many stages of about as many weights the trunk thaws.
    """
    if epochs < 1 or stages < 1:
        raise ValueError(f"epochs={epochs} and stages={stages} must be 1 or more")

    def freeze(network: Network, epoch: int) -> None:
        _set(network, True)
        layers = [
            module for module in network.backbone.modules() if next(module.parameters(recurse=False), None) is not None
        ]
        sizes = [sum(item.numel() for item in layer.parameters(recurse=False)) for layer in layers]
        frozen = sum(sizes) * max(1 - (epoch // epochs) / stages, 0.0)
        below = 0
        for layer, size in zip(layers, sizes, strict=True):
            below += size
            for parameter in layer.parameters(recurse=False):
                parameter.requires_grad_(below > frozen)

    return freeze


def _set(module: nn.Module, moves: bool) -> None:
    for parameter in module.parameters():
        parameter.requires_grad_(moves)


FREEZING: dict[str, Callable[..., Freezing]] = {
    "none": none,
    "backbone": freeze_backbone,
    "gradual_unfreeze": gradual_unfreeze,
}
