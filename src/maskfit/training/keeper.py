"""What training writes down while it goes: the best model, the state to resume from, and the numbers."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer

from maskfit.files import replacing, write_csv
from maskfit.modelfile import ModelFacts, write_model
from maskfit.runfolder import FoldFolder
from maskfit.training.task import MONITOR, Task


class Keeper(Callback):
    """Keeps a fold's folder up to date, each file whole at any moment.

    Args:
        folder: Where to write.
        facts: The model's facts, given the scores of its epoch.
        photos: How many photos an epoch trains on, for the rate.
        checkpoint_steps: Save for resuming every so many steps also within an epoch.
    """

    def __init__(
        self,
        folder: FoldFolder,
        facts: Callable[[dict[str, float]], ModelFacts],
        photos: int,
        checkpoint_steps: int | None,
    ) -> None:
        self.folder = folder
        self.facts = facts
        self.photos = photos
        self.checkpoint_steps = checkpoint_steps
        self.best: dict[str, float] = {}
        self.began = time.perf_counter()

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best = state_dict["best"]

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.began = time.perf_counter()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        # At an epoch's last batch the epoch's own checkpoint follows.
        within = batch_idx + 1 < trainer.num_training_batches
        if self.checkpoint_steps and within and (batch_idx + 1) % self.checkpoint_steps == 0:
            self._save(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, Task)
        scores = {name: float(value) for name, value in trainer.callback_metrics.items()}
        if not self.best or scores[MONITOR] > self.best[MONITOR]:
            self.best = {**scores, "epoch": float(trainer.current_epoch)}
            write_model(self.folder.model, pl_module.best_network.state_dict(), self.facts(self.best))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, Task)
        seconds = time.perf_counter() - self.began
        losses = torch.stack(pl_module.losses[-len(trainer.train_dataloader) :]).float().cpu()  # type: ignore[arg-type]
        pl_module.history.append(
            {
                "epoch": trainer.current_epoch,
                "train_loss": float(losses.mean()),
                **{name: float(value) for name, value in trainer.callback_metrics.items()},
                "lr": trainer.optimizers[0].param_groups[0]["lr"],
                "seconds": seconds,
                "photos_per_second": self.photos / seconds,
            }
        )
        self._write(pl_module)
        self._save(trainer)

    def _write(self, task: Task) -> None:
        columns = list(task.history[0])
        write_csv(self.folder.metrics, columns, ([_short(row[name]) for name in columns] for row in task.history))
        losses = torch.stack(task.losses).float().cpu().tolist()
        write_csv(self.folder.steps, ["step", "loss"], ([step, repr(loss)] for step, loss in enumerate(losses)))

    def _save(self, trainer: Trainer) -> None:
        with replacing(self.folder.checkpoint) as temporary:
            trainer.save_checkpoint(temporary)


def _short(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.6g}"
