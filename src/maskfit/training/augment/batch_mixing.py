"""Mixing: two photos of a batch become one, and so do their labels, by the share of pixels each one gives.

The share that a loss sees is counted on the pixels, after every cut was rounded and clipped: label share equals pixel
share, exactly. Every photo has its own partner and its own cut; `chance` is each photo's chance to be mixed, so that a
batch holds both. What is drawn is drawn on the host, and who goes with whom is worked out where the labels are, so that
nobody waits for a device.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from maskfit.labels.schema import JOINT_HEAD, LabelSchema
from maskfit.training.augment.parameter_checks import check_share
from maskfit.training.seeding import uniform

Allowed = Mapping[str, Tensor]
"""By head (batch, values): what each photo's label leaves possible."""


class MixedBatch(NamedTuple):
    """A batch of mixed photos.

    Attributes:
        photos: (batch, 3, height, width).
        partner: (batch,) the place in the batch of the photo that was mixed in.
        share: (batch,) how much of each photo is its own, in 0 to 1; the rest is the partner's.
    """

    photos: Tensor
    permutation: Tensor
    lam: Tensor


class Mixing(Protocol):
    """Mixes a batch, drawing from torch's global generator."""

    def __call__(self, photos: Tensor, allowed: Allowed) -> MixedBatch | None:
        """Photos (batch, 3, height, width) and what their labels allow by head, mixed; None where nothing is mixed."""
        ...


Partners = Callable[[Tensor, Allowed], Tensor]
"""From photos and their labels (batch,) the place of each photo's partner, on the photos' device."""
Cut = Callable[[int, int, int], Tensor]
"""From batch, height and width which pixels stay a photo's own: (batch, 1, height or 1, width or 1) of bool."""


def random_partner(photos: Tensor, allowed: Allowed) -> Tensor:
    """Any other photo: each one gives to one and gets from another, so that no photo of a batch is seen twice."""
    order = torch.randperm(len(photos))
    partner = torch.empty_like(order)
    partner[order] = order.roll(1)
    return partner.to(photos.device, non_blocking=True)


def same_class_partner(photos: Tensor, allowed: Allowed) -> Tensor:
    """Any other photo whose labels allow the same in every head; the photo itself where there is none."""
    same = torch.stack([(rows[:, None] == rows[None]).all(dim=2) for rows in allowed.values()]).all(dim=0)
    wishes = torch.rand(len(photos), len(photos)).to(photos.device, non_blocking=True)
    itself = torch.eye(len(photos), dtype=torch.bool, device=photos.device)
    # Itself comes before strangers, who wish 1 at most, and after everyone of its class.
    return torch.where(itself, 1.5, wishes + 2 * same).argmax(dim=1)


class OldestBandPartner:
    """Any other photo that is certainly of the oldest band; where the batch holds none, any other photo at all.

    Args:
        scheme: What the network tells apart.

    Raises:
        ValueError: None of its attributes has bands.
    """

    def __init__(self, scheme: LabelSchema) -> None:
        banded = [place for place, attribute in enumerate(scheme.attributes) if attribute.bin_edges]
        if not banded:
            raise ValueError(f"it looks for the oldest, and none of {', '.join(scheme.names)} has bands of age")
        attribute = scheme.attributes[banded[0]]
        oldest = torch.zeros(len(attribute.values), dtype=torch.bool)
        oldest[-1] = True
        every = torch.from_numpy(scheme.to_attribute_indices(range(scheme.classes)))
        self.oldest = {attribute.name: oldest, JOINT_HEAD: every[:, banded[0]] == len(attribute.values) - 1}

    def __call__(self, photos: Tensor, allowed: Allowed) -> Tensor:
        head = next(name for name in self.oldest if name in allowed)
        others = ~self.oldest[head].to(photos.device, non_blocking=True)
        old = ~(allowed[head] & others).any(dim=1)
        wishes = torch.rand(len(photos), len(photos)).to(photos.device, non_blocking=True)
        itself = torch.eye(len(photos), dtype=torch.bool, device=photos.device)
        return torch.where(itself, -1.0, wishes + 2 * old).argmax(dim=1)


@dataclass(frozen=True)
class RegionMix:
    """Each photo keeps some of its pixels and gets the others from its partner, from the same places.

    Args:
        cut: Which pixels are kept.
        partners: Whose pixels come in.
        chance: Each photo's chance to be mixed; the others keep all of their pixels.
    """

    cut: Cut
    partners: Partners = random_partner
    chance: float = 0.5

    def __post_init__(self) -> None:
        check_share(chance=self.chance)

    def __call__(self, photos: Tensor, allowed: Allowed) -> MixedBatch:
        count, _, height, width = photos.shape
        partner = self.partners(photos, allowed)
        own = self.cut(count, height, width) | (uniform(count) >= self.chance).view(-1, 1, 1, 1)
        # Who is its own partner keeps everything.
        alone = partner == torch.arange(count, device=photos.device)
        own = own.to(photos.device, non_blocking=True) | alone.view(-1, 1, 1, 1)
        # A mask that is one pixel wide stands for every column alike, so its mean is that of all pixels.
        share = own.float().mean(dim=(1, 2, 3))
        return MixedBatch(torch.where(own, photos, photos[partner]), partner, share)


