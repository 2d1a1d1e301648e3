"""Trains one fold of a run and judges it on the persons it never saw."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from lightning import Callback
from lightning.pytorch.callbacks import EarlyStopping
from numpy.typing import NDArray
from timm.layers.norm_act import convert_sync_batchnorm

from maskfit.data.image_cache.cache import CachedImages
from maskfit.data.preprocessing import Normalize
from maskfit.evaluation.probability_table import ProbabilityTable
from maskfit.evaluation.scores import score
from maskfit.file_io import write_json
from maskfit.labels.schema import logits_to_probabilities
from maskfit.model_file import load_model, save_model
from maskfit.models.network import Network
from maskfit.run_dir import FoldDir
from maskfit.training.builders import (
    Chance,
    build_full_data_task,
    build_train_loader,
    build_val_loader,
    make_task,
    make_trainer,
    model_facts,
    suppress_lightning_output,
)
from maskfit.training.callbacks import CheckpointCallback, EpochCallback, EpochListener, ProgressCallback
from maskfit.training.data_loaders import FoldDataset, ValLoader
from maskfit.training.loggers import LOGGERS
from maskfit.training.network_setup import prepare_network
from maskfit.training.parallel.distributed import get_process_group
from maskfit.training.plan import TrainingPlan
from maskfit.training.precision import Kind
from maskfit.training.progress_reporting import ProgressReporter
from maskfit.training.seeding import seed_torch
from maskfit.training.task import MONITOR, primary_score
from maskfit.training.warm_start import load_matching_weights


@dataclass(frozen=True)
class FoldData:
    """The photos of one fold.

    Attributes:
        train: What is trained on, at the stored size that augmentation crops from.
        valid: Who is held out, through the evaluation transform.
    """

    train: FoldDataset
    valid: FoldDataset


def fold_data(plan: TrainingPlan, fold: int, stored: CachedImages, framed: CachedImages) -> FoldData:
    """Puts the two sides of a fold together."""
    train, valid = plan.split(fold)
    allowed = plan.allowed_masks()
    return FoldData(FoldDataset(stored, allowed, train), FoldDataset(framed, allowed, valid))


def train_fold(
    plan: TrainingPlan,
    kind: Kind,
    fold: int,
    data: FoldData,
    folder: FoldDir,
    screen: ProgressReporter,
    watch: EpochListener | None = None,
) -> ProbabilityTable:
    """Trains a fold to its end, from its last checkpoint where there is one, and judges its best model.

    Args:
        plan: The recipe on its data.
        kind: The precision that the run began with.
        fold: Which fold, from 0.
        data: Its photos.
        folder: Where its files go; holding a checkpoint, training goes on from there.
        screen: Where progress is told.
        watch: Who follows it from epoch to epoch, and may end it.

    Returns:
        The held-out photos with their official probabilities and truth, in the order of the set.

    Raises:
        RunError: The network's answers are no longer numbers.
        Stopped: Whoever watches ended it.
    """
    recipe = plan.recipe
    chance: Chance = (recipe.trainer.seed, "fold", fold)
    title = f"fold {fold + 1} of {plan.folds.count}" if plan.folds.count > 1 else "training"
    task = make_task(plan, _start(plan, kind, chance, screen), data.train, chance)
    loggers = [LOGGERS[name](recipe, folder.path, f"{recipe.name}, {title}") for name in recipe.trainer.loggers]
    callbacks = _callbacks(plan, fold, data, folder, screen, title)
    if watch is not None:
        callbacks.append(EpochCallback(fold, watch))
    trainer = make_trainer(plan, kind, callbacks, recipe.trainer.epochs, loggers)
    ranks = get_process_group()
    valid = build_val_loader(plan, data.valid)
    resume = folder.checkpoint if folder.checkpoint.is_file() else None
    with _fitting():
        trainer.fit(task, build_train_loader(plan, data.train, task), valid, ckpt_path=resume, weights_only=True)
    trained = time.perf_counter()
    table = ranks.on_rank_zero(lambda: evaluate_fold(plan, data.valid, folder))
    if recipe.trainer.full_data_epochs:
        train_on_full_data(plan, kind, fold, data, folder, screen)
    if ranks.is_rank_zero:
        _tell(plan, data, folder, table, task.history, time.perf_counter() - trained)
    ranks.barrier()
    return table


def _tell(
    plan: TrainingPlan,
    data: FoldData,
    folder: FoldDir,
    table: ProbabilityTable,
    history: Sequence[dict[str, float]],
    judging: float,
) -> None:
    """Writes what the fold's best model says of its held-out photos, and last what that scores."""
    table.write(folder.probabilities)
    scores = score(plan.scored_schema, plan.targets()[data.valid.indices], probabilities=table.probabilities)
    # The history counts all epochs, also those before a resume.
    seconds = sum(epoch["seconds"] for epoch in history) + judging
    summary = {"score": primary_score(scores), "seconds": seconds, "epochs": len(history)}
    write_json(folder.scores, {**summary, **scores.to_dict()})


