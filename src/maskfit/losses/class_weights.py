"""Class weights against class imbalance, computed from the number of training samples of each class."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from maskfit.errors import RecipeError, did_you_mean


def equal(counts: Tensor) -> Tensor:
    """Returns the weight 1 for every class.

    Args:
        counts: (classes,) number of training samples of each class.

    Returns:
        Weights, (classes,), not yet scaled.
    """
    return torch.ones_like(counts)


def inverse(counts: Tensor) -> Tensor:
    """Returns 1 / n, so that every class has the same total weight.

    Args:
        counts: (classes,) number of training samples of each class.

    Returns:
        Weights, (classes,), not yet scaled.
    """
    return 1 / counts.clamp(min=1)


def one_minus_frequency(counts: Tensor) -> Tensor:
    """Returns 1 - n / N (project nlp09): mild weights, never above 1.

    Args:
        counts: (classes,) number of training samples of each class.

    Returns:
        Weights, (classes,), not yet scaled.
    """
    return 1 - counts / counts.sum().clamp(min=1)


def effective_number(counts: Tensor) -> Tensor:
    """Returns (1 - b) / (1 - b^n) with b = 0.9999: the effective number of samples (Cui et al. 2019, arXiv:1901.05555).

    Args:
        counts: (classes,) number of training samples of each class.

    Returns:
        Weights, (classes,), not yet scaled.
    """
    return (1 - 0.9999) / (1 - 0.9999 ** counts.clamp(min=1))


CLASS_WEIGHTS: dict[str, Callable[[Tensor], Tensor]] = {
    "none": equal,
    "inverse": inverse,
    "one_minus_frequency": one_minus_frequency,
    "effective": effective_number,
}
"""Names of the option `class_weights` of the losses."""


def class_weights(kind: str | list[float], counts: Tensor, normalize: bool = True) -> Tensor:
    """Computes the weight of each class, by default scaled so that the mean over the training samples is 1.

    The scaling keeps the size of the loss, and with it the meaning of the learning rate, independent of the weights.

    Args:
        kind: A name in `CLASS_WEIGHTS`, or one positive number per class.
        counts: (classes,) number of training samples of each class.
        normalize: False for the weights as they are: a learning rate tuned with unscaled weights needs them.

    Returns:
        Weights, (classes,), float32.

    Raises:
        RecipeError: The name is unknown, or `kind` is not one positive finite number per class.
    """
    counts = counts.to(torch.float64)
    if isinstance(kind, str):
        if kind not in CLASS_WEIGHTS:
            raise RecipeError(f"class_weights: '{kind}' is unknown; {did_you_mean(kind, CLASS_WEIGHTS)}")
        weights = CLASS_WEIGHTS[kind](counts)
    else:
        weights = torch.tensor(kind, dtype=torch.float64)
        if weights.shape != counts.shape or not ((weights > 0) & weights.isfinite()).all():
            raise RecipeError(f"class_weights: expected {len(counts)} positive numbers, got {kind}")
    if not normalize:
        return weights.to(torch.float32)
    # A class without samples does not count in the mean.
    mean = (weights * counts).sum() / counts.sum().clamp(min=1)
    return (weights / mean if mean > 0 else torch.ones_like(weights)).to(torch.float32)
