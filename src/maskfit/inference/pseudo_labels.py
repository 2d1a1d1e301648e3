"""Pseudo-labels (as the two best teams used them): confident predictions as labels to train on.

A table of probabilities becomes a manifest for `data.extra_train`, of the photos whose prediction is confident enough.
Where the person on a photo is known, gender and age are decided by all photos of the person together.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from maskfit.data.data_problems import MAX_LISTED
from maskfit.data.face_boxes import BOX_COLUMNS, find_box_columns, format_edge, name_with_box, split_name
from maskfit.errors import DataError, format_list
from maskfit.evaluation.probability_table import ProbabilityTable
from maskfit.file_io import check_unique_rows, read_csv, write_csv
from maskfit.labels.schema import MASK, FloatArray, IntArray, LabelSchema
from maskfit.text import format_count

NAME_COLUMNS = ("ImageID", "path")
"""Columns that may name the photo in a list of persons."""


@dataclass(frozen=True, eq=False)
class PseudoLabels:
    """Labels predicted by a model.

    Attributes:
        names: The selected photos, in the order of the table.
        classes: (selected,) their class indices.
        confidence: (selected,) the probabilities of these.
        persons: (selected,) the person on each; "" where it is not known.
        num_below_threshold: Photos that were left out because their prediction is not confident enough.
        num_disagreeing: Photos that were left out because the photos of their person disagree.
    """

    names: tuple[str, ...]
    classes: IntArray
    confidence: FloatArray
    persons: tuple[str, ...]
    num_below_threshold: int
    num_disagreeing: int


def select_pseudo_labels(
    table: ProbabilityTable,
    schema: LabelSchema,
    threshold: float,
    *,
    persons: Mapping[str, str] | None = None,
    agree: bool = False,
) -> PseudoLabels:
    """Selects the confident photos of a table and their labels.

    A photo's class is its most probable one. Where its person is known, every attribute but the mask first gets the
    mean probability over the person's photos, jointly; so all photos of a person get one gender and one age, and a
    single odd photo does not decide.

    Args:
        table: Probabilities of the schema's classes.
        schema: The schema of the classes.
        threshold: Minimum probability of a photo's class, in (0, 1].
        persons: The person on a photo, by its name; a photo that is missing, or whose person is "", stands for itself.
        agree: Leave out every person of whom one photo by itself has another gender or age than the mean.

    Returns:
        The selected photos and their labels.

    Raises:
        DataError: The table has other classes, the threshold is out of range, none of the table's photos has a known
            person, or no photo is confident enough.
    """
    if not 0 < threshold <= 1:
        raise DataError(f"threshold must be in (0, 1], got {threshold}", hint="0.95 is usual")
    _check_table(table, schema, persons)
    person_of_row = tuple((persons or {}).get(name, "") for name in table.names)
    # A photo without a known person is a group of its own, apart from every person's name.
    keys = [person or f"\0{row}" for row, person in enumerate(person_of_row)]
    groups = np.unique(keys, return_inverse=True)[1]
    probabilities, agreeing = _average_by_person(table.probabilities, schema, groups)
    confident = probabilities.max(axis=1) >= threshold
    disagreeing = confident & ~agreeing if agree else np.zeros(len(confident), dtype=np.bool_)
    selected = np.flatnonzero(confident & ~disagreeing)
    if not len(selected):
        best = float(probabilities.max(initial=0.0))
        raise DataError(
            f"none of {format_count(len(confident), 'photo')} can be selected: the highest probability is {best:.3f}"
            + (f", and {disagreeing.sum()} are of persons whose photos disagree" if agree else ""),
            hint="lower --threshold" + (", or leave --agree out" if agree else ""),
        )
    return PseudoLabels(
        names=tuple(table.names[row] for row in selected),
        classes=probabilities[selected].argmax(axis=1),
        confidence=probabilities[selected].max(axis=1),
        persons=tuple(person_of_row[row] for row in selected),
        num_below_threshold=int((~confident).sum()),
        num_disagreeing=int(disagreeing.sum()),
    )


def _check_table(table: ProbabilityTable, schema: LabelSchema, persons: Mapping[str, str] | None) -> None:
    """Checks that the table has the schema's classes, and photos of the list of persons."""
    num_classes = table.probabilities.shape[1]
    if num_classes != schema.num_classes:
        raise DataError(
            f"the table has {num_classes} classes, the schema {schema.num_classes}", hint="name its --schema"
        )
    if persons is not None and not persons.keys() & set(table.names):
        raise DataError(
            f"the list of persons names none of the table's photos, such as {table.names[0]}",
            hint="name photos as the table does",
        )


