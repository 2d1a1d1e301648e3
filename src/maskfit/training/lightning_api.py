"""The names of Lightning that training uses; imported from here, Lightning brings only the packages that it runs."""

# ruff: noqa: E402 (the packages must be deferred before Lightning is imported)
from __future__ import annotations

from maskfit.deferred_packages import defer_unused_packages

defer_unused_packages()

from lightning import Callback, LightningModule, Trainer
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger
from lightning.pytorch.strategies import DDPStrategy

__all__ = [
    "Callback",
    "DDPStrategy",
    "EarlyStopping",
    "LightningEnvironment",
    "LightningModule",
    "Logger",
    "SLURMEnvironment",
    "TensorBoardLogger",
    "Trainer",
    "WandbLogger",
]
