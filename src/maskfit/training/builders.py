"""Puts together what a fold trains with, from the parts that its recipe names."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import torch
from lightning import Callback, Trainer
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch.loggers import Logger
from lightning.pytorch.strategies import DDPStrategy
from torch import nn
from torch.optim import Optimizer

from maskfit.config.recipe import HeadConfig, Recipe
from maskfit.errors import RecipeError
from maskfit.losses import LOSSES
from maskfit.losses.age_regression import AGE_REGRESSION_LOSSES
from maskfit.losses.metric_learning import METRIC_LOSSES
from maskfit.losses.multi_head_loss import HeadLoss, MultiHeadLoss
from maskfit.model_file import ModelMetadata
from maskfit.models.network import Network
from maskfit.registry import ComponentSpec, instantiate
from maskfit.training.augment.augmentations import AUGMENTATIONS
from maskfit.training.augment.batch_mixing import BATCH_MIXING
from maskfit.training.auxiliary_losses import AuxiliaryLosses
from maskfit.training.data_loaders import FoldDataset, TrainLoader, ValLoader
from maskfit.training.optim.freezing import FREEZING
from maskfit.training.optim.lr_schedules import LR_SCHEDULERS, LRScheduler
from maskfit.training.optim.optimizers import OPTIMIZERS
from maskfit.training.optim.weight_averaging import WEIGHT_AVERAGING, Average
from maskfit.training.parallel.distributed import get_process_group
from maskfit.training.plan import TrainingPlan
from maskfit.training.precision import Kind
from maskfit.training.samplers import SAMPLERS, Sampler
from maskfit.training.seeding import seed_torch
from maskfit.training.task import ClassificationTask

Chance = tuple[int | str, ...]


def make_task(plan: TrainingPlan, network: Network, train: FoldDataset, chance: Chance) -> ClassificationTask:
    """The task of the recipe's own epochs, for these training photos."""
    recipe = plan.recipe
    batches = -(-len(build_sampler(plan, train)) // recipe.trainer.batch_size)
    length = {"epochs": recipe.trainer.epochs, "epoch_steps": -(-batches // recipe.trainer.accumulate_grad_batches)}
    return _make_task(
        plan,
        network,
        train,
        chance,
        schedule=instantiate(LR_SCHEDULERS, recipe.lr_scheduler, **length),
        freeze=recipe.model.freeze,
        embedding=recipe.metric_loss,
        average=instantiate(WEIGHT_AVERAGING, recipe.weight_averaging, network=network, **length),
    )


def build_full_data_task(
    plan: TrainingPlan, network: Network, everyone: FoldDataset, chance: Chance
) -> ClassificationTask:
    """The task of the last epochs on all photos: a low rate, nothing frozen, nothing averaged.

    Nor is there an embedding loss: the centres that some of them learn are in no model file, and would start anew.
    """
    settings = plan.recipe.trainer
    nothing = ComponentSpec.create("none")
    return _make_task(
        plan,
        network,
        everyone,
        chance,
        schedule=lambda step: settings.full_data_lr_factor,
        freeze=nothing,
        embedding=nothing,
        epochs_before=settings.epochs,
    )


def _make_task(
    plan: TrainingPlan,
    network: Network,
    train: FoldDataset,
    chance: Chance,
    *,
    schedule: LRScheduler,
    freeze: ComponentSpec,
    embedding: ComponentSpec,
    average: Average | None = None,
    epochs_before: int = 0,
) -> ClassificationTask:
    recipe = plan.recipe
    return ClassificationTask(
        network,
        make_criterion(plan, train),
        instantiate(AUGMENTATIONS, recipe.augmentation, size=recipe.data.image_size),
        instantiate(BATCH_MIXING, recipe.batch_mixing, scheme=plan.train_schema),
        plan.preprocessing.normalization,
        partial(_make_optimiser, recipe.optimizer),
        schedule,
        instantiate(FREEZING, freeze),
        scheme=plan.train_schema,
        truth=plan.targets(),
        chance=chance,
        average=average,
        beside=build_auxiliary_losses(plan, network, embedding, chance),
        epochs_before=epochs_before,
    )


def build_train_loader(plan: TrainingPlan, train: FoldDataset, task: ClassificationTask) -> TrainLoader:
    """The training batches of a task, from where it stands."""
    sampling = build_sampler(plan, train)
    size = plan.recipe.trainer.batch_size
    return TrainLoader(
        train, sampling, size, task.chance, lambda: task.batches_done, get_process_group(), _on_gpu(plan)
    )


def build_val_loader(plan: TrainingPlan, valid: FoldDataset) -> ValLoader:
    """The held-out photos in batches, larger than those in which gradients are kept."""
    ranks = get_process_group()
    return ValLoader(valid, max(1, 2 * plan.recipe.trainer.batch_size // ranks.count), ranks, _on_gpu(plan))


def _on_gpu(plan: TrainingPlan) -> bool:
    return plan.recipe.trainer.device in ("auto", "cuda") and torch.cuda.is_available()


def build_sampler(plan: TrainingPlan, train: FoldDataset) -> Sampler:
    """How an epoch is drawn from these training photos."""
    classes = plan.scored_schema.to_class_index(plan.targets()[train.indices])
    sampling: Sampler = instantiate(SAMPLERS, plan.recipe.sampler, classes=classes)
    return sampling


def _make_optimiser(part: ComponentSpec, network: nn.Module) -> Optimizer:
    optimiser: Optimizer = instantiate(OPTIMIZERS, part, network=network)
    return optimiser


def make_criterion(plan: TrainingPlan, train: FoldDataset) -> MultiHeadLoss:
    """The loss of every head, its class weights counted over the training photos."""
    recipe = plan.recipe
    losses = {}
    for head in plan.heads:
        own = recipe.heads.get(head, HeadConfig())
        allowed = train.allowed[head][train.indices]
        known = allowed[~allowed.all(axis=1)]
        # A photo that allows several classes counts for each of them in part.
        counts = (known / known.sum(axis=1, keepdims=True)).sum(axis=0) if len(known) else np.ones(allowed.shape[1])
        losses[head] = HeadLoss(
            instantiate(LOSSES, own.loss or recipe.loss, counts=torch.from_numpy(counts)), own.loss_weight
        )
    ranks = get_process_group()
    return MultiHeadLoss(losses, reduce_count=ranks.mean if ranks.count > 1 else None)


def build_auxiliary_losses(
    plan: TrainingPlan, network: Network, embedding: ComponentSpec, chance: Chance
) -> AuxiliaryLosses | None:
    """The losses beside the heads'; None where there are none."""
    # The centres of classes are drawn here, and so that a resumed run would draw the same.
    seed_torch(*chance, "beside")
    on_features = instantiate(
        METRIC_LOSSES, embedding, features=network.backbone.features, classes=plan.scored_schema.num_classes
    )
    on_years = instantiate(AGE_REGRESSION_LOSSES, plan.recipe.age_regression)
    if on_features is None and on_years is None:
        return None
    classes = plan.scored_schema.to_class_index(plan.targets())
    ages = plan.ages() if plan.with_years else np.full(len(classes), np.nan)
    return AuxiliaryLosses(on_features, on_years, classes, ages)


def model_facts(plan: TrainingPlan, fold: int, scores: dict[str, float]) -> ModelMetadata:
    """What the model file of a fold says of itself."""
    recipe = plan.recipe
    return ModelMetadata(
        label_schema=plan.train_schema,
        preprocessing=plan.preprocessing,
        backbone=recipe.model.backbone,
        head=recipe.model.head,
        heads=plan.heads,
        age_regression=plan.with_years,
        recipe=_without_folders(recipe).model_dump(mode="json"),
        scores=scores,
        description=f"{recipe.name}, fold {fold} of {plan.folds.num_folds}",
    )


def _without_folders(recipe: Recipe) -> Recipe:
    """The recipe with the bare names of its files: a model that is given away must not tell how a disk is laid out."""
    data = recipe.data
    files = {
        "path": data.path and Path(data.path).name,
        "cache_dir": None,
        "extra_train": tuple(Path(path).name for path in data.extra_train),
        "label_corrections": tuple(Path(path).name for path in data.label_corrections),
    }
    model = {
        "pretrained": Path(recipe.model.pretrained).name,
        "init_from": recipe.model.init_from and Path(recipe.model.init_from).name,
    }
    split_file = recipe.cv.split_file and Path(recipe.cv.split_file).name
    return recipe.model_copy(
        update={
            "data": data.model_copy(update=files),
            "model": recipe.model.model_copy(update=model),
            "cv": recipe.cv.model_copy(update={"split_file": split_file}),
            "output_dir": None,
        }
    )


def make_trainer(
    plan: TrainingPlan, kind: Kind, callbacks: list[Callback], epochs: int, loggers: Sequence[Logger] = ()
) -> Trainer:
    """Lightning's trainer, with nothing of its own written or shown.

    Raises:
        RecipeError: Optimiser and trainer do not go together.
    """
    settings = plan.recipe.trainer
    if plan.recipe.optimizer.name == "sam" and (settings.accumulate_grad_batches > 1 or kind == "16-mixed"):
        raise RecipeError(
            "SAM looks twice at each batch: it goes neither with accumulated gradients nor with 16-bit scaling",
            hint="set trainer.accumulate_grad_batches=1 and trainer.precision=32-true or bf16, or another optimiser",
        )
    with suppress_lightning_output():
        return Trainer(
            accelerator={"auto": "auto", "cpu": "cpu", "cuda": "gpu", "mps": "mps"}[settings.device],
            # How many processes there are was settled before; alone, this one is all.
            devices=settings.devices if get_process_group().count > 1 else 1,
            num_nodes=settings.num_nodes if get_process_group().count > 1 else 1,
            strategy=_strategy() if get_process_group().count > 1 else "auto",
            precision=kind,
            max_epochs=epochs,
            accumulate_grad_batches=settings.accumulate_grad_batches,
            gradient_clip_val=settings.gradient_clip_val,
            callbacks=callbacks,
            num_sanity_val_steps=0,
            # Checkpoints, logs and progress are maskfit's own: a run folder has exact contents.
            logger=list(loggers),
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
        )


def _strategy() -> DDPStrategy:
    """How the ranks share a step: the mean of their gradients.

    Statistics of norms are aligned before each validation (see the task): broadcast in every forward pass, batches of
    which ranks have more or fewer would wait for each other. Weights without a gradient, frozen for some epochs or in
    parts of a trunk that nothing uses, are found step by step.
    """
    return DDPStrategy(
        # Who takes part is known, and need not be found out from what else the environment may say of a cluster.
        cluster_environment=LightningEnvironment(),
        broadcast_buffers=False,
        find_unused_parameters=True,
        gradient_as_bucket_view=True,
    )


@contextmanager
def suppress_lightning_output() -> Iterator[None]:
    """Keeps Lightning's greetings and its advice on workers, which this loop does not use, from the user."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning.*")
        warnings.filterwarnings("ignore", module="torch.*")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
