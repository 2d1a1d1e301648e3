"""Trains one fold of a run and evaluates its best model on the held-out persons."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from maskfit.config.monitor import parse_monitor
from maskfit.data.image_cache.cache import CachedImages
from maskfit.data.preprocessing import Normalize
from maskfit.errors import RunError
from maskfit.evaluation.probability_table import ProbabilityTable
from maskfit.evaluation.scores import score
from maskfit.file_io import write_json
from maskfit.labels.age_distribution import narrow_age_bands
from maskfit.labels.schema import logits_to_probabilities
from maskfit.model_file import load_model, save_model
from maskfit.models.backbone_names import FACES
from maskfit.models.network import Network
from maskfit.run_dir import FoldDir
from maskfit.text import format_count
from maskfit.training.builders import (
    build_full_data_task,
    build_model_metadata,
    build_task,
    build_train_loader,
    build_trainer,
    build_val_loader,
    suppress_lightning_output,
)
from maskfit.training.cached_features import (
    CachedFeatures,
    HeadTask,
    open_features,
    predict_head_logits,
    with_features,
    without_backbone,
)
from maskfit.training.callbacks import CheckpointCallback, EpochCallback, EpochListener, ProgressCallback
from maskfit.training.data_loaders import FoldDataset, ValLoader
from maskfit.training.exported_start import NUM_STATISTICS_PHOTOS
from maskfit.training.lightning_api import Callback, EarlyStopping
from maskfit.training.logger_images import LoggerImagesCallback
from maskfit.training.loggers import LOGGERS
from maskfit.training.network_setup import prepare_network
from maskfit.training.parallel.distributed import get_process_group
from maskfit.training.plan import TrainingPlan
from maskfit.training.precision import Kind
from maskfit.training.progress_reporting import ProgressReporter
from maskfit.training.seeding import SeedKey, seed_torch
from maskfit.training.task import primary_score
from maskfit.training.warm_start import STATISTICS_BATCH, prepare_face_weights, start_network


@dataclass(frozen=True, eq=False)
class StartNetwork:
    """The network that a fold starts from, built before the fold is trained.

    Attributes:
        network: The network, with its pretrained weights.
        rng_state: State of torch's generator after it was built.
    """

    network: Network
    rng_state: torch.Tensor


def build_start_network(plan: TrainingPlan, fold: int) -> StartNetwork:
    """Builds the network that a fold starts from; torch's generators are seeded.

    Args:
        plan: The recipe on its data.
        fold: The fold, from 0.

    Returns:
        The network.

    Raises:
        ModelFileError: The pretrained weights are not available or do not fit.
    """
    _seed_start(plan, fold)
    network = plan.network(plan.recipe.model.pretrained)
    return StartNetwork(network, torch.get_rng_state())


def _seed_start(plan: TrainingPlan, fold: int) -> None:
    seed = plan.recipe.trainer.seed
    # Features are computed once for all folds, so that all of them start from the same weights.
    seed_torch(*((seed, "fold", fold) if plan.recipe.trainer.cached_features is None else (seed,)), "start")


@dataclass(frozen=True)
class FoldData:
    """The photos of one fold.

    Attributes:
        train: Training photos, at the cached size that augmentation crops from.
        valid: Validation photos, preprocessed as in prediction.
    """

    train: FoldDataset
    valid: FoldDataset


def build_fold_data(plan: TrainingPlan, fold: int, train_images: CachedImages, val_images: CachedImages) -> FoldData:
    """Builds the two sides of a fold.

    Args:
        plan: The recipe on its data.
        fold: The fold, from 0.
        train_images: Cached images for training.
        val_images: Cached images for validation.

    Returns:
        The photos of the fold.
    """
    train, valid = plan.split(fold)
    return FoldData(
        FoldDataset(train_images, plan.allowed_masks, train), FoldDataset(val_images, plan.allowed_masks, valid)
    )


def train_fold(
    plan: TrainingPlan,
    kind: Kind,
    fold: int,
    data: FoldData,
    folder: FoldDir,
    reporter: ProgressReporter,
    listener: EpochListener | None = None,
    start: StartNetwork | None = None,
) -> ProbabilityTable:
    """Trains a fold to its end, from its last checkpoint where there is one, and evaluates its best model.

    Args:
        plan: The recipe on its data.
        kind: The run's precision.
        fold: The fold, from 0.
        data: Its photos.
        folder: Output folder; training resumes from a checkpoint in it.
        reporter: Shows the progress.
        listener: Called after each epoch; may stop the training.
        start: What `build_start_network` built for this fold, which is changed; it is built here by default.

    Returns:
        The held-out photos with their official probabilities and class, in the order of the dataset.

    Raises:
        RunError: The logits are not finite.
        TrainingStopped: The listener stopped the training.
    """
    recipe = plan.recipe
    seed_key: SeedKey = (recipe.trainer.seed, "fold", fold)
    title = f"fold {fold + 1} of {plan.folds.num_folds}" if plan.folds.num_folds > 1 else "training"
    network = _build_network(plan, kind, data, fold, reporter, start)
    task = build_task(plan, network, data.train, seed_key)
    seen = data
    if recipe.trainer.cached_features is not None:
        features = open_features(plan, task, data.train.images, data.valid.images, reporter)
        seen = FoldData(with_features(data.train, features), with_features(data.valid, features))
        build = HeadTask.with_backbone(network.backbone)
        task = build_task(plan, without_backbone(network), seen.train, seed_key, build)
    loggers = [LOGGERS[name](recipe, folder.path, f"{recipe.name}, {title}") for name in recipe.trainer.loggers]
    callbacks = _build_callbacks(plan, fold, data, folder, reporter, title)
    if loggers:
        callbacks.append(LoggerImagesCallback(data.valid))
    if listener is not None:
        callbacks.append(EpochCallback(fold, listener))
    trainer = build_trainer(plan, kind, callbacks, recipe.trainer.epochs, loggers)
    process_group = get_process_group()
    val_loader = build_val_loader(plan, seen.valid)
    resume = folder.checkpoint if folder.checkpoint.is_file() else None
    if resume:
        _check_resumable(resume, task)
    with _quiet_fit():
        trainer.fit(task, build_train_loader(plan, seen.train, task), val_loader, ckpt_path=resume, weights_only=True)
    fit_end = time.perf_counter()
    table = process_group.on_rank_zero(lambda: evaluate_fold(plan, seen.valid, folder))
    if recipe.trainer.full_data_epochs:
        train_on_full_data(plan, kind, fold, data, folder, reporter)
    if process_group.is_rank_zero:
        _write_results(plan, data, folder, table, task.history, time.perf_counter() - fit_end)
    process_group.barrier()
    return table


def _check_resumable(path: Path, task: torch.nn.Module) -> None:
    """Checks that a checkpoint has the task's weights by name; versions before the public API named them otherwise.

    Raises:
        RunError: It has other weights.
    """
    saved = torch.load(path, map_location="cpu", weights_only=True, mmap=True)["state_dict"]
    expected = task.state_dict()
    unknown = [name for name in saved if name not in expected]
    missing = [name for name in expected if name not in saved]
    if unknown or missing:
        raise RunError(
            f"this checkpoint is of another network or of another version of maskfit: "
            f"{format_count(len(unknown), 'weight is', 'weights are')} unknown and {len(missing)} missing, such as "
            f"{(unknown or missing)[0]}",
            location=path,
            hint="resume with the version that wrote it, or delete this file and --resume: the fold then starts again",
        )


def _write_results(
    plan: TrainingPlan,
    data: FoldData,
    folder: FoldDir,
    table: ProbabilityTable,
    history: Sequence[dict[str, float]],
    evaluation_seconds: float,
) -> None:
    """Writes the probabilities of the fold's best model and, last, their scores, which mark the fold as done."""
    table.write(folder.probabilities)
    scores = score(plan.scored_schema, plan.targets[data.valid.indices], probabilities=table.probabilities)
    # The history covers all epochs, also those before a resume.
    seconds = sum(epoch["seconds"] for epoch in history) + evaluation_seconds
    summary = {"score": primary_score(scores), "seconds": seconds, "epochs": len(history)}
    write_json(folder.scores, {**summary, **scores.to_dict()})


