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

from maskfit.errors import RecipeError
from maskfit.losses import LOSSES
from maskfit.losses.criterion import Criterion, HeadLoss
from maskfit.losses.embedding import EMBEDDING_LOSSES
from maskfit.losses.years import YEARS_LOSSES
from maskfit.modelfile import ModelFacts
from maskfit.models.network import Network
from maskfit.parts import Part, build
from maskfit.recipe import HeadRecipe, Recipe
from maskfit.training.augmentation import AUGMENTATIONS
from maskfit.training.averaging import AVERAGES, Average
from maskfit.training.batches import Samples, TrainingBatches, ValidationBatches
from maskfit.training.beside import Beside
from maskfit.training.chance import set_chance
from maskfit.training.freezing import FREEZINGS
from maskfit.training.mixing import MIXINGS
from maskfit.training.optimisers import OPTIMISERS
from maskfit.training.plan import Plan
from maskfit.training.precision import Kind
from maskfit.training.ranks import current
from maskfit.training.sampling import SAMPLINGS, Sampling
from maskfit.training.schedules import SCHEDULES, Schedule
from maskfit.training.task import Task

Chance = tuple[int | str, ...]


def make_task(plan: Plan, network: Network, train: Samples, chance: Chance) -> Task:
    """The task of the recipe's own epochs, for these training photos."""
    recipe = plan.recipe
    batches = -(-len(make_sampling(plan, train)) // recipe.trainer.batch_size)
    length = {"epochs": recipe.trainer.epochs, "epoch_steps": -(-batches // recipe.trainer.accumulate)}
    return _make_task(
        plan, network, train, chance,
        schedule=build(SCHEDULES, recipe.schedule, **length),
        freeze=recipe.model.freeze,
        embedding=recipe.embedding,
        average=build(AVERAGES, recipe.average, network=network, **length),
    )  # fmt: skip


def make_finishing_task(plan: Plan, network: Network, everyone: Samples, chance: Chance) -> Task:
    """The task of the last epochs on all photos: a low rate, nothing frozen, nothing averaged.

    Nor is there an embedding loss: the centres that some of them learn are in no model file, and would start anew.
    """
    settings = plan.recipe.trainer
    nothing = Part.of("none")
    return _make_task(
        plan, network, everyone, chance,
        schedule=lambda step: settings.finish_lr,
        freeze=nothing,
        embedding=nothing,
        epochs_before=settings.epochs,
    )  # fmt: skip


def _make_task(
    plan: Plan, network: Network, train: Samples, chance: Chance, *, schedule: Schedule, freeze: Part, embedding: Part,
    average: Average | None = None, epochs_before: int = 0,
) -> Task:  # fmt: skip
    recipe = plan.recipe
    return Task(
        network,
        make_criterion(plan, train),
        build(AUGMENTATIONS, recipe.augmentation, size=recipe.data.size),
        build(MIXINGS, recipe.mixing, scheme=plan.trained),
        plan.preprocessing.normalising,
        partial(_make_optimiser, recipe.optimiser),
        schedule,
        build(FREEZINGS, freeze),
        scheme=plan.trained,
        truth=plan.truth(),
        chance=chance,
        average=average,
        beside=make_beside(plan, network, embedding, chance),
        epochs_before=epochs_before,
    )


def make_batches(plan: Plan, train: Samples, task: Task) -> TrainingBatches:
    """The training batches of a task, from where it stands."""
    sampling = make_sampling(plan, train)
    size = plan.recipe.trainer.batch_size
    return TrainingBatches(train, sampling, size, task.chance, lambda: task.batches_done, current(), _on_gpu(plan))


def make_validation_batches(plan: Plan, valid: Samples) -> ValidationBatches:
    """The held-out photos in batches, larger than those in which gradients are kept."""
    ranks = current()
    return ValidationBatches(valid, max(1, 2 * plan.recipe.trainer.batch_size // ranks.count), ranks, _on_gpu(plan))


def _on_gpu(plan: Plan) -> bool:
    return plan.recipe.trainer.device in ("auto", "cuda") and torch.cuda.is_available()


def make_sampling(plan: Plan, train: Samples) -> Sampling:
    """How an epoch is drawn from these training photos."""
    classes = plan.official.to_class(plan.truth()[train.indices])
    sampling: Sampling = build(SAMPLINGS, plan.recipe.sampling, classes=classes)
    return sampling


def _make_optimiser(part: Part, network: nn.Module) -> Optimizer:
    optimiser: Optimizer = build(OPTIMISERS, part, network=network)
    return optimiser


def make_criterion(plan: Plan, train: Samples) -> Criterion:
    """The loss of every head, its class weights counted over the training photos."""
    recipe = plan.recipe
    losses = {}
    for head in plan.heads:
        own = recipe.heads.get(head, HeadRecipe())
        allowed = train.allowed[head][train.indices]
        known = allowed[~allowed.all(axis=1)]
        # A photo that allows several classes counts for each of them in part.
        counts = (known / known.sum(axis=1, keepdims=True)).sum(axis=0) if len(known) else np.ones(allowed.shape[1])
        losses[head] = HeadLoss(build(LOSSES, own.loss or recipe.loss, counts=torch.from_numpy(counts)), own.share)
    ranks = current()
    return Criterion(losses, over=ranks.mean if ranks.count > 1 else None)


def make_beside(plan: Plan, network: Network, embedding: Part, chance: Chance) -> Beside | None:
    """The losses beside the heads'; None where there are none."""
    # The centres of classes are drawn here, and so that a resumed run would draw the same.
    set_chance(*chance, "beside")
    on_features = build(EMBEDDING_LOSSES, embedding, features=network.trunk.features, classes=plan.official.classes)
    on_years = build(YEARS_LOSSES, plan.recipe.years)
    if on_features is None and on_years is None:
        return None
    classes = plan.official.to_class(plan.truth())
    ages = plan.years() if plan.with_years else np.full(len(classes), np.nan)
    return Beside(on_features, on_years, classes, ages)


def model_facts(plan: Plan, fold: int, scores: dict[str, float]) -> ModelFacts:
    """What the model file of a fold says of itself."""
    recipe = plan.recipe
    return ModelFacts(
        scheme=plan.trained,
        preprocessing=plan.preprocessing,
        backbone=recipe.model.backbone,
        head=recipe.model.head,
        heads=plan.heads,
        years=plan.with_years,
        recipe=_without_folders(recipe).model_dump(mode="json"),
        scores=scores,
        about=f"{recipe.name}, fold {fold} of {plan.folds.count}",
    )


def _without_folders(recipe: Recipe) -> Recipe:
    """The recipe with the bare names of its files: a model that is given away must not tell how a disk is laid out."""
    data = recipe.data
    files = {
        "root": data.root and Path(data.root).name,
        "store": None,
        "extra": tuple(Path(path).name for path in data.extra),
        "corrections": tuple(Path(path).name for path in data.corrections),
    }
    model = {"weights": Path(recipe.model.weights).name, "start": recipe.model.start and Path(recipe.model.start).name}
    folds = Path(recipe.folds).name if isinstance(recipe.folds, str) else recipe.folds
    return recipe.model_copy(
        update={
            "data": data.model_copy(update=files),
            "model": recipe.model.model_copy(update=model),
            "folds": folds,
            "run": None,
        }
    )


def make_trainer(
    plan: Plan, kind: Kind, callbacks: list[Callback], epochs: int, loggers: Sequence[Logger] = ()
) -> Trainer:
    """Lightning's trainer, with nothing of its own written or shown.

    Raises:
        RecipeError: Optimiser and trainer do not go together.
    """
    settings = plan.recipe.trainer
    if plan.recipe.optimiser.name == "sam" and (settings.accumulate > 1 or kind == "16"):
        raise RecipeError(
            "SAM looks twice at each batch: it goes neither with accumulated gradients nor with 16-bit scaling",
            fix="set trainer.accumulate=1 and trainer.precision=32 or bf16, or another optimiser",
        )
    with quiet():
        return Trainer(
            accelerator={"auto": "auto", "cpu": "cpu", "cuda": "gpu", "mps": "mps"}[settings.device],
            # How many processes there are was settled before; alone, this one is all.
            devices=settings.devices if current().count > 1 else 1,
            num_nodes=settings.nodes if current().count > 1 else 1,
            strategy=_strategy() if current().count > 1 else "auto",
            precision={"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}[kind],  # type: ignore[arg-type]
            max_epochs=epochs,
            accumulate_grad_batches=settings.accumulate,
            gradient_clip_val=settings.clip,
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
def quiet() -> Iterator[None]:
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
