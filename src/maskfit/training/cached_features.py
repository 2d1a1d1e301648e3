"""Trains heads on backbone features that are computed once: minutes instead of hours, since the backbone stays fixed.

The features of every photo, as prediction sees it and in some augmented copies, are computed by the first fold and kept
beside the image cache; the other folds, and later runs with the same start, read them. A step then costs what the
heads cost. The model files hold backbone and heads as any other.

Sources: training a linear classifier on fixed features (Donahue et al. 2014, DeCAF; Kornblith et al. 2019).
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from numpy.typing import NDArray
from torch import Tensor, nn

from maskfit.data.image_cache.cache import default_cache_dir
from maskfit.data.image_cache.files import FEATURES_FOLDER, LOCK_SUFFIX
from maskfit.file_io import atomic_write
from maskfit.file_locks import acquire_lock
from maskfit.models.backbones import Backbone
from maskfit.models.network import Network
from maskfit.training.augment.batch_mixing import MixedBatch
from maskfit.training.builders import uses_cuda
from maskfit.training.data_loaders import Batch, FoldDataset, PhotoSource
from maskfit.training.plan import TrainingPlan
from maskfit.training.progress_reporting import FoldProgress, ProgressReporter
from maskfit.training.seeding import seed_torch
from maskfit.training.task import ClassificationTask
from maskfit.training.warm_start import start_path

FORMAT_VERSION = 1
"""Part of every file's name; incremented when features are computed in another way."""

TITLE = "features"
"""Title of their progress."""

BATCH_SIZE = 64
"""Photos whose features are computed together."""