@contextmanager
def _quiet_fit() -> Iterator[None]:
    """Runs Lightning without its output, and turns the SystemExit that it raises at Ctrl-C into KeyboardInterrupt."""
    with suppress_lightning_output():
        try:
            yield
        except SystemExit as end:
            raise KeyboardInterrupt from end


def _build_network(
    plan: TrainingPlan,
    kind: Kind,
    data: FoldData,
    fold: int,
    reporter: ProgressReporter,
    start: StartNetwork | None,
) -> Network:
    """Builds a new network, or prepares the one that was built for this fold; none is carried over between folds."""
    if start is None:
        network = build_start_network(plan, fold).network
    else:
        network = start.network
        # Further draws must not depend on when it was built.
        _seed_start(plan, fold)
        torch.set_rng_state(start.rng_state)
    model = plan.recipe.model
    if model.init_from or model.pretrained == FACES:
        photos = data.train
        if plan.recipe.trainer.cached_features is not None:
            # The same photos in each fold: features must not depend, in their last bits, on which fold computes them.
            photos = FoldDataset(photos.images, photos.allowed, np.arange(len(photos.images)))
        # BatchNorm statistics matter to training with them, not to a fixed backbone.
        count = NUM_STATISTICS_PHOTOS if plan.recipe.trainer.cached_features is None else STATISTICS_BATCH
        normalization = plan.preprocessing.normalization
        if model.pretrained == FACES:
            reporter.line(f"model.pretrained: {prepare_face_weights(network, photos, normalization, count)}")
        if model.init_from:
            reporter.line(f"model.init_from: {start_network(network, model, photos, normalization, count)}")
    network = prepare_network(network, plan.recipe.trainer, kind)
    if get_process_group().world_size > 1 and plan.recipe.trainer.device != "cpu" and torch.cuda.is_available():
        from timm.layers.norm_act import convert_sync_batchnorm

        # BatchNorm over the whole batch, as on one device; torch supports SyncBatchNorm on GPUs only.
        network = convert_sync_batchnorm(network)
    return network


