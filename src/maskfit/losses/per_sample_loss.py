"""Base class of losses that are computed for each sample on its own, with class weights and partial labels."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from maskfit.losses.class_weights import class_weights


class PerSampleLoss(nn.Module, ABC):
    """Class-weighted loss of each sample; subclasses implement `per_sample_loss()`.

    Args:
        counts: (classes,) number of training samples of each class, for the class weights.
        class_weights: "none", "inverse" (1 / n), "one_minus_frequency" (1 - n / N), "effective" (effective number of
            samples, Cui et al. 2019, arXiv:1901.05555), or one number per class. A sample with several allowed classes
            gets the mean of their weights.
        normalize: Whether class weights are scaled to the mean 1 over the training samples; see `class_weights`.
    """

    weights: Tensor

    def __init__(self, counts: Tensor, class_weights: str | list[float] = "none", normalize: bool = True) -> None:
        super().__init__()
        self.register_buffer("weights", _compute_class_weights(class_weights, counts, normalize), persistent=False)

    @abstractmethod
    def per_sample_loss(self, logits: Tensor, allowed: Tensor) -> Tensor:
        """Computes the unweighted loss of each sample.

        Args:
            logits: (batch, classes), float32.
            allowed: (batch, classes), bool; True where the label allows the class.

        Returns:
            Losses, (batch,).
        """

    def sample_weights(self, allowed: Tensor) -> Tensor:
        """Computes the weight of each sample: the mean weight of its allowed classes.

        Args:
            allowed: (batch, classes), bool.

        Returns:
            Weights, (batch,), float32.
        """
        target = allowed / allowed.sum(dim=1, keepdim=True)
        # Not a matrix product: autocast would round the weights to half precision.
        return (target * self.weights).sum(dim=1)

    def forward(self, logits: Tensor, allowed: Tensor) -> Tensor:
        """Computes the weighted loss of each sample.

        Args:
            logits: (batch, classes), any floating-point type.
            allowed: (batch, classes), bool.

        Returns:
            Losses, (batch,), float32; zero where all classes are allowed (unknown label).
        """
        losses = self.per_sample_loss(logits.float(), allowed) * self.sample_weights(allowed)
        return torch.where(allowed.all(dim=1), 0.0, losses)


# The constructor has a parameter of the function's name.
_compute_class_weights = class_weights


def log_allowed_probability(log_probs: Tensor, allowed: Tensor) -> Tensor:
    """Computes the log of the summed probability of the allowed classes.

    Args:
        log_probs: Log-probabilities, (batch, classes).
        allowed: (batch, classes), bool.

    Returns:
        Log-probabilities, (batch,).
    """
    return torch.logsumexp(log_probs.masked_fill(~allowed, -torch.inf), dim=1)


def check_fraction(name: str, value: float) -> float:
    """Checks that an option lies in [0, 1).

    Args:
        name: Name of the option, for the message.
        value: Its value.

    Returns:
        The value.

    Raises:
        ValueError: The value is outside [0, 1).
    """
    if not 0 <= value < 1:
        raise ValueError(f"{name} must be in [0, 1), got {value}")
    return value
