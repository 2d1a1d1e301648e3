"""Losses of an age in years beside the classes (seed s2): a number says more of 31 and 59 than a band does.

The answer is not touched; what is learned of years goes into the trunk.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from maskfit.losses.multi_head_loss import MixedTargets


class AgeRegressionLoss(nn.Module):
    """The mean distance between an age and what was found, over the photos of which the age is known.

    Args:
        distance: Of two tensors of years (batch,), one number for each photo.
        share: What the mean is multiplied by before it is added to the heads' loss, above 0.
    """

    def __init__(self, distance: Callable[[Tensor, Tensor], Tensor], share: float) -> None:
        super().__init__()
        if not 0 < share < float("inf"):
            raise ValueError(f"share={share} must be above 0")
        self.distance = distance
        self.share = share

    def forward(self, found: Tensor, years: Tensor, pair: MixedTargets | None = None) -> Tensor:
        """Years found and years (batch,; NaN where not known) to one number.

        Args:
            found: What the network says.
            years: What the labels say.
            pair: Where photos were mixed, with whom and by what share, as for `criterion.Criterion`.
        """
        found = found.float()
        own, known = self._measure(found, years)
        if pair is not None:
            share = pair.share.to(own.dtype)
            other, partner_known = self._measure(found, years[pair.partner])
            own, known = share * own + (1 - share) * other, share * known + (1 - share) * partner_known
        return self.share * own.sum() / known.sum().clamp(min=1e-6)

    def _measure(self, found: Tensor, years: Tensor) -> tuple[Tensor, Tensor]:
        """Each photo's distance, 0 where the age is not known; and 1 where it is."""
        known = ~years.isnan()
        # Put in before the distance: behind it the gradient would be NaN already.
        wanted = torch.where(known, years.float(), found.detach())
        return self.distance(found, wanted) * known, known.float()


def mse(share: float = 0.001) -> AgeRegressionLoss:
    """Squared years; s2 found 0.001 of it better than all of it.

    Args:
        share: The loss's weight beside the heads'.
    """
    return AgeRegressionLoss(lambda found, years: (found - years).square(), share)


def smooth_l1(share: float = 0.02, beta: float = 1.0) -> AgeRegressionLoss:
    """Years, squared below `beta`: one photo with a wrong age pulls no harder than any other.

    Args:
        share: The loss's weight beside the heads'.
        beta: Years up to which the distance is a square, above 0.
    """
    if not beta > 0:
        raise ValueError(f"beta={beta} must be above 0")
    return AgeRegressionLoss(lambda found, years: F.smooth_l1_loss(found, years, reduction="none", beta=beta), share)


def none() -> None:
    """Classes alone."""
    return


YEARS_LOSSES: dict[str, Callable[..., AgeRegressionLoss | None]] = {
    "none": none,
    "mse": mse,
    "smooth_l1": smooth_l1,
}
