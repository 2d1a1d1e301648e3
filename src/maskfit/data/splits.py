"""Splits over persons: all photos of a person are on one side, and every fold has its share of each kind of person.

The kind, or stratum, of a person is what all of the person's photos agree on: gender and age in the competition, where
the mask differs from photo to photo.
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

TRAIN_ONLY = -1
"""The fold of a person who is trained on in every fold and never validated on."""

MIXED = -2
"""Stands in a stratum for an attribute in which a person's photos differ."""

Indices = NDArray[np.int64]
Stratum = tuple[int, ...]


@dataclass(frozen=True)
class PersonSplits:
    """Which fold each person is validated in.

    Attributes:
        of: Person to fold 0 to count - 1, or `TRAINED`. May hold more persons than a set does.
        count: How many folds there are; 1 for a hold-out, whose held-out persons are fold 0.
    """

    fold_of_person: Mapping[str, int]
    num_folds: int

    def __post_init__(self) -> None:
        numbers = set(self.fold_of_person.values()) - {TRAIN_ONLY}
        if numbers != set(range(self.num_folds)) or not numbers:
            said = ", ".join(map(str, sorted(numbers))) or "none"
            raise DataError(
                f"fold numbers must be 0 to {max(self.num_folds, 1) - 1} without a gap, or {TRAIN_ONLY}; there are: {said}",
                hint="number the folds anew, or make them with maskfit data split",
            )

    def split(self, photos: Iterable[Photo], fold: int) -> tuple[Indices, Indices]:
        """Places of the photos to train on and of those to validate on, both rising.

        Raises:
            DataError: There is no such fold, a person has none, a side is empty, or a person is on both.
        """
        if not 0 <= fold < self.num_folds:
            raise DataError(f"there is no fold {fold}", hint=f"use 0 to {self.num_folds - 1}")
        persons = [photo.person for photo in photos]
        strangers = [f"{person} has no fold" for person in dict.fromkeys(persons) if person not in self.fold_of_person]
        if strangers:
            raise DataError(
                format_list(strangers), hint="split this set anew, or add these persons to the file of folds"
            )
        numbers = np.array([self.fold_of_person[person] for person in persons], dtype=np.int64)
        train, valid = np.flatnonzero(numbers != fold), np.flatnonzero(numbers == fold)
        if not len(train) or not len(valid):
            side = "train on" if not len(train) else "validate on"
            raise DataError(f"fold {fold} leaves no photo to {side}", hint="split this set anew, or use other folds")
        check_no_overlap(persons, train, valid)
        return train, valid

    def write(self, path: Path) -> Path:
        """Writes `person,fold`, sorted by person."""
        return write_csv(path, ("person", "fold"), sorted(self.fold_of_person.items()))


def read_splits(path: Path) -> PersonSplits:
    """Reads what `Folds.write` wrote, or anyone else's `person,fold`.

    Raises:
        DataError: It is no such CSV, a person has two folds, a fold is no whole number, or their numbers have gaps.
    """
    of: dict[str, int] = {}
    problems: list[str] = []
    for number, row in enumerate(read_csv(path, ("person", "fold")), start=2):
        person, text = row["person"], row["fold"]
        try:
            fold = int(text)
        except ValueError:
            problems.append(f"row {number}: '{text}' is no fold number")
            continue
        if not person:
            problems.append(f"row {number}: the person is empty")
        elif fold < TRAIN_ONLY:
            problems.append(f"row {number}: {fold} is no fold; use 0, 1, ... or {TRAIN_ONLY} for always trained on")
        elif of.setdefault(person, fold) != fold:
            problems.append(f"row {number}: {person} is in fold {of[person]} already and would leak into {fold}")
    if problems:
        raise DataError(
            format_list(problems, shown=MAX_LISTED), location=path, hint="mend the rows, or make the file anew"
        )
    try:
        return PersonSplits(of, max(of.values(), default=TRAIN_ONLY) + 1)
    except DataError as error:
        raise DataError(error.message, location=path, hint=error.hint) from None


def check_no_overlap(persons: Sequence[str], train: Iterable[int], valid: Iterable[int]) -> None:
    """Stops where a person is on both sides of a split.

    Args:
        persons: The person of each photo.
        train: Places of the photos to train on.
        valid: Places of the photos to validate on.

    Raises:
        DataError: At least one person has photos on both sides; the message names them.
    """
    both = {persons[index] for index in train} & {persons[index] for index in valid}
    if both:
        listed = format_list([f"{person} is on both sides" for person in sorted(both)])
        raise DataError(f"the split leaks persons:\n{listed}", hint="split over persons: maskfit data split")


