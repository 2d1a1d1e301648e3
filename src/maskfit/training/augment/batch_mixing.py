"""Batch mixing (mixup, CutMix and variants): two images of a batch become one, and so do their labels.

The label weight is counted on the pixels after every region was rounded and clipped, so that it equals the pixel
fraction exactly. Every image has its own partner and its own region; `prob` is each image's probability of being mixed,
so that a batch holds mixed and unmixed images. Random numbers are drawn on the CPU and partners are selected where the
labels are, so that the host never waits for the device.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from maskfit.labels.schema import JOINT_HEAD, LabelSchema
from maskfit.training.augment.parameter_checks import check_fraction
from maskfit.training.seeding import uniform

Allowed = Mapping[str, Tensor]
"""Head name to the classes that each image's label allows, (batch, values), bool."""


class MixedBatch(NamedTuple):
    """A batch of mixed images; implements `losses.multi_head_loss.MixedTargets`.

    Attributes:
        images: (batch, 3, height, width).
        permutation: (batch,) index in the batch of the image that was mixed in.
        lam: (batch,) fraction of each image that is its own, in 0 to 1; the rest is its partner's.
    """

    images: Tensor
    permutation: Tensor
    lam: Tensor


class Mixing(Protocol):
    """Mixes the images of a batch, with random numbers from torch's global generator."""

    def __call__(self, images: Tensor, allowed: Allowed) -> MixedBatch | None:
        """Mixes a batch.

        Args:
            images: (batch, 3, height, width).
            allowed: Head name to the classes that each image's label allows.

        Returns:
            The mixed batch; None where nothing is mixed.
        """
        ...


PartnerSelector = Callable[[Tensor, Allowed], Tensor]
"""Maps images and labels to the index of each image's partner, (batch,), on the images' device."""
RegionSampler = Callable[[int, int, int], Tensor]
"""Maps batch size, height and width to a mask of the pixels that stay: (batch, 1, height or 1, width or 1), bool."""


def random_partner(images: Tensor, allowed: Allowed) -> Tensor:
    """Selects a random other image; every image is the partner of exactly one.

    Args:
        images: (batch, 3, height, width).
        allowed: Not used.

    Returns:
        Index of each image's partner, (batch,).
    """
    order = torch.randperm(len(images))
    partner = torch.empty_like(order)
    partner[order] = order.roll(1)
    return partner.to(images.device, non_blocking=True)


def same_class_partner(images: Tensor, allowed: Allowed) -> Tensor:
    """Selects a random other image with the same labels in every head, or the image itself where there is none.

    Args:
        images: (batch, 3, height, width).
        allowed: Head name to the classes that each image's label allows.

    Returns:
        Index of each image's partner, (batch,).
    """
    same = torch.stack([(rows[:, None] == rows[None]).all(dim=2) for rows in allowed.values()]).all(dim=0)
    ranks = torch.rand(len(images), len(images)).to(images.device, non_blocking=True)
    itself = torch.eye(len(images), dtype=torch.bool, device=images.device)
    # The image itself ranks above images of other classes (at most 1) and below those of its class (at least 2).
    return torch.where(itself, 1.5, ranks + 2 * same).argmax(dim=1)


class OldestBandPartner:
    """Selects a random other image that is certainly of the oldest age band, or any other where there is none.

    Args:
        schema: Labels that the network is trained on.

    Raises:
        ValueError: No attribute has bins.
    """

    def __init__(self, schema: LabelSchema) -> None:
        binned = [index for index, attribute in enumerate(schema.attributes) if attribute.bin_edges]
        if not binned:
            raise ValueError(
                f"the oldest age band needs an attribute with bin_edges, and none of {', '.join(schema.names)} has them"
            )
        attribute = schema.attributes[binned[0]]
        oldest = torch.zeros(len(attribute.values), dtype=torch.bool)
        oldest[-1] = True
        indices = torch.from_numpy(schema.to_attribute_indices(range(schema.num_classes)))
        self.oldest = {attribute.name: oldest, JOINT_HEAD: indices[:, binned[0]] == len(attribute.values) - 1}

    def __call__(self, images: Tensor, allowed: Allowed) -> Tensor:
        """Selects the partners.

        Args:
            images: (batch, 3, height, width).
            allowed: Head name to the classes that each image's label allows.

        Returns:
            Index of each image's partner, (batch,).
        """
        head = next(name for name in self.oldest if name in allowed)
        younger = ~self.oldest[head].to(images.device, non_blocking=True)
        is_old = ~(allowed[head] & younger).any(dim=1)
        ranks = torch.rand(len(images), len(images)).to(images.device, non_blocking=True)
        itself = torch.eye(len(images), dtype=torch.bool, device=images.device)
        return torch.where(itself, -1.0, ranks + 2 * is_old).argmax(dim=1)


