"""What a review lays on the table: photos with labels, suspects among these, and what models make of each photo."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from maskfit.apps.review.state import ReviewState, scored_index
from maskfit.config.loader import read_recipe
from maskfit.data.label_corrections import read_corrected
from maskfit.errors import DataError, format_list
from maskfit.evaluation.label_issues import LabelIssue, fit_and_apply_temperature
from maskfit.file_io import read_csv
from maskfit.inference.ensemble.inputs import load_aligned_tables
from maskfit.inference.label_issues import rank_label_issues
from maskfit.labels.schema import UNKNOWN, LabelSchema, as_number
from maskfit.run_dir import RunDir, is_run_dir

PhotoPredictions = Mapping[str, Mapping[str, Sequence[float]]]
"""A photo's name to an attribute to the probability of each official value."""


@dataclass
class ReviewData:
    """What is reviewed, before anything is decided.

    Attributes:
        root: Where the photos are, as the user or the run names it.
        review: The photos and their labels.
        suspects: Labels that look wrong, the likeliest first.
        views: What models make of the photos; empty without models.
        remarks: What the user should know.
    """

    root: str
    review: ReviewState
    label_issues: list[LabelIssue] = field(default_factory=list)
    predictions: PhotoPredictions = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def load_review_data(
    source: Path, scheme: LabelSchema, probabilities: Sequence[Path] = (), suspects: Path | None = None
) -> ReviewData:
    """Reads what is to be reviewed.

    Args:
        source: A folder or manifest of photos, or a run: then its photos under its corrections, and its own
            out-of-fold probabilities where none are named.
        scheme: What a folder's or manifest's labels are about; a run knows that itself.
        probabilities: Runs and tables of out-of-fold probabilities of these photos.
        suspects: A file of suspects as `maskfit label-issues` writes it; left out, they follow from the probabilities.

    Raises:
        DataError: Something cannot be read, or fits nothing here.
        RunError: A run has no out-of-fold table.
    """
    of_run = is_run_dir(source)
    root, remarks = str(source), list[str]()
    if of_run:
        data = read_recipe(RunDir(source).recipe).data
        if data.path is None:
            fix = "maskfit review PHOTOS --probabilities RUN"
            raise DataError("this run's recipe names no photos", location=source, hint=fix)
        root, scheme = str(data.path), data.label_schema
        photos, remarks = read_corrected(root, scheme, data.label_corrections, data.known_label_errors)
        probabilities = probabilities or [source]
    else:
        photos, _ = read_corrected(source, scheme)
    material = ReviewData(root, ReviewState(photos, scheme), warnings=remarks)
    if probabilities:
        material.predictions = _views(material.review, probabilities)
    if suspects is not None:
        material.label_issues = read_label_issues(suspects, material.review)
    elif probabilities:
        material.label_issues, said = rank_label_issues(probabilities, None if of_run else source)
        remarks += said
    here = [item for item in material.label_issues if item.person in material.review.photos_by_person]
    if len(here) < len(material.label_issues):
        remarks.append(f"{len(material.label_issues) - len(here)} suspects are about persons who are not here")
    material.label_issues = here
    return material


def read_label_issues(path: Path, review: ReviewState) -> list[LabelIssue]:
    """The rows of a file of suspects, in its order. Which photos they are about it need not say.

    Raises:
        DataError: It is no such file, or names an attribute that is not reviewed.
    """
    found, problems = [], []
    for number, row in enumerate(read_csv(path, ("person", "attribute", "label", "proposed", "score")), start=2):
        score = as_number(row["score"])
        if score is None:
            problems.append(f"row {number}: score '{row['score']}' is no number")
        if row["attribute"] not in review.schema.names:
            problems.append(f"row {number}: '{row['attribute']}' is not one of {', '.join(review.schema.names)}")
        photos = tuple(filter(None, row.get("photos", "").split("|")))
        label, proposed = tuple(row["label"].split(", ")), tuple(row["proposed"].split(", "))
        found.append(
            LabelIssue(row["person"], photos, row["attribute"], label, proposed, score or 0.0, row.get("reason", ""))
        )
    if problems:
        raise DataError(
            format_list(problems), location=path, hint="write it anew with maskfit label-issues RUN --out FILE"
        )
    return found


def _views(review: ReviewState, probabilities: Sequence[Path]) -> PhotoPredictions:
    """What models make of photos by their mean, as sure as they are right where labels tell how right they are."""
    official = review.schema.scored_schema()
    tables = load_aligned_tables(probabilities)
    if [item.values for item in tables.schema.attributes] != [item.values for item in official.attributes]:
        raise DataError(
            f"its classes are of {' x '.join(tables.schema.names)}, the labels of {' x '.join(official.names)}",
            location=probabilities[0],
            hint="name what the classes are with --schema, or another table",
        )
    places = {name: place for place, name in enumerate(tables.photos)}
    photos = [photo for photo in review.photos if photo.name in places]
    if not photos:
        raise DataError(
            "the table has none of these photos", location=probabilities[0], hint="name the photos it is of"
        )
    rows = tables.members.mean(axis=0)[[places[photo.name] for photo in photos]]
    views: dict[str, dict[str, list[float]]] = {photo.name: {} for photo in photos}
    for attribute in review.schema.attributes:
        share = official.marginals(rows)[attribute.name]
        codes = np.array([scored_index(attribute, photo.labels.get(attribute.name)) for photo in photos])
        if (codes != UNKNOWN).any():
            # One number fits all: what the known labels say of it holds for the others as well.
            share = fit_and_apply_temperature(share, codes)
        for photo, row in zip(photos, share.tolist(), strict=True):
            views[photo.name][attribute.name] = row
    return views
