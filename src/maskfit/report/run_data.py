"""What a report is made of: a run's folder and, where they can still be read, its photos. No photo is decoded here."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskfit.config.loader import read_recipe
from maskfit.config.recipe import Recipe
from maskfit.data.label_corrections import read_corrected
from maskfit.data.photo_dataset import Photo, PhotoDataset
from maskfit.data.read_dataset import read_photos
from maskfit.data.splits import read_folds
from maskfit.errors import DataError, MaskfitError, RunError
from maskfit.evaluation.probability_table import ProbabilityTable, concat_tables, read_table
from maskfit.file_io import read_json
from maskfit.labels.schema import UNKNOWN, FloatArray, IntArray, LabelSchema, as_number
from maskfit.registry import ComponentSpec
from maskfit.report.slice_columns import read_columns
from maskfit.run_dir import RunDir, is_run_dir

History = Sequence[Mapping[str, float]]
"""What a fold logged: a mapping for each epoch, with `epoch` and names such as `train_loss` and `valid_macro_f1`."""


@dataclass(frozen=True, eq=False)
class RunData:
    """A run, photo by photo in the order of its out-of-fold table.

    Attributes:
        path: The run's folder.
        name: What it is called beside others.
        about: What its recipe says it is.
        scheme: The official scheme.
        table: Out-of-fold probabilities, as the run's models give them.
        raw: The same before any temperature: what the folds' own tables hold, where they are there.
        truth: (photos, attributes) codes.
        persons: (photos,) who is on each.
        years: (photos,) the number behind the first attribute with bands, NaN where only the band is known; None where
            the scheme has no such attribute.
        folds: (photos,) who judged each photo; `UNKNOWN` where nobody says.
        files: (photos,) where each photo lies; None where that is not known.
        columns: What `--by` named: (photos,) a value of each photo, "" where it has none.
        histories: What each fold logged, by its number.
        settings: Every key of the recipe with its value, as text.
        facts: What was done: recipe, data, machine, time.
        remarks: What the reader should know, a line each.
    """

    path: Path
    name: str
    about: str
    scheme: LabelSchema
    table: ProbabilityTable
    raw: ProbabilityTable
    truth: IntArray
    persons: NDArray[np.str_]
    years: FloatArray | None
    folds: IntArray
    files: tuple[Path | None, ...]
    columns: Mapping[str, tuple[str, ...]]
    histories: Mapping[int, History]
    settings: Mapping[str, str]
    facts: Mapping[str, str]
    remarks: tuple[str, ...]

    def select(self, rows: NDArray[np.int64], truth: IntArray) -> RunData:
        """Some of the photos, in the order of `rows`, judged by another truth, (rows, attributes)."""
        names = [self.table.names[row] for row in rows]
        years = None if self.years is None else _years_of(self.scheme, self.years[rows], truth)
        return replace(
            self,
            table=self.table.reindex(names),
            raw=self.raw.reindex(names),
            truth=truth,
            persons=self.persons[rows],
            years=years,
            folds=self.folds[rows],
            files=tuple(self.files[row] for row in rows),
            columns={name: tuple(values[row] for row in rows) for name, values in self.columns.items()},
        )


def load_run_data(path: str | Path, *, data: str | Path | None = None, by: Sequence[str] = ()) -> RunData:
    """Reads a run for its report.

    Args:
        path: The run's folder.
        data: The labelled photos, where they are not what the run was trained on or lie elsewhere now; their labels
            are the truth then. Left out, the run's own data with its corrections, as far as they can be read.
        by: Columns to slice by; see `columns.read_columns`. Left out, the scheme's attributes.

    Raises:
        RunError: It is no run, or has no out-of-fold table.
        DataError: `data` cannot be read or lacks photos, a column is not known, or no photo has a label.
    """
    folder = _open(path)
    recipe = read_recipe(folder.recipe)
    scheme = recipe.data.label_schema.scored_schema()
    table = read_table(folder.oof_probabilities, scheme.num_classes)
    remarks: list[str] = []
    photos = _photos(recipe, scheme, data, remarks)
    found = _matched(table.names, photos, data, remarks)
    folds = _fold_of_persons(folder)
    persons = np.array(
        [
            _person(name, folds) if photo is None else photo.person
            for name, photo in zip(table.names, found, strict=True)
        ]
    )
    labels = [{} if photo is None else photo.labels for photo in found]
    truth = _truth(table, scheme, scheme.encode_batch(labels), trusted=data is not None)
    if (truth == UNKNOWN).all():
        raise DataError(
            "no photo of this run has a label, so there is nothing to judge", location=path, hint="--data ROOT"
        )
    return RunData(
        path=folder.path,
        name=folder.path.name or str(folder.path),
        about=f"{recipe.name}: {recipe.description}" if recipe.description else recipe.name,
        scheme=scheme,
        table=table,
        raw=_raw(folder, table),
        truth=truth,
        persons=persons,
        years=_years(scheme, labels, truth),
        folds=np.array([folds.get(person, UNKNOWN) for person in persons.tolist()], dtype=np.int64),
        files=tuple(None if photo is None else photo.path for photo in found),
        columns=read_columns(by or scheme.names, table.names, persons.tolist(), scheme, truth, _manifest(recipe, data)),
        histories=_histories(folder),
        settings=dict(_settings(recipe.model_dump(mode="json"))),
        facts=_facts(folder, recipe, len(table), len(set(persons.tolist()))),
        remarks=tuple(remarks),
    )


def _open(path: str | Path) -> RunDir:
    folder = RunDir(Path(path))
    if not is_run_dir(folder.path):
        raise RunError("this is no run: it holds no recipe.yaml", location=path, hint="name the folder of a run")
    if not folder.oof_probabilities.is_file():
        fix = "maskfit train RECIPE output_dir=THIS --resume ends it"
        raise RunError("this run has no out-of-fold table, since it did not come to its end", location=path, hint=fix)
    return folder


def _matched(
    names: Sequence[str], photos: PhotoDataset | None, data: str | Path | None, remarks: list[str]
) -> list[Photo | None]:
    """The photo of each name; none at all where one is no longer there."""
    known = {} if photos is None else {photo.name: photo for photo in photos}
    missing = [name for name in names if name not in known]
    if missing and data is not None:
        raise DataError(f"{len(missing)} photos of the run are not there, such as {missing[0]}", location=data)
    if missing and photos is not None:
        remarks.append(f"{len(missing):,} photos are no longer where they were, so the table's own truth counts")
        known = {}
    return [known.get(name) for name in names]


def _raw(folder: RunDir, table: ProbabilityTable) -> ProbabilityTable:
    """The folds' own tables as one; the run's where they are not there or not of the same photos."""
    paths = [folder.fold(number).probabilities for number in folder.fold_numbers()]
    try:
        tables = [read_table(path, table.probabilities.shape[1]) for path in paths if path.is_file()]
        return concat_tables(tables).reindex(table.names)
    except DataError:
        return table


def _photos(recipe: Recipe, scheme: LabelSchema, data: str | Path | None, remarks: list[str]) -> PhotoDataset | None:
    """The labelled photos, as the user named them or as the run had them."""
    if data is not None:
        return read_photos(data, scheme)
    if recipe.data.path is None:
        return None
    try:
        return read_corrected(recipe.data.path, scheme, recipe.data.label_corrections, recipe.data.known_label_errors)[
            0
        ]
    except MaskfitError:
        # A run may outlive its photos' place; its table still says most of what is to be told.
        remarks.append("the photos can no longer be read, so there are no pictures and no years of age; --data ROOT")
        return None


def _manifest(recipe: Recipe, data: str | Path | None) -> Path | None:
    """The CSV that lists the photos, where one does."""
    source = data or recipe.data.path
    return Path(source) if source is not None and Path(source).suffix.lower() == ".csv" else None


def _fold_of_persons(folder: RunDir) -> Mapping[str, int]:
    try:
        return read_folds(folder.splits).fold_of_person
    except DataError:
        return {}


def _person(name: str, listed: Mapping[str, int]) -> str:
    """Who is on a photo by its name alone: its folder, where that or nothing is a person of the run."""
    parent = PurePosixPath(name).parent.name
    return name if not parent or (name in listed and parent not in listed) else parent


def _truth(table: ProbabilityTable, scheme: LabelSchema, codes: IntArray, *, trusted: bool) -> IntArray:
    """The table's truth is what the run was judged by; labels say the rest, and all where the user named them."""
    if table.truth is None:
        return codes
    own = scheme.to_attribute_indices(table.truth)
    first, second = (codes, own) if trusted else (own, codes)
    return np.where(first == UNKNOWN, second, first)


