"""The training task: one network, its loss, its optimiser, and what happens in a step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from lightning import LightningModule
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau

from maskfit.data.preprocessing import MIN_STD, Normalize
from maskfit.errors import RunError
from maskfit.evaluation.scores import Scores, score
from maskfit.labels.schema import IntArray, LabelSchema, logits_to_probabilities
from maskfit.losses.multi_head_loss import MultiHeadLoss
from maskfit.models.network import Network
from maskfit.training.augment.augmentations import Augmentation
from maskfit.training.augment.batch_mixing import Mixing
from maskfit.training.auxiliary_losses import AuxiliaryLosses
from maskfit.training.data_loaders import Batch
from maskfit.training.optim.freezing import Freezing
from maskfit.training.optim.lr_schedules import LRScheduler, ReduceOnPlateau
from maskfit.training.optim.weight_averaging import Average
from maskfit.training.parallel.distributed import get_process_group
from maskfit.training.seeding import seed_torch

MONITOR = "valid_macro_f1"
"""What decides which epoch is best: macro F1 of the whole validation set (see `headline`)."""


def primary_score(scores: Scores) -> float:
    """Macro F1 over the classes; where no photo's whole class is known, the mean of the attributes' macro F1."""
    if scores.macro_f1 is not None:
        return scores.macro_f1
    attributes = [item.macro_f1 for item in scores.per_attribute.values()]
    return float(np.mean(attributes)) if attributes else 0.0


class ValidationOutputs(NamedTuple):
    """Answers of the validation set, or of a rank's part of it.

    Attributes:
        logits: By head (photos, values).
        indices: (photos,) which photos they are.
        loss: The sum of the photos' losses.
    """

    logits: dict[str, NDArray[np.float32]]
    indices: NDArray[np.int64]
    loss: float


def _joined(parts: Sequence[ValidationOutputs]) -> ValidationOutputs:
    """All ranks' answers together; one with fewer photos than there are ranks may have none."""
    some = [part for part in parts if len(part.indices)]
    logits = {head: np.concatenate([part.logits[head] for part in some]) for head in some[0].logits}
    return ValidationOutputs(logits, np.concatenate([part.indices for part in some]), sum(part.loss for part in some))


