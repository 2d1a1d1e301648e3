"""What training writes down while it goes: the best model, the state to resume from, and the numbers."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer

from maskfit.file_io import atomic_write, write_csv, write_json
from maskfit.model_file import ModelMetadata, save_model
from maskfit.run_dir import FoldDir
from maskfit.training.progress_reporting import FoldProgress, ProgressReporter
from maskfit.training.task import MONITOR, ClassificationTask


class CheckpointCallback(Callback):
    """Keeps a fold's folder up to date, each file whole at any moment.

    Args:
        folder: Where to write.
        facts: The model's facts, given the scores of its epoch.
        photos: How many photos an epoch trains on, for the rate.
        checkpoint_steps: Save for resuming every so many steps also within an epoch.
        keep: How many of the best epochs' models to keep.
    """

    def __init__(
        self,
        folder: FoldDir,
        facts: Callable[[dict[str, float]], ModelMetadata],
        photos: int,
        checkpoint_steps: int | None,
        keep: int,
    ) -> None:
        self.folder = folder
        self.facts = facts
        self.photos = photos
        self.checkpoint_steps = checkpoint_steps
        self.keep = keep
        self.best: list[dict[str, float]] = []
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
        assert isinstance(pl_module, ClassificationTask)
        if not trainer.is_global_zero:
            return
        scores = {name: float(value) for name, value in trainer.callback_metrics.items()}
        epoch = {**scores, "epoch": float(trainer.current_epoch)}
        # Of equal epochs the earlier one stays.
        ranked = sorted([*self.best, epoch], key=lambda item: -item[MONITOR])[: self.keep]
        if epoch in ranked:
            self._keep(pl_module, epoch, ranked)

    def _keep(self, task: ClassificationTask, epoch: dict[str, float], ranked: list[dict[str, float]]) -> None:
        """Writes an epoch's model, moves the former best aside, and removes what is no longer among the best.

        Done again after a kill in between, all of it gives the same files: they are named after epochs, not ranks.
        """
        file = self.folder.model if epoch is ranked[0] else self._file(epoch)
        if epoch is ranked[0] and self.best and self.keep > 1 and not self._file(self.best[0]).exists():
            with atomic_write(self._file(self.best[0])) as temporary:
                shutil.copyfile(self.folder.model, temporary)
        save_model(file, task.eval_network.state_dict(), self.facts(epoch))
        self.best = ranked
        kept = [self.folder.model, *(self._file(item) for item in ranked[1:])]
        rows = [
            {"file": path.name, "epoch": int(item["epoch"]), "score": item[MONITOR]}
            for path, item in zip(kept, ranked, strict=True)
        ]
        write_json(self.folder.models_index, rows)
        for path in self.folder.path.glob("epoch*.safetensors"):
            if path not in kept:
                path.unlink()

    def _file(self, epoch: dict[str, float]) -> Path:
        return self.folder.epoch(int(epoch["epoch"]))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, ClassificationTask)
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
        for logbook in trainer.loggers:
            logbook.log_metrics(pl_module.history[-1], step=trainer.current_epoch)
        if trainer.is_global_zero:
            self._write(pl_module)
        self._save(trainer)

    def _write(self, task: ClassificationTask) -> None:
        columns = list(task.history[0])
        write_csv(self.folder.metrics, columns, ([_short(row[name]) for name in columns] for row in task.history))
        losses = torch.stack(task.losses).float().cpu().tolist()
        write_csv(
            self.folder.step_losses_csv, ["step", "loss"], ([step, repr(loss)] for step, loss in enumerate(losses))
        )

    def _save(self, trainer: Trainer) -> None:
        if not trainer.is_global_zero:
            # Writes nothing, but all ranks take part: what is saved may be spread over them.
            trainer.save_checkpoint(self.folder.checkpoint)
            return
        with atomic_write(self.folder.checkpoint) as temporary:
            trainer.save_checkpoint(temporary)


def _short(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.6g}"


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
