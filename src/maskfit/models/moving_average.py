"""Exponential moving average of a network's weights, with warmup."""

from __future__ import annotations

import torch
from torch import nn


@torch.no_grad()
def update_moving_average(average: nn.Module, network: nn.Module, step: int, decay: float) -> None:
    """Adds a network's current weights to their exponential moving average; early weights are forgotten quickly.

    The fraction kept at step t, from 1, is 1 - t^(-2/3), at most `decay`; buffers are averaged as weights are, and
    counters copied. It equals timm's `ModelEmaV3`, without importing timm, which takes as long as torch. Source:
    K. Crowson's warmup of the decay, as in timm.

    Args:
        average: The average, a copy of the network before the first step; changed in place.
        network: The network.
        step: Number of the optimizer step, from 1.
        decay: Fraction of the average kept at each step after warmup, in (0, 1).
    """
    kept = min(1 - step ** -(2 / 3), decay)
    averages, values = [], []
    for mean, value in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
        if mean.is_floating_point():
            averages.append(mean)
            values.append(value)
        else:
            mean.copy_(value)
    torch._foreach_lerp_(averages, values, weight=1 - kept)
