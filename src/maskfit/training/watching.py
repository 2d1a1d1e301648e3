"""Somebody outside who follows a training from epoch to epoch, and may end it."""

from __future__ import annotations

from collections.abc import Callable

from lightning import Callback, LightningModule, Trainer

from maskfit.training.task import MONITOR, ClassificationTask

EpochListener = Callable[[int, int, float], None]
"""Told (fold, epoch, macro F1 of the whole validation set), both from 0; it may raise `Stopped`."""


class TrainingStopped(Exception):  # noqa: N818 - no error: whoever watches has seen enough
    """Whoever watches ended the training; the fold can be gone on with from its last checkpoint."""


class EpochCallback(Callback):
    """Tells a watcher of each epoch, once its checkpoint is written; stands behind the keeper.

    A training that goes on tells again of the epochs before: the watcher may have been cut off before it took note.

    Args:
        fold: Which fold is trained.
        watch: Who is told.
    """

    def __init__(self, fold: int, watch: EpochListener) -> None:
        self.fold = fold
        self.watch = watch

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, ClassificationTask)
        for row in pl_module.history:
            self.watch(self.fold, int(row["epoch"]), row[MONITOR])

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.watch(self.fold, trainer.current_epoch, float(trainer.callback_metrics[MONITOR]))
