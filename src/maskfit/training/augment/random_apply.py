"""Random application of augmentation steps: to a subset of a batch, one of several, or several in random order.

Which image gets which step is drawn on the CPU, so that a step runs on its own images only and the host never waits for
the device.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from maskfit.training.augment.parameter_checks import check_fraction
from maskfit.training.seeding import uniform

Step = Callable[[Tensor], Tensor]
"""Changes images (batch, 3, height, width; float32 in 0 to 255), each by its own draw; may change them in place."""


def apply_to_subset(images: Tensor, selected: Tensor, step: Step) -> Tensor:
    """Applies a step to some images of a batch.

    Args:
        images: (batch, 3, height, width), changed in place.
        selected: (batch,), bool, on the CPU.
        step: Receives the selected images only.

    Returns:
        The batch.
    """
    indices = selected.nonzero().flatten()
    if len(indices) == 0:
        return images
    if len(indices) == len(images):
        return step(images)
    indices = indices.to(images.device, non_blocking=True)
    return images.index_copy_(0, indices, step(images.index_select(0, indices)))


@dataclass(frozen=True)
class OneOf:
    """Applies exactly one of several steps to each image, with equal probability.

    Attributes:
        steps: The steps.
        prob: Probability of each image to get a step, 0 to 1.
    """

    steps: tuple[Step, ...]
    prob: float = 1.0

    def __post_init__(self) -> None:
        check_fraction(prob=self.prob)

    def __call__(self, images: Tensor) -> Tensor:
        """Augments images (batch, 3, height, width; float32 in 0 to 255), in place."""
        applied = uniform(len(images)) < self.prob
        choice = torch.randint(len(self.steps), (len(images),))
        for number, step in enumerate(self.steps):
            images = apply_to_subset(images, applied & (choice == number), step)
        return images


@dataclass(frozen=True)
class RandomOrder:
    """Applies all of several steps to every image, in an order that is drawn for each batch.

    Attributes:
        steps: The steps.
    """

    steps: tuple[Step, ...]

    def __call__(self, images: Tensor) -> Tensor:
        """Augments images (batch, 3, height, width; float32 in 0 to 255), in place."""
        for number in torch.randperm(len(self.steps)).tolist():
            images = self.steps[number](images)
        return images
