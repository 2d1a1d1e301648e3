"""Person-level splits: all photos of a person are in one fold, and each fold gets its part of every stratum of persons.

The stratum of a person is what all of the person's photos agree on: gender and age in the competition, where the mask
state differs from photo to photo.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from maskfit.data.data_problems import MAX_LISTED
from maskfit.data.photo_dataset import Photo, PhotoDataset
from maskfit.errors import DataError, format_list
from maskfit.file_io import read_csv, write_csv
from maskfit.labels.schema import LabelSchema
from maskfit.labels.spellings import as_integer
from maskfit.text import format_count

TRAIN_ONLY = -1
"""Fold of a person who is in the training set of every fold and never validated on."""

MIXED = -2
"""Value in a stratum for an attribute in which a person's photos differ."""

MAX_SHOWN = 12
"""Fold numbers that an error lists."""

Indices = NDArray[np.int64]
Stratum = tuple[int, ...]


@dataclass(frozen=True)
class PersonSplits:
    """The fold in which each person is validated.

    Attributes:
        fold_of_person: Person to fold 0 to `num_folds` - 1, or `TRAIN_ONLY`. May contain persons that a dataset lacks.
        num_folds: Number of folds; 1 for a hold-out, whose validation persons are fold 0.

    Raises:
        DataError: The fold numbers have gaps.
    """

    fold_of_person: Mapping[str, int]
    num_folds: int

    def __post_init__(self) -> None:
        folds = set(self.fold_of_person.values()) - {TRAIN_ONLY}
        # By count first: the number comes from a file, and a range of it may not fit into memory.
        if not folds or len(folds) != self.num_folds or folds != set(range(self.num_folds)):
            shown = sorted(folds)[:MAX_SHOWN]
            found = ", ".join(map(str, shown)) + (", ..." if len(folds) > len(shown) else "") if folds else "none"
            raise DataError(
                f"fold numbers must be 0 to {max(self.num_folds, 1) - 1} without a gap, or {TRAIN_ONLY}; found: "
                f"{found}",
                hint="renumber the folds, or create them with maskfit data split",
            )

    def split(self, photos: Iterable[Photo], fold: int) -> tuple[Indices, Indices]:
        """Splits photos into training and validation set of a fold.

        Args:
            photos: The photos.
            fold: The fold that is validated, 0 to `num_folds` - 1.

        Returns:
            Positions of the training and of the validation photos, rising.

        Raises:
            DataError: The fold does not exist, a person has no fold, a side is empty, or a person is on both sides.
        """
        if not 0 <= fold < self.num_folds:
            raise DataError(f"there is no fold {fold}", hint=f"use 0 to {self.num_folds - 1}")
        persons = [photo.person for photo in photos]
        unknown = [f"{person} has no fold" for person in dict.fromkeys(persons) if person not in self.fold_of_person]
        if unknown:
            raise DataError(
                format_list(unknown), hint="split this dataset again, or add these persons to the split file"
            )
        folds = np.array([self.fold_of_person[person] for person in persons], dtype=np.int64)
        train, val = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        if not len(train) or not len(val):
            side = "train on" if not len(train) else "validate on"
            raise DataError(
                f"fold {fold} leaves no photo to {side}", hint="split this dataset again, or use other folds"
            )
        check_no_overlap(persons, train, val)
        return train, val

    def write(self, path: Path) -> Path:
        """Writes a CSV `person,fold`, sorted by person.

        Args:
            path: The file.

        Returns:
            The path.
        """
        return write_csv(path, ("person", "fold"), sorted(self.fold_of_person.items()))


def read_splits(path: Path) -> PersonSplits:
    """Reads a CSV `person,fold`, as `PersonSplits.write` writes it.

    Args:
        path: The file.

    Returns:
        The splits.

    Raises:
        DataError: The file is not such a CSV, a person has two folds, a fold is not an integer, or the fold numbers
            have gaps.
    """
    fold_of_person: dict[str, int] = {}
    problems: list[str] = []
    for number, row in enumerate(read_csv(path, ("person", "fold")), start=2):
        person, text = row["person"], row["fold"]
        fold = as_integer(text)
        if fold is None:
            problems.append(f"row {number}: '{text}' is not a fold number")
            continue
        if not person:
            problems.append(f"row {number}: the person is empty")
        elif fold < TRAIN_ONLY:
            problems.append(f"row {number}: {fold} is not a fold; use 0, 1, ... or {TRAIN_ONLY} for training only")
        elif fold_of_person.setdefault(person, fold) != fold:
            problems.append(
                f"row {number}: {person} is already in fold {fold_of_person[person]} and would leak into {fold}"
            )
    if problems:
        raise DataError(
            format_list(problems, shown=MAX_LISTED), location=path, hint="correct the rows, or create the file again"
        )
    try:
        return PersonSplits(fold_of_person, max(fold_of_person.values(), default=TRAIN_ONLY) + 1)
    except DataError as error:
        raise DataError(error.message, location=path, hint=error.hint) from None


def check_no_overlap(persons: Sequence[str], train: Iterable[int], val: Iterable[int]) -> None:
    """Checks that no person is on both sides of a split.

    Args:
        persons: The person of each photo.
        train: Positions of the training photos.
        val: Positions of the validation photos.

    Raises:
        DataError: At least one person has photos on both sides; the message lists them.
    """
    both = {persons[index] for index in train} & {persons[index] for index in val}
    if both:
        listed = format_list([f"{person} is on both sides" for person in sorted(both)])
        raise DataError(f"the split leaks persons:\n{listed}", hint="split by person: maskfit data split")


