"""Freezing: which weights are trained in which epoch, for fine-tuning from pretrained weights."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from maskfit.models.network import Network

Freezing = Callable[[Network, int], None]
"""Sets `requires_grad` of a network's weights for an epoch, counted from 0."""


def none() -> Freezing:
    """Builds a freezing that trains all weights from the start.

    Returns:
        The freezing.
    """
    return lambda network, epoch: _set_trainable(network, True)


def freeze_backbone(epochs: int = 1) -> Freezing:
    """Builds a freezing that trains the head alone for the first epochs, then everything.

    Args:
        epochs: Epochs in which the backbone is frozen, >= 1.

    Returns:
        The freezing.

    Raises:
        ValueError: An option is out of range.
    """
    if epochs < 1:
        raise ValueError(f"epochs must be >= 1, got {epochs}")

    def freeze(network: Network, epoch: int) -> None:
        _set_trainable(network, True)
        _set_trainable(network.backbone, epoch >= epochs)

    return freeze


def gradual_unfreeze(epochs: int = 1, stages: int = 4) -> Freezing:
    """Builds a freezing that trains the head first and then unfreezes the backbone from its end to its start.

    Args:
        epochs: Epochs from one stage to the next, >= 1.
        stages: Number of stages, with about as many weights each, >= 1.

    Returns:
        The freezing.

    Raises:
        ValueError: An option is out of range.
    """
    if epochs < 1 or stages < 1:
        raise ValueError(f"epochs and stages must be >= 1, got epochs={epochs} and stages={stages}")

    def freeze(network: Network, epoch: int) -> None:
        _set_trainable(network, True)
        layers = [
            module for module in network.backbone.modules() if next(module.parameters(recurse=False), None) is not None
        ]
        sizes = [sum(item.numel() for item in layer.parameters(recurse=False)) for layer in layers]
        num_frozen = sum(sizes) * max(1 - (epoch // epochs) / stages, 0.0)
        num_weights = 0
        for layer, size in zip(layers, sizes, strict=True):
            num_weights += size
            for parameter in layer.parameters(recurse=False):
                parameter.requires_grad_(num_weights > num_frozen)

    return freeze


def _set_trainable(module: nn.Module, trainable: bool) -> None:
    for parameter in module.parameters():
        parameter.requires_grad_(trainable)
