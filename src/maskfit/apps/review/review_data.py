"""Loads what a review needs: photos with labels, label issues among them, and predicted probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from maskfit.apps.review.state import ReviewState, scored_index
from maskfit.config.loader import read_recipe
from maskfit.data.label_codes import CodesOption
from maskfit.data.label_corrections import read_corrected
from maskfit.errors import DataError, format_list
from maskfit.evaluation.label_issues import LabelIssue, fit_and_apply_temperature
from maskfit.file_io import read_csv
from maskfit.inference.ensemble.inputs import load_aligned_tables
from maskfit.inference.label_issues import rank_label_issues
from maskfit.labels.schema import UNKNOWN, LabelSchema, as_number
from maskfit.run_dir import RunDir, is_run_dir
from maskfit.text import explain_number, format_count

PhotoPredictions = Mapping[str, Mapping[str, Sequence[float]]]
"""Photo name -> attribute -> probability of every scored value."""


@dataclass
class ReviewData:
    """Input of a review.

    Attributes:
        root: Location of the photos, as the user or the run's recipe names it.
        review: The photos and labels, without any decision.
        label_issues: Labels that look wrong, the most likely first.
        predictions: Predicted probabilities of the photos; empty without models.
        warnings: Messages for the user.
    """

    root: str
    review: ReviewState
    label_issues: list[LabelIssue] = field(default_factory=list)
    predictions: PhotoPredictions = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def load_review_data(
    source: Path,
    schema: LabelSchema,
    probabilities: Sequence[Path] = (),
    label_issues: Path | None = None,
    codes: CodesOption | None = None,
) -> ReviewData:
    """Loads the input of a review.

    Args:
        source: A folder or manifest of photos, or a run. Of a run, its photos with its label corrections are reviewed,
            and its own out-of-fold probabilities are used where `probabilities` is empty.
        schema: The label schema of a folder or manifest; a run brings its own.
        probabilities: Runs and tables of out-of-fold probabilities of these photos; several are averaged.
        label_issues: A CSV that `maskfit label-issues` wrote; without one, the label issues are computed from the
            probabilities.
        codes: Meanings of codes without words in a manifest, as for `read_photos`; a run brings its own.

    Returns:
        The input.

    Raises:
        DataError: A file cannot be read, or does not match the photos.
        RunError: A run has no out-of-fold probabilities.
    """
    is_run = is_run_dir(source)
    if is_run and codes:
        message = "meanings of codes were given, but the run has its own in its recipe"
        raise DataError(message, location="--codes", hint="leave --codes out, or name the photos in place of the run")
    root, warnings = str(source), list[str]()
    if is_run:
        data = read_recipe(RunDir(source).recipe).data
        if data.path is None:
            hint = "maskfit review PHOTOS --probabilities RUN"
            raise DataError("this run's recipe names no photos", location=source, hint=hint)
        root, schema = str(data.path), data.label_schema
        photos, warnings = read_corrected(
            root, schema, data.label_corrections, data.known_label_errors, data.codes, must_use_codes=False
        )
        probabilities = probabilities or [source]
    else:
        photos, _ = read_corrected(source, schema, codes=codes)
    review_data = ReviewData(root, ReviewState(photos, schema), warnings=warnings)
    if probabilities:
        review_data.predictions = _load_predictions(review_data.review, probabilities)
    if label_issues is not None:
        issues = read_label_issues(label_issues, review_data.review)
    elif probabilities:
        issues, more_warnings = rank_label_issues(probabilities, None if is_run else source, codes=codes)
        warnings += more_warnings
    else:
        issues = []
    known = [issue for issue in issues if issue.person in review_data.review.photos_by_person]
    if len(known) < len(issues):
        warnings.append(
            f"{format_count(len(issues) - len(known), 'label issue is', 'label issues are')} "
            "about persons who are not in this dataset"
        )
    review_data.label_issues = known
    return review_data


def read_label_issues(path: Path, review: ReviewState) -> list[LabelIssue]:
    """Reads label issues from a CSV.

    Args:
        path: A CSV with the columns person, attribute, label, proposed and score; photos and reason are optional.
        review: The review, for its attributes.

    Returns:
        The label issues in the order of the file.

    Raises:
        DataError: A column is missing, a score is not a number, or an attribute is not under review.
    """
    issues, problems = [], []
    for number, row in enumerate(read_csv(path, ("person", "attribute", "label", "proposed", "score")), start=2):
        score = as_number(row["score"])
        if score is None:
            problems.append(f"row {number}: score '{row['score']}' is not a number{explain_number(row['score'])}")
        if row["attribute"] not in review.schema.names:
            problems.append(f"row {number}: '{row['attribute']}' is not one of {', '.join(review.schema.names)}")
        photos = tuple(filter(None, row.get("photos", "").split("|")))
        label, proposed = tuple(row["label"].split(", ")), tuple(row["proposed"].split(", "))
        issues.append(
            LabelIssue(row["person"], photos, row["attribute"], label, proposed, score or 0.0, row.get("reason", ""))
        )
    if problems:
        raise DataError(
            format_list(problems), location=path, hint="write the file again with maskfit label-issues RUN --out FILE"
        )
    return issues


def _load_predictions(review: ReviewState, probabilities: Sequence[Path]) -> PhotoPredictions:
    """Averages the probabilities and calibrates each attribute by temperature scaling where labels are known."""
    scored = review.schema.scored_schema()
    tables = load_aligned_tables(probabilities)
    if [attribute.values for attribute in tables.schema.attributes] != [
        attribute.values for attribute in scored.attributes
    ]:
        raise DataError(
            f"the table's classes are {' x '.join(tables.schema.names)}, the labels' {' x '.join(scored.names)}",
            location=probabilities[0],
            hint="name the label schema with --schema, or another table",
        )
    row_of = {name: row for row, name in enumerate(tables.photos)}
    photos = [photo for photo in review.photos if photo.name in row_of]
    if not photos:
        raise DataError(
            "the table has none of these photos", location=probabilities[0], hint="name the photos that it is about"
        )
    mean = tables.members.mean(axis=0)[[row_of[photo.name] for photo in photos]]
    predictions: dict[str, dict[str, list[float]]] = {photo.name: {} for photo in photos}
    for attribute in review.schema.attributes:
        marginals = scored.marginals(mean)[attribute.name]
        indices = np.array([scored_index(attribute, photo.labels.get(attribute.name)) for photo in photos])
        if (indices != UNKNOWN).any():
            # One temperature fits all photos, so the known labels calibrate the unlabeled photos too.
            marginals = fit_and_apply_temperature(marginals, indices)
        for photo, row in zip(photos, marginals.tolist(), strict=True):
            predictions[photo.name][attribute.name] = row
    return predictions
