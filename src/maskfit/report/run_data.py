"""Loads what a report is computed from: a run directory and, where they can still be read, its photos.

No photo is decoded here.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskfit.config.loader import read_recipe
from maskfit.config.recipe import ModelConfig, Recipe
from maskfit.data.face_boxes import split_name
from maskfit.data.label_corrections import read_corrected
from maskfit.data.photo_dataset import Photo, PhotoDataset
from maskfit.data.read_dataset import read_photos
from maskfit.data.splits import read_splits
from maskfit.errors import DataError, MaskfitError, ModelFileError, RunError
from maskfit.evaluation.ages import read_age_table
from maskfit.evaluation.probability_table import ProbabilityTable, concat_tables, read_table
from maskfit.file_io import read_json
from maskfit.labels.age_distribution import AgeTable
from maskfit.labels.schema import JOINT_HEAD, UNKNOWN, FloatArray, IntArray, LabelSchema, as_number
from maskfit.model_file import describe_bundled_training, read_model_metadata
from maskfit.registry import ComponentSpec
from maskfit.report.slice_columns import read_columns
from maskfit.run_dir import RunDir, explain_no_run, is_run_dir
from maskfit.text import format_count

History = Sequence[Mapping[str, float]]
"""Metrics logged by a fold: one mapping per epoch, with `epoch` and names such as `train_loss`, `valid_macro_f1`."""

NOT_SETTINGS = ("output_dir", "description", "cv.train_folds", "data.cache_dir")
"""Recipe keys that say where a run lies or what it is called rather than how it was trained."""


@dataclass(frozen=True, eq=False)
class RunData:
    """A run, photo by photo in the order of its out-of-fold predictions.

    Attributes:
        path: Run directory.
        name: Name of the run in comparisons: the name of its directory.
        title: Name and description of its recipe.
        schema: Scored label schema.
        joint: Whether the networks have a single head over all classes.
        table: Out-of-fold probabilities, calibrated as the models of the run return them.
        uncalibrated: The same before temperature scaling: the tables of the folds; `table` where those are missing.
        truth: (photos, attributes) true value codes.
        persons: (photos,) person on each photo.
        years: (photos,) number behind the first binned attribute, NaN where only the bin is known; None where the
            schema has no binned attribute.
        ages: Out-of-fold ages in years; None where the run was not trained on narrow age bands.
        folds: (photos,) fold whose model predicted the photo; `UNKNOWN` where that is not recorded.
        files: (photos,) each photo; None where its path is not known.
        columns: Slice columns by name: (photos,) values, "" for a photo without one.
        histories: Logged metrics by fold.
        settings: Every recipe key with its value as text.
        metadata: Data, model, training settings, machine and time, as label and text.
        warnings: What limits this report, one line each.
    """

    path: Path
    name: str
    title: str
    schema: LabelSchema
    joint: bool
    table: ProbabilityTable
    uncalibrated: ProbabilityTable
    truth: IntArray
    persons: NDArray[np.str_]
    years: FloatArray | None
    ages: AgeTable | None
    folds: IntArray
    files: tuple[Photo | None, ...]
    columns: Mapping[str, tuple[str, ...]]
    histories: Mapping[int, History]
    settings: Mapping[str, str]
    metadata: Mapping[str, str]
    warnings: tuple[str, ...]

    @property
    def num_persons(self) -> int:
        """Number of persons."""
        return len(set(self.persons.tolist()))

    @property
    def persons_named(self) -> bool:
        """Whether anybody says who is on the photos; otherwise each photo counts as a person of its own."""
        return any(
            person != split_name(name)[0] for person, name in zip(self.persons.tolist(), self.table.names, strict=True)
        )

    def select(self, rows: NDArray[np.int64], truth: IntArray) -> RunData:
        """Selects photos and replaces their labels.

        Args:
            rows: (selected,) indices of the photos, in the new order.
            truth: (selected, attributes) labels to evaluate against.

        Returns:
            A new object.
        """
        names = [self.table.names[row] for row in rows]
        years = None if self.years is None else _consistent_years(self.schema, self.years[rows], truth)
        return replace(
            self,
            table=self.table.reindex(names),
            uncalibrated=self.uncalibrated.reindex(names),
            truth=truth,
            persons=self.persons[rows],
            years=years,
            ages=None if self.ages is None else AgeTable(self.ages.first, self.ages.shares[rows]),
            folds=self.folds[rows],
            files=tuple(self.files[row] for row in rows),
            columns={name: tuple(values[row] for row in rows) for name, values in self.columns.items()},
        )


def load_run_data(path: str | Path, *, data: str | Path | None = None, by: Sequence[str] = ()) -> RunData:
    """Loads a run for its report.

    Args:
        path: Run directory.
        data: Labeled photos, where they differ from the training data of the run or have moved; their labels are the
            ground truth then. Default: the run's own data with its label corrections, as far as they can be read.
        by: Columns that define slices; see `slice_columns.read_columns`. Default: the attributes of the schema.

    Returns:
        The run.

    Raises:
        RunError: The directory is not a run, or has no out-of-fold predictions.
        DataError: `data` cannot be read or lacks photos, a column is unknown, or no photo has a label.
    """
    folder = _open(path)
    recipe = read_recipe(folder.recipe)
    schema = recipe.data.label_schema.scored_schema()
    table = read_table(folder.oof_probabilities, schema.num_classes)
    warnings = _start_warnings(recipe)
    photos = _photos(recipe, schema, data, warnings)
    matched = _matched(table.names, photos, data, warnings)
    folds = _fold_of_persons(folder)
    persons = np.array(
        [
            _person(name, folds) if photo is None else photo.person
            for name, photo in zip(table.names, matched, strict=True)
        ]
    )
    labels = [{} if photo is None else photo.labels for photo in matched]
    truth = _truth(table, schema, schema.encode_batch(labels), labels_first=data is not None)
    if (truth == UNKNOWN).all():
        raise DataError(
            "no photo of this run has a label, so there is nothing to evaluate",
            location=path,
            hint="name labeled photos with --data ROOT",
        )
    return RunData(
        path=folder.path,
        name=folder.path.name or str(folder.path),
        title=f"{recipe.name}: {recipe.description}" if recipe.description else recipe.name,
        schema=schema,
        joint=_has_joint_head(folder),
        table=table,
        uncalibrated=_uncalibrated(folder, table),
        truth=truth,
        persons=persons,
        years=_years(schema, labels, truth),
        ages=_read_ages(folder, table.names, warnings),
        folds=np.array([folds.get(person, UNKNOWN) for person in persons.tolist()], dtype=np.int64),
        files=tuple(matched),
        columns=read_columns(by or schema.names, table.names, persons.tolist(), schema, truth, _manifest(recipe, data)),
        histories=_histories(folder),
        settings=dict(_settings(recipe.model_dump(mode="json"))),
        metadata=_metadata(folder, recipe, len(table), len(set(persons.tolist()))),
        warnings=tuple(warnings),
    )


def _open(path: str | Path) -> RunDir:
    folder = RunDir(Path(path))
    if not is_run_dir(folder.path):
        raise explain_no_run(folder.path)
    if not folder.oof_probabilities.is_file():
        raise RunError(
            "this run has no out-of-fold predictions: its training is not complete",
            location=path,
            hint=f"complete it with maskfit train RECIPE output_dir={path} --resume",
        )
    return folder


def _has_joint_head(folder: RunDir) -> bool:
    """Whether the networks have a single head; False where the models are gone."""
    try:
        return read_model_metadata(folder.models()[0]).heads == (JOINT_HEAD,)
    except MaskfitError:
        return False


def _matched(
    names: Sequence[str], photos: PhotoDataset | None, data: str | Path | None, warnings: list[str]
) -> list[Photo | None]:
    """The photo of each name; None for all of them where one is no longer there."""
    known = {} if photos is None else {photo.name: photo for photo in photos}
    missing = [name for name in names if name not in known]
    if missing and data is not None:
        raise DataError(
            f"{format_count(len(missing), 'photo of the run is', 'photos of the run are')} "
            f"missing, for example {missing[0]}",
            location=data,
        )
    if missing and photos is not None:
        warnings.append(
            f"{format_count(len(missing), 'photo is', 'photos are')} no longer at their path, so "
            "the labels stored with the run are used."
        )
        known = {}
    return [known.get(name) for name in names]


def _uncalibrated(folder: RunDir, table: ProbabilityTable) -> ProbabilityTable:
    """The tables of the folds as one; the table of the run where they are missing or hold other photos."""
    paths = [folder.fold(number).probabilities for number in folder.fold_numbers()]
    try:
        tables = [read_table(path, table.probabilities.shape[1]) for path in paths if path.is_file()]
        return concat_tables(tables).reindex(table.names)
    except DataError:
        return table


def _photos(recipe: Recipe, schema: LabelSchema, data: str | Path | None, warnings: list[str]) -> PhotoDataset | None:
    """The labeled photos that the user named, or those of the run."""
    if data is not None:
        return read_photos(data, schema, recipe.data.codes, must_use_codes=False)
    source = recipe.data
    if source.path is None:
        return None
    try:
        return read_corrected(
            source.path,
            schema,
            source.label_corrections,
            source.known_label_errors,
            source.codes,
            must_use_codes=False,
        )[0]
    except MaskfitError:
        # Photos may be moved after training; the run's own table is enough for most of the report.
        warnings.append(
            "The photos cannot be read at their path, so the report has no pictures and no errors by age. Name their "
            "present path with --data ROOT."
        )
        return None


def _manifest(recipe: Recipe, data: str | Path | None) -> Path | None:
    """The CSV that lists the photos, where there is one."""
    source = data or recipe.data.path
    return Path(source) if source is not None and Path(source).suffix.lower() == ".csv" else None


def _fold_of_persons(folder: RunDir) -> Mapping[str, int]:
    try:
        return read_splits(folder.splits).fold_of_person
    except DataError:
        return {}


def _person(name: str, persons: Mapping[str, int]) -> str:
    """The person on a photo, from its name alone: its folder, unless only the name itself is a person of the run."""
    name = split_name(name)[0]
    parent = PurePosixPath(name).parent.name
    return name if not parent or (name in persons and parent not in persons) else parent


def _truth(table: ProbabilityTable, schema: LabelSchema, codes: IntArray, *, labels_first: bool) -> IntArray:
    """Merges the truth stored in the table with the labels of the photos; `labels_first` decides which one wins."""
    if table.truth is None:
        return codes
    stored = schema.to_attribute_indices(table.truth)
    first, second = (codes, stored) if labels_first else (stored, codes)
    return np.where(first == UNKNOWN, second, first)


def _years(schema: LabelSchema, labels: Sequence[Mapping[str, Any]], truth: IntArray) -> FloatArray | None:
    """Numbers behind the first binned attribute; a number outside of the true bin has been corrected and is NaN."""
    binned = [item.name for item in schema.attributes if item.bin_edges]
    if not binned:
        return None
    numbers = [as_number(label.get(binned[0], "")) for label in labels]
    return _consistent_years(schema, np.array([np.nan if number is None else number for number in numbers]), truth)


def _consistent_years(schema: LabelSchema, years: FloatArray, truth: IntArray) -> FloatArray:
    column, attribute = next((column, item) for column, item in enumerate(schema.attributes) if item.bin_edges)
    return np.where(np.searchsorted(attribute.bin_edges, years, side="right") == truth[:, column], years, np.nan)


def _read_ages(folder: RunDir, names: Sequence[str], warnings: list[str]) -> AgeTable | None:
    """The ages in years of the run; None where it has none."""
    if not folder.oof_ages.is_file():
        return None
    try:
        return read_age_table(folder.oof_ages, names)
    except DataError as error:
        warnings.append(f"The ages in years are left out: {error.message}.")
        return None


def _histories(folder: RunDir) -> dict[int, History]:
    """The rows of metrics.csv by fold."""
    histories: dict[int, History] = {}
    for number in folder.fold_numbers():
        path = folder.fold(number).metrics
        if path.is_file():
            with path.open(encoding="utf-8", newline="") as stream:
                rows = [{name: _float(cell) for name, cell in row.items() if name} for row in csv.DictReader(stream)]
            histories[number] = rows
    return histories


def _float(cell: Any) -> float:
    number = as_number(cell) if isinstance(cell, str) else None
    return float("nan") if number is None else number


def _start_warnings(recipe: Recipe) -> list[str]:
    """What the terminal says too: a start from the bundled model makes scores on its training photos optimistic."""
    if recipe.model.init_from != "bundled":
        return []
    try:
        text = describe_bundled_training()
    except ModelFileError:
        text = "training started from the bundled model: scores on photos that trained it are optimistic"
    return [f"{text[0].upper()}{text[1:]}."]


def _start(model: ModelConfig) -> str:
    """What training started from, with `model.init_from`, which comes after `model.pretrained`."""
    if not model.init_from:
        return Path(model.pretrained).name
    start = "bundled model" if model.init_from == "bundled" else Path(model.init_from).name
    return f"backbone of {'the ' if model.init_from == 'bundled' else ''}{start} (model.init_from)"


def _metadata(folder: RunDir, recipe: Recipe, photos: int, persons: int) -> dict[str, str]:
    model, data, trainer = recipe.model, recipe.data, recipe.trainer
    height, width = data.input_size
    # The last two parts identify the data set; the full path would reveal directories of the machine to every reader.
    root = "/".join(part for part in Path(data.path or "").parts[-2:] if part != "/")
    metadata = {
        "photos": f"{photos:,} of {format_count(persons, 'person was', 'persons were')} evaluated",
        "data": root,
        "model": f"{_component(model.backbone)}, head {_component(model.head)}",
        "pretrained weights": _start(model),
        "crop": _component(data.crop),
        "image size": f"{height} x {width}",
        "loss": _component(recipe.loss),
        "training": f"{format_count(trainer.epochs, 'epoch')}, batch size {trainer.batch_size}",
        "augmentation": _component(recipe.augmentation),
        "batch mixing": _component(recipe.batch_mixing),
        "progressive resizing": _component(recipe.progressive_resizing),
        "sampler": _component(recipe.sampler),
        "optimizer, learning rate schedule": f"{_component(recipe.optimizer)}, {_component(recipe.lr_scheduler)}",
        "label corrections": ", ".join(
            [f"known label errors: {data.known_label_errors}", *(Path(path).name for path in data.label_corrections)]
        ),
        "seed": str(trainer.seed),
    }
    return {**metadata, **_environment(folder)}


def _component(spec: ComponentSpec) -> str:
    options = ", ".join(f"{name}={value}" for name, value in spec.options.items())
    return f"{spec.name} ({options})" if options else spec.name


def _settings(values: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Dotted recipe keys and their values, without `NOT_SETTINGS`."""
    if isinstance(values, dict) and values:
        for name, value in values.items():
            if f"{key}{name}" not in NOT_SETTINGS:
                yield from _settings(value, f"{key}{name}.")
    else:
        items = values if isinstance(values, list) else [] if values in (None, {}) else [values]
        yield key.removesuffix("."), ", ".join(_short(value) for value in items) or "none"


def _environment(folder: RunDir) -> dict[str, str]:
    """Machine and time, as far as they were recorded."""
    recorded = {}
    try:
        seconds = read_json(folder.scores)["seconds"]
        recorded["training time"] = f"{seconds / 60:,.0f} min" if seconds >= 90 else f"{seconds:,.0f} s"
    except (MaskfitError, KeyError, TypeError):
        pass
    try:
        environment = read_json(folder.environment)
        values = [str(environment[name]) for name in ("device", "maskfit", "began")]
        recorded |= dict(zip(("device", "maskfit version", "started"), values, strict=True))
    except (MaskfitError, KeyError, TypeError):
        pass
    return recorded


def _short(value: Any) -> str:
    """A value as text; of a path only the last two parts."""
    return "/".join(Path(value).parts[-2:]) if isinstance(value, str) and "/" in value else str(value)
