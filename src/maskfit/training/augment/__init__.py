"""Augmentation, batch mixing and sizes of training images, on the device; the registries import none of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from maskfit.registry import LazyComponent

AUGMENTATIONS: dict[str, Callable[..., Any]] = {
    "none": LazyComponent("maskfit.training.augment.augmentations:none"),
    "flip": LazyComponent("maskfit.training.augment.augmentations:flip"),
    "random_resized_crop": LazyComponent("maskfit.training.augment.augmentations:random_resized_crop"),
    "rand_augment": LazyComponent("maskfit.training.augment.augmentations:rand_augment"),
    "color_jitter": LazyComponent("maskfit.training.augment.augmentations:color_jitter"),
    "one_of_color": LazyComponent("maskfit.training.augment.augmentations:one_of_color"),
    "shift_scale_rotate": LazyComponent("maskfit.training.augment.augmentations:shift_scale_rotate"),
    "crop_color_blur": LazyComponent("maskfit.training.augment.augmentations:crop_color_blur"),
    "light": LazyComponent("maskfit.training.augment.augmentations:light"),
    "strong": LazyComponent("maskfit.training.augment.augmentations:strong"),
    "unconstrained": LazyComponent("maskfit.training.augment.augmentations:unconstrained"),
}
"""Names of the recipe key `augmentation`."""

BATCH_MIXING: dict[str, Callable[..., Any]] = {
    "none": LazyComponent("maskfit.training.augment.batch_mixing:none"),
    "mixup": LazyComponent("maskfit.training.augment.batch_mixing:mixup"),
    "cutmix": LazyComponent("maskfit.training.augment.batch_mixing:cutmix"),
    "vertical_cutmix": LazyComponent("maskfit.training.augment.batch_mixing:vertical_cutmix"),
    "half_face": LazyComponent("maskfit.training.augment.batch_mixing:half_face"),
    "half_face_same": LazyComponent("maskfit.training.augment.batch_mixing:half_face_same"),
    "half_face_old": LazyComponent("maskfit.training.augment.batch_mixing:half_face_old"),
}
"""Names of the recipe key `batch_mixing`."""

PROGRESSIVE_RESIZING: dict[str, Callable[..., Any]] = {
    "none": LazyComponent("maskfit.training.augment.progressive_resizing:none"),
    "linear": LazyComponent("maskfit.training.augment.progressive_resizing:linear"),
}
"""Names of the recipe key `progressive_resizing`."""
