"""Every table of parts that a recipe can name, by the key where it names them."""

from __future__ import annotations

from maskfit.data.crops import CROPS
from maskfit.losses import LOSSES
from maskfit.models.backbones import BACKBONES
from maskfit.models.heads import HEADS
from maskfit.parts import Slot
from maskfit.training.augmentation import AUGMENTATIONS
from maskfit.training.optimisers import OPTIMISERS
from maskfit.training.schedules import SCHEDULES

SLOTS: dict[str, Slot] = {
    "data.crop": Slot(CROPS),
    "model.backbone": Slot(BACKBONES, given=("weights",)),
    "model.head": Slot(HEADS, given=("features", "sizes")),
    "loss": Slot(LOSSES, given=("counts",)),
    "heads.*.loss": Slot(LOSSES, given=("counts",)),
    "augmentation": Slot(AUGMENTATIONS, given=("size",)),
    "optimiser": Slot(OPTIMISERS, given=("network",)),
    "schedule": Slot(SCHEDULES, given=("epochs", "epoch_steps")),
}