@contextmanager
def _fitting() -> Iterator[None]:
    """Lightning at work, quietly. At Ctrl-C it leaves with the code of a failure; here that stays what it was."""
    with suppress_lightning_output():
        try:
            yield
        except SystemExit as end:
            raise KeyboardInterrupt from end


def _start(plan: TrainingPlan, kind: Kind, chance: Chance, screen: ProgressReporter) -> Network:
    """A new network: no weight is carried from fold to fold."""
    seed_torch(*chance, "start")
    network = prepare_network(plan.network(plan.recipe.model.pretrained), plan.recipe, kind)
    if plan.recipe.model.init_from:
        screen.line(f"start: {load_matching_weights(network, plan.recipe.model.init_from)}")
    if get_process_group().count > 1 and plan.recipe.trainer.device != "cpu" and torch.cuda.is_available():
        # Norms by the statistics of the whole batch, as one device would have them; torch has that for GPUs alone.
        network = convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
    return network


def _callbacks(
    plan: TrainingPlan, fold: int, data: FoldData, folder: FoldDir, screen: ProgressReporter, title: str
) -> list[Callback]:
    settings = plan.recipe.trainer
    callbacks: list[Callback] = [
        CheckpointCallback(
            folder, partial(model_facts, plan, fold), len(data.train), settings.save_every_n_steps, settings.save_top_k
        ),
        ProgressCallback(screen, title, len(data.train)),
    ]
    if settings.early_stopping_patience:
        # Judged right after validation, so that the epoch's checkpoint holds the count.
        stop = EarlyStopping(
            MONITOR, mode="max", patience=settings.early_stopping_patience, check_on_train_epoch_end=False
        )
        callbacks.insert(0, stop)
    return callbacks


def train_on_full_data(
    plan: TrainingPlan, kind: Kind, fold: int, data: FoldData, folder: FoldDir, screen: ProgressReporter
) -> None:
    """The last epochs, on the held-out photos too, as the two best teams trained; writes `final.safetensors`.

    The judged model stays what it is. The final one has no honest score of its own, and its file says so.
    """
    network, facts = load_model(folder.model)
    network = prepare_network(network, plan.recipe, kind).train()
    everyone = FoldDataset(
        data.train.frames, data.train.allowed, np.concatenate([data.train.indices, data.valid.indices])
    )
    chance: Chance = (plan.recipe.trainer.seed, "fold", fold, "finish")
    task = build_full_data_task(plan, network, everyone, chance)
    epochs = plan.recipe.trainer.full_data_epochs
    screen.line(f"the last {epochs} epochs on all {len(everyone):,} photos")
    trainer = make_trainer(plan, kind, [], epochs)
    with _fitting():
        trainer.fit(task, build_train_loader(plan, everyone, task))
    about = f"{facts.description}; then {epochs} epochs on all photos, so its scores are those of the model before them"
    if not get_process_group().is_rank_zero:
        return
    save_model(folder.final, task.network.state_dict(), facts.model_copy(update={"description": about}))


def evaluate_fold(plan: TrainingPlan, samples: FoldDataset, folder: FoldDir) -> ProbabilityTable:
    """What the fold's best model, read from its file, says of held-out photos."""
    network, _ = load_model(folder.model)
    probabilities = logits_to_probabilities(
        plan.train_schema, predict_logits(network, samples, plan.preprocessing.normalization)
    )
    names = tuple(plan.photos[place].name for place in samples.indices)
    truth = plan.scored_schema.to_class_index(plan.targets()[samples.indices])
    return ProbabilityTable(names, probabilities, truth)


def predict_logits(
    network: Network, samples: FoldDataset, normalising: Normalize, batch_size: int = 64
) -> dict[str, NDArray[np.float32]]:
    """Logits by head (photos, values) for stored frames, through the evaluation transform's own numbers."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = network.to(device).eval()
    collected: dict[str, list[NDArray[np.float32]]] = {head: [] for head in network.heads}
    with torch.inference_mode():
        for batch in ValLoader(samples, batch_size):
            photos = torch.from_numpy(normalising(batch["frames"].numpy())).to(device)
            for head, values in network(photos).items():
                collected[head].append(values.float().cpu().numpy())
    return {head: np.concatenate(rows) for head, rows in collected.items()}
