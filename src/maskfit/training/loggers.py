"""Experiment loggers besides the run's own CSV files, by name."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path

from maskfit.config.recipe import Recipe
from maskfit.errors import MissingExtraError
from maskfit.training.lightning_api import Logger, TensorBoardLogger, WandbLogger


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

    `trainer.wandb` names project, entity, name and tags; what it leaves out comes from wandb's own environment
    variables.

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
    tracking = recipe.trainer.wandb
    name = tracking.name or os.environ.get("WANDB_NAME")
    return WandbLogger(
        # Every fold is a run of its own, so that a name given once is told apart by the fold.
        name=title if name is None else f"{name}, {title.removeprefix(f'{recipe.name}, ')}",
        save_dir=folder,
        # Lightning's own default would hide the variables.
        project=tracking.project or os.environ.get("WANDB_PROJECT") or "maskfit",
        entity=tracking.entity or os.environ.get("WANDB_ENTITY"),
        tags=list(tracking.tags) or _split_tags(os.environ.get("WANDB_TAGS")),
        group=os.environ.get("WANDB_RUN_GROUP") or recipe.name,
        config=recipe.model_dump(mode="json"),
    )


def _split_tags(text: str | None) -> list[str] | None:
    return [tag.strip() for tag in text.split(",") if tag.strip()] if text else None


LOGGERS: dict[str, Callable[[Recipe, Path, str], Logger]] = {
    "tensorboard": tensorboard,
    "wandb": wandb,
}
"""Names of the recipe key `trainer.loggers`."""
