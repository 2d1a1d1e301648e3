"""Label issues in the data that runs were trained on: joins tables, persons and ages, and writes the results.

The ranking itself is `evaluation.label_issues`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np

from maskfit.config.loader import read_recipe
from maskfit.data.label_codes import CodesOption
from maskfit.data.label_corrections import Correction, read_corrected, write_corrections
from maskfit.data.photo_dataset import PhotoDataset
from maskfit.data.read_dataset import read_photos
from maskfit.data.splits import describe_leak_risk
from maskfit.errors import DataError, MaskfitError
from maskfit.evaluation.ages import read_age_table
from maskfit.evaluation.label_issues import DEFAULT_NOISE_RATE, LabelIssue, find_label_issues
from maskfit.file_io import write_csv
from maskfit.inference.ensemble.inputs import AlignedTables, load_aligned_tables
from maskfit.inference.truth_files import describe_alike
from maskfit.labels.age_distribution import AgeTable, average_ages, find_age_attribute
from maskfit.labels.schema import UNKNOWN, FloatArray, LabelSchema
from maskfit.run_dir import RunDir, is_run_dir
from maskfit.text import format_count

COLUMNS = ("person", "photos", "attribute", "label", "proposed", "score", "reason")
"""Columns of the CSV of label issues."""


def rank_label_issues(
    paths: Sequence[str | Path],
    data: str | Path | None = None,
    noise: float = DEFAULT_NOISE_RATE,
    codes: CodesOption | None = None,
    schema: LabelSchema | None = None,
) -> tuple[list[LabelIssue], list[str]]:
    """Ranks label issues by the mean prediction of several runs or tables.

    Args:
        paths: Run folders and CSVs of out-of-fold probabilities, of the same photos.
        data: The labeled photos; None takes the first run's own data with its corrections, where they can be read.
            They give the ages behind age bands. Labels that differ from those of training replace them.
        noise: Expected fraction of wrong labels; as for `find_label_issues`.
        codes: Meanings of codes without words in `data`, as for `read_photos`.
        schema: Label schema of the tables; None takes that of the runs, or else the competition's.

    Returns:
        The issues, the most likely first, and warnings for the user.

    Raises:
        DataError: A table cannot be read, persons are not known, or no label is known.
    """
    tables = load_aligned_tables(paths, schema)
    warnings = list(tables.warnings)
    photos = _load_photos(paths, tables.schema, data, codes, warnings)
    if data is not None and photos is not None and describe_leak_risk(photos):
        warnings.append(
            "nobody says who is on the photos, so each counts as a person of its own: add a column person, and labels "
            "of the same person are compared"
        )
    if photos is not None:
        warnings += _describe_unjudged(tables.photos, photos)
        tables = _with_labels(tables, photos, replace_truth=data is not None)
    if tables.truth is None:
        raise DataError("the table has no labels", location=paths[0], hint="name a run, or add --data ROOT")
    if tables.persons is None:
        raise DataError(
            "the persons on the photos are not known; folders that say a label, or hold all photos, are none",
            location=paths[0],
            hint="add a column person to the table, or --data ROOT",
        )
    years = None if photos is None else _years(tables, photos)
    mean = tables.members.mean(axis=0)
    ages = _mean_ages(paths, tables, mean)
    issues = find_label_issues(
        tables.photos, tables.persons, mean, tables.truth, tables.schema, years, noise, ages=ages
    )
    return issues, warnings


def _describe_unjudged(judged: Sequence[str], photos: PhotoDataset) -> list[str]:
    """A line where labels are not judged, because their photos were not held out, as after a single split."""
    labeled = {photo.name for photo in photos if photo.labels}
    count = len(labeled.intersection(judged))
    if count == len(labeled):
        return []
    return [
        f"{count:,} of {format_count(len(labeled), 'labeled photo')} were held out and are judged, the other "
        f"{len(labeled) - count:,} were not; a run with cv.num_folds=5 judges all of them"
    ]


def _mean_ages(paths: Sequence[str | Path], tables: AlignedTables, mean: FloatArray) -> AgeTable | None:
    """The mean of the runs' ages in years, scaled to the mean age bands; None where no run has any."""
    attribute = find_age_attribute(tables.schema)
    runs = [RunDir(Path(path)) for path in paths if is_run_dir(Path(path))]
    found = [read_age_table(run.oof_ages, tables.photos) for run in runs if run.oof_ages.is_file()]
    if attribute is None or not found:
        return None
    bands = tables.schema.marginals(mean)[attribute.name]
    return average_ages(found).fit_bands(attribute.bin_edges, bands)


def write_label_issues(path: Path, issues: Sequence[LabelIssue]) -> Path:
    """Writes `person,photos,attribute,label,proposed,score,reason`.

    `photos` is separated by `|`, and empty where the label concerns all photos of the person.

    Args:
        path: The CSV.
        issues: The issues, in the order of the rows.

    Returns:
        `path`.
    """
    rows = [
        (
            item.person,
            "|".join(item.photos),
            item.attribute,
            ", ".join(item.label),
            ", ".join(item.proposed),
            f"{item.score:.4f}",
            item.reason,
        )
        for item in issues
    ]
    return write_csv(path, COLUMNS, rows)


