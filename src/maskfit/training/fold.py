"""Trains one fold of a run and judges it on the persons it never saw."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from lightning import Callback, Trainer
from lightning.pytorch.callbacks import EarlyStopping
from numpy.typing import NDArray
from rich.console import Console

from maskfit.data.store import StoredFrames
from maskfit.data.transforms import Normalising
from maskfit.evaluation.scores import score
from maskfit.evaluation.tables import ProbabilityTable
from maskfit.files import write_json
from maskfit.labels import answer
from maskfit.losses import LOSSES
from maskfit.losses.criterion import Criterion, HeadLoss
from maskfit.modelfile import ModelFacts, load_network
from maskfit.models.network import Network
from maskfit.parts import build
from maskfit.recipe import HeadRecipe
from maskfit.runfolder import FoldFolder
from maskfit.training.augmentation import AUGMENTATIONS
from maskfit.training.averaging import AVERAGES
from maskfit.training.batches import Samples, TrainingBatches, ValidationBatches
from maskfit.training.chance import set_chance
from maskfit.training.keeper import Keeper
from maskfit.training.mixing import MIXINGS
from maskfit.training.optimisers import OPTIMISERS
from maskfit.training.plan import Plan
from maskfit.training.progress import TrainingProgress
from maskfit.training.sampling import SAMPLINGS, Sampling
from maskfit.training.schedules import SCHEDULES
from maskfit.training.task import MONITOR, Task, headline


@dataclass(frozen=True)
class FoldData:
    """The photos of one fold.

    Attributes:
        train: What is trained on, at the stored size that augmentation crops from.
        valid: Who is held out, through the evaluation transform.
    """

    train: Samples
    valid: Samples


def fold_data(plan: Plan, fold: int, stored: StoredFrames, framed: StoredFrames) -> FoldData:
    """Puts the two sides of a fold together."""
    train, valid = plan.split(fold)
    allowed = plan.allowed()
    return FoldData(Samples(stored, allowed, train), Samples(framed, allowed, valid))


def train_fold(plan: Plan, fold: int, data: FoldData, folder: FoldFolder, console: Console) -> ProbabilityTable:
    """Trains a fold to its end, from its last checkpoint where there is one, and judges its best model.

    Args:
        plan: The recipe on its data.
        fold: Which fold, from 0.
        data: Its photos.
        folder: Where its files go; holding a checkpoint, training goes on from there.
        console: Where progress is shown.

    Returns:
        The held-out photos with their official probabilities and truth, in the order of the set.

    Raises:
        RunError: The network's answers are no longer numbers.
    """
    began = time.perf_counter()
    task, trainer = _set_up(plan, fold, data, folder, console)
    batch_size = plan.recipe.trainer.batch_size
    sampling = _sampling(plan, data.train)
    batches = TrainingBatches(data.train, sampling, batch_size, task.chance, lambda: task.batches_done)
    resume = folder.checkpoint if folder.checkpoint.is_file() else None
    with _quiet():
        trainer.fit(task, batches, ValidationBatches(data.valid, 2 * batch_size), ckpt_path=resume, weights_only=True)
    if trainer.interrupted:
        raise KeyboardInterrupt
    table = judge(plan, data.valid, folder)
    scores = score(plan.official, plan.truth()[data.valid.indices], probabilities=table.probabilities)
    table.write(folder.probabilities)
    summary = {"score": headline(scores), "seconds": time.perf_counter() - began, "epochs": len(task.history)}
    write_json(folder.scores, {**summary, **scores.to_dict()})
    return table


def _set_up(plan: Plan, fold: int, data: FoldData, folder: FoldFolder, console: Console) -> tuple[Task, Trainer]:
    recipe = plan.recipe
    chance = (recipe.trainer.seed, "fold", fold)
    # A fold's start weights are its own: no network is carried from fold to fold.
    set_chance(*chance, "start")
    # Channels last before anything copies it: convolutions on a processor run up to five times as fast so.
    network: Network = plan.network(recipe.model.weights).to(memory_format=torch.channels_last)
    batches = -(-len(_sampling(plan, data.train)) // recipe.trainer.batch_size)
    length = {"epochs": recipe.trainer.epochs, "epoch_steps": -(-batches // recipe.trainer.accumulate)}
    task = Task(
        network,
        make_criterion(plan, data.train),
        build(AUGMENTATIONS, recipe.augmentation, size=recipe.data.size),
        build(MIXINGS, recipe.mixing),
        plan.preprocessing.normalising,
        partial(_make_optimiser, plan),
        build(SCHEDULES, recipe.schedule, **length),
        scheme=plan.trained,
        truth=plan.truth(),
        chance=chance,
        average=build(AVERAGES, recipe.average, network=network, **length),
    )
    facts = partial(model_facts, plan, fold)
    title = f"fold {fold + 1} of {plan.folds.count}" if plan.folds.count > 1 else "training"
    callbacks: list[Callback] = [
        Keeper(folder, facts, len(data.train), recipe.trainer.checkpoint_steps),
        TrainingProgress(console, title, len(data.train)),
    ]
    if recipe.trainer.patience:
        # Judged right after validation, so that the epoch's checkpoint holds the count.
        callbacks.insert(0, EarlyStopping(MONITOR, mode="max", patience=recipe.trainer.patience, strict=True,
                                          check_on_train_epoch_end=False))  # fmt: skip
    with _quiet():
        return task, _make_trainer(plan, callbacks)


def _sampling(plan: Plan, train: Samples) -> Sampling:
    classes = plan.official.to_class(plan.truth()[train.indices])
    sampling: Sampling = build(SAMPLINGS, plan.recipe.sampling, classes=classes)
    return sampling


def _make_optimiser(plan: Plan, network: Network) -> torch.optim.Optimizer:
    optimiser: torch.optim.Optimizer = build(OPTIMISERS, plan.recipe.optimiser, network=network)
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
    return Criterion(losses)


def model_facts(plan: Plan, fold: int, scores: dict[str, float]) -> ModelFacts:
    """What the model file of a fold says of itself."""
    recipe = plan.recipe
    return ModelFacts(
        scheme=plan.trained,
        preprocessing=plan.preprocessing,
        backbone=recipe.model.backbone,
        head=recipe.model.head,
        heads=plan.heads,
        recipe=recipe.model_dump(mode="json"),
        scores=scores,
        about=f"{recipe.name}, fold {fold} of {plan.folds.count}",
    )


def _make_trainer(plan: Plan, callbacks: list[Callback]) -> Trainer:
    settings = plan.recipe.trainer
    accelerator = {"auto": "auto", "cpu": "cpu", "cuda": "gpu", "mps": "mps"}[settings.device]
    cuda = settings.device in ("auto", "cuda") and torch.cuda.is_available()
    precision = {"auto": "16-mixed" if cuda else "32-true", "32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}
    return Trainer(
        accelerator=accelerator,
        devices=1,
        precision=precision[settings.precision],  # type: ignore[arg-type]
        max_epochs=settings.epochs,
        accumulate_grad_batches=settings.accumulate,
        gradient_clip_val=settings.clip,
        callbacks=callbacks,
        num_sanity_val_steps=0,
        # Checkpoints, logs and progress are maskfit's own: a run folder has exact contents.
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )


def judge(plan: Plan, samples: Samples, folder: FoldFolder) -> ProbabilityTable:
    """What the fold's best model, read from its file, says of held-out photos."""
    network, _ = load_network(folder.model)
    probabilities = answer(plan.trained, network_logits(network, samples, plan.preprocessing.normalising))
    names = tuple(plan.photos[place].name for place in samples.indices)
    truth = plan.official.to_class(plan.truth()[samples.indices])
    return ProbabilityTable(names, probabilities, truth)


def network_logits(
    network: Network, samples: Samples, normalising: Normalising, batch_size: int = 64
) -> dict[str, NDArray[np.float32]]:
    """Logits by head (photos, values) for stored frames, through the evaluation transform's own numbers."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = network.to(device).eval()
    collected: dict[str, list[NDArray[np.float32]]] = {head: [] for head in network.heads}
    with torch.inference_mode():
        for batch in ValidationBatches(samples, batch_size):
            photos = torch.from_numpy(normalising.normalise(batch["frames"].numpy())).to(device)
            for head, values in network(photos).items():
                collected[head].append(values.float().cpu().numpy())
    return {head: np.concatenate(rows) for head, rows in collected.items()}


@contextmanager
def _quiet() -> Iterator[None]:
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
