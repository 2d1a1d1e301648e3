"""Lightning callbacks: checkpoints and metrics of a fold, progress, and a listener for each epoch."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from maskfit.config.monitor import MACRO_F1, Monitor
from maskfit.errors import RunError
from maskfit.file_io import atomic_write, write_csv, write_json
from maskfit.model_file import ModelMetadata, save_model
from maskfit.run_dir import FoldDir, epoch_of_model
from maskfit.training.lightning_api import Callback, LightningModule, Trainer
from maskfit.training.progress_reporting import FoldProgress, ProgressReporter
from maskfit.training.task import ClassificationTask


class CheckpointCallback(Callback):
    """Saves the best models, the resume checkpoint and the metrics of a fold; each file is written atomically.

    Args:
        folder: The fold's folder.
        build_metadata: Returns the metadata of a model file, given the metrics of its epoch.
        num_photos: Training photos of an epoch, for the rate.
        save_every_n_steps: Also save the resume checkpoint every n steps within an epoch; None for not.
        save_top_k: Number of best epochs whose models are kept, >= 1.
        monitor: Metric that ranks the epochs; None to keep the last ones.
        save_every_n_epochs: Also keep the model of every nth epoch; None for not.
    """

    def __init__(
        self,
        folder: FoldDir,
        build_metadata: Callable[[dict[str, float]], ModelMetadata],
        num_photos: int,
        save_every_n_steps: int | None,
        save_top_k: int,
        monitor: Monitor | None = MACRO_F1,
        save_every_n_epochs: int | None = None,
    ) -> None:
        self.folder = folder
        self.build_metadata = build_metadata
        self.num_photos = num_photos
        self.save_every_n_steps = save_every_n_steps
        self.save_top_k = save_top_k
        self.monitor = monitor
        self.save_every_n_epochs = save_every_n_epochs
        self.best: list[dict[str, float]] = []
        self.epoch_start = time.perf_counter()

    def state_dict(self) -> dict[str, Any]:
        """Returns the metrics of the best epochs, for the checkpoint."""
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores the metrics of the best epochs from a checkpoint."""
        self.best = state_dict["best"]

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Starts the clock of the epoch.

        Args:
            trainer: Lightning's trainer.
            pl_module: The task.
        """
        self.epoch_start = time.perf_counter()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Saves a checkpoint within the epoch, every `save_every_n_steps` steps.

        Args:
            trainer: Lightning's trainer.
            pl_module: The task.
            outputs: The output of the step.
            batch: The batch.
            batch_idx: Its number in the epoch, from 0.
        """
        # After an epoch's last batch, the epoch's own checkpoint follows.
        within = batch_idx + 1 < trainer.num_training_batches
        if self.save_every_n_steps and within and (batch_idx + 1) % self.save_every_n_steps == 0:
            self._save_checkpoint(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Saves the model where the epoch is among the best.

        Args:
            trainer: Lightning's trainer.
            pl_module: The task.
        """
        assert isinstance(pl_module, ClassificationTask)
        if not trainer.is_global_zero:
            return
        scores = {name: float(value) for name, value in trainer.callback_metrics.items()}
        epoch = {**scores, "epoch": float(trainer.current_epoch)}
        # The sort is stable: of epochs with equal metric and loss the earlier one is kept.
        ranked = sorted([*self.best, epoch], key=self._rank)[: self.save_top_k]
        if epoch in ranked:
            self._save_model(pl_module, epoch, ranked)
        elif self._is_kept(int(epoch["epoch"])):
            save_model(self._model_path(epoch), pl_module.model_weights(), self.build_metadata(epoch))

    def _rank(self, epoch: dict[str, float]) -> tuple[float, ...]:
        """Sort key of an epoch: the better, the smaller."""
        return (-epoch["epoch"],) if self.monitor is None else _rank(epoch, self.monitor)

    def _is_kept(self, epoch: int) -> bool:
        """Whether an epoch's model is kept whatever its score; `epoch` counts from 0."""
        return self.save_every_n_epochs is not None and (epoch + 1) % self.save_every_n_epochs == 0

    def _save_model(self, task: ClassificationTask, epoch: dict[str, float], ranked: list[dict[str, float]]) -> None:
        """Saves an epoch's model, renames the former best one, and deletes those that are no longer among the best.

        Repeated after a kill at any point, this gives the same files: they are named after epochs, not ranks.
        """
        path = self.folder.model if epoch is ranked[0] else self._model_path(epoch)
        keeps_former = self.save_top_k > 1 or (self.best and self._is_kept(int(self.best[0]["epoch"])))
        if epoch is ranked[0] and self.best and keeps_former and not self._model_path(self.best[0]).exists():
            with atomic_write(self._model_path(self.best[0])) as temporary:
                shutil.copyfile(self.folder.model, temporary)
        save_model(path, task.model_weights(), self.build_metadata(epoch))
        self.best = ranked
        kept = [self.folder.model, *(self._model_path(item) for item in ranked[1:])]
        rows = [
            {
                "file": path.name,
                "epoch": int(item["epoch"]),
                "score": item[MACRO_F1.metric] if self.monitor is None else item[self.monitor.metric],
            }
            for path, item in zip(kept, ranked, strict=True)
        ]
        write_json(self.folder.models_index, rows)
        for path in self.folder.path.glob("epoch*.safetensors"):
            if path not in kept and not self._is_kept(epoch_of_model(path)):
                path.unlink()

    def _model_path(self, epoch: dict[str, float]) -> Path:
        return self.folder.epoch_model(int(epoch["epoch"]))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Logs the epoch's metrics and saves the checkpoint.

        Args:
            trainer: Lightning's trainer.
            pl_module: The task.
        """
        assert isinstance(pl_module, ClassificationTask)
        seconds = time.perf_counter() - self.epoch_start
        num_batches = len(trainer.train_dataloader)  # type: ignore[arg-type]
        losses = torch.stack(pl_module.step_losses[-num_batches:]).float().cpu()
        pl_module.history.append(
            {
                "epoch": trainer.current_epoch,
                "train_loss": float(losses.mean()),
                **{name: float(value) for name, value in trainer.callback_metrics.items()},
                "lr": trainer.optimizers[0].param_groups[0]["lr"],
                "seconds": seconds,
                "photos_per_second": self.num_photos / seconds,
            }
        )
        for logger in trainer.loggers:
            logger.log_metrics(pl_module.history[-1], step=trainer.current_epoch)
        if trainer.is_global_zero:
            self._write_metrics(pl_module)
        self._save_checkpoint(trainer)

    def _write_metrics(self, task: ClassificationTask) -> None:
        columns = list(task.history[0])
        write_csv(
            self.folder.metrics, columns, ([_format_number(row[name]) for name in columns] for row in task.history)
        )
        losses = torch.stack(task.step_losses).float().cpu().tolist()
        write_csv(self.folder.train_loss, ["step", "loss"], ([step, repr(loss)] for step, loss in enumerate(losses)))

    def _save_checkpoint(self, trainer: Trainer) -> None:
        if not trainer.is_global_zero:
            # Other ranks write nothing, but must take part: the state may be distributed over them.
            trainer.save_checkpoint(self.folder.checkpoint)
            return
        with atomic_write(self.folder.checkpoint) as temporary:
            trainer.save_checkpoint(temporary)


def _rank(metrics: Mapping[str, float], monitor: Monitor) -> tuple[float, float]:
    """Sort key of an epoch, the better, the smaller: by the metric, and where it is equal by the validation loss.

    On small sets the metric is often the same in many epochs, of which the first has barely learned how sure it may be.
    """
    return -monitor.sort_value(_metric(metrics, monitor)), metrics["valid_loss"]


def _metric(metrics: Mapping[str, float], monitor: Monitor) -> float:
    """The value of the monitored metric; an attribute without a known label has none."""
    if monitor.metric not in metrics:
        known = ", ".join(name.removeprefix("valid_") for name in metrics if name.startswith("valid_"))
        raise RunError(
            f"trainer.monitor={monitor.metric.removeprefix('valid_')}: no held-out photo has a label for this metric",
            hint=f"choose one of {known}",
        )
    return metrics[monitor.metric]


def _format_number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.6g}"


EpochListener = Callable[[int, int, float], None]
"""Called with (fold, epoch, macro F1 of the validation set), both numbers from 0; may raise `TrainingStopped`."""


class TrainingStopped(Exception):  # noqa: N818 - not an error: the listener stops a training on purpose
    """A listener stopped the training; the fold can be resumed from its last checkpoint."""


class EpochCallback(Callback):
    """Calls a listener after each epoch, once the epoch's checkpoint is written; must follow `CheckpointCallback`.

    A resumed training first repeats the calls of the epochs before: the listener may have been killed before it
    processed them.

    Args:
        fold: The fold that is trained.
        listener: The listener.
    """

    def __init__(self, fold: int, listener: EpochListener) -> None:
        self.fold = fold
        self.listener = listener

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Repeats the calls of the epochs before a resume.

        Args:
            trainer: Lightning's trainer.
            pl_module: The task.
        """
        assert isinstance(pl_module, ClassificationTask)
        for row in pl_module.history:
            self.listener(self.fold, int(row["epoch"]), row[MACRO_F1.metric])

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Calls the listener.

        Args:
            trainer: Lightning's trainer.
            pl_module: The task.
        """
        self.listener(self.fold, trainer.current_epoch, float(trainer.callback_metrics[MACRO_F1.metric]))


class ProgressCallback(Callback):
    """Reports the progress of one fold.

    Args:
        reporter: Shows it.
        title: Name of the training: "fold 1 of 5".
        num_photos: Training photos of an epoch.
        monitor: Metric whose best values are marked; None for none.
    """

    def __init__(
        self, reporter: ProgressReporter, title: str, num_photos: int, monitor: Monitor | None = MACRO_F1
    ) -> None:
        self.reporter = reporter
        self.title = title
        self.num_photos = num_photos
        self.monitor = monitor
        self.best = (math.inf, math.inf)
        self.start = 0.0
        self.steps = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Starts the clock.

        Args:
            trainer: Lightning's trainer.
            pl_module: The task.
        """
        self.start = time.perf_counter()
        self.steps = 0
        self._show(trainer, pl_module)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Reports a step.

        Args:
            trainer: Lightning's trainer.
            pl_module: The task.
            outputs: The output of the step.
            batch: The batch.
            batch_idx: Its number in the epoch, from 0.
        """
        self.steps += 1
        self._show(trainer, pl_module)

    def _show(self, trainer: Trainer, task: LightningModule) -> None:
        assert isinstance(task, ClassificationTask)
        seconds = time.perf_counter() - self.start
        total = int(trainer.num_training_batches) * (trainer.max_epochs or 1)
        self.reporter.show(
            FoldProgress(
                self.title,
                f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}",
                task.batches_done,
                total,
                photos_per_second=self.steps * self.num_photos / trainer.num_training_batches / seconds
                if self.steps
                else 0.0,
                # Includes validation, so that it is the time until the training ends.
                seconds_left=seconds / self.steps * (total - task.batches_done) if self.steps else 0.0,
            )
        )

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prints the epoch's losses and metrics; an asterisk marks a new best value of the monitored metric.

        Args:
            trainer: Lightning's trainer.
            pl_module: The task.
        """
        assert isinstance(pl_module, ClassificationTask)
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        score = metrics[MACRO_F1.metric]
        marker = ""
        if self.monitor is not None:
            rank = _rank(metrics, self.monitor)
            marker = " *" if rank < self.best else ""
            self.best = min(self.best, rank)
        parts = [
            f"{name.removeprefix('valid_').removesuffix('_f1')} {value:.3f}"
            for name, value in metrics.items()
            if name.endswith("_f1") and name != MACRO_F1.metric
        ]
        loss = float(pl_module.step_losses[-1]) if pl_module.step_losses else 0.0
        self.reporter.line(
            f"{self.title} · epoch {trainer.current_epoch + 1:>3}/{trainer.max_epochs}"
            f" · loss {loss:.3f} / {metrics['valid_loss']:.3f} · macro F1 {score:.4f}{marker} · {', '.join(parts)}"
        )

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Removes the progress.

        Args:
            trainer: Lightning's trainer.
            pl_module: The task.
        """
        self.reporter.end(self.title)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Removes the progress.

        Args:
            trainer: Lightning's trainer.
            pl_module: The task.
            exception: What ended the training.
        """
        self.reporter.end(self.title)
