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

from maskfit.data.store import StoredFrames
from maskfit.data.transforms import Normalising
from maskfit.evaluation.scores import score
from maskfit.evaluation.tables import ProbabilityTable
from maskfit.files import write_json
from maskfit.labels import answer
from maskfit.modelfile import load_network, write_model
from maskfit.models.network import Network
from maskfit.runfolder import FoldFolder
from maskfit.training.assembly import (
    Chance,
    make_batches,
    make_finishing_task,
    make_task,
    make_trainer,
    make_validation_batches,
    model_facts,
    quiet,
)
from maskfit.training.batches import Samples, ValidationBatches
from maskfit.training.chance import set_chance
from maskfit.training.economy import prepare
from maskfit.training.keeper import Keeper
from maskfit.training.logbooks import LOGBOOKS
from maskfit.training.plan import Plan
from maskfit.training.precision import Kind
from maskfit.training.progress import TrainingProgress
from maskfit.training.ranks import current
from maskfit.training.screen import Screen
from maskfit.training.starting import start_from
from maskfit.training.task import MONITOR, headline
from maskfit.training.watching import Watch, Watching


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


def train_fold(
    plan: Plan, kind: Kind, fold: int, data: FoldData, folder: FoldFolder, screen: Screen, watch: Watch | None = None
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
    loggers = [LOGBOOKS[name](recipe, folder.path, f"{recipe.name}, {title}") for name in recipe.trainer.loggers]
    callbacks = _callbacks(plan, fold, data, folder, screen, title)
    if watch is not None:
        callbacks.append(Watching(fold, watch))
    trainer = make_trainer(plan, kind, callbacks, recipe.trainer.epochs, loggers)
    ranks = current()
    valid = make_validation_batches(plan, data.valid)
    resume = folder.checkpoint if folder.checkpoint.is_file() else None
    with _fitting():
        trainer.fit(task, make_batches(plan, data.train, task), valid, ckpt_path=resume, weights_only=True)
    trained = time.perf_counter()
    table = ranks.once(lambda: judge(plan, data.valid, folder))
    if recipe.trainer.finish:
        finish_fold(plan, kind, fold, data, folder, screen)
    if ranks.first:
        _tell(plan, data, folder, table, task.history, time.perf_counter() - trained)
    ranks.wait()
    return table


def _tell(
    plan: Plan, data: FoldData, folder: FoldFolder, table: ProbabilityTable, history: Sequence[dict[str, float]],
    judging: float,
) -> None:  # fmt: skip
    """Writes what the fold's best model says of its held-out photos, and last what that scores."""
    table.write(folder.probabilities)
    scores = score(plan.official, plan.truth()[data.valid.indices], probabilities=table.probabilities)
    # The history counts all epochs, also those before a resume.
    seconds = sum(epoch["seconds"] for epoch in history) + judging
    summary = {"score": headline(scores), "seconds": seconds, "epochs": len(history)}
    write_json(folder.scores, {**summary, **scores.to_dict()})


@contextmanager
def _fitting() -> Iterator[None]:
    """Lightning at work, quietly. At Ctrl-C it leaves with the code of a failure; here that stays what it was."""
    with quiet():
        try:
            yield
        except SystemExit as end:
            raise KeyboardInterrupt from end


def _start(plan: Plan, kind: Kind, chance: Chance, screen: Screen) -> Network:
    """A new network: no weight is carried from fold to fold."""
    set_chance(*chance, "start")
    network = prepare(plan.network(plan.recipe.model.weights), plan.recipe, kind)
    if plan.recipe.model.start:
        screen.line(f"start: {start_from(network, plan.recipe.model.start)}")
    if current().count > 1 and plan.recipe.trainer.device != "cpu" and torch.cuda.is_available():
        # Norms by the statistics of the whole batch, as one device would have them; torch has that for GPUs alone.
        network = convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
    return network


def _callbacks(plan: Plan, fold: int, data: FoldData, folder: FoldFolder, screen: Screen, title: str) -> list[Callback]:
    settings = plan.recipe.trainer
    callbacks: list[Callback] = [
        Keeper(folder, partial(model_facts, plan, fold), len(data.train), settings.checkpoint_steps, settings.top),
        TrainingProgress(screen, title, len(data.train)),
    ]
    if settings.patience:
        # Judged right after validation, so that the epoch's checkpoint holds the count.
        stop = EarlyStopping(MONITOR, mode="max", patience=settings.patience, check_on_train_epoch_end=False)
        callbacks.insert(0, stop)
    return callbacks


def finish_fold(plan: Plan, kind: Kind, fold: int, data: FoldData, folder: FoldFolder, screen: Screen) -> None:
    """The last epochs, on the held-out photos too, as the two best teams trained; writes `final.safetensors`.

    The judged model stays what it is. The final one has no honest score of its own, and its file says so.
    """
    network, facts = load_network(folder.model)
    network = prepare(network, plan.recipe, kind).train()
    everyone = Samples(data.train.frames, data.train.allowed, np.concatenate([data.train.indices, data.valid.indices]))
    chance: Chance = (plan.recipe.trainer.seed, "fold", fold, "finish")
    task = make_finishing_task(plan, network, everyone, chance)
    epochs = plan.recipe.trainer.finish
    screen.line(f"the last {epochs} epochs on all {len(everyone):,} photos")
    trainer = make_trainer(plan, kind, [], epochs)
    with _fitting():
        trainer.fit(task, make_batches(plan, everyone, task))
    about = f"{facts.about}; then {epochs} epochs on all photos, so its scores are those of the model before them"
    if not current().first:
        return
    write_model(folder.final, task.network.state_dict(), facts.model_copy(update={"about": about}))


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
