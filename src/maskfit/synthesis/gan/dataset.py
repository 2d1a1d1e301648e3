"""What a GAN learns from and what it is judged by: the photos of persons it may know, and those of all others."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from maskfit.data.photo_dataset import PERSON_SEPARATOR, Photo, PhotoDataset
from maskfit.data.read_dataset import read_photos
from maskfit.data.splits import read_splits
from maskfit.errors import DataError
from maskfit.labels.schema import UNKNOWN, LabelSchema

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class GanDataset:
    """The photos of a source, parted by who is on them.

    Attributes:
        source: Where they come from.
        scheme: What their labels are about.
        learned: The photos to learn from.
        others: Those on which nobody is of whom a photo is learned from.
    """

    source: Path
    label_schema: LabelSchema
    train: PhotoDataset
    held_out: PhotoDataset

    @property
    def persons(self) -> tuple[str, ...]:
        """Everybody learned from, sorted."""
        return tuple(sorted({person for photo in self.train for person in photo.person.split(PERSON_SEPARATOR)}))

    def count_classes(self) -> dict[int, int]:
        """How many photos of each class are learned from, of those whose class is known."""
        classes = self.label_schema.to_class_index(self.train.attribute_indices(self.label_schema))
        numbers = np.bincount(classes[classes != UNKNOWN], minlength=self.label_schema.num_classes)
        return {number: int(count) for number, count in enumerate(numbers)}


def split_by_fold(source: Path, label_schema: LabelSchema, folds: Path | None, fold: int) -> GanDataset:
    """Parts a source as a training on a fold does; without folds everybody is learned from.

    Args:
        source: A folder in the competition's layout, or a manifest.
        scheme: Which labels are read.
        folds: A split file, `person,fold`.
        fold: Which fold's persons are held out.

    Raises:
        DataError: Source or split file are wrong, a person has no fold, or there is no such fold.
    """
    photos = read_photos(source, label_schema)
    if folds is None:
        return GanDataset(source, label_schema, photos, photos.select([]))
    train, valid = read_splits(folds).split(photos, fold)
    return GanDataset(source, label_schema, photos.select(train), photos.select(valid))


def split_by_persons(source: Path, label_schema: LabelSchema, persons: Collection[str]) -> GanDataset:
    """Parts a source by whom a generator learned from.

    Raises:
        DataError: The source is wrong, or nobody of them is in it.
    """
    photos = read_photos(source, label_schema)
    known = set(persons)

    def places(*, train: bool) -> list[int]:
        return [place for place, photo in enumerate(photos) if _is_known(photo, known) == train]

    dataset = GanDataset(source, label_schema, photos.select(places(train=True)), photos.select(places(train=False)))
    if not len(dataset.train):
        raise DataError(
            "nobody of whom the generator learned is on these photos",
            location=source,
            hint="give the photos it learned from",
        )
    return dataset


def _is_known(photo: Photo, persons: set[str]) -> bool:
    return not persons.isdisjoint(photo.person.split(PERSON_SEPARATOR))