class ClassificationTask(LightningModule):
    """Trains a network on batches of stored frames.

    Args:
        network: What is trained.
        criterion: Its loss.
        augmentation: What a training batch goes through; a validation batch never does.
        mixing: What it goes through then.
        normalising: From pixels to the network's numbers, the same as in prediction.
        optimiser: Gives the optimiser of the network.
        schedule: The learning rate's factor at each step, or when it falls.
        freezing: Which weights move in which epoch.
        scheme: What the network tells apart.
        truth: (photos, attributes) official codes of all photos in the store, for the scores.
        chance: What all chance depends on besides the step.
        average: The average of the weights that is judged in the network's place; None for none.
        beside: Losses on the trunk's features beside the heads'; None for none.
        epochs_before: Epochs that the network was trained for already: losses that change over them are at their end.
    """

    scale: Tensor
    shift: Tensor

    def __init__(
        self,
        network: Network,
        criterion: MultiHeadLoss,
        augmentation: Augmentation,
        mixing: Mixing,
        normalising: Normalize,
        optimiser: Callable[[nn.Module], Optimizer],
        schedule: LRScheduler,
        freezing: Freezing,
        *,
        scheme: LabelSchema,
        truth: IntArray,
        chance: tuple[int | str, ...],
        average: Average | None = None,
        beside: AuxiliaryLosses | None = None,
        epochs_before: int = 0,
    ) -> None:
        super().__init__()
        self.network = network
        self.criterion = criterion
        self.augmentation = augmentation
        self.mixing = mixing
        self.make_optimiser = optimiser
        self.schedule = schedule
        self.freezing = freezing
        self.scheme = scheme
        self.truth = truth
        self.chance = chance
        self.average = average if average is None else average.requires_grad_(False)
        self.beside = beside
        self.epochs_before = epochs_before
        self.normalising = normalising
        scale, shift = normalising.scale_and_shift()
        self.register_buffer("scale", torch.from_numpy(scale).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("shift", torch.from_numpy(shift).view(1, 3, 1, 1), persistent=False)
        self.ranks = get_process_group()
        self.batches_done = 0
        self.thawed_for = -1
        self.steps_averaged = 0
        self.losses: list[Tensor] = []
        self.judged: list[tuple[dict[str, Tensor], Tensor, Tensor]] = []
        self.history: list[dict[str, float]] = []

    @property
    def eval_network(self) -> Network:
        """The network that is judged and kept: the moving average where there is one."""
        return self.network if self.average is None else cast(Network, self.average.averaged)

    def configure_optimizers(self) -> Any:
        optimiser = self.make_optimiser(
            self.network if self.beside is None else self.beside.trainable_modules(self.network)
        )
        if isinstance(self.schedule, ReduceOnPlateau):
            plateau = ReduceLROnPlateau(optimiser, "max", self.schedule.factor, self.schedule.patience)
            return {"optimizer": optimiser, "lr_scheduler": {"scheduler": plateau, "monitor": MONITOR}}
        return {
            "optimizer": optimiser,
            "lr_scheduler": {"scheduler": LambdaLR(optimiser, self.schedule), "interval": "step"},
        }

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        # Counted from where training stands, so that an optimiser which looks twice draws the same both times.
        number = self.current_epoch * int(self.trainer.num_training_batches) + batch_idx
        seed_torch(*self.chance, "step", number, *self.ranks.rank_seed)
        if self.thawed_for != self.current_epoch:
            self.thawed_for = self.current_epoch
            self.freezing(self.network, self.current_epoch)
            epochs = self.epochs_before or self.trainer.max_epochs or 1
            self.criterion.begin_epoch(self.epochs_before + self.current_epoch, epochs)
        photos = self.augmentation(_planes(batch["frames"]))
        mixed = self.mixing(photos, batch["allowed"])
        features = self.network.forward_features(self._normalised(photos if mixed is None else mixed.photos))
        loss: Tensor = self.criterion(self.network.forward_head(features), batch["allowed"], mixed)["loss"]
        if self.beside is not None:
            loss = loss + self.beside(self.network, features, batch["indices"], mixed)
        # Kept on the device: asking for the number now would make the device wait.
        if len(self.losses) == number:
            self.losses.append(self.ranks.mean(loss.detach()))
        # Counted here and averaged in the step, not in a hook after it: a callback may save a checkpoint before that.
        self.batches_done = number + 1
        return loss

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        if self.average is not None:
            self.steps_averaged += 1
            self.average.update(self.network, step=self.steps_averaged)

    def on_validation_epoch_start(self) -> None:
        self.ranks.broadcast_buffers(self.network.buffers())
        if self.average is not None:
            self.ranks.broadcast_buffers(self.eval_network.buffers())

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        logits = self.eval_network(self._normalised(_planes(batch["frames"])))
        loss = self.criterion(logits, batch["allowed"])["loss"]
        self.judged.append(({head: values.float() for head, values in logits.items()}, batch["indices"], loss))

    def on_validation_epoch_end(self) -> None:
        judged = _joined(self.ranks.gather(self._collected()))
        self.judged = []
        logits, indices = judged.logits, judged.indices
        if not all(np.isfinite(values).all() for values in logits.values()):
            raise RunError(
                f"the network answers with no numbers any more, in epoch {self.trainer.current_epoch + 1}",
                hint="lower optimizer.lr, or set trainer.gradient_clip_val=1.0",
            )
        scores = score(
            self.scheme.scored_schema(), self.truth[indices], probabilities=logits_to_probabilities(self.scheme, logits)
        )
        row = {"valid_loss": judged.loss / len(indices), MONITOR: primary_score(scores)}
        if scores.accuracy is not None:
            row["valid_accuracy"] = scores.accuracy
        row |= {f"valid_{name}_f1": item.macro_f1 for name, item in scores.per_attribute.items()}
        self.log_dict(row, on_epoch=True, logger=False, batch_size=len(indices))

    def _collected(self) -> ValidationOutputs:
        """What this process judged of the validation set, brought over once."""
        heads = self.judged[0][0] if self.judged else ()
        sizes = np.array([len(indices) for _, indices, _ in self.judged])
        losses = [loss for _, _, loss in self.judged]
        return ValidationOutputs(
            {head: torch.cat([item[0][head] for item in self.judged]).cpu().numpy() for head in heads},
            torch.cat([item[1] for item in self.judged]).cpu().numpy() if heads else np.empty(0, dtype=np.int64),
            float(torch.stack(losses).float().cpu().numpy().astype(np.float64) @ sizes) if heads else 0.0,
        )

    def _normalised(self, photos: Tensor) -> Tensor:
        if self.normalising.mode == "per_image":
            variance, mean = torch.var_mean(photos, dim=(2, 3), correction=0, keepdim=True)
            normalised = (photos - mean) / variance.sqrt().clamp(min=MIN_STD)
        else:
            normalised = photos * self.scale + self.shift
        # Resampling leaves the channels first; the network's convolutions want them last.
        return normalised.contiguous(memory_format=torch.channels_last)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["maskfit"] = {
            "batches_done": self.batches_done,
            "steps_averaged": self.steps_averaged,
            "losses": torch.stack(self.losses).cpu() if self.losses else torch.empty(0),
            "history": self.history,
        }

    def on_load_checkpoint(self, checkpoint: Mapping[str, Any]) -> None:
        state = checkpoint["maskfit"]
        self.batches_done = state["batches_done"]
        self.steps_averaged = state["steps_averaged"]
        self.losses = list(state["losses"])
        self.history = state["history"]


def _planes(frames: Tensor) -> Tensor:
    """Frames (batch, height, width, 3; uint8) as floats (batch, 3, height, width), in memory still channels last."""
    return frames.permute(0, 3, 1, 2).float()
