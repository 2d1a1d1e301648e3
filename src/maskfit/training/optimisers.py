"""Optimisers by name."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.optim import Optimizer


def parameter_groups(network: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Weights with decay, and biases and norms without: decay there only shrinks what has no scale to fight."""
    with_decay: list[nn.Parameter] = []
    without: list[nn.Parameter] = []
    for parameter in network.parameters():
        if parameter.requires_grad:
            (with_decay if parameter.ndim > 1 else without).append(parameter)
    return [{"params": with_decay, "weight_decay": weight_decay}, {"params": without, "weight_decay": 0.0}]


def adamw(
    network: nn.Module, lr: float = 1e-3, weight_decay: float = 0.01, betas: tuple[float, float] = (0.9, 0.999)
) -> Optimizer:
    """AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101)."""
    first, second = betas
    # The groups hold the decay; torch checks only the one that it is given beside them.
    groups = parameter_groups(network, weight_decay)
    return torch.optim.AdamW(groups, lr=lr, betas=(first, second), weight_decay=weight_decay)


OPTIMISERS: dict[str, Callable[..., Optimizer]] = {"adamw": adamw}
