"""What a fold tells while it trains: how far it is with photos a second and time left, and a line for each epoch."""

from __future__ import annotations

import time
from typing import Any

from lightning import Callback, LightningModule, Trainer

from maskfit.training.progress_reporting import FoldProgress, ProgressReporter
from maskfit.training.task import MONITOR, ClassificationTask


class ProgressCallback(Callback):
    """Tells the progress of one fold.

    Args:
        screen: Where to.
        title: What is trained: "fold 1 of 5".
        photos: Photos of one epoch.
    """

    def __init__(self, screen: ProgressReporter, title: str, photos: int) -> None:
        self.screen = screen
        self.title = title
        self.photos = photos
        self.best = 0.0
        self.began = 0.0
        self.seen = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.began = time.perf_counter()
        self.seen = 0
        self._show(trainer, pl_module)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.seen += 1
        self._show(trainer, pl_module)

    def _show(self, trainer: Trainer, task: LightningModule) -> None:
        assert isinstance(task, ClassificationTask)
        seconds = time.perf_counter() - self.began
        total = int(trainer.num_training_batches) * (trainer.max_epochs or 1)
        self.screen.show(
            FoldProgress(
                self.title,
                f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}",
                task.batches_done,
                total,
                rate=self.seen * self.photos / trainer.num_training_batches / seconds if self.seen else 0.0,
                # Validation is in the clock, so that the time left is the time that will be waited.
                left=seconds / self.seen * (total - task.batches_done) if self.seen else 0.0,
            )
        )

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, ClassificationTask)
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        score = metrics[MONITOR]
        mark = " *" if score > self.best else ""
        self.best = max(self.best, score)
        parts = [
            f"{name.removeprefix('valid_').removesuffix('_f1')} {value:.3f}"
            for name, value in metrics.items()
            if name.endswith("_f1") and name != MONITOR
        ]
        loss = float(pl_module.losses[-1]) if pl_module.losses else 0.0
        self.screen.line(
            f"{self.title} · epoch {trainer.current_epoch + 1:>3}/{trainer.max_epochs}"
            f" · loss {loss:.3f} / {metrics['valid_loss']:.3f} · macro F1 {score:.4f}{mark} · {', '.join(parts)}"
        )

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.screen.end(self.title)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self.screen.end(self.title)
