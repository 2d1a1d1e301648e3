"""Binary cross-entropy: every class is an independent yes/no decision."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from maskfit.losses.per_sample_loss import PerSampleLoss

SERIES_BELOW = 1e-4
"""Below this u, (1 - e^-u) / u is computed by its Taylor series, since the difference has no digits left."""


class BinaryCrossEntropy(PerSampleLoss):
    """Mean over the classes of binary cross-entropies on the logits.

    With one allowed class it equals torch's `binary_cross_entropy_with_logits`. With several, the other classes must be
    off and at least one of these on: -log(1 - prod (1 - p)), a noisy-or. Prediction still takes the softmax of the
    logits, as with every loss; the order of the classes is the same.

    Args:
        counts: (classes,) number of training samples of each class, for the class weights.
        class_weights: As for `PerSampleLoss`.
    """

    def __init__(self, counts: Tensor, class_weights: str | list[float] = "none") -> None:
        super().__init__(counts, class_weights)

    def per_sample_loss(self, logits: Tensor, allowed: Tensor) -> Tensor:
        """Computes the unweighted loss of each sample.

        Args:
            logits: (batch, classes), float32.
            allowed: (batch, classes), bool.

        Returns:
            Losses, (batch,).
        """
        # -log(1 - p) of each class is softplus of its logit.
        off = F.softplus(logits).masked_fill(allowed, 0.0).sum(dim=1)
        return (off - _log_any(logits, allowed)) / logits.shape[1]


def _log_any(logits: Tensor, allowed: Tensor) -> Tensor:
    """log(1 - e^-u) with u = sum of softplus over the allowed classes, exact where u is tiny and where it is large."""
    # Far below 0 softplus is e^z; its logarithm is then z, where e^z itself would be 0.
    low = logits < -15
    logs = torch.where(low, logits, F.softplus(logits.masked_fill(low, 0.0)).log())
    log_u = torch.logsumexp(logs.masked_fill(~allowed, -torch.inf), dim=1)
    u = log_u.exp()
    tiny = u < SERIES_BELOW
    safe = u.masked_fill(tiny, 1.0)
    return log_u + torch.where(tiny, -u / 2, (-torch.expm1(-safe) / safe).log())
