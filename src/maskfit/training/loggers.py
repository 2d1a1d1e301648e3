"""Experiment loggers besides the run's own CSV files, by name."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger

from maskfit.config.recipe import Recipe
from maskfit.errors import MissingExtraError


def tensorboard(recipe: Recipe, folder: Path, title: str) -> Logger:
    """Creates a logger that writes TensorBoard event files; `tensorboard --logdir RUN` shows them.

    Args:
        recipe: The recipe of the run.
        folder: The fold's folder.
        title: Name of the training, for people.

    Returns:
        The logger.

    Raises:
        MissingExtraError: tensorboard is not installed.
    """
    if importlib.util.find_spec("tensorboard") is None:
        raise MissingExtraError("trainer.loggers=tensorboard", "track")
    return TensorBoardLogger(folder, name="tensorboard", version="")


def wandb(recipe: Recipe, folder: Path, title: str) -> Logger:
    """Creates a Weights & Biases logger; with WANDB_MODE=offline everything stays in the fold's folder.

    Args:
        recipe: The recipe of the run; its name becomes the group.
        folder: The fold's folder.
        title: Name of the training, for people.

    Returns:
        The logger.

    Raises:
        MissingExtraError: wandb is not installed.
    """
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
"""Names of the recipe key `trainer.loggers`."""
