"""Weights against thin classes, from how many training photos each class has."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from maskfit.errors import RecipeError, did_you_mean


def equal(counts: Tensor) -> Tensor:
    """Every class alike."""
    return torch.ones_like(counts)


def inverse(counts: Tensor) -> Tensor:
    """1 / n: every class has the same sum."""
    return 1 / counts.clamp(min=1)


def one_minus_frequency(counts: Tensor) -> Tensor:
    """1 - n / N (seed s2): gentle, never above 1."""
    return 1 - counts / counts.sum().clamp(min=1)


def effective_number(counts: Tensor) -> Tensor:
    """(1 - b) / (1 - b^n) with b = 0.9999: the effective number of photos (Cui et al. 2019, arXiv:1901.05555)."""
    return (1 - 0.9999) / (1 - 0.9999 ** counts.clamp(min=1))


CLASS_WEIGHTS: dict[str, Callable[[Tensor], Tensor]] = {
    "none": equal,
    "inverse": inverse,
    "one_minus_frequency": one_minus_frequency,
    "effective": effective_number,
}


def class_weights(kind: str | list[float], counts: Tensor) -> Tensor:
    """The weight of each class, shape (classes,), scaled so that the mean over the training photos is 1.

    The scale keeps losses with different weights comparable, and the learning rate meaning the same.

    Args:
        kind: A name of `CLASS_WEIGHTS`, or a number for each class.
        counts: Training photos of each class.

    Raises:
        RecipeError: The name is unknown, or there is not one positive number for each class.
    """
    counts = counts.to(torch.float64)
    if isinstance(kind, str):
        if kind not in CLASS_WEIGHTS:
            raise RecipeError(f"class_weights: '{kind}' is unknown; {did_you_mean(kind, CLASS_WEIGHTS)}")
        weights = CLASS_WEIGHTS[kind](counts)
    else:
        weights = torch.tensor(kind, dtype=torch.float64)
        if weights.shape != counts.shape or not ((weights > 0) & weights.isfinite()).all():
            raise RecipeError(f"class_weights: {len(counts)} positive numbers are wanted, not {kind}")
    # A class without a photo has no say in the mean.
    mean = (weights * counts).sum() / counts.sum().clamp(min=1)
    return (weights / mean if mean > 0 else torch.ones_like(weights)).to(torch.float32)
