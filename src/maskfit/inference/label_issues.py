"""Suspects among the labels that runs were trained on: tables, persons and years brought together, and what is written.

The ranking itself is `evaluation.suspects`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np

from maskfit.config.loader import read_recipe
from maskfit.data.label_corrections import Correction, read_corrected, write_corrections
from maskfit.data.photo_dataset import PhotoDataset
from maskfit.data.read_dataset import read_photos
from maskfit.errors import DataError, MaskfitError
from maskfit.evaluation.label_issues import DEFAULT_NOISE_RATE, LabelIssue, find_label_issues
from maskfit.file_io import write_csv
from maskfit.inference.ensemble.inputs import AlignedTables, load_aligned_tables
from maskfit.labels.schema import UNKNOWN, FloatArray, LabelSchema
from maskfit.run_dir import RunDir, is_run_dir

COLUMNS = ("person", "attribute", "label", "proposed", "score", "reason")


def rank_label_issues(
    paths: Sequence[str | Path], data: str | Path | None = None, noise: float = DEFAULT_NOISE_RATE
) -> tuple[list[LabelIssue], list[str]]:
    """The suspects by the mean of several runs or tables, the likeliest first, and what the user should know.

    Args:
        paths: Run folders and CSVs of out-of-fold probabilities, of the same photos.
        data: The photos' labels; left out, the first run's own data with its corrections, where they can be read. They
            give the years behind a band of age. Labels that differ from those of training take their place.
        noise: As for `find_suspects`.

    Raises:
        DataError: A table cannot be read, nobody says who is on the photos, or no label is known.
    """
    tables = load_aligned_tables(paths)
    remarks = list(tables.warnings)
    photos = _photos(paths, tables.schema, data, remarks)
    if photos is not None:
        tables = _labelled(tables, photos, data is not None)
    if tables.truth is None:
        raise DataError("the table has no labels", location=paths[0], hint="name a run, or add --data ROOT")
    if tables.persons is None:
        raise DataError("nobody says who is on the photos", location=paths[0], hint="add --data ROOT")
    years = None if photos is None else _years(tables, photos)
    mean = tables.members.mean(axis=0)
    return find_label_issues(tables.photos, tables.persons, mean, tables.truth, tables.schema, years, noise), remarks


def write_label_issues(path: Path, suspects: Sequence[LabelIssue]) -> Path:
    """Writes `person,attribute,label,proposed,score,reason`, the worst first."""
    rows = [
        (item.person, item.attribute, ", ".join(item.label), ", ".join(item.proposed), f"{item.score:.4f}", item.reason)
        for item in suspects
    ]
    return write_csv(path, COLUMNS, rows)


def propose_corrections(path: Path, suspects: Sequence[LabelIssue], least: float) -> list[Correction]:
    """Writes what the models propose for suspects of a score of `least` or more as corrections; returns them.

    They are guesses: their tier is `likely`, and `maskfit review` is where a person looks at them.
    """
    rows = [
        Correction(item.person, photo, item.attribute, value, "likely", item.reason)
        for item in suspects
        if item.score >= least
        for photo, value in zip(_files(item), item.proposed, strict=True)
    ]
    write_corrections(path, rows)
    return rows


def _files(item: LabelIssue) -> list[str]:
    """The photos' file names, as corrections have them; one empty name for a whole person."""
    return [PurePosixPath(photo).name for photo in item.photos] or [""]


def _photos(
    paths: Sequence[str | Path], scheme: LabelSchema, data: str | Path | None, remarks: list[str]
) -> PhotoDataset | None:
    """The labelled photos, as the user named them or as the first run had them."""
    if data is not None:
        return read_photos(data, scheme)
    for path in paths:
        if not is_run_dir(Path(path)):
            continue
        recipe = read_recipe(RunDir(Path(path)).recipe)
        try:
            return read_corrected(
                str(recipe.data.path), scheme, recipe.data.label_corrections, recipe.data.known_label_errors
            )[0]
        except MaskfitError:
            # A run may outlive its photos' place; its table still says enough for everything but the edges of age.
            remarks.append(f"{recipe.data.path} cannot be read, so ages count as bands; --data ROOT names it anew")
    return None


def _labelled(tables: AlignedTables, photos: PhotoDataset, trusted: bool) -> AlignedTables:
    """The tables with persons from the photos and, where the user named these, their labels in place of training's."""
    by_name = {photo.name: photo for photo in photos}
    missing = [name for name in tables.photos if name not in by_name]
    if missing:
        if not trusted:
            return tables
        raise DataError(f"{len(missing)} photos of the table are not there, such as {missing[0]}", location=photos.root)
    rows = [by_name[name] for name in tables.photos]
    persons = tuple(photo.person for photo in rows)
    if not trusted and tables.truth is not None:
        return replace(tables, persons=persons)
    truth = tables.schema.to_class_index(tables.schema.encode_batch(photo.labels for photo in rows))
    if tables.truth is not None:
        truth = np.where(truth == UNKNOWN, tables.truth, truth)
    return replace(tables, persons=persons, truth=truth)


def _years(tables: AlignedTables, photos: PhotoDataset) -> FloatArray | None:
    """(photos,) the number behind the banded attribute, NaN where there is none; None without such an attribute."""
    banded = [attribute.name for attribute in tables.schema.attributes if attribute.bin_edges]
    if not banded:
        return None
    labels = {photo.name: photo.labels.get(banded[0]) for photo in photos}
    numbers = [labels.get(name) for name in tables.photos]
    return np.array([float(number) if isinstance(number, int | float) else np.nan for number in numbers])
