"""Pools predictions over the photos of a person: gender and age belong to the person, a mask to the photo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maskfit.data.face_boxes import split_name
from maskfit.errors import DataError
from maskfit.inference.prediction import BatchPredictions
from maskfit.labels.age_distribution import AgeTable, concat_ages
from maskfit.labels.schema import FloatArray, LabelSchema
from maskfit.text import format_count

PER_PHOTO = ("mask",)
"""Attributes that may differ between photos of one person, and are never pooled."""

MAX_SHOWN = 3
"""How many photos a message names."""


@dataclass(frozen=True)
class PooledPredictions:
    """Predictions after pooling.

    Attributes:
        predictions: The photos in their order, with pooled probabilities.
        pooled: Attributes that were pooled.
        num_persons: Number of persons with several photos.
        num_photos: Number of their photos.
        num_changed: Number of photos whose class is another one than before.
    """

    predictions: BatchPredictions
    pooled: tuple[str, ...]
    num_persons: int
    num_photos: int
    num_changed: int

    def __str__(self) -> str:
        if not self.num_persons:
            return "by person: no person has several photos, so nothing is pooled"
        return (
            f"by person: {', '.join(self.pooled)} pooled over {format_count(self.num_photos, 'photo')} of "
            f"{format_count(self.num_persons, 'person')} with several photos; "
            f"the class of {format_count(self.num_changed, 'photo')} changed"
        )


def pooled_attributes(schema: LabelSchema) -> tuple[str, ...]:
    """Returns the attributes that are pooled: all but `PER_PHOTO`.

    Args:
        schema: The schema of the predictions.

    Returns:
        Their names.

    Raises:
        DataError: There is none.
    """
    names = tuple(name for name in schema.names if name not in PER_PHOTO)
    if not names:
        raise DataError(
            f"nothing to pool by person: the models predict {', '.join(schema.names)} only", hint="leave out --by"
        )
    return names


def pool_probabilities(schema: LabelSchema, probabilities: NDArray[np.floating], persons: ArrayLike) -> FloatArray:
    """Replaces the probabilities of pooled attributes by their mean over all photos of the person.

    A mean, and no product: photos of one person are alike, and their errors too, so that a product would be far too
    sure. Attributes become independent of each other, as they are in networks with a head for each.

    Args:
        schema: The schema of the classes.
        probabilities: Shape (photos, classes).
        persons: Person on each photo, shape (photos,).

    Returns:
        Shape (photos, classes). Photos of persons with one photo are unchanged.
    """
    rows = np.array(probabilities, dtype=np.float64)
    _, person, counts = np.unique(np.asarray(persons), return_inverse=True, return_counts=True)
    several = counts[person] > 1
    marginals = schema.marginals(rows)
    for name in pooled_attributes(schema):
        sums = np.stack([np.bincount(person, weights=column) for column in marginals[name].T], axis=1)
        marginals[name] = (sums / counts[:, None])[person]
    rows[several] = schema.joint_probabilities(marginals)[several]
    return rows


def pool_predictions(batches: Sequence[BatchPredictions], persons: Sequence[str]) -> PooledPredictions:
    """Pools the predictions of a whole call.

    Args:
        batches: All batches of it, at least one.
        persons: Person on each predicted photo, in their order.

    Returns:
        The predictions as one batch.

    Raises:
        DataError: The schema has no attribute that belongs to a person.
    """
    first = batches[0]
    whole = replace(
        first,
        names=tuple(name for batch in batches for name in batch.names),
        probabilities=np.concatenate([batch.probabilities for batch in batches]),
        members={name: np.concatenate([batch.members[name] for batch in batches]) for name in first.members},
        unreadable={name: reason for batch in batches for name, reason in batch.unreadable.items()},
        fallback_crops=tuple(name for batch in batches for name in batch.fallback_crops),
        ages=concat_ages([batch.ages for batch in batches]),
    )
    pooled = replace(
        whole,
        probabilities=pool_probabilities(whole.schema, whole.probabilities, persons),
        ages=None if whole.ages is None else _pool_ages(whole.ages, persons),
    )
    _, counts = np.unique(np.asarray(persons), return_counts=True)
    return PooledPredictions(
        predictions=pooled,
        pooled=pooled_attributes(whole.schema),
        num_persons=int((counts > 1).sum()),
        num_photos=int(counts[counts > 1].sum()),
        num_changed=int((whole.classes != pooled.classes).sum()),
    )


def _pool_ages(ages: AgeTable, persons: Sequence[str]) -> AgeTable:
    """The mean of the distributions over all photos of the person."""
    _, person, counts = np.unique(np.asarray(persons), return_inverse=True, return_counts=True)
    sums = np.zeros((len(counts), ages.shares.shape[1]))
    np.add.at(sums, person, ages.shares)
    return AgeTable(ages.first, (sums / counts[:, None])[person])


def persons_of_folders(names: Sequence[str]) -> list[str]:
    """Returns the person on each photo: its folder; a photo in no folder is a person of its own.

    Args:
        names: Names of the photos, relative to their root.

    Returns:
        Persons in the same order.

    Raises:
        DataError: No photo is in a folder, or two rows are faces of one photo, whose persons the folder does not tell.
    """
    files = [split_name(name) for name in names]
    faces = [name for name, (_, box) in zip(names, files, strict=True) if box is not None]
    if faces:
        raise DataError(
            f"{format_count(len(faces), 'row')} with a face of a photo, such as {faces[0]}: "
            "a folder does not tell whose it is",
            hint="add a column person to the list",
        )
    folders = [str(PurePosixPath(file).parent) for file, _ in files]
    if all(folder == "." for folder in folders):
        raise DataError(
            "no photo is in a folder that names its person",
            location=", ".join(names[:MAX_SHOWN]),
            hint="add a column person to the list, or leave out --by",
        )
    return [name if folder == "." else folder for name, folder in zip(names, folders, strict=True)]