@dataclass(frozen=True)
class AlphaMix:
    """Each pixel is the mean of the photo's and its partner's by one share for each photo, drawn from Beta(a, a).

    Args:
        alpha: The a; the nearer to 0, the more often one of the two has nearly all.
        chance: As for `Pasting`.
    """

    alpha: float
    chance: float

    def __post_init__(self) -> None:
        _check_beta(alpha=self.alpha)
        check_share(chance=self.chance)

    def __call__(self, photos: Tensor, allowed: Allowed) -> MixedBatch:
        partner = random_partner(photos, allowed)
        share = torch.where(uniform(len(photos)) < self.chance, _draw_beta(len(photos), self.alpha), 1.0)
        share = share.to(photos.device, non_blocking=True)
        wide = share.view(-1, 1, 1, 1).to(photos.dtype)
        return MixedBatch(photos * wide + photos[partner] * (1 - wide), partner, share)


@dataclass(frozen=True)
class Box:
    """All but a box of the photo's format, its middle anywhere, clipped at the edge; 1 - area drawn from Beta(b, b)."""

    beta: float

    def __call__(self, count: int, height: int, width: int) -> Tensor:
        side = (1 - _draw_beta(count, self.beta)).sqrt()
        down = _span(uniform(count, 0, height), (side * height).floor(), height)
        across = _span(uniform(count, 0, width), (side * width).floor(), width)
        return ~(down[:, None, :, None] & across[:, None, None, :])


@dataclass(frozen=True)
class Strip:
    """All but a strip from top to bottom that lies inside the photo; 1 - width drawn from Beta(b, b)."""

    beta: float

    def __call__(self, count: int, height: int, width: int) -> Tensor:
        wide = ((1 - _draw_beta(count, self.beta)) * width).round()
        middle = wide / 2 + uniform(count) * (width - wide)
        return ~_span(middle, wide, width)[:, None, None, :]


def halves(count: int, height: int, width: int) -> Tensor:
    """The left half or the right one, by chance; of an odd width the right half has one column more."""
    left = torch.arange(width) < width // 2
    return (left == (uniform(count) < 0.5)[:, None])[:, None, None, :]


def _span(middle: Tensor, length: Tensor, side: int) -> Tensor:
    """Which of `side` pixels lie in a span of whole `length` about `middle`, (batch, side)."""
    start = (middle - length / 2).round()[:, None]
    places = torch.arange(side)
    return (places >= start) & (places < start + length[:, None])


def _draw_beta(count: int, concentration: float) -> Tensor:
    return torch.distributions.Beta(concentration, concentration).sample((count,))


def _check_beta(**values: float) -> None:
    for name, value in values.items():
        if not 0.01 <= value <= 100:
            raise ValueError(f"{name}={value} must lie in 0.01 to 100")


def none(scheme: LabelSchema) -> Mixing:
    """Every photo stays itself."""
    return lambda photos, allowed: None


def mixup(scheme: LabelSchema, alpha: float = 0.2, chance: float = 1.0) -> Mixing:
    """Zhang et al. 2018: every pixel of two photos blended."""
    return AlphaMix(alpha, chance)


def cutmix(scheme: LabelSchema, beta: float = 1.0, chance: float = 0.5) -> Mixing:
    """Yun et al. 2019, and seed s0 with a beta of 1: a box of another photo."""
    _check_beta(beta=beta)
    return RegionMix(Box(beta), chance=chance)


def vertical_cutmix(scheme: LabelSchema, beta: float = 1.0, chance: float = 0.5) -> Mixing:
    """Seed s3: a strip of another photo from top to bottom, so that forehead, eyes and mask come from one face."""
    _check_beta(beta=beta)
    return RegionMix(Strip(beta), chance=chance)


def half_face(scheme: LabelSchema, chance: float = 0.5) -> Mixing:
    """The left half of one face and the right half of another; a mask is half a mask, and so is its label."""
    return RegionMix(halves, chance=chance)


def half_face_same(scheme: LabelSchema, chance: float = 0.5) -> Mixing:
    """Two halves of one class, so that the label stays whole; a photo alone of its class stays itself."""
    return RegionMix(halves, same_class_partner, chance)


def half_face_old(scheme: LabelSchema, chance: float = 0.5) -> Mixing:
    """The two best teams: the other half is of someone of the oldest band, the class with the fewest photos."""
    return RegionMix(halves, OldestBandPartner(scheme), chance)


BATCH_MIXING: dict[str, Callable[..., Mixing]] = {
    "none": none,
    "mixup": mixup,
    "cutmix": cutmix,
    "vertical_cutmix": vertical_cutmix,
    "half_face": half_face,
    "half_face_same": half_face_same,
    "half_face_old": half_face_old,
}