@dataclass(frozen=True)
class RegionMix:
    """Replaces a region of each image by the same region of its partner.

    Attributes:
        region: Draws the pixels that stay.
        partners: Selects the partners.
        prob: Probability of each image to be mixed, 0 to 1.
    """

    region: RegionSampler
    partners: PartnerSelector = random_partner
    prob: float = 0.5

    def __post_init__(self) -> None:
        check_fraction(prob=self.prob)

    def __call__(self, images: Tensor, allowed: Allowed) -> MixedBatch:
        """Mixes a batch; see `Mixing`."""
        count, _, height, width = images.shape
        partner = self.partners(images, allowed)
        own = self.region(count, height, width) | (uniform(count) >= self.prob).view(-1, 1, 1, 1)
        # An image that is its own partner keeps all pixels.
        alone = partner == torch.arange(count, device=images.device)
        own = own.to(images.device, non_blocking=True) | alone.view(-1, 1, 1, 1)
        # A mask of width or height 1 is constant along that axis, so its mean is that over all pixels.
        lam = own.float().mean(dim=(1, 2, 3))
        return MixedBatch(torch.where(own, images, images[partner]), partner, lam)


@dataclass(frozen=True)
class AlphaMix:
    """Blends each image with its partner by one weight per image, drawn from Beta(alpha, alpha).

    Attributes:
        alpha: Concentration of the Beta distribution, 0.01 to 100; near 0, one of the two images dominates.
        prob: Probability of each image to be mixed, 0 to 1.
    """

    alpha: float
    prob: float

    def __post_init__(self) -> None:
        _check_concentration(alpha=self.alpha)
        check_fraction(prob=self.prob)

    def __call__(self, images: Tensor, allowed: Allowed) -> MixedBatch:
        """Mixes a batch; see `Mixing`."""
        partner = random_partner(images, allowed)
        lam = torch.where(uniform(len(images)) < self.prob, _draw_beta(len(images), self.alpha), 1.0)
        lam = lam.to(images.device, non_blocking=True)
        weight = lam.view(-1, 1, 1, 1).to(images.dtype)
        return MixedBatch(images * weight + images[partner] * (1 - weight), partner, lam)


@dataclass(frozen=True)
class BoxRegion:
    """A box of the image's aspect ratio, centered anywhere and clipped at the border (CutMix).

    Attributes:
        beta: 1 - area of the box is drawn from Beta(beta, beta).
    """

    beta: float

    def __call__(self, count: int, height: int, width: int) -> Tensor:
        """Draws the pixels outside the box; see `RegionSampler`."""
        side = (1 - _draw_beta(count, self.beta)).sqrt()
        rows = _span(uniform(count, 0, height), (side * height).floor(), height)
        columns = _span(uniform(count, 0, width), (side * width).floor(), width)
        return ~(rows[:, None, :, None] & columns[:, None, None, :])


@dataclass(frozen=True)
class StripRegion:
    """A vertical strip over the full height, inside the image.

    Attributes:
        beta: 1 - relative width of the strip is drawn from Beta(beta, beta).
    """

    beta: float

    def __call__(self, count: int, height: int, width: int) -> Tensor:
        """Draws the pixels outside the strip; see `RegionSampler`."""
        strip = ((1 - _draw_beta(count, self.beta)) * width).round()
        center = strip / 2 + uniform(count) * (width - strip)
        return ~_span(center, strip, width)[:, None, None, :]