def person_strata(photos: Iterable[Photo], scheme: LabelSchema) -> dict[str, Stratum]:
    """Each person's stratum: for each attribute the code that all photos agree on, or `MIXED`."""
    strata: dict[str, Stratum] = {}
    for photo in photos:
        codes = scheme.encode(photo.labels)
        before = strata.get(photo.person, codes)
        strata[photo.person] = tuple(
            code if code == other else MIXED for code, other in zip(codes, before, strict=True)
        )
    return strata


def describe_stratum(stratum: Stratum, scheme: LabelSchema) -> str:
    """A stratum for people: "female, 30-59"; attributes that differ from photo to photo are left out."""
    words = [
        attribute.display_name(code)
        for attribute, code in zip(scheme.attributes, stratum, strict=True)
        if code != MIXED
    ]
    return ", ".join(words) or "any"


def make_person_splits(
    photos: PhotoDataset, scheme: LabelSchema, count: int, *, seed: int, holdout: float = 0.1
) -> PersonSplits:
    """Deals persons to folds, each stratum evenly and each fold with about the same number of photos.

    The same persons, labels and seed give the same folds, whatever the order of the photos.

    Args:
        photos: The set.
        scheme: Its attributes make the strata.
        count: How many folds; 1 holds out a share of persons once and always trains on the others.
        seed: Says which of the equally good splits it is.
        holdout: For `count` 1 the share of persons that is held out, between 0 and 1.

    Raises:
        DataError: There are fewer persons than folds, fewer than two persons, or `count` or `holdout` is out of range.
    """
    weights = Counter(photo.person for photo in photos)
    if count < 1:
        raise DataError(f"{count} folds cannot be made", hint="use 1 for a hold-out, or 2 and more")
    if len(weights) < max(count, 2):
        raise DataError(
            f"{len(weights)} persons are too few for {count} folds, and two are the least that can be split",
            location=photos.root,
            hint="use fewer folds, or add persons",
        )
    if count == 1 and not 0 < holdout < 1:
        raise DataError(f"a share of {holdout:g} cannot be held out", hint="use a number between 0 and 1, such as 0.1")
    generator = np.random.default_rng(seed)
    # Sorted before they are shuffled, so that the order in which photos were read has no say.
    order = [sorted(weights)[index] for index in generator.permutation(len(weights))]
    groups: dict[Stratum, list[str]] = {}
    strata = person_strata(photos, scheme)
    for person in order:
        groups.setdefault(strata[person], []).append(person)
    if count == 1:
        return PersonSplits(_hold_out(groups, holdout), 1)
    return PersonSplits(_deal(groups, weights, count, generator), count)


def _deal(
    groups: Mapping[Stratum, Sequence[str]], weights: Mapping[str, int], count: int, generator: np.random.Generator
) -> dict[str, int]:
    """Gives each person the fold with the fewest photos of the stratum, then with the fewest photos at all."""
    of: dict[str, int] = {}
    totals = [0] * count
    # Large strata first: the small ones then even out what the large ones left over.
    largest = sorted(groups, key=lambda key: (-sum(weights[person] for person in groups[key]), key))
    for stratum in largest:
        mine = [0] * count
        ties = [int(number) for number in generator.permutation(count)]
        for person in sorted(groups[stratum], key=lambda name: -weights[name]):
            fold = min(range(count), key=lambda item: (mine[item], totals[item], ties[item]))
            of[person] = fold
            mine[fold] += weights[person]
            totals[fold] += weights[person]
    return of


def _hold_out(groups: Mapping[Stratum, Sequence[str]], share: float) -> dict[str, int]:
    """Fold 0 for a share of every stratum, in whole persons by the largest remainder; `TRAINED` for the others."""
    persons = sum(len(group) for group in groups.values())
    wanted = min(max(round(share * persons), 1), persons - 1)
    quotas = {stratum: wanted * len(group) / persons for stratum, group in groups.items()}
    seats = {stratum: int(quota) for stratum, quota in quotas.items()}
    by_remainder = sorted(quotas, key=lambda key: (seats[key] - quotas[key], key))
    for stratum in by_remainder[: wanted - sum(seats.values())]:
        seats[stratum] += 1
    return {
        person: 0 if place < seats[stratum] else TRAIN_ONLY
        for stratum, group in groups.items()
        for place, person in enumerate(group)
    }