def load_labeled_photos(
    paths: Sequence[str | Path],
    data: str | Path | None = None,
    codes: CodesOption | None = None,
    schema: LabelSchema | None = None,
) -> tuple[PhotoDataset, LabelSchema]:
    """Loads the labeled photos that issues are about.

    Args:
        paths: As for `rank_label_issues`.
        data: As for `rank_label_issues`.
        codes: As for `rank_label_issues`.
        schema: As for `rank_label_issues`.

    Returns:
        The photos, and the schema of the scored labels.

    Raises:
        DataError: They cannot be read, or no run names them.
    """
    schema = load_aligned_tables(paths, schema).schema
    photos = _load_photos(paths, schema, data, codes, [])
    if photos is None:
        raise DataError("the labeled photos are not known", location=paths[0], hint="add --data ROOT")
    return photos, schema


def photo_text(issue: LabelIssue) -> str:
    """Names the photos of an issue for people.

    Args:
        issue: The issue.

    Returns:
        One photo, two that were swapped, or "all" for an attribute of the person.
    """
    return "\n".join(issue.photos) or "all"


def propose_corrections(path: Path, issues: Sequence[LabelIssue], min_score: float) -> list[Correction]:
    """Writes the proposed labels of issues as label corrections.

    They are guesses: their tier is `likely`, and a person reviews them in `maskfit review`.

    Args:
        path: The CSV of corrections.
        issues: The issues.
        min_score: Score that an issue must have.

    Returns:
        The corrections.
    """
    corrections = [
        Correction(item.person, photo, item.attribute, value, "likely", item.reason)
        for item in issues
        if item.score >= min_score
        for photo, value in zip(_file_names(item), item.proposed, strict=True)
    ]
    write_corrections(path, corrections)
    return corrections


def _file_names(item: LabelIssue) -> list[str]:
    """The photos' file names, as corrections have them; one empty name for a whole person."""
    return [PurePosixPath(photo).name for photo in item.photos] or [""]


def _load_photos(
    paths: Sequence[str | Path],
    schema: LabelSchema,
    data: str | Path | None,
    codes: CodesOption | None,
    warnings: list[str],
) -> PhotoDataset | None:
    """The labeled photos that the user named, or those of the first run."""
    if data is not None:
        return read_photos(data, schema, codes)
    if codes:
        raise DataError(
            "meanings of codes were given without photos; a run has its own in its recipe",
            location="--codes",
            hint="name the photos with --data ROOT, or leave --codes out",
        )
    for path in paths:
        if not is_run_dir(Path(path)):
            continue
        recipe = read_recipe(RunDir(Path(path)).recipe)
        try:
            return read_corrected(
                str(recipe.data.path),
                schema,
                recipe.data.label_corrections,
                recipe.data.known_label_errors,
                recipe.data.codes,
                must_use_codes=False,
            )[0]
        except MaskfitError:
            # The photos may be gone; the run's table still has everything but the exact ages.
            warnings.append(f"{recipe.data.path} cannot be read, so ages count as bands; add --data ROOT")
    return None


def _with_labels(tables: AlignedTables, photos: PhotoDataset, *, replace_truth: bool) -> AlignedTables:
    """The tables with the persons of the photos and, with `replace_truth`, their labels."""
    by_name = {photo.name: photo for photo in photos}
    missing = [name for name in tables.photos if name not in by_name]
    if missing:
        if not replace_truth:
            return tables
        message = (
            f"{format_count(len(missing), 'photo of the table is', 'photos of the table are')} missing, such as "
            f"{missing[0]}"
        )
        alike = describe_alike(missing, sorted(by_name.keys() - set(tables.photos)))
        raise DataError(
            f"{message}; {alike}" if alike else message,
            location=photos.root,
            hint="name the photos or manifest that the table was predicted from, with the same names",
        )
    rows = [by_name[name] for name in tables.photos]
    persons = tuple(photo.person for photo in rows)
    if not replace_truth and tables.truth is not None:
        return replace(tables, persons=persons)
    truth = tables.schema.to_class_index(tables.schema.encode_batch(photo.labels for photo in rows))
    if tables.truth is not None:
        truth = np.where(truth == UNKNOWN, tables.truth, truth)
    return replace(tables, persons=persons, truth=truth)


def _years(tables: AlignedTables, photos: PhotoDataset) -> FloatArray | None:
    """(photos,) the number behind the binned attribute, NaN where there is none; None without such an attribute."""
    binned = [attribute.name for attribute in tables.schema.attributes if attribute.bin_edges]
    if not binned:
        return None
    labels = {photo.name: photo.labels.get(binned[0]) for photo in photos}
    numbers = [labels.get(name) for name in tables.photos]
    return np.array([float(number) if isinstance(number, int | float) else np.nan for number in numbers])
