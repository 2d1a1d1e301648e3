"""A maskfit model that evaluates generated faces: its features and predictions, and the persons it was trained on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from maskfit.data.image_cache.cache import open_image_cache
from maskfit.data.photo_dataset import PhotoDataset
from maskfit.data.preprocessing import ImageBatch
from maskfit.data.splits import read_splits
from maskfit.errors import ModelFileError
from maskfit.labels.schema import FloatArray, IntArray, LabelSchema, logits_to_probabilities
from maskfit.model_file import load_model
from maskfit.run_dir import RunDir, is_run_dir
from maskfit.thread_pool import thread_pool

BATCH_SIZE = 64
"""Images per forward pass."""

Advance = Callable[[int], None]
"""Progress callback: number of further images processed."""


class JudgeOutput(NamedTuple):
    """Features and predictions of some images.

    Attributes:
        features: Backbone features, shape (images, features).
        predictions: Attribute indices in the official schema, shape (images, attributes).
    """

    features: FloatArray
    predictions: IntArray


class JudgeClassifier:
    """A trained classifier that is applied to photos and generated faces through its own evaluation transform.

    Args:
        path: A `.safetensors` model; other formats give no features.
        label_schema: Attributes that it must predict.

    Raises:
        ModelFileError: The file is no such model, or it predicts other attributes.

    Attributes:
        path: Path of the model file.
        label_schema: The label schema.
        metadata: The model's metadata.
        device: CUDA if available, else the CPU.
        network: The network, in channels_last layout.
    """

    def __init__(self, path: Path, label_schema: LabelSchema) -> None:
        """Loads the model; arguments as for the class."""
        self.path = path
        self.label_schema = label_schema
        network, self.metadata = load_model(path)
        if _attributes_of(self.metadata.label_schema.scored_schema()) != _attributes_of(label_schema):
            raise ModelFileError(
                f"label schemas differ: the model predicts {' x '.join(self.metadata.label_schema.names)}, the faces "
                f"are conditioned on {' x '.join(label_schema.names)}, or the values differ",
                location=path,
                hint="use a model of the same label schema",
            )
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.network = network.to(self.device).to(memory_format=torch.channels_last)

    def training_persons(self) -> set[str] | None:
        """Returns the persons it was trained on, by the splits of the run that it is stored in.

        Returns:
            The persons; None where the file is not in a run's fold folder.

        Raises:
            DataError: The run's split file is damaged.
        """
        folder = self.path.resolve().parent
        fold_name, run = folder.name.removeprefix("fold"), RunDir(folder.parent)
        if not (fold_name.isdecimal() and is_run_dir(run.path) and run.splits.is_file()):
            return None
        return {person for person, fold in read_splits(run.splits).fold_of_person.items() if fold != int(fold_name)}

    def predict_photos(self, photos: PhotoDataset, cache_dir: Path | None, advance: Advance) -> JudgeOutput:
        """Predicts photos on disk.

        Args:
            photos: The photos.
            cache_dir: Folder of the image cache; None for the user's cache.
            advance: Progress callback.

        Returns:
            Features and predictions.

        Raises:
            DataError: A photo cannot be read.
        """
        cached = open_image_cache(photos.photos, self.metadata.preprocessing.crop_resize, folder=cache_dir)
        return self._predict(cached.gather, len(photos), advance)

    def predict_images(self, faces: ImageBatch, advance: Advance) -> JudgeOutput:
        """Predicts images as if they were photos of this size.

        Args:
            faces: RGB images, uint8 of shape (images, side, side, 3).
            advance: Progress callback.

        Returns:
            Features and predictions.
        """
        frame = self.metadata.preprocessing.crop_resize.__call__
        with thread_pool() as pool:
            return self._predict(lambda places: np.stack(list(pool.map(frame, faces[places]))), len(faces), advance)

    def _predict(self, frames: Callable[[NDArray[np.int64]], ImageBatch], count: int, advance: Advance) -> JudgeOutput:
        features, predictions = [], []
        for start in range(0, count, BATCH_SIZE):
            batch = frames(np.arange(start, min(start + BATCH_SIZE, count)))
            photos = torch.from_numpy(self.metadata.preprocessing.normalization(batch)).to(self.device)
            with torch.inference_mode():
                batch_features = self.network.forward_features(photos)
                logits = {
                    head: rows.float().cpu().numpy() for head, rows in self.network.forward_head(batch_features).items()
                }
            features.append(batch_features.double().cpu().numpy())
            predictions.append(
                self.label_schema.to_attribute_indices(
                    logits_to_probabilities(self.metadata.label_schema, logits).argmax(axis=1)
                )
            )
            advance(len(batch))
        return JudgeOutput(np.concatenate(features), np.concatenate(predictions))


def _attributes_of(label_schema: LabelSchema) -> list[tuple[str, tuple[str, ...]]]:
    return [(attribute.name, attribute.values) for attribute in label_schema.attributes]
