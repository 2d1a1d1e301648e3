"""Builds the task, loaders, losses and trainer of a fold from the components that its recipe names."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.optim import Optimizer

from maskfit.config.monitor import MACRO_F1, parse_monitor
from maskfit.config.recipe import HeadConfig, Recipe
from maskfit.errors import RecipeError
from maskfit.losses import AGE_REGRESSION_LOSSES, LOSSES, METRIC_LOSSES
from maskfit.losses.multi_head_loss import HeadLoss, MultiHeadLoss
from maskfit.losses.soft_labels import SoftLabels
from maskfit.model_file import ModelMetadata
from maskfit.models.network import Network
from maskfit.registry import ComponentSpec, instantiate
from maskfit.training.augment import AUGMENTATIONS, BATCH_MIXING, PROGRESSIVE_RESIZING
from maskfit.training.augment.progressive_resizing import SizeSchedule
from maskfit.training.auxiliary_losses import AuxiliaryLosses
from maskfit.training.data_loaders import FoldDataset, TrainLoader, ValLoader
from maskfit.training.lightning_api import Callback, DDPStrategy, LightningEnvironment, Logger, Trainer
from maskfit.training.optim import FREEZING, LR_SCHEDULERS, OPTIMIZERS, WEIGHT_AVERAGING
from maskfit.training.optim.lr_schedules import LRScheduler
from maskfit.training.optim.weight_averaging import WeightAverage
from maskfit.training.parallel.distributed import get_process_group
from maskfit.training.plan import TrainingPlan
from maskfit.training.precision import Kind
from maskfit.training.samplers import SAMPLERS, Sampler
from maskfit.training.seeding import SeedKey, seed_torch
from maskfit.training.task import ClassificationTask
from maskfit.verbosity import is_verbose


def build_task(
    plan: TrainingPlan,
    network: Network,
    train: FoldDataset,
    seed_key: SeedKey,
    task_type: Callable[..., ClassificationTask] = ClassificationTask,
) -> ClassificationTask:
    """Builds the task of the recipe's own epochs.

    Args:
        plan: The recipe on its data.
        network: The network to train.
        train: The training photos.
        seed_key: Seed key of the fold.
        task_type: Builds the task.

    Returns:
        The task.
    """
    recipe = plan.recipe
    batches = -(-len(build_sampler(plan, train)) // recipe.trainer.batch_size)
    length = {"epochs": recipe.trainer.epochs, "epoch_steps": -(-batches // recipe.trainer.accumulate_grad_batches)}
    return _build_task(
        plan,
        network,
        train,
        seed_key,
        lr_scheduler=instantiate(LR_SCHEDULERS, recipe.lr_scheduler, **length),
        progressive_resizing=instantiate(
            PROGRESSIVE_RESIZING,
            recipe.progressive_resizing,
            size=recipe.data.input_size,
            num_batches=recipe.trainer.epochs * batches,
        ),
        freeze=recipe.model.freeze,
        metric_loss=recipe.metric_loss,
        weight_average=instantiate(WEIGHT_AVERAGING, recipe.weight_averaging, network=network, **length),
        task_type=task_type,
    )


def build_full_data_task(
    plan: TrainingPlan, network: Network, dataset: FoldDataset, seed_key: SeedKey
) -> ClassificationTask:
    """Builds the task of the last epochs on all photos: a constant low rate, no freezing, no weight averaging.

    Images have their full size. It has no metric loss either: the class centers that some of them learn are in no model
    file, and would start from random ones.

    Args:
        plan: The recipe on its data.
        network: The network to train.
        dataset: Training and validation photos together.
        seed_key: Seed key of these epochs.

    Returns:
        The task.
    """
    settings = plan.recipe.trainer
    none = ComponentSpec.create("none")
    return _build_task(
        plan,
        network,
        dataset,
        seed_key,
        lr_scheduler=lambda step: settings.full_data_lr_factor,
        freeze=none,
        metric_loss=none,
        epochs_before=settings.epochs,
    )


def _build_task(
    plan: TrainingPlan,
    network: Network,
    train: FoldDataset,
    seed_key: SeedKey,
    *,
    lr_scheduler: LRScheduler,
    freeze: ComponentSpec,
    metric_loss: ComponentSpec,
    progressive_resizing: SizeSchedule | None = None,
    weight_average: WeightAverage | None = None,
    epochs_before: int = 0,
    task_type: Callable[..., ClassificationTask] = ClassificationTask,
) -> ClassificationTask:
    recipe = plan.recipe
    return task_type(
        network,
        build_criterion(plan, train),
        partial(_build_optimizer, recipe.optimizer),
        schema=plan.train_schema,
        normalization=plan.preprocessing.normalization,
        targets=plan.targets,
        augmentation=instantiate(AUGMENTATIONS, recipe.augmentation, size=recipe.data.input_size),
        batch_mixing=instantiate(BATCH_MIXING, recipe.batch_mixing, schema=plan.train_schema),
        progressive_resizing=progressive_resizing,
        lr_scheduler=lr_scheduler,
        monitor=parse_monitor(recipe.trainer.monitor, plan.scored_schema.names) or MACRO_F1,
        freezing=instantiate(FREEZING, freeze),
        weight_average=weight_average,
        auxiliary_losses=build_auxiliary_losses(plan, network, metric_loss, seed_key),
        soft_labels=build_soft_labels(plan),
        seed_key=seed_key,
        epochs_before=epochs_before,
    )


def build_train_loader(plan: TrainingPlan, train: FoldDataset, task: ClassificationTask) -> TrainLoader:
    """Builds the loader of a task's training batches.

    Args:
        plan: The recipe on its data.
        train: The training photos.
        task: The task; the loader starts at its next batch.

    Returns:
        The loader.
    """
    sampler = build_sampler(plan, train)
    size = plan.recipe.trainer.batch_size
    return TrainLoader(
        train, sampler, size, task.seed_key, lambda: task.batches_done, get_process_group(), uses_cuda(plan)
    )


def build_val_loader(plan: TrainingPlan, valid: FoldDataset) -> ValLoader:
    """Builds the loader of validation batches, twice as large as training batches, since no gradients are kept.

    Args:
        plan: The recipe on its data.
        valid: The validation photos.

    Returns:
        The loader.
    """
    process_group = get_process_group()
    batch_size = max(1, 2 * plan.recipe.trainer.batch_size // process_group.world_size)
    return ValLoader(valid, batch_size, process_group, uses_cuda(plan))


def uses_cuda(plan: TrainingPlan) -> bool:
    """Returns whether the recipe trains on a GPU here.

    Args:
        plan: The recipe on its data.

    Returns:
        Whether it does.
    """
    return plan.recipe.trainer.device in ("auto", "cuda") and torch.cuda.is_available()


def build_sampler(plan: TrainingPlan, train: FoldDataset) -> Sampler:
    """Builds the recipe's sampler for these training photos.

    Args:
        plan: The recipe on its data.
        train: The training photos.

    Returns:
        The sampler.
    """
    sampler: Sampler = instantiate(SAMPLERS, plan.recipe.sampler, classes=plan.class_indices[train.indices])
    return sampler


def _build_optimizer(spec: ComponentSpec, network: nn.Module) -> Optimizer:
    optimizer: Optimizer = instantiate(OPTIMIZERS, spec, network=network)
    return optimizer


def build_criterion(plan: TrainingPlan, train: FoldDataset) -> MultiHeadLoss:
    """Builds the loss of every head, with class weights from the training photos.

    Args:
        plan: The recipe on its data.
        train: The training photos.

    Returns:
        The loss.
    """
    recipe = plan.recipe
    losses = {}
    for head in plan.heads:
        config = recipe.heads.get(head, HeadConfig())
        allowed = train.allowed[head][train.indices]
        known = allowed[~allowed.all(axis=1)]
        # A photo that allows several classes counts for each of them in part.
        counts = (known / known.sum(axis=1, keepdims=True)).sum(axis=0) if len(known) else np.ones(allowed.shape[1])
        losses[head] = HeadLoss(
            instantiate(LOSSES, config.loss or recipe.loss, counts=torch.from_numpy(counts)), config.loss_weight
        )
    process_group = get_process_group()
    return MultiHeadLoss(losses, reduce_count=process_group.mean if process_group.world_size > 1 else None)


def build_auxiliary_losses(
    plan: TrainingPlan, network: Network, metric_loss: ComponentSpec, seed_key: SeedKey
) -> AuxiliaryLosses | None:
    """Builds the losses on backbone features.

    Args:
        plan: The recipe on its data.
        network: The network to train.
        metric_loss: A name in `METRIC_LOSSES` with its options.
        seed_key: Seed key of the fold.

    Returns:
        The losses; None where there are none.
    """
    # Class centers are initialized at random: seeded, so that a resumed run draws the same. Another word than "beside"
    # would be another seed.
    seed_torch(*seed_key, "beside")
    metric = instantiate(
        METRIC_LOSSES, metric_loss, features=network.backbone.features, classes=plan.scored_schema.num_classes
    )
    age = instantiate(AGE_REGRESSION_LOSSES, plan.recipe.age_regression)
    if metric is None and age is None:
        return None
    ages = plan.ages if plan.has_age_regression else np.full(len(plan.class_indices), np.nan)
    return AuxiliaryLosses(metric, age, plan.class_indices, ages)


def build_soft_labels(plan: TrainingPlan) -> SoftLabels | None:
    """Builds the soft labels of a dataset.

    Args:
        plan: The recipe on its data.

    Returns:
        The soft labels; None where the recipe has none.
    """
    if not plan.soft_targets:
        return None
    heads = {
        head: (torch.from_numpy(targets.probabilities), torch.from_numpy(targets.allowed))
        for head, targets in plan.soft_targets.items()
    }
    return SoftLabels(heads, plan.recipe.data.soft_label_weight)


def build_model_metadata(plan: TrainingPlan, fold: int, scores: dict[str, float]) -> ModelMetadata:
    """Builds the metadata of a fold's model file.

    Args:
        plan: The recipe on its data.
        fold: The fold, from 0.
        scores: Validation metrics of the model's epoch.

    Returns:
        The metadata.
    """
    recipe = plan.recipe
    return ModelMetadata(
        label_schema=plan.train_schema,
        preprocessing=plan.preprocessing,
        backbone=recipe.model.backbone,
        head=recipe.model.head,
        heads=plan.heads,
        age_regression=plan.has_age_regression,
        recipe=_without_paths(recipe).model_dump(mode="json"),
        scores=scores,
        description=f"{recipe.name}, fold {fold} of {plan.folds.num_folds}",
    )


def _without_paths(recipe: Recipe) -> Recipe:
    """Reduces paths in a recipe to file names: a published model must not reveal the folders of the machine."""
    data = recipe.data
    files = {
        "path": data.path and Path(data.path).name,
        "cache_dir": None,
        "extra_train": tuple(Path(path).name for path in data.extra_train),
        "label_corrections": tuple(Path(path).name for path in data.label_corrections),
        "soft_labels": data.soft_labels and Path(data.soft_labels).name,
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


def build_trainer(
    plan: TrainingPlan, kind: Kind, callbacks: list[Callback], epochs: int, loggers: Sequence[Logger] = ()
) -> Trainer:
    """Builds Lightning's trainer, which writes and prints nothing of its own.

    Args:
        plan: The recipe on its data.
        kind: The run's precision.
        callbacks: Lightning callbacks.
        epochs: Number of epochs.
        loggers: Lightning loggers.

    Returns:
        The trainer.

    Raises:
        RecipeError: The optimizer does not work with the trainer's settings.
    """
    settings = plan.recipe.trainer
    if plan.recipe.optimizer.name == "sam" and (settings.accumulate_grad_batches > 1 or kind == "16-mixed"):
        raise RecipeError(
            "SAM computes each step twice and supports neither accumulated gradients nor float16 loss scaling",
            hint="set trainer.accumulate_grad_batches=1 and trainer.precision=32-true or bf16-mixed, or use another "
            "optimizer",
        )
    distributed = get_process_group().world_size > 1
    with suppress_lightning_output():
        return Trainer(
            accelerator={"auto": "auto", "cpu": "cpu", "cuda": "gpu", "mps": "mps"}[settings.device],
            # The processes were started before; a single one trains alone whatever the recipe requests.
            devices=settings.devices if distributed else 1,
            num_nodes=settings.num_nodes if distributed else 1,
            strategy=_build_ddp_strategy() if distributed else "auto",
            precision=kind,
            max_epochs=epochs,
            accumulate_grad_batches=settings.accumulate_grad_batches,
            gradient_clip_val=settings.gradient_clip_val,
            callbacks=callbacks,
            num_sanity_val_steps=0,
            # maskfit writes checkpoints, logs and progress itself: the contents of a run folder are fixed.
            logger=list(loggers),
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
        )


def _build_ddp_strategy() -> DDPStrategy:
    """Averages gradients over the ranks in each step.

    BatchNorm statistics are synchronized before each validation (see the task): a broadcast in every forward pass would
    block ranks that have fewer batches than others. Weights without a gradient, because they are frozen for some epochs
    or unused, are detected in every step.
    """
    return DDPStrategy(
        # The processes are known; Lightning must not detect a cluster from environment variables.
        cluster_environment=LightningEnvironment(),
        broadcast_buffers=False,
        find_unused_parameters=True,
        gradient_as_bucket_view=True,
    )


@contextmanager
def suppress_lightning_output() -> Iterator[None]:
    """Suppresses Lightning's banner and its warnings about data loader workers, which this loop does not use.

    A verbose command prints them.

    Yields:
        Nothing.
    """
    if is_verbose():
        yield
        return
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