def _years(scheme: LabelSchema, labels: Sequence[Mapping[str, Any]], truth: IntArray) -> FloatArray | None:
    """Numbers behind the banded attribute; one that says another band than the truth has been overruled."""
    banded = [item.name for item in scheme.attributes if item.bin_edges]
    if not banded:
        return None
    numbers = [as_number(own.get(banded[0], "")) for own in labels]
    return _years_of(scheme, np.array([np.nan if number is None else number for number in numbers]), truth)


def _years_of(scheme: LabelSchema, years: FloatArray, truth: IntArray) -> FloatArray:
    place, attribute = next((place, item) for place, item in enumerate(scheme.attributes) if item.bin_edges)
    return np.where(np.searchsorted(attribute.bin_edges, years, side="right") == truth[:, place], years, np.nan)


def _histories(folder: RunDir) -> dict[int, History]:
    """The rows of each fold's metrics.csv."""
    found: dict[int, History] = {}
    for number in folder.fold_numbers():
        path = folder.fold(number).metrics
        if path.is_file():
            with path.open(encoding="utf-8", newline="") as stream:
                rows = [{name: _finite(cell) for name, cell in row.items() if name} for row in csv.DictReader(stream)]
            found[number] = rows
    return found


def _finite(cell: Any) -> float:
    number = as_number(cell) if isinstance(cell, str) else None
    return float("nan") if number is None else number


