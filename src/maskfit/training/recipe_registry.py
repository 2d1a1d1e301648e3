"""Registries of all components that a recipe can name, by recipe key."""

from __future__ import annotations

from maskfit.data.backgrounds import BACKGROUNDS
from maskfit.data.crops import CROPS
from maskfit.losses import LOSSES
from maskfit.losses.age_regression import AGE_REGRESSION_LOSSES
from maskfit.losses.metric_learning import METRIC_LOSSES
from maskfit.models.backbones import BACKBONES
from maskfit.models.heads import HEADS
from maskfit.registry import RegistryEntry
from maskfit.training.augment.augmentations import AUGMENTATIONS
from maskfit.training.augment.batch_mixing import BATCH_MIXING
from maskfit.training.optim.freezing import FREEZING
from maskfit.training.optim.lr_schedules import LR_SCHEDULERS
from maskfit.training.optim.optimizers import OPTIMIZERS
from maskfit.training.optim.weight_averaging import WEIGHT_AVERAGING
from maskfit.training.samplers import SAMPLERS

RECIPE_REGISTRY: dict[str, RegistryEntry] = {
    "data.crop": RegistryEntry(CROPS),
    "data.background_removal": RegistryEntry(BACKGROUNDS),
    "model.backbone": RegistryEntry(BACKBONES, injected_arguments=("weights",)),
    "model.head": RegistryEntry(HEADS, injected_arguments=("features", "sizes")),
    "model.freeze": RegistryEntry(FREEZING),
    "loss": RegistryEntry(LOSSES, injected_arguments=("counts",)),
    "heads.*.loss": RegistryEntry(LOSSES, injected_arguments=("counts",)),
    "metric_loss": RegistryEntry(METRIC_LOSSES, injected_arguments=("features", "classes")),
    "age_regression": RegistryEntry(AGE_REGRESSION_LOSSES),
    "augmentation": RegistryEntry(AUGMENTATIONS, injected_arguments=("size",)),
    "batch_mixing": RegistryEntry(BATCH_MIXING, injected_arguments=("schema",)),
    "sampler": RegistryEntry(SAMPLERS, injected_arguments=("classes",)),
    "optimizer": RegistryEntry(OPTIMIZERS, injected_arguments=("network",)),
    "lr_scheduler": RegistryEntry(LR_SCHEDULERS, injected_arguments=("epochs", "epoch_steps")),
    "weight_averaging": RegistryEntry(WEIGHT_AVERAGING, injected_arguments=("network", "epochs", "epoch_steps")),
}
"""Recipe key to its registry and the arguments that training supplies; `*` stands for any head."""
