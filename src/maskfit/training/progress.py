"""What a person sees while a fold trains: a bar with photos a second and time left, and a line for each epoch."""

from __future__ import annotations

import time
from typing import Any

from lightning import Callback, LightningModule, Trainer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from maskfit.training.task import MONITOR, Task


class TrainingProgress(Callback):
    """Shows the progress of one fold.

    Args:
        console: Where to show it; on one that is no terminal only the lines appear.
        title: What is trained: "fold 1 of 5".
        photos: Photos of one epoch.
    """

    def __init__(self, console: Console, title: str, photos: int) -> None:
        self.console = console
        self.title = title
        self.photos = photos
        self.best = 0.0
        self.began = 0.0
        self.seen = 0
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} % · {task.fields[rate]} photos/s · {task.fields[left]} left"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self.task = TaskID(0)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, Task)
        self.bar.start()
        total = trainer.num_training_batches * (trainer.max_epochs or 1)
        self.task = self.bar.add_task(
            self.title, total=float(total), completed=pl_module.batches_done, rate="-", left="-:--"
        )
        self.began = time.perf_counter()
        self.seen = 0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        assert isinstance(pl_module, Task)
        self.seen += 1
        seconds = time.perf_counter() - self.began
        total = trainer.num_training_batches * (trainer.max_epochs or 1)
        # Validation is in the clock, so that the time left is the time that will be waited.
        left = seconds / self.seen * (total - pl_module.batches_done)
        rate = self.seen * self.photos / trainer.num_training_batches / seconds
        self.bar.update(
            self.task,
            completed=pl_module.batches_done,
            description=f"{self.title} · epoch {trainer.current_epoch + 1}/{trainer.max_epochs}",
            rate=f"{rate:,.0f}",
            left=f"{int(left) // 60}:{int(left) % 60:02d}",
        )

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, Task)
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
        self.console.print(
            f"{self.title} · epoch {trainer.current_epoch + 1:>3}/{trainer.max_epochs}"
            f" · loss {loss:.3f} / {metrics['valid_loss']:.3f} · macro F1 {score:.4f}{mark} · {', '.join(parts)}"
        )

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.bar.stop()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self.bar.stop()
