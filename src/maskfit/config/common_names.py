"""Names by which other programs call components and their options; `aliases.py` reads them as maskfit's own.

Case and separators do not matter for any name (`registry.find_name`): `AdamW` needs no row here. A name has a row only
if it means one component everywhere.
"""

from __future__ import annotations

from typing import Any

COMMON_NAMES: dict[str, dict[str, tuple[str, dict[str, Any]]]] = {
    "loss": {
        "bceloss": ("bce", {}),
        "bcewithlogits": ("bce", {}),
        "bcewithlogitsloss": ("bce", {}),
        "brierscore": ("brier", {}),
        "ce": ("cross_entropy", {}),
        "celoss": ("cross_entropy", {}),
        "crossentropyloss": ("cross_entropy", {}),
        "f1": ("soft_macro_f1", {}),
        "f1loss": ("soft_macro_f1", {}),
        "focalloss": ("focal", {}),
        "ldamloss": ("ldam", {}),
        "mse": ("brier", {}),
        "mseloss": ("brier", {}),
        "nll": ("cross_entropy", {}),
        "nllloss": ("cross_entropy", {}),
        "sce": ("symmetric_cross_entropy", {}),
        "smoothl1loss": ("smooth_l1", {}),
    },
    "age_regression": {"l2": ("mse", {}), "mseloss": ("mse", {}), "smoothl1loss": ("smooth_l1", {})},
    "metric_loss": {
        "arcfaceloss": ("arcface", {}),
        "multisimilarityloss": ("multi_similarity", {}),
        "supconloss": ("supcon", {}),
        "supervisedcontrastive": ("supcon", {}),
        "tripletloss": ("triplet", {}),
        "tripletmarginloss": ("triplet", {}),
    },
    "optimizer": {
        "momentum": ("sgd", {"momentum": 0.9}),
        "nesterov": ("sgd", {"momentum": 0.9, "nesterov": True}),
        "sharpnessawareminimization": ("sam", {}),
    },
    "lr_scheduler": {
        "cosineannealing": ("cosine", {"warmup": 0}),
        "cosineannealinglr": ("cosine", {"warmup": 0}),
        "cosineannealingwarmrestarts": ("cosine_restarts", {}),
        "exponentiallr": ("exponential", {}),
        "none": ("constant", {}),
        "onecyclelr": ("one_cycle", {}),
        "reducelronplateau": ("reduce_on_plateau", {}),
        "sgdr": ("cosine_restarts", {}),
        "steplr": ("step", {}),
    },
    "weight_averaging": {
        "exponentialmovingaverage": ("ema", {}),
        "modelema": ("ema", {}),
        "stochasticweightaveraging": ("swa", {}),
    },
    "sampler": {
        "randomsampler": ("random", {}),
        "weightedrandomsampler": ("weighted", {}),
    },
    "data.crop": {"centercrop": ("center", {})},
}
"""Registry -> name without case and separators -> name in maskfit and the options that it implies."""

COMMON_OPTIONS: dict[str, dict[str, dict[str, str]]] = {
    "lr_scheduler": {
        "cosine_restarts": {"T_0": "period", "T_mult": "stretch"},
        "exponential": {"gamma": "factor"},
        "step": {"gamma": "factor", "step_size": "every"},
    },
    "loss": {name: {"label_smoothing": "smoothing", "weight": "class_weights"} for name in ("cross_entropy", "focal")},
    "optimizer": {name: {"learning_rate": "lr"} for name in ("adam", "adamp", "adamw", "lion", "radam", "sgd")},
}
"""Registry -> component -> option as torch calls it -> option in maskfit; values mean the same."""
