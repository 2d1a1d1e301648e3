"""Choices: which photos of a batch a step is for, and which of several steps a photo gets.

Who drew what is known on the host, so that a step runs over its own photos only and no device has to be asked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from maskfit.training.augment.parameter_checks import check_share
from maskfit.training.seeding import uniform

Step = Callable[[Tensor], Tensor]
"""Photos (batch, 3, height, width; float32 in 0 to 255) changed, each by its own draw; it may write into them."""


def apply_to_subset(photos: Tensor, chosen: Tensor, step: Step) -> Tensor:
    """The photos with a step applied to some of them.

    Args:
        photos: (batch, 3, height, width), written into.
        chosen: (batch,) of bool, on the host.
        step: What is done to those; it sees them alone.
    """
    places = chosen.nonzero().flatten()
    if len(places) == 0:
        return photos
    if len(places) == len(photos):
        return step(photos)
    places = places.to(photos.device, non_blocking=True)
    return photos.index_copy_(0, places, step(photos.index_select(0, places)))


@dataclass(frozen=True)
class OneOf:
    """Each photo gets exactly one of several steps, all of them as likely; by `chance`, else none."""

    steps: tuple[Step, ...]
    chance: float = 1.0

    def __post_init__(self) -> None:
        check_share(chance=self.chance)

    def __call__(self, photos: Tensor) -> Tensor:
        gets = uniform(len(photos)) < self.chance
        choice = torch.randint(len(self.steps), (len(photos),))
        for number, step in enumerate(self.steps):
            photos = apply_to_subset(photos, gets & (choice == number), step)
        return photos


@dataclass(frozen=True)
class RandomOrder:
    """Every photo gets all of several steps, in an order that is drawn for each batch."""

    steps: tuple[Step, ...]

    def __call__(self, photos: Tensor) -> Tensor:
        for number in torch.randperm(len(self.steps)).tolist():
            photos = self.steps[number](photos)
        return photos
