"""Every table of parts that a recipe can name, by the key where it names them."""

from __future__ import annotations

from maskfit.data.backgrounds import BACKGROUNDS
from maskfit.data.crops import CROPS
from maskfit.losses import LOSSES
from maskfit.losses.embedding import EMBEDDING_LOSSES
from maskfit.losses.years import YEARS_LOSSES
from maskfit.models.backbones import BACKBONES
from maskfit.models.heads import HEADS
from maskfit.parts import Slot
from maskfit.training.augmentation import AUGMENTATIONS
from maskfit.training.averaging import AVERAGES
from maskfit.training.freezing import FREEZINGS
from maskfit.training.mixing import MIXINGS
from maskfit.training.optimisers import OPTIMISERS
from maskfit.training.sampling import SAMPLINGS
from maskfit.training.schedules import SCHEDULES

SLOTS: dict[str, Slot] = {
    "data.crop": Slot(CROPS),
    "data.background": Slot(BACKGROUNDS),
    "model.backbone": Slot(BACKBONES, given=("weights",)),
    "model.head": Slot(HEADS, given=("features", "sizes")),
    "model.freeze": Slot(FREEZINGS),
    "loss": Slot(LOSSES, given=("counts",)),
    "heads.*.loss": Slot(LOSSES, given=("counts",)),
    "embedding": Slot(EMBEDDING_LOSSES, given=("features", "classes")),
    "years": Slot(YEARS_LOSSES),
    "augmentation": Slot(AUGMENTATIONS, given=("size",)),
    "mixing": Slot(MIXINGS, given=("scheme",)),
    "sampling": Slot(SAMPLINGS, given=("classes",)),
    "optimiser": Slot(OPTIMISERS, given=("network",)),
    "schedule": Slot(SCHEDULES, given=("epochs", "epoch_steps")),
    "average": Slot(AVERAGES, given=("network", "epochs", "epoch_steps")),
}
