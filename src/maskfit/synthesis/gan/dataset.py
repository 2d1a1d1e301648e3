"""Training and held-out photos of a GAN, split by person."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from maskfit.data.label_codes import CodesOption
from maskfit.data.photo_dataset import PERSON_SEPARATOR, Photo, PhotoDataset
from maskfit.data.read_dataset import read_photos
from maskfit.data.splits import read_splits
from maskfit.errors import DataError
from maskfit.labels.schema import UNKNOWN, LabelSchema

Progress = Callable[[int, int], None]
"""Progress callback: (steps done, steps in total)."""


@dataclass(frozen=True)
class GanDataset:
    """The photos of a source, split by person.

    Attributes:
        source: Where they come from.
        label_schema: Schema of their labels.
        train: Photos to train on.
        held_out: Photos without any person of `train`.
    """

    source: Path
    label_schema: LabelSchema
    train: PhotoDataset
    held_out: PhotoDataset

    @property
    def persons(self) -> tuple[str, ...]:
        """Persons on the training photos, sorted."""
        return tuple(sorted({person for photo in self.train for person in photo.person.split(PERSON_SEPARATOR)}))

    def count_classes(self) -> dict[int, int]:
        """Counts the training photos of each class.

        Returns:
            Number of photos by class index; photos of unknown class are not counted.
        """
        classes = self.label_schema.to_class_index(self.train.attribute_indices(self.label_schema))
        counts = np.bincount(classes[classes != UNKNOWN], minlength=self.label_schema.num_classes)
        return {class_index: int(count) for class_index, count in enumerate(counts)}


def split_by_fold(
    source: Path, label_schema: LabelSchema, split_file: Path | None, fold: int, codes: CodesOption | None = None
) -> GanDataset:
    """Splits a source like a training on one fold; without a split file all photos are training photos.

    Args:
        source: A folder in the competition's layout, or a manifest.
        label_schema: Schema of the labels to read.
        split_file: Split file with columns `person,fold`; None for no split.
        fold: Index of the fold whose persons are held out.
        codes: Meanings of codes without words, as for `read_photos`.

    Returns:
        The dataset.

    Raises:
        DataError: Source or split file are invalid, a person has no fold, or the fold does not exist.
    """
    photos = read_photos(source, label_schema, codes)
    if split_file is None:
        return GanDataset(source, label_schema, photos, photos.select([]))
    train, valid = read_splits(split_file).split(photos, fold)
    return GanDataset(source, label_schema, photos.select(train), photos.select(valid))


def split_by_persons(
    source: Path, label_schema: LabelSchema, persons: Collection[str], codes: CodesOption | None = None
) -> GanDataset:
    """Splits a source into photos of given persons and all others.

    Args:
        source: A folder in the competition's layout, or a manifest.
        label_schema: Schema of the labels to read.
        persons: Persons that a generator was trained on.
        codes: Meanings of codes without words, as for `read_photos`.

    Returns:
        The dataset.

    Raises:
        DataError: The source is invalid, or none of the persons is in it.
    """
    photos = read_photos(source, label_schema, codes)
    known = set(persons)

    def indices(*, train: bool) -> list[int]:
        return [index for index, photo in enumerate(photos) if _is_known(photo, known) == train]

    dataset = GanDataset(source, label_schema, photos.select(indices(train=True)), photos.select(indices(train=False)))
    if not len(dataset.train):
        raise DataError(
            "the source has no photo of a person that the generator was trained on",
            location=source,
            hint="use the photos that the generator was trained on",
        )
    return dataset


def _is_known(photo: Photo, persons: set[str]) -> bool:
    return not persons.isdisjoint(photo.person.split(PERSON_SEPARATOR))