def _average_by_person(
    probabilities: FloatArray, schema: LabelSchema, groups: NDArray[np.int64]
) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Probabilities with the group's mean in all but the mask; and of each photo whether all of its group agree."""
    count = len(probabilities)
    cube = probabilities.reshape(count, *schema.shape)
    mask_axis = schema.names.index(MASK.name) if MASK.name in schema.names else None
    # The mask first; the other attributes jointly behind it.
    cube = cube[:, None] if mask_axis is None else np.moveaxis(cube, mask_axis + 1, 1)
    joint = cube.reshape(count, cube.shape[1], -1)
    others = joint.sum(axis=1)
    size = np.bincount(groups)
    total = np.zeros((len(size), others.shape[1]))
    np.add.at(total, groups, others)
    mean = (total / size[:, None])[groups]
    disagreeing = np.bincount(groups, weights=others.argmax(axis=1) != mean.argmax(axis=1)) > 0
    # A photo alone keeps its prediction, also where mask and the other attributes are not independent.
    averaged = np.where((size[groups] > 1)[:, None, None], joint.sum(axis=2)[:, :, None] * mean[:, None], joint)
    averaged = averaged.reshape(cube.shape)
    averaged = averaged[:, 0] if mask_axis is None else np.moveaxis(averaged, 1, mask_axis + 1)
    return averaged.reshape(count, -1), ~disagreeing[groups]


def read_persons(path: Path) -> dict[str, str]:
    """Reads the person on each photo from a CSV with the columns `ImageID` (or `path`) and `person`.

    Args:
        path: The CSV.

    Returns:
        The person by photo name.

    Raises:
        DataError: It is no such CSV, or lists a photo twice.
    """
    rows = read_csv(path, ("person",))
    column = next((name for name in NAME_COLUMNS if rows and name in rows[0]), None)
    if column is None:
        raise DataError("no column names the photos", location=path, hint=f"call it {' or '.join(NAME_COLUMNS)}")
    boxes = find_box_columns({name.casefold(): name for name in rows[0]})
    names = [name_with_box(row[column], boxes.read(row) if boxes else None) for row in rows]
    check_unique_rows(names, path)
    return {name: row["person"] for name, row in zip(names, rows, strict=True)}


def write_pseudo_labels(path: Path, labels: PseudoLabels, schema: LabelSchema, images: Path) -> Path:
    """Writes a manifest with paths relative to its folder; a binned attribute gets the column `NAME_band`.

    Args:
        path: The manifest.
        labels: The photos and their labels.
        schema: The schema of the labels.
        images: Folder of the photos.

    Returns:
        `path`.

    Raises:
        DataError: Photos of the table are not in `images`; one error lists them.
    """
    parts = [split_name(name) for name in labels.names]
    missing = [name for name, _ in parts if not os.path.isfile(images / name)]
    if missing:
        raise DataError(
            f"{format_count(len(missing), 'photo of the table is', 'photos of the table are')} "
            f"missing:\n{format_list(missing, shown=MAX_LISTED)}",
            location=images,
            hint="name the folder that was predicted with --images",
        )
    header = [f"{item.name}_band" if item.bin_edges else item.name for item in schema.attributes]
    rows = []
    box_columns = BOX_COLUMNS if any(box for _, box in parts) else ()
    for (name, box), person, indices in zip(
        parts, labels.persons, schema.to_attribute_indices(labels.classes), strict=True
    ):
        values = [item.values[index] for item, index in zip(schema.attributes, indices, strict=True)]
        relative = os.path.relpath((images / name).resolve(), path.resolve().parent)
        edges = map(format_edge, box) if box else [""] * len(box_columns)
        rows.append([Path(relative).as_posix(), person, *edges, *values])
    return write_csv(path, ["path", "person", *box_columns, *header], rows)