def _build_callbacks(
    plan: TrainingPlan, fold: int, data: FoldData, folder: FoldDir, reporter: ProgressReporter, title: str
) -> list[Callback]:
    settings = plan.recipe.trainer
    monitor = parse_monitor(settings.monitor, plan.scored_schema.names)
    callbacks: list[Callback] = [
        CheckpointCallback(
            folder,
            partial(build_model_metadata, plan, fold),
            len(data.train),
            settings.save_every_n_steps,
            settings.save_top_k,
            monitor,
            settings.save_every_n_epochs,
        ),
        ProgressCallback(reporter, title, len(data.train), monitor),
    ]
    if settings.early_stopping_patience and monitor is not None:
        # Counts right after validation, before the epoch's checkpoint is saved, so that the checkpoint holds the count.
        stop = EarlyStopping(
            monitor.metric,
            mode=monitor.mode,
            patience=settings.early_stopping_patience,
            check_on_train_epoch_end=False,
        )
        callbacks.insert(0, stop)
    return callbacks


def train_on_full_data(
    plan: TrainingPlan, kind: Kind, fold: int, data: FoldData, folder: FoldDir, reporter: ProgressReporter
) -> None:
    """Trains further epochs on training and validation photos and saves the result as the full-data model.

    The two best teams of the competition trained this way. The evaluated model stays as it is. The full-data model has
    no unbiased score of its own, and its metadata says so.

    Args:
        plan: The recipe on its data.
        kind: The run's precision.
        fold: The fold, from 0.
        data: Its photos.
        folder: Its folder, which holds the evaluated model.
        reporter: Shows the progress.
    """
    network, metadata = load_model(folder.model)
    network = prepare_network(network, plan.recipe.trainer, kind).train()
    dataset = FoldDataset(
        data.train.images, data.train.allowed, np.concatenate([data.train.indices, data.valid.indices])
    )
    seed_key: SeedKey = (plan.recipe.trainer.seed, "fold", fold, "finish")
    task = build_full_data_task(plan, network, dataset, seed_key)
    epochs = plan.recipe.trainer.full_data_epochs
    reporter.line(f"training {format_count(epochs, 'more epoch')} on all {format_count(len(dataset), 'photo')}")
    trainer = build_trainer(plan, kind, [], epochs)
    with _quiet_fit():
        trainer.fit(task, build_train_loader(plan, dataset, task))
    if not get_process_group().is_rank_zero:
        return
    description = (
        f"{metadata.description}; then {format_count(epochs, 'epoch')} on all photos; its "
        "scores are those of the model before them"
    )
    save_model(
        folder.full_data_model, task.network.state_dict(), metadata.model_copy(update={"description": description})
    )


def evaluate_fold(plan: TrainingPlan, dataset: FoldDataset, folder: FoldDir) -> ProbabilityTable:
    """Predicts held-out photos with the fold's best model, read from its file.

    Args:
        plan: The recipe on its data.
        dataset: The held-out photos.
        folder: The fold's folder.

    Returns:
        The photos with their official probabilities and class. The probabilities of narrow age bands are written into
            the folder.
    """
    network, _ = load_model(folder.model)
    if isinstance(dataset.images, CachedFeatures):
        logits = predict_head_logits(network, dataset)
    else:
        logits = predict_logits(network, dataset, plan.preprocessing.normalization)
    probabilities = logits_to_probabilities(plan.train_schema, logits)
    names = tuple(plan.photos[index].name for index in dataset.indices)
    narrow = narrow_age_bands(plan.train_schema, logits)
    if narrow is not None:
        ProbabilityTable(names, narrow).write(folder.age_bands)
    return ProbabilityTable(names, probabilities, plan.class_indices[dataset.indices])


def predict_logits(
    network: Network, dataset: FoldDataset, normalization: Normalize, batch_size: int = 64
) -> dict[str, NDArray[np.float32]]:
    """Computes the logits of cached images, with the input normalization of prediction.

    Args:
        network: The network; it is moved to the GPU where there is one.
        dataset: The photos.
        normalization: Input normalization.
        batch_size: Photos per batch, >= 1.

    Returns:
        Head name to logits, (photos, values).
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = network.to(device).eval()
    collected: dict[str, list[NDArray[np.float32]]] = {head: [] for head in network.heads}
    with torch.inference_mode():
        for batch in ValLoader(dataset, batch_size):
            images = torch.from_numpy(normalization(batch["images"].numpy())).to(device)
            for head, values in network(images).items():
                collected[head].append(values.float().cpu().numpy())
    return {head: np.concatenate(rows) for head, rows in collected.items()}
