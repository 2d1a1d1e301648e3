"""Optimizers, learning rate schedules, freezing and weight averaging; their registries import none of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from maskfit.registry import LazyComponent

OPTIMIZERS: dict[str, Callable[..., Any]] = {
    "adam": LazyComponent("maskfit.training.optim.optimizers:adam"),
    "adamw": LazyComponent("maskfit.training.optim.optimizers:adamw"),
    "adamp": LazyComponent("maskfit.training.optim.optimizers:adamp"),
    "sgd": LazyComponent("maskfit.training.optim.optimizers:sgd"),
    "radam": LazyComponent("maskfit.training.optim.optimizers:radam"),
    "madgrad": LazyComponent("maskfit.training.optim.optimizers:madgrad"),
    "lion": LazyComponent("maskfit.training.optim.optimizers:lion"),
    "sam": LazyComponent("maskfit.training.optim.optimizers:sam"),
}
"""Names of the recipe key `optimizer`."""

LR_SCHEDULERS: dict[str, Callable[..., Any]] = {
    "constant": LazyComponent("maskfit.training.optim.lr_schedules:constant"),
    "cosine": LazyComponent("maskfit.training.optim.lr_schedules:cosine"),
    "cosine_restarts": LazyComponent("maskfit.training.optim.lr_schedules:cosine_restarts"),
    "exponential": LazyComponent("maskfit.training.optim.lr_schedules:exponential"),
    "step": LazyComponent("maskfit.training.optim.lr_schedules:step"),
    "triangular2": LazyComponent("maskfit.training.optim.lr_schedules:triangular2"),
    "one_cycle": LazyComponent("maskfit.training.optim.lr_schedules:one_cycle"),
    "reduce_on_plateau": LazyComponent("maskfit.training.optim.lr_schedules:ReduceOnPlateau"),
}
"""Names of the recipe key `lr_scheduler`."""

WEIGHT_AVERAGING: dict[str, Callable[..., Any]] = {
    "none": LazyComponent("maskfit.training.optim.weight_averaging:none"),
    "ema": LazyComponent("maskfit.training.optim.weight_averaging:ExponentialMovingAverage"),
    "swa": LazyComponent("maskfit.training.optim.weight_averaging:StochasticWeightAveraging"),
}
"""Names of the recipe key `weight_averaging`."""

FREEZING: dict[str, Callable[..., Any]] = {
    "none": LazyComponent("maskfit.training.optim.freezing:none"),
    "backbone": LazyComponent("maskfit.training.optim.freezing:freeze_backbone"),
    "gradual_unfreeze": LazyComponent("maskfit.training.optim.freezing:gradual_unfreeze"),
}
"""Names of the recipe key `model.freeze`."""