def half_region(count: int, height: int, width: int) -> Tensor:
    """Draws the left or the right half of each image, with equal probability; see `RegionSampler`.

    Args:
        count: Number of images.
        height: Height in pixels.
        width: Width in pixels; of an odd width, the right half has one column more.

    Returns:
        Mask of the pixels that stay, (count, 1, 1, width), bool.
    """
    left = torch.arange(width) < width // 2
    return (left == (uniform(count) < 0.5)[:, None])[:, None, None, :]


def _span(center: Tensor, length: Tensor, side: int) -> Tensor:
    """Mask of the pixels of a side that lie in a span of `length` whole pixels about `center`, (batch, side)."""
    start = (center - length / 2).round()[:, None]
    positions = torch.arange(side)
    return (positions >= start) & (positions < start + length[:, None])


def _draw_beta(count: int, concentration: float) -> Tensor:
    return torch.distributions.Beta(concentration, concentration).sample((count,))


def _check_concentration(**values: float) -> None:
    for name, value in values.items():
        if not 0.01 <= value <= 100:
            raise ValueError(f"{name} must be in 0.01 to 100, got {value}")


def none(schema: LabelSchema) -> Mixing:
    """Builds a mixing that leaves every batch unchanged.

    Args:
        schema: Labels that the network is trained on.

    Returns:
        The mixing.
    """
    return lambda images, allowed: None


def mixup(schema: LabelSchema, alpha: float = 0.2, prob: float = 1.0) -> Mixing:
    """Builds mixup: blends all pixels of two images (Zhang et al. 2018, arXiv:1710.09412).

    Args:
        schema: Labels that the network is trained on.
        alpha: Concentration of the Beta distribution of the weight, 0.01 to 100.
        prob: Probability of each image to be mixed, 0 to 1.

    Returns:
        The mixing.
    """
    return AlphaMix(alpha, prob)


def cutmix(schema: LabelSchema, beta: float = 1.0, prob: float = 0.5) -> Mixing:
    """Builds CutMix: a box of another image (Yun et al. 2019, arXiv:1905.04899; boostup, with beta 1).

    Args:
        schema: Labels that the network is trained on.
        beta: Concentration of the Beta distribution of the area, 0.01 to 100.
        prob: Probability of each image to be mixed, 0 to 1.

    Returns:
        The mixing.
    """
    _check_concentration(beta=beta)
    return RegionMix(BoxRegion(beta), prob=prob)


def vertical_cutmix(schema: LabelSchema, beta: float = 1.0, prob: float = 0.5) -> Mixing:
    """Builds a CutMix with a vertical strip over the full height (level1-06).

    Forehead, eyes and mask in the strip are then those of one face.

    Args:
        schema: Labels that the network is trained on.
        beta: Concentration of the Beta distribution of the width, 0.01 to 100.
        prob: Probability of each image to be mixed, 0 to 1.

    Returns:
        The mixing.
    """
    _check_concentration(beta=beta)
    return RegionMix(StripRegion(beta), prob=prob)


def half_face(schema: LabelSchema, prob: float = 0.5) -> Mixing:
    """Builds a mixing of the left half of one face with the right half of another.

    Args:
        schema: Labels that the network is trained on.
        prob: Probability of each image to be mixed, 0 to 1.

    Returns:
        The mixing.
    """
    return RegionMix(half_region, prob=prob)


def half_face_same(schema: LabelSchema, prob: float = 0.5) -> Mixing:
    """Builds a mixing of two halves of faces with the same labels, so that the label is not mixed.

    Args:
        schema: Labels that the network is trained on.
        prob: Probability of each image to be mixed, 0 to 1; an image alone of its class is never mixed.

    Returns:
        The mixing.
    """
    return RegionMix(half_region, same_class_partner, prob)


def half_face_old(schema: LabelSchema, prob: float = 0.5) -> Mixing:
    """Builds a mixing with half a face of the oldest age band, the rarest one (the competition's two best teams).

    Args:
        schema: Labels that the network is trained on.
        prob: Probability of each image to be mixed, 0 to 1.

    Returns:
        The mixing.
    """
    return RegionMix(half_region, OldestBandPartner(schema), prob)
