"""Pictures for experiment loggers: augmented training photos, confusion matrices and held-out photos."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from maskfit.evaluation.confusion_image import confusion_image
from maskfit.evaluation.prediction_grid import PredictedPhoto, prediction_grid
from maskfit.evaluation.scores import confusion_matrices
from maskfit.labels.schema import JOINT_HEAD, UNKNOWN, IntArray
from maskfit.training.data_loaders import FoldDataset
from maskfit.training.lightning_api import Callback, LightningModule, TensorBoardLogger, Trainer, WandbLogger
from maskfit.training.task import ClassificationTask

NUM_PHOTOS, COLUMNS = 12, 4
"""Photos of a picture, and how many of them stand in a row."""


class LoggerImagesCallback(Callback):
    """Gives TensorBoard and Weights & Biases the pictures that show how a training goes.

    - `training photos`: the first batch, augmented and mixed, as the network gets it; once.
    - `confusion/<attribute>` and `confusion/classes`: of the held-out photos; each epoch.
    - `held-out photos`: the same photos, spread over the classes, with prediction and truth; each epoch.

    Args:
        valid: The held-out photos.
    """

    def __init__(self, valid: FoldDataset) -> None:
        self.valid = valid

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Logs the training photos of the first batch.

        Args:
            trainer: Lightning's trainer.
            pl_module: The task.
            batch: The batch.
            batch_idx: Its number in the epoch, from 0.
        """
        assert isinstance(pl_module, ClassificationTask)
        if trainer.current_epoch or batch_idx or not trainer.is_global_zero:
            return
        with torch.no_grad():
            # The step seeds its draws again, so that it gets the same images.
            images, _ = pl_module.augment(batch, 0)
        if images.ndim != 4:
            return  # Heads are trained on cached features: there are no images to show.
        pixels = images[:NUM_PHOTOS].permute(0, 2, 3, 1).clamp(0, 255).byte().cpu().numpy()
        _log_images(trainer, {"training photos": _tile(pixels)})

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Logs the confusion matrices and the held-out photos of the epoch.

        Args:
            trainer: Lightning's trainer.
            pl_module: The task.
        """
        assert isinstance(pl_module, ClassificationTask)
        predictions, targets = pl_module.val_predictions, pl_module.targets
        if predictions is None or targets is None or not trainer.is_global_zero:
            return
        schema = pl_module.scored_schema
        classes = predictions.probabilities.argmax(axis=1)
        names = {
            attribute.name: [attribute.display_name(code) for code in range(len(attribute.values))]
            for attribute in schema.attributes
        }
        names[JOINT_HEAD] = [schema.describe(number) for number in range(schema.num_classes)]
        pictures = {
            f"confusion/{'classes' if name == JOINT_HEAD else name}": confusion_image(
                counts, names[name], "classes" if name == JOINT_HEAD else name
            )
            for name, counts in confusion_matrices(schema, targets[predictions.indices], classes).items()
            if counts.any()
        }
        truth = schema.to_class_index(targets[predictions.indices])
        rows = _spread(truth)
        photos = self.valid.images.gather(predictions.indices[rows])
        pictures["held-out photos"] = prediction_grid(
            [
                PredictedPhoto(
                    photo,
                    schema.describe(int(classes[row])),
                    None if truth[row] == UNKNOWN else schema.describe(int(truth[row])),
                    float(predictions.probabilities[row].max()),
                )
                for photo, row in zip(photos, rows, strict=True)
            ],
            COLUMNS,
            width=150,
        )
        _log_images(trainer, pictures)


def _spread(truth: IntArray) -> NDArray[np.int64]:
    """Chooses `NUM_PHOTOS` photos, the same in each epoch: one of every class in turn.

    Args:
        truth: (photos,) class indices.

    Returns:
        Rows of `truth`, rising.
    """
    turns = np.zeros(len(truth), dtype=np.int64)
    for number in np.unique(truth):
        rows = np.flatnonzero(truth == number)
        turns[rows] = np.arange(len(rows))
    return np.sort(np.lexsort((truth, turns))[:NUM_PHOTOS])


def _tile(photos: NDArray[np.uint8]) -> Image.Image:
    """Tiles photos (photos, height, width, 3) into one picture, row by row."""
    _, height, width, _ = photos.shape
    columns = min(COLUMNS, len(photos))
    picture = Image.new("RGB", (columns * width, -(-len(photos) // columns) * height))
    for number, photo in enumerate(photos):
        picture.paste(Image.fromarray(photo), (number % columns * width, number // columns * height))
    return picture


def _log_images(trainer: Trainer, pictures: Mapping[str, Image.Image]) -> None:
    for logger in trainer.loggers:
        for name, picture in pictures.items():
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image(name, np.asarray(picture), trainer.current_epoch, dataformats="HWC")
            elif isinstance(logger, WandbLogger):
                logger.log_image(name, [picture], step=trainer.current_epoch)