@dataclass(frozen=True)
class CachedFeatures:
    """Backbone features of photos, in place of their pixels.

    Attributes:
        values: (copies, photos, features), float32; the first copy is the photo as prediction sees it.
    """

    values: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.values[0])

    def gather(self, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """Copies the features of photos.

        Args:
            indices: Positions in the dataset.

        Returns:
            (indices, copies, features).
        """
        return np.ascontiguousarray(self.values[:, indices].transpose(1, 0, 2))


def without_backbone(network: Network) -> Network:
    """Returns a network of the same head, whose input are features.

    Args:
        network: The network.

    Returns:
        The network; head and age regressor are shared.
    """
    own = network.backbone
    return Network(
        Backbone(nn.Identity(), own.features, own.mean, own.std, own.filter), network.head, network.age_regressor
    )


class HeadTask(ClassificationTask):
    """Trains the heads of a network on cached features; a training photo is one of its copies, drawn in each step."""

    backbone_weights: dict[str, Tensor]

    @classmethod
    def with_backbone(cls, backbone: nn.Module) -> Callable[..., HeadTask]:
        """Returns the constructor of tasks whose saved models contain a backbone.

        Args:
            backbone: The backbone that computed the features.

        Returns:
            A function with the arguments of `ClassificationTask`.
        """

        def build(*arguments: Any, **options: Any) -> HeadTask:
            task = cls(*arguments, **options)
            task.backbone_weights = {f"backbone.{name}": value for name, value in backbone.state_dict().items()}
            return task

        return build

    def model_weights(self) -> dict[str, Any]:
        """Returns the weights of the model to save: the fixed backbone and the trained heads."""
        return {**self.backbone_weights, **super().model_weights()}

    def augment(self, batch: Batch, step: int) -> tuple[Tensor, MixedBatch | None]:
        """Draws one copy of each photo.

        Args:
            batch: The batch; `images` are features (batch, copies, features).
            step: Its number in the training, from 0.

        Returns:
            Features (batch, features); nothing is mixed.
        """
        seed_torch(*self.seed_key, "step", step)
        features: Tensor = batch["images"]
        drawn = torch.randint(features.shape[1], (len(features),))
        return features[torch.arange(len(features)), drawn.to(features.device)], None

    def val_inputs(self, batch: Batch) -> Tensor:
        """Returns the features of held-out photos.

        Args:
            batch: The batch; `images` are features (batch, copies, features).

        Returns:
            The first copy, (batch, features).
        """
        images: Tensor = batch["images"]
        return images[:, 0]

    def normalize(self, images: Tensor) -> Tensor:
        """Returns features as they are.

        Args:
            images: (batch, features).

        Returns:
            The same.
        """
        return images


def open_features(
    plan: TrainingPlan,
    task: ClassificationTask,
    train_images: PhotoSource,
    val_images: PhotoSource,
    reporter: ProgressReporter,
) -> CachedFeatures:
    """Opens the features of the whole dataset; computes them where they are not kept yet.

    Args:
        plan: The recipe on its data.
        task: A task of the whole network, with the weights, the augmentation and the normalization of training.
        train_images: Cached images at the size that augmentation crops from.
        val_images: Cached images as prediction sees them, of the photos that are held out in some fold.
        reporter: Shows the progress.

    Returns:
        The features.

    Raises:
        DataError: The file system of the cache refuses locks.
    """
    recipe = plan.recipe
    folder = (Path(recipe.data.cache_dir) if recipe.data.cache_dir else default_cache_dir()) / FEATURES_FOLDER
    path = folder / f"{_key(plan, train_images)}.npy"
    folder.mkdir(parents=True, exist_ok=True)
    # Folds that are trained in parallel wait for the one that computes.
    with acquire_lock(
        FileLock(path.with_suffix(LOCK_SUFFIX)),
        "set data.cache_dir=DIR to another folder",
        on_wait=lambda: reporter.line(f"features: another process is computing {path}; waiting until it is done"),
    ):
        shape = (1 + (recipe.trainer.cached_features or 0), len(train_images), task.network.backbone.features)
        values = _read_features(path, shape)
        if values is None:
            if path.is_file():
                reporter.line(f"features: {path} is damaged; they are computed again")
            computed = _compute_features(plan, task, train_images, val_images, reporter)
            with atomic_write(path, needed=computed.nbytes) as temporary, temporary.open("wb") as stream:
                np.save(stream, computed)
            values = np.load(path, mmap_mode="r")
    # `maskfit data cache` shows and sorts by the last use.
    os.utime(path)
    return CachedFeatures(values)


def _read_features(path: Path, shape: tuple[int, int, int]) -> NDArray[np.float32] | None:
    """Opens a file of features; None where there is none, or no whole one of this shape."""
    if not path.is_file():
        return None
    try:
        values = np.load(path, mmap_mode="r")
    except (ValueError, EOFError, SyntaxError):
        return None
    return values if values.shape == shape and values.dtype == np.float32 else None


def with_features(dataset: FoldDataset, features: CachedFeatures) -> FoldDataset:
    """Returns a side of a fold whose photos are features.

    Args:
        dataset: The side.
        features: Features of the whole dataset.

    Returns:
        The side.
    """
    return FoldDataset(features, dataset.allowed, dataset.indices)


def _key(plan: TrainingPlan, images: PhotoSource) -> str:
    """Name of the features: a hash of all that they depend on."""
    recipe = plan.recipe
    files = [start_path(recipe.model), Path(recipe.model.pretrained)]
    words = [
        FORMAT_VERSION,
        recipe.model.backbone.model_dump_json(),
        recipe.model.pretrained,
        *(hashlib.sha256(path.read_bytes()).hexdigest() for path in files if path is not None and path.is_file()),
        plan.preprocessing.model_dump_json(),
        recipe.data.train_resize_scale,
        recipe.augmentation.model_dump_json(),
        recipe.trainer.cached_features,
        recipe.trainer.seed,
        plan.val_indices(),
    ]
    digest = hashlib.sha256(repr(words).encode())
    for indices in _batches(len(images)):
        digest.update(images.gather(indices).tobytes())
    return digest.hexdigest()[:32]


def _batches(count: int) -> Iterator[NDArray[np.int64]]:
    for begin in range(0, count, BATCH_SIZE):
        yield np.arange(begin, min(begin + BATCH_SIZE, count))


@torch.inference_mode()
def _compute_features(
    plan: TrainingPlan,
    task: ClassificationTask,
    train_images: PhotoSource,
    val_images: PhotoSource,
    reporter: ProgressReporter,
) -> NDArray[np.float32]:
    """Returns (copies, photos, features); of photos that are never held out, the first copy is augmented as well."""
    copies = 1 + (plan.recipe.trainer.cached_features or 0)
    device = torch.device("cuda" if uses_cuda(plan) else "cpu")
    task = task.to(device).eval()
    held_out = np.isin(np.arange(len(train_images)), plan.val_indices())
    values = np.empty((copies, len(train_images), task.network.backbone.features), np.float32)
    start, total = time.perf_counter(), copies * len(train_images)
    for copy in range(copies):
        for indices in _batches(len(train_images)):
            seed_torch(plan.recipe.trainer.seed, "features", copy, int(indices[0]))
            plain = held_out[indices] if copy == 0 else np.zeros(len(indices), bool)
            # Both may be the same images, where augmentation crops from the size that prediction sees.
            for chosen, images, to_inputs in (
                (indices[plain], val_images, task.val_inputs),
                (indices[~plain], train_images, task.augmented_inputs),
            ):
                if len(chosen):
                    inputs = to_inputs({"images": torch.from_numpy(images.gather(chosen)).to(device)})
                    values[copy, chosen] = task.network.forward_features(inputs).float().cpu().numpy()
            done, seconds = copy * len(train_images) + int(indices[-1]) + 1, time.perf_counter() - start
            rate = done / seconds
            copy_name = f"copy {copy + 1}/{copies}"
            reporter.show(FoldProgress(TITLE, copy_name, done, total, rate, (total - done) / rate))
    reporter.end(TITLE)
    # The head is trained next, with its dropout; Lightning leaves the mode as it is.
    task.train()
    return values


def predict_head_logits(network: Network, dataset: FoldDataset) -> dict[str, NDArray[np.float32]]:
    """Computes logits of held-out photos from their features, as the backbone would give them.

    Args:
        network: The network of a saved model.
        dataset: The photos, as features.

    Returns:
        Head name to logits, (photos, values).
    """
    network = network.cpu().eval()
    features = torch.from_numpy(dataset.images.gather(dataset.indices)[:, 0])
    with torch.inference_mode():
        return {head: values.float().numpy() for head, values in network.forward_head(features).items()}
