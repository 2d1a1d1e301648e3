"""The Lightning task: training and validation steps of a network, its losses and its optimizer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau

from maskfit.config.monitor import MACRO_F1, Monitor
from maskfit.data.preprocessing import MIN_STD, Normalize
from maskfit.errors import RunError
from maskfit.evaluation.scores import Scores, score
from maskfit.labels.schema import IntArray, LabelSchema, logits_to_probabilities
from maskfit.losses.multi_head_loss import MultiHeadLoss
from maskfit.losses.soft_labels import SoftLabels
from maskfit.models.network import Network
from maskfit.training.augment.batch_mixing import MixedBatch, Mixing
from maskfit.training.augment.progressive_resizing import SizeSchedule
from maskfit.training.auxiliary_losses import AuxiliaryLosses
from maskfit.training.data_loaders import Batch
from maskfit.training.lightning_api import LightningModule
from maskfit.training.optim.freezing import Freezing
from maskfit.training.optim.lr_schedules import LRScheduler, ReduceOnPlateau
from maskfit.training.optim.weight_averaging import WeightAverage
from maskfit.training.parallel.distributed import get_process_group
from maskfit.training.seeding import SeedKey, seed_torch


def primary_score(scores: Scores) -> float:
    """Returns the score that models are compared by.

    Args:
        scores: Scores of a set of predictions.

    Returns:
        Macro F1 over the classes; where no photo's class is fully known, the mean of the attributes' macro F1.
    """
    if scores.macro_f1 is not None:
        return scores.macro_f1
    attributes = [item.macro_f1 for item in scores.per_attribute.values()]
    return float(np.mean(attributes)) if attributes else 0.0


class ValidationOutputs(NamedTuple):
    """Outputs for the validation set, or for one rank's part of it.

    Attributes:
        logits: Head name to logits, (photos, values).
        indices: (photos,) indices of the photos in the dataset.
        loss: Sum of the photos' losses.
    """

    logits: dict[str, NDArray[np.float32]]
    indices: NDArray[np.int64]
    loss: float


class ValPredictions(NamedTuple):
    """Predictions for the whole validation set.

    Attributes:
        indices: (photos,) indices of the photos in the dataset.
        probabilities: (photos, classes) of the scored classes.
    """

    indices: NDArray[np.int64]
    probabilities: NDArray[np.floating]


def _concat_ranks(parts: Sequence[ValidationOutputs]) -> ValidationOutputs:
    """Concatenates the outputs of all ranks; with fewer photos than ranks, some have none."""
    filled = [part for part in parts if len(part.indices)]
    logits = {head: np.concatenate([part.logits[head] for part in filled]) for head in filled[0].logits}
    return ValidationOutputs(
        logits, np.concatenate([part.indices for part in filled]), sum(part.loss for part in filled)
    )


class ClassificationTask(LightningModule):
    """Trains a network on batches of uint8 images with Lightning.

    A batch is a dict: `images` (batch, height, width, 3; uint8), `allowed`, a dict from head name to the classes that
    each label allows (batch, values; bool), and `indices` (batch,), the positions of the photos in the dataset. Only
    the first three arguments, `schema` and `normalization` are required; any data loader that yields such dicts works:

        schema = LABEL_SCHEMAS["mask-gender-age"]
        network = build_network(ComponentSpec.create("resnet18"), ComponentSpec.create("multi_head"), schema.sizes)
        losses = {name: HeadLoss(CrossEntropy(torch.ones(size)), 1.0) for name, size in schema.sizes.items()}
        task = ClassificationTask(
            network,
            MultiHeadLoss(losses),
            lambda module: torch.optim.AdamW(module.parameters(), lr=1e-3),
            schema=schema,
            normalization=Normalize(mean=network.backbone.mean, std=network.backbone.std),
        )
        codes = schema.encode_batch([{"mask": "wear", "gender": "male", "age": 30}])
        allowed = {name: torch.from_numpy(schema.allowed_mask_from_indices(codes, name)) for name in network.heads}
        batch = {"images": images, "allowed": allowed, "indices": torch.arange(1)}
        Trainer(max_epochs=1).fit(task, DataLoader([batch], batch_size=None))

    Args:
        network: The network to train.
        criterion: Loss of its heads.
        optimizer: Creates the optimizer from the modules to train: the network, with the class centers of a metric
            loss where it has some.
        schema: Labels that the network is trained on.
        normalization: Input normalization, the same as in prediction.
        targets: (photos, attributes) official value index of every photo of the dataset, `UNKNOWN` where it is not
            known. Needed for validation scores only.
        augmentation: Maps training images (batch, 3, height, width; float in 0 to 255) to augmented ones; None for
            none. Validation images are never augmented.
        batch_mixing: Mixes the augmented images of a batch; None for none.
        progressive_resizing: Size that the images of a training batch are downscaled to, by its number in the training;
            None for the size that they have.
        lr_scheduler: Factor of the learning rate by optimizer step, or when it is reduced; None for a constant rate.
        monitor: Validation metric that lowers the rate of a plateau schedule.
        freezing: Sets which weights are trained in an epoch; None for all.
        weight_average: Average of the weights that is validated and saved in place of the network; None for none.
        auxiliary_losses: Losses on backbone features, added to the heads' loss; None for none.
        soft_labels: Soft labels of the photos, for training alone; None for none.
        seed_key: Seed key of every random draw, besides the step.
        epochs_before: Epochs that the network was trained for before this task; losses that change over the epochs are
            then in their final state.

    Attributes:
        batches_done: Number of training batches done.
        step_losses: Training loss of each batch, on the device.
        history: Metrics of each epoch; filled by `callbacks.CheckpointCallback`.
        val_predictions: Predictions of the last validation; None before the first.
    """

    scale: Tensor
    shift: Tensor

    def __init__(
        self,
        network: Network,
        criterion: MultiHeadLoss,
        optimizer: Callable[[nn.Module], Optimizer],
        *,
        schema: LabelSchema,
        normalization: Normalize,
        targets: IntArray | None = None,
        augmentation: Callable[[Tensor], Tensor] | None = None,
        batch_mixing: Mixing | None = None,
        progressive_resizing: SizeSchedule | None = None,
        lr_scheduler: LRScheduler | None = None,
        monitor: Monitor = MACRO_F1,
        freezing: Freezing | None = None,
        weight_average: WeightAverage | None = None,
        auxiliary_losses: AuxiliaryLosses | None = None,
        soft_labels: SoftLabels | None = None,
        seed_key: SeedKey = (0,),
        epochs_before: int = 0,
    ) -> None:
        super().__init__()
        self.network = network
        self.criterion = criterion
        self.optimizer_factory = optimizer
        self.schema = schema
        self.scored_schema = schema.scored_schema()
        self.normalization = normalization
        scale, shift = normalization.scale_and_shift()
        self.register_buffer("scale", torch.from_numpy(scale).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("shift", torch.from_numpy(shift).view(1, 3, 1, 1), persistent=False)
        self.targets = targets
        self.augmentation = augmentation
        self.batch_mixing = batch_mixing
        self.progressive_resizing = progressive_resizing
        self.lr_scheduler = lr_scheduler
        self.monitor = monitor
        self.freezing = freezing
        self.weight_average = None if weight_average is None else weight_average.requires_grad_(False)
        self.auxiliary_losses = auxiliary_losses
        self.soft_labels = soft_labels
        self.seed_key = seed_key
        self.epochs_before = epochs_before
        self.process_group = get_process_group()
        self.batches_done = 0
        self.begun_epoch = -1
        self.steps_averaged = 0
        self.step_losses: list[Tensor] = []
        self.val_outputs: list[tuple[dict[str, Tensor], Tensor, Tensor]] = []
        self.history: list[dict[str, float]] = []
        self.val_predictions: ValPredictions | None = None

    @property
    def eval_network(self) -> Network:
        """The network that is validated and saved: the weight average where there is one."""
        return self.network if self.weight_average is None else cast(Network, self.weight_average.averaged)

    def model_weights(self) -> dict[str, Any]:
        """Returns the weights of the model to save, by name."""
        return self.eval_network.state_dict()

    def configure_optimizers(self) -> Any:
        """Creates the optimizer and the learning rate scheduler; called by Lightning.

        Returns:
            Lightning's dict of optimizer and scheduler.
        """
        auxiliary = self.auxiliary_losses
        optimizer = self.optimizer_factory(
            self.network if auxiliary is None else auxiliary.trainable_modules(self.network)
        )
        if isinstance(self.lr_scheduler, ReduceOnPlateau):
            plateau = ReduceLROnPlateau(
                optimizer, self.monitor.mode, self.lr_scheduler.factor, self.lr_scheduler.patience
            )
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": plateau, "monitor": self.monitor.metric}}
        if self.lr_scheduler is None:
            return optimizer
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": LambdaLR(optimizer, self.lr_scheduler), "interval": "step"},
        }

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Computes the loss of a training batch; called by Lightning.

        Args:
            batch: The batch.
            batch_idx: Its number in the epoch, from 0.

        Returns:
            The loss, a scalar.
        """
        number = self.current_epoch * int(self.trainer.num_training_batches) + batch_idx
        self._begin_epoch()
        images, mixed = self.augment(batch, number)
        features = self.network.forward_features(self.normalize(images))
        soft = None if self.soft_labels is None else self.soft_labels(batch["indices"])
        loss: Tensor = self.criterion(self.network.forward_head(features), batch["allowed"], mixed, soft)["loss"]
        if self.auxiliary_losses is not None:
            loss = loss + self.auxiliary_losses(self.network, features, batch["indices"], mixed)
        # Kept on the device: reading the number now would make the host wait for it.
        if len(self.step_losses) == number:
            self.step_losses.append(self.process_group.mean(loss.detach()))
        # Counted here, not in a hook after the step: a callback may save a checkpoint before that.
        self.batches_done = number + 1
        return loss

    def augment(self, batch: Batch, step: int) -> tuple[Tensor, MixedBatch | None]:
        """Augments, mixes and downscales the images of a training batch; seeds all draws of its step.

        Args:
            batch: The batch.
            step: Its number in the training, from 0.

        Returns:
            Images (batch, 3, height, width; float in 0 to 255), and how they were mixed, in the size before
                progressive resizing; None where they were not.
        """
        # From the position in the training, so that SAM, which computes each step twice, draws the same both times.
        seed_torch(*self.seed_key, "step", step, *self.process_group.rank_seed)
        images = _to_float_images(batch["images"])
        if self.augmentation is not None:
            images = self.augmentation(images)
        mixed = None if self.batch_mixing is None else self.batch_mixing(images, batch["allowed"])
        return self._downscale(images if mixed is None else mixed.images, step), mixed

    def _downscale(self, images: Tensor, step: int) -> Tensor:
        """Downscales images to the size that progressive resizing has at a step."""
        if self.progressive_resizing is None:
            return images
        # Batches whose gradients are summed have one size.
        within_epoch = step % int(self.trainer.num_training_batches)
        size = self.progressive_resizing(step - within_epoch % self.trainer.accumulate_grad_batches)
        if images.shape[2:] == torch.Size(size):
            return images
        return F.interpolate(images, size, mode="bilinear", antialias=True)

    def augmented_inputs(self, batch: Batch) -> Tensor:
        """Returns the network input of augmented photos, with the draws of torch's current generator.

        Args:
            batch: The batch; only `images` is used.

        Returns:
            (batch, 3, height, width), normalized.
        """
        images = _to_float_images(batch["images"])
        return self.normalize(images if self.augmentation is None else self.augmentation(images))

    def _begin_epoch(self) -> None:
        """Freezes weights and informs the losses at the first batch of an epoch, also after a resume within it."""
        if self.begun_epoch == self.current_epoch:
            return
        self.begun_epoch = self.current_epoch
        if self.freezing is not None:
            self.freezing(self.network, self.current_epoch)
        epochs = self.epochs_before or self.trainer.max_epochs or 1
        self.criterion.begin_epoch(self.epochs_before + self.current_epoch, epochs)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Steps the optimizer and updates the weight average; called by Lightning.

        Args:
            *args: Passed on.
            **kwargs: Passed on.
        """
        super().optimizer_step(*args, **kwargs)
        if self.weight_average is not None:
            self.steps_averaged += 1
            self.weight_average.update(self.network, step=self.steps_averaged)

    def on_validation_epoch_start(self) -> None:
        """Gives all ranks the same BatchNorm statistics; called by Lightning."""
        self.process_group.broadcast_buffers(self.network.buffers())
        if self.weight_average is not None:
            self.process_group.broadcast_buffers(self.eval_network.buffers())

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Collects the logits and the loss of a validation batch; called by Lightning.

        Args:
            batch: The batch.
            batch_idx: Its number, from 0.
        """
        logits = self.eval_network(self.val_inputs(batch))
        loss = self.criterion(logits, batch["allowed"])["loss"]
        self.val_outputs.append(({head: values.float() for head, values in logits.items()}, batch["indices"], loss))

    def on_validation_epoch_end(self) -> None:
        """Scores the whole validation set and logs the metrics; called by Lightning.

        Raises:
            RunError: The logits are not finite.
            ValueError: The task has no targets.
        """
        outputs = _concat_ranks(self.process_group.gather(self._collect_outputs()))
        self.val_outputs = []
        logits, indices = outputs.logits, outputs.indices
        if not all(np.isfinite(values).all() for values in logits.values()):
            raise RunError(
                f"non-finite logits (NaN or inf) in validation, epoch {self.trainer.current_epoch + 1}",
                hint="lower optimizer.lr, or set trainer.gradient_clip_val=1.0",
            )
        if self.targets is None:
            raise ValueError("validation needs targets: pass targets=schema.scored_schema().encode_batch(labels)")
        probabilities = logits_to_probabilities(self.schema, logits)
        self.val_predictions = ValPredictions(indices, probabilities)
        scores = score(self.scored_schema, self.targets[indices], probabilities=probabilities)
        row = {"valid_loss": outputs.loss / len(indices), MACRO_F1.metric: primary_score(scores)}
        if scores.accuracy is not None:
            row["valid_accuracy"] = scores.accuracy
        row |= {f"valid_{name}_f1": item.macro_f1 for name, item in scores.per_attribute.items()}
        self.log_dict(row, on_epoch=True, logger=False, batch_size=len(indices))

    def _collect_outputs(self) -> ValidationOutputs:
        """Concatenates this rank's validation outputs and copies them to the CPU at once."""
        heads = self.val_outputs[0][0] if self.val_outputs else ()
        sizes = np.array([len(indices) for _, indices, _ in self.val_outputs])
        losses = [loss for _, _, loss in self.val_outputs]
        return ValidationOutputs(
            {head: torch.cat([item[0][head] for item in self.val_outputs]).cpu().numpy() for head in heads},
            torch.cat([item[1] for item in self.val_outputs]).cpu().numpy() if heads else np.empty(0, dtype=np.int64),
            float(torch.stack(losses).float().cpu().numpy().astype(np.float64) @ sizes) if heads else 0.0,
        )

    def val_inputs(self, batch: Batch) -> Tensor:
        """Returns the network input of held-out photos.

        Args:
            batch: The batch.

        Returns:
            (batch, 3, height, width), normalized.
        """
        return self.normalize(_to_float_images(batch["images"]))

    def normalize(self, images: Tensor) -> Tensor:
        """Normalizes images as in prediction.

        Args:
            images: (batch, 3, height, width), float in 0 to 255.

        Returns:
            The network input, channels last in memory.
        """
        if self.normalization.mode == "per_image":
            variance, mean = torch.var_mean(images, dim=(2, 3), correction=0, keepdim=True)
            normalized = (images - mean) / variance.sqrt().clamp(min=MIN_STD)
        else:
            normalized = images * self.scale + self.shift
        # Resampling returns channels first; convolutions are faster with channels last.
        return normalized.contiguous(memory_format=torch.channels_last)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds the task's own state to a checkpoint; called by Lightning.

        Args:
            checkpoint: The checkpoint, changed in place.
        """
        checkpoint["maskfit"] = {
            "batches_done": self.batches_done,
            "steps_averaged": self.steps_averaged,
            "losses": torch.stack(self.step_losses).cpu() if self.step_losses else torch.empty(0),
            "history": self.history,
        }

    def on_load_checkpoint(self, checkpoint: Mapping[str, Any]) -> None:
        """Restores the task's own state from a checkpoint; called by Lightning.

        Args:
            checkpoint: The checkpoint.
        """
        state = checkpoint["maskfit"]
        self.batches_done = state["batches_done"]
        self.steps_averaged = state["steps_averaged"]
        self.step_losses = list(state["losses"])
        self.history = state["history"]


def _to_float_images(images: Tensor) -> Tensor:
    """Converts images (batch, height, width, 3; uint8) to float (batch, 3, height, width), still channels last."""
    return images.permute(0, 3, 1, 2).float()
