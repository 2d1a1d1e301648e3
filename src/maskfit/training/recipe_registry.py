"""Registries of all components that a recipe can name, by recipe key; importing them imports no torch."""

from __future__ import annotations

from maskfit.data.backgrounds import BACKGROUNDS
from maskfit.data.crops import CROPS
from maskfit.data.detectors import DETECTORS
from maskfit.losses import AGE_REGRESSION_LOSSES, LOSSES, METRIC_LOSSES
from maskfit.models.backbone_names import BACKBONES, find_local_problem, has_timm
from maskfit.models.heads import HEAD_INPUTS, HEADS
from maskfit.registry import RegistryEntry
from maskfit.training.augment import AUGMENTATIONS, BATCH_MIXING, PROGRESSIVE_RESIZING
from maskfit.training.optim import FREEZING, LR_SCHEDULERS, OPTIMIZERS, WEIGHT_AVERAGING
from maskfit.training.samplers import SAMPLERS

RECIPE_REGISTRY: dict[str, RegistryEntry] = {
    "data.crop": RegistryEntry(CROPS, nested={"detector": RegistryEntry(DETECTORS, injected_arguments=("weights",))}),
    "data.background_removal": RegistryEntry(BACKGROUNDS),
    "model.backbone": RegistryEntry(BACKBONES, injected_arguments=("weights",), find_problem=find_local_problem),
    "model.head": RegistryEntry(HEADS, injected_arguments=HEAD_INPUTS),
    "model.freeze": RegistryEntry(FREEZING),
    "loss": RegistryEntry(LOSSES, injected_arguments=("counts",)),
    "heads.*.loss": RegistryEntry(LOSSES, injected_arguments=("counts",)),
    "metric_loss": RegistryEntry(METRIC_LOSSES, injected_arguments=("features", "classes")),
    "age_regression": RegistryEntry(AGE_REGRESSION_LOSSES),
    "augmentation": RegistryEntry(AUGMENTATIONS, injected_arguments=("size",)),
    "batch_mixing": RegistryEntry(BATCH_MIXING, injected_arguments=("schema",)),
    "progressive_resizing": RegistryEntry(PROGRESSIVE_RESIZING, injected_arguments=("size", "num_batches")),
    "sampler": RegistryEntry(SAMPLERS, injected_arguments=("classes",)),
    "optimizer": RegistryEntry(OPTIMIZERS, injected_arguments=("network",)),
    "lr_scheduler": RegistryEntry(LR_SCHEDULERS, injected_arguments=("epochs", "epoch_steps")),
    "weight_averaging": RegistryEntry(WEIGHT_AVERAGING, injected_arguments=("network", "epochs", "epoch_steps")),
}
"""Recipe key to its registry and the arguments that training supplies; `*` stands for any head."""


def available_registries() -> dict[str, RegistryEntry]:
    """Returns what a recipe can be checked against in this install.

    Returns:
        `RECIPE_REGISTRY`, without `model.backbone` where timm is not installed, whose models have no other list.
    """
    return {key: entry for key, entry in RECIPE_REGISTRY.items() if key != "model.backbone" or has_timm()}