def _facts(folder: RunDir, recipe: Recipe, photos: int, persons: int) -> dict[str, str]:
    model, data, trainer = recipe.model, recipe.data, recipe.trainer
    height, width = data.image_size
    # Enough to know the set by, and nothing of whose disk it lies on: pages are mailed.
    root = "/".join(part for part in Path(data.path or "").parts[-2:] if part != "/")
    facts = {
        "photos": f"{photos:,} of {persons:,} persons were judged",
        "data": root,
        "network": f"{_part(model.backbone)}, head {_part(model.head)}",
        "start weights": Path(model.pretrained).name,
        "face crop": _part(data.crop),
        "photo size": f"{height} x {width}",
        "loss": _part(recipe.loss),
        "training": f"{trainer.epochs} epochs of batches of {trainer.batch_size}",
        "augmentation": _part(recipe.augmentation),
        "mixing": _part(recipe.batch_mixing),
        "sampling": _part(recipe.sampler),
        "optimiser": f"{_part(recipe.optimizer)}, {_part(recipe.lr_scheduler)}",
        "corrections of labels": ", ".join(
            [f"known errors: {data.known_label_errors}", *map(_file, data.label_corrections)]
        ),
        "seed": str(trainer.seed),
    }
    return {**facts, **_environment(folder)}


def _part(part: ComponentSpec) -> str:
    options = ", ".join(f"{name}={value}" for name, value in part.options.items())
    return f"{part.name} ({options})" if options else part.name


def _settings(values: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Keys with dots and their values; where a run lies and which folds it trained are no settings."""
    if isinstance(values, dict) and values:
        for name, value in values.items():
            if f"{key}{name}" not in ("run", "fold", "about", "data.cache_dir"):
                yield from _settings(value, f"{key}{name}.")
    else:
        listed = values if isinstance(values, list) else [] if values in (None, {}) else [values]
        yield key.removesuffix("."), ", ".join(_short(value) for value in listed) or "none"


def _environment(folder: RunDir) -> dict[str, str]:
    """Machine and time, as far as they were written down."""
    facts = {}
    try:
        seconds = read_json(folder.scores)["seconds"]
        facts["time"] = f"{seconds / 60:,.0f} min" if seconds >= 90 else f"{seconds:,.0f} s"
    except (MaskfitError, KeyError, TypeError):
        pass
    try:
        environment = read_json(folder.environment)
        facts |= {name: str(environment[name]) for name in ("device", "maskfit", "began")}
    except (MaskfitError, KeyError, TypeError):
        pass
    return facts


def _short(value: Any) -> str:
    """A value as text; of a path the last two parts, as everywhere on these pages."""
    return "/".join(Path(value).parts[-2:]) if isinstance(value, str) and "/" in value else str(value)


def _file(path: Any) -> str:
    return Path(str(path)).name
