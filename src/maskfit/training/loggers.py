"""Where training logs besides the run's own CSV, for those who follow many runs at once."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger

from maskfit.config.recipe import Recipe
from maskfit.errors import MissingExtraError


def tensorboard(recipe: Recipe, folder: Path, title: str) -> Logger:
    """Event files in the fold's folder; `tensorboard --logdir RUN` shows them."""
    if importlib.util.find_spec("tensorboard") is None:
        raise MissingExtraError("trainer.loggers=tensorboard", "track")
    return TensorBoardLogger(folder, name="tensorboard", version="")


def wandb(recipe: Recipe, folder: Path, title: str) -> Logger:
    """Weights & Biases; WANDB_MODE=offline keeps everything in the fold's folder."""
    if importlib.util.find_spec("wandb") is None:
        raise MissingExtraError("trainer.loggers=wandb", "track")
    folder.mkdir(parents=True, exist_ok=True)
    return WandbLogger(
        name=title, save_dir=folder, project="maskfit", group=recipe.name, config=recipe.model_dump(mode="json")
    )


LOGGERS: dict[str, Callable[[Recipe, Path, str], Logger]] = {
    "tensorboard": tensorboard,
    "wandb": wandb,
}
"""The names of `trainer.loggers`."""
