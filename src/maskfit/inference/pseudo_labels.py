"""Pseudo-labels (the two best teams): what a model is sure of, as labels to train on.

A table of probabilities becomes a manifest for `data.extra_train`, of the photos that are sure enough. Where it is known who
is on them, gender and age are a matter of the person: all photos of one say together what they are.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from maskfit.data.data_problems import MAX_LISTED
from maskfit.errors import DataError, format_list
from maskfit.evaluation.probability_table import ProbabilityTable
from maskfit.file_io import read_csv, write_csv
from maskfit.labels.schema import MASK, FloatArray, IntArray, LabelSchema

NAME_COLUMNS = ("ImageID", "path")
"""Either may name the photo in a list of persons."""


@dataclass(frozen=True, eq=False)
class PseudoLabels:
    """Labels that a model gave.

    Attributes:
        names: The photos that were taken, in the order of the table.
        classes: (taken,) their class numbers.
        confidence: (taken,) how probable these are.
        persons: (taken,) who is on them; "" where nobody says.
        unsure: How many photos were left out since they are not sure enough.
        torn: How many were left out since photos of their person disagree.
    """

    names: tuple[str, ...]
    classes: IntArray
    confidence: FloatArray
    persons: tuple[str, ...]
    num_below_threshold: int
    num_disagreeing: int


def select_pseudo_labels(
    table: ProbabilityTable,
    scheme: LabelSchema,
    threshold: float,
    *,
    persons: Mapping[str, str] | None = None,
    agree: bool = False,
) -> PseudoLabels:
    """Chooses the photos of a table that are sure enough, and their labels.

    A photo's class is its most probable one. Where its person is known, every attribute but the mask gets the mean
    probability over the person's photos first, of those attributes together; so all photos of a person bear one gender
    and one age, and a single odd photo does not decide.

    Args:
        table: Probabilities of the scheme's classes.
        scheme: What they are about.
        threshold: How probable a photo's class must be, above 0 to 1.
        persons: Who is on a photo, by its name; a photo that is missing, or whose person is "", stands for itself.
        agree: Leave out every person of whom one photo by itself says another gender or age than the mean.

    Raises:
        DataError: The table is of other classes, the threshold is out of range, none of the table's photos is among
            those whose persons are known, or no photo is sure enough.
    """
    if not 0 < threshold <= 1:
        raise DataError(f"threshold={threshold} must lie above 0 and up to 1", hint="0.95 is usual")
    _refuse_others(table, scheme, persons)
    known = tuple((persons or {}).get(name, "") for name in table.names)
    # Where nobody is known a photo is a group of its own, apart from every person's name.
    groups = np.unique([who or f"\0{place}" for place, who in enumerate(known)], return_inverse=True)[1]
    probabilities, whole = _by_person(table.probabilities, scheme, groups)
    sure = probabilities.max(axis=1) >= threshold
    torn = sure & ~whole if agree else np.zeros(len(sure), dtype=np.bool_)
    taken = np.flatnonzero(sure & ~torn)
    if not len(taken):
        best = float(probabilities.max(initial=0.0))
        raise DataError(
            f"none of {len(sure)} photos can be taken: the surest is at {best:.3f}"
            + (f", and {torn.sum()} are of persons whose photos disagree" if agree else ""),
            hint="lower --threshold" + (", or leave --agree out" if agree else ""),
        )
    return PseudoLabels(
        names=tuple(table.names[place] for place in taken),
        classes=probabilities[taken].argmax(axis=1),
        confidence=probabilities[taken].max(axis=1),
        persons=tuple(known[place] for place in taken),
        num_below_threshold=int((~sure).sum()),
        num_disagreeing=int(torn.sum()),
    )


def _refuse_others(table: ProbabilityTable, scheme: LabelSchema, persons: Mapping[str, str] | None) -> None:
    """Stops where the table is of other classes than the scheme, or of other photos than the list of persons."""
    classes = table.probabilities.shape[1]
    if classes != scheme.num_classes:
        raise DataError(f"the table has {classes} classes, the scheme {scheme.num_classes}", hint="name its --schema")
    if persons is not None and not persons.keys() & set(table.names):
        raise DataError(
            f"the list of persons names none of the table's photos, such as {table.names[0]}",
            hint="name photos as the table does",
        )


def _by_person(
    probabilities: FloatArray, scheme: LabelSchema, groups: NDArray[np.int64]
) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Probabilities with the group's mean in all but the mask, and of each photo whether all of its group agree."""
    count = len(probabilities)
    cube = probabilities.reshape(count, *scheme.shape)
    masks = scheme.names.index(MASK.name) if MASK.name in scheme.names else None
    # The mask to the front, alone; the others behind it, together.
    cube = cube[:, None] if masks is None else np.moveaxis(cube, masks + 1, 1)
    own = cube.reshape(count, cube.shape[1], -1)
    people = own.sum(axis=1)
    size = np.bincount(groups)
    total = np.zeros((len(size), people.shape[1]))
    np.add.at(total, groups, people)
    mean = (total / size[:, None])[groups]
    torn = np.bincount(groups, weights=people.argmax(axis=1) != mean.argmax(axis=1)) > 0
    # A photo alone keeps what it said, also where mask and person were not independent.
    joined = np.where((size[groups] > 1)[:, None, None], own.sum(axis=2)[:, :, None] * mean[:, None], own)
    joined = joined.reshape(cube.shape)
    joined = joined[:, 0] if masks is None else np.moveaxis(joined, 1, masks + 1)
    return joined.reshape(count, -1), ~torn[groups]


def read_persons(path: Path) -> dict[str, str]:
    """Who is on each photo, from a CSV with the columns `ImageID` (or `path`) and `person`.

    Raises:
        DataError: It is no such CSV, or a photo stands in it twice.
    """
    rows = read_csv(path, ("person",))
    column = next((name for name in NAME_COLUMNS if rows and name in rows[0]), None)
    if column is None:
        raise DataError("no column names the photos", location=path, hint=f"call it {' or '.join(NAME_COLUMNS)}")
    persons = {row[column]: row["person"] for row in rows}
    if len(persons) < len(rows):
        raise DataError("a photo stands in it twice", location=path, hint="give each photo one row")
    return persons


def write_pseudo_labels(path: Path, labels: PseudoLabels, scheme: LabelSchema, images: Path) -> Path:
    """Writes a manifest of the photos, their paths relative to its folder; an attribute with bands gets `NAME_band`.

    Raises:
        DataError: Photos of the table are not in `images`; one error names them.
    """
    missing = [name for name in labels.names if not os.path.isfile(images / name)]
    if missing:
        raise DataError(
            f"{len(missing)} photos of the table are not there:\n{format_list(missing, shown=MAX_LISTED)}",
            location=images,
            hint="name the folder that was predicted with --images",
        )
    header = [f"{item.name}_band" if item.bin_edges else item.name for item in scheme.attributes]
    rows = []
    for name, person, codes in zip(
        labels.names, labels.persons, scheme.to_attribute_indices(labels.classes), strict=True
    ):
        values = [item.values[code] for item, code in zip(scheme.attributes, codes, strict=True)]
        place = os.path.relpath((images / name).resolve(), path.resolve().parent)
        rows.append([Path(place).as_posix(), person, *values])
    return write_csv(path, ["path", "person", *header], rows)