def describe_leak_risk(photos: PhotoDataset) -> str:
    """Formats a warning where nobody says who is on the photos.

    Args:
        photos: The dataset.

    Returns:
        One line; empty where at least one photo has a person.
    """
    num_photos = len({photo.file_name for photo in photos})
    if num_photos < 2 or any(photo.person != photo.file_name for photo in photos):
        return ""
    return (
        f"nobody says who is on the photos, so each of the {num_photos:,} counts as a person of its own, and folds "
        "may leak: photos of one person can be on both sides; add a column person"
    )


def person_strata(photos: Iterable[Photo], schema: LabelSchema) -> dict[str, Stratum]:
    """Computes the stratum of each person.

    Args:
        photos: The photos.
        schema: The label schema.

    Returns:
        Person to stratum: for each attribute the index that all photos of the person agree on, or `MIXED`.
    """
    strata: dict[str, Stratum] = {}
    for photo in photos:
        indices = schema.encode(photo.labels)
        previous = strata.get(photo.person, indices)
        strata[photo.person] = tuple(
            index if index == other else MIXED for index, other in zip(indices, previous, strict=True)
        )
    return strata


def describe_stratum(stratum: Stratum, schema: LabelSchema) -> str:
    """Formats a stratum for display: "female, 30-59".

    Args:
        stratum: A stratum of `person_strata`.
        schema: The same label schema.

    Returns:
        Display names, joined by commas; attributes that differ from photo to photo are omitted.
    """
    names = [
        attribute.display_name(index)
        for attribute, index in zip(schema.attributes, stratum, strict=True)
        if index != MIXED
    ]
    return ", ".join(names) or "any"


def make_person_splits(
    photos: PhotoDataset, schema: LabelSchema, num_folds: int, *, seed: int, val_fraction: float = 0.1
) -> PersonSplits:
    """Splits persons into folds, stratified and with about the same number of photos per fold.

    The same persons, labels and seed give the same folds, independent of the order of the photos.

    Args:
        photos: The dataset.
        schema: The label schema, whose attributes form the strata.
        num_folds: Number of folds, >= 1; 1 gives a hold-out: a fraction of the persons is validated once and all others
            are `TRAIN_ONLY`.
        seed: Seed of the choice among equally good splits.
        val_fraction: Fraction of the persons that is held out where `num_folds` is 1, in (0, 1).

    Returns:
        The splits.

    Raises:
        DataError: There are fewer persons than folds or fewer than two, or an argument is out of range.
    """
    num_photos = Counter(photo.person for photo in photos)
    if num_folds < 1:
        raise DataError(
            f"the number of folds must be >= 1, got {num_folds}", hint="use 1 for a hold-out, or 2 and more"
        )
    if len(num_photos) < max(num_folds, 2):
        raise DataError(
            f"{format_count(len(num_photos), 'person is', 'persons are')} too few for "
            f"{format_count(num_folds, 'fold')}; a split needs at least two persons",
            location=photos.root,
            hint="use fewer folds, or add persons",
        )
    if num_folds == 1 and not 0 < val_fraction < 1:
        raise DataError(
            f"the validation fraction must be between 0 and 1, got {val_fraction:g}", hint="use a number such as 0.1"
        )
    generator = np.random.default_rng(seed)
    # Sorted before shuffling, so that the result does not depend on the order of the photos.
    order = [sorted(num_photos)[index] for index in generator.permutation(len(num_photos))]
    groups: dict[Stratum, list[str]] = {}
    strata = person_strata(photos, schema)
    for person in order:
        groups.setdefault(strata[person], []).append(person)
    if num_folds == 1:
        return PersonSplits(_hold_out(groups, val_fraction), 1)
    return PersonSplits(_assign_folds(groups, num_photos, num_folds, generator), num_folds)


def _assign_folds(
    groups: Mapping[Stratum, Sequence[str]],
    num_photos: Mapping[str, int],
    num_folds: int,
    generator: np.random.Generator,
) -> dict[str, int]:
    """Assigns each person to the fold with the fewest photos of the stratum; ties go to the fewest photos overall."""
    fold_of_person: dict[str, int] = {}
    totals = [0] * num_folds
    # Large strata first, so that the small ones even out the remaining differences.
    by_size = sorted(groups, key=lambda key: (-sum(num_photos[person] for person in groups[key]), key))
    for stratum in by_size:
        in_stratum = [0] * num_folds
        tie_breaks = [int(number) for number in generator.permutation(num_folds)]
        for person in sorted(groups[stratum], key=lambda name: -num_photos[name]):
            fold = min(range(num_folds), key=lambda item: (in_stratum[item], totals[item], tie_breaks[item]))
            fold_of_person[person] = fold
            in_stratum[fold] += num_photos[person]
            totals[fold] += num_photos[person]
    return fold_of_person


def _hold_out(groups: Mapping[Stratum, Sequence[str]], fraction: float) -> dict[str, int]:
    """Fold 0 for a fraction of every stratum, apportioned by the largest remainder; `TRAIN_ONLY` for the others."""
    num_persons = sum(len(group) for group in groups.values())
    num_held_out = min(max(round(fraction * num_persons), 1), num_persons - 1)
    quotas = {stratum: num_held_out * len(group) / num_persons for stratum, group in groups.items()}
    counts = {stratum: int(quota) for stratum, quota in quotas.items()}
    by_remainder = sorted(quotas, key=lambda key: (counts[key] - quotas[key], key))
    for stratum in by_remainder[: num_held_out - sum(counts.values())]:
        counts[stratum] += 1
    return {
        person: 0 if index < counts[stratum] else TRAIN_ONLY
        for stratum, group in groups.items()
        for index, person in enumerate(group)
    }
