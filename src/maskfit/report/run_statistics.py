"""Statistics of one run: everything that its page shows and `--json` prints, computed once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskfit.calibration import Objective, apply_temperatures
from maskfit.evaluation.ages import AgeScore, score_ages
from maskfit.evaluation.bootstrap import Interval, fraction_interval
from maskfit.evaluation.calibration import AbstentionThreshold, TemperatureFit, evaluate_calibration, fit_thresholds
from maskfit.evaluation.fit_decisions import DecisionFit, fit_run_decisions
from maskfit.evaluation.scores import Scores, confusion_matrices, score
from maskfit.evaluation.selective_prediction import RiskCoverage, risk_coverage
from maskfit.labels.schema import JOINT_HEAD, UNKNOWN, FloatArray, IntArray
from maskfit.report.run_data import RunData

NEAR_YEARS = 3
"""Years on each side of a bin edge that count as near it: 27 to 32 and 57 to 62."""

TARGET_ACCURACY = 0.95
"""Accuracy that the remaining predictions are to reach in the section on abstention."""

MIN_AGREEMENT = 0.95
"""Fraction of persons whose photos must agree on an attribute for it to belong to the person, not to the photo."""


@dataclass(frozen=True)
class AttributeAccuracy:
    """Accuracy of one attribute, or of the whole class.

    Attributes:
        photos: Fraction of photos predicted correctly, with its interval over persons.
        persons: Fraction of persons predicted correctly from the mean probabilities of their photos; None where the
            attribute differs between photos of a person.
        known: Number of photos whose label is known.
    """

    photos: Interval
    persons: Interval | None
    known: int

    def to_dict(self) -> dict[str, Any]:
        """Returns the values for JSON."""
        persons = None if self.persons is None else self.persons.to_dict()
        return {"photos": self.photos.to_dict(), "persons": persons, "known": self.known}


@dataclass(frozen=True)
class AgeErrors:
    """Errors of the binned attribute by its number.

    Attributes:
        attribute: Name of the attribute.
        rows: (years, number of photos, number of errors), ascending.
        bin_edges: First year of each bin but the lowest.
        errors: Number of errors.
        errors_near_edge: Number of errors within `NEAR_YEARS` of a bin edge.
        photos_near_edge: Number of photos within `NEAR_YEARS` of a bin edge.
    """

    attribute: str
    rows: tuple[tuple[float, int, int], ...]
    bin_edges: tuple[float, ...]
    errors: int
    errors_near_edge: int
    photos_near_edge: int

    @property
    def photos(self) -> int:
        """Number of photos whose number is known."""
        return sum(photos for _, photos, _ in self.rows)

    def to_dict(self) -> dict[str, Any]:
        """Returns the values for JSON."""
        return {
            "attribute": self.attribute,
            "edges": list(self.bin_edges),
            "wrong": self.errors,
            "near_border": self.errors_near_edge,
            "photos_near_border": self.photos_near_edge,
            "years": [{"years": years, "photos": photos, "wrong": errors} for years, photos, errors in self.rows],
        }


@dataclass(frozen=True)
class SliceStatistics:
    """Accuracy on a part of the photos.

    Attributes:
        photos: Number of photos.
        persons: Number of persons.
        accuracy: Accuracy by attribute, and under `JOINT_HEAD` of the class; what is labeled on no photo is missing.
    """

    photos: int
    persons: int
    accuracy: Mapping[str, Interval]

    def to_dict(self) -> dict[str, Any]:
        """Returns the values for JSON."""
        accuracy = {name: item.to_dict() for name, item in self.accuracy.items()}
        return {"photos": self.photos, "persons": self.persons, "right": accuracy}


@dataclass(frozen=True, eq=False)
class RunStatistics:
    """Statistics of one run.

    Attributes:
        run: The run.
        scores: Scores of all out-of-fold predictions.
        per_fold: Scores of each fold, where there are several.
        accuracy: Accuracy of each attribute, and under `JOINT_HEAD` of the class.
        confusions: Confusion matrices; see `scores.confusion_matrices`.
        calibration: Calibration before and after temperature scaling; see `calibration.evaluate_calibration`.
        thresholds: Abstention thresholds for `TARGET_ACCURACY`; see `calibration.fit_thresholds`.
        decisions: Decision weights by objective; see `fit_decisions.fit_run_decisions`.
        ages: Errors by age; None where no age is known as a number.
        years: Scores of the ages in years; None where the run gives none, or no age is known as a number.
        slices: Statistics by slice column and value.
    """

    run: RunData
    scores: Scores
    per_fold: Mapping[int, Scores]
    accuracy: Mapping[str, AttributeAccuracy]
    confusions: Mapping[str, IntArray]
    calibration: Mapping[str, TemperatureFit]
    thresholds: Mapping[str, AbstentionThreshold]
    decisions: Mapping[Objective, DecisionFit]
    ages: AgeErrors | None
    years: AgeScore | None
    slices: Mapping[str, Mapping[str, SliceStatistics]]

    @cached_property
    def risk_coverage(self) -> dict[str, RiskCoverage]:
        """Risk-coverage curve of each attribute that has a threshold."""
        return risk_coverage_curves(self.run, {name: self.calibration[name].temperature for name in self.thresholds})

    def to_dict(self) -> dict[str, Any]:
        """Returns the values for JSON."""
        thresholds = {name: item.to_dict() for name, item in self.thresholds.items()}
        return {
            "run": str(self.run.path),
            "scores": self.scores.to_dict(),
            "per_fold": {str(number): item.to_dict() for number, item in self.per_fold.items()},
            "right": {name: item.to_dict() for name, item in self.accuracy.items()},
            "confusions": {name: matrix.tolist() for name, matrix in self.confusions.items()},
            "calibration": {name: item.to_dict() for name, item in self.calibration.items()},
            "thresholds": {"accuracy": TARGET_ACCURACY, **thresholds},
            "risk_coverage_area": {name: curve.area() for name, curve in self.risk_coverage.items()},
            "decisions": {name: fit.to_dict() for name, fit in self.decisions.items()},
            "ages": None if self.ages is None else self.ages.to_dict(),
            "age_years": None if self.years is None else self.years.to_dict(),
            "slices": {
                column: {value: part.to_dict() for value, part in parts.items()}
                for column, parts in self.slices.items()
            },
            "facts": dict(self.run.metadata),
            "remarks": list(self.run.warnings),
        }


def describe(run: RunData, *, draws: int = 1000) -> RunStatistics:
    """Computes the statistics of a run.

    Args:
        run: The run.
        draws: Number of bootstrap samples of persons for each confidence interval.

    Returns:
        Its statistics.
    """
    schema, table, truth, persons = run.schema, run.table, run.truth, run.persons
    return RunStatistics(
        run=run,
        scores=score(schema, truth, probabilities=table.probabilities, persons=persons, draws=draws),
        per_fold=_per_fold(run),
        accuracy=_accuracy(run, draws),
        confusions=confusion_matrices(schema, truth, table.predictions),
        calibration=evaluate_calibration(run.uncalibrated, schema, persons, truth, draws=draws),
        thresholds=fit_thresholds(run.uncalibrated, schema, persons, truth, accuracy=TARGET_ACCURACY, draws=draws),
        decisions=fit_run_decisions(run.uncalibrated, schema, persons, truth, joint=run.joint),
        ages=_ages(run),
        years=_score_years(run, draws),
        slices={column: _slices(run, values, draws) for column, values in run.columns.items()},
    )


def correct_predictions(run: RunData) -> dict[str, tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """Returns which predictions are correct, and for which photos that is known.

    Args:
        run: The run.

    Returns:
        By attribute, and under `JOINT_HEAD` for the class: (photos,) correct, and (photos,) label known.
    """
    schema, truth = run.schema, run.truth
    predictions = schema.to_attribute_indices(run.table.predictions)
    found = {JOINT_HEAD: ((predictions == truth).all(axis=1), (truth != UNKNOWN).all(axis=1))}
    for column, name in enumerate(schema.names):
        found[name] = (predictions[:, column] == truth[:, column], truth[:, column] != UNKNOWN)
    return found


def _per_fold(run: RunData) -> dict[int, Scores]:
    numbers = sorted(set(run.folds[run.folds != UNKNOWN].tolist()))
    if len(numbers) < 2:
        return {}
    rows = {number: run.folds == number for number in numbers}
    return {
        number: score(run.schema, run.truth[own], probabilities=run.table.probabilities[own])
        for number, own in rows.items()
    }


def _accuracy(run: RunData, draws: int) -> dict[str, AttributeAccuracy]:
    found = {}
    for name, (correct, known) in correct_predictions(run).items():
        if known.any():
            photos = fraction_interval(correct & known, known, run.persons, draws)
            persons = None if name == JOINT_HEAD else _person_accuracy(run, name, known, draws)
            found[name] = AttributeAccuracy(photos, persons, int(known.sum()))
    return found


def _person_accuracy(run: RunData, name: str, known: NDArray[np.bool_], draws: int) -> Interval | None:
    """Fraction of persons that are correct when the probabilities of all their photos are averaged."""
    column = run.schema.names.index(name)
    rows = run.schema.marginals(run.table.probabilities)[name][known]
    unique, first, person = np.unique(run.persons[known], return_index=True, return_inverse=True)
    codes = run.truth[known, column]
    several = np.bincount(person) > 1
    same = np.bincount(person, weights=codes != codes[first][person]) == 0
    if not several.any() or same[several].mean() < MIN_AGREEMENT:
        return None
    mean = np.stack([np.bincount(person, weights=values) for values in rows.T], axis=1)
    correct = mean.argmax(axis=1)[same] == codes[first][same]
    return fraction_interval(correct, np.ones(len(correct)), unique[same], draws)


def _ages(run: RunData) -> AgeErrors | None:
    if run.years is None or np.isnan(run.years).all():
        return None
    attribute = next(item for item in run.schema.attributes if item.bin_edges)
    correct, _ = correct_predictions(run)[attribute.name]
    known = ~np.isnan(run.years)
    years, wrong = np.floor(run.years[known]), ~correct[known]
    unique, row = np.unique(years, return_inverse=True)
    counts = zip(unique.tolist(), np.bincount(row).tolist(), np.bincount(row, weights=wrong).tolist(), strict=True)
    near = near_bin_edge(years, attribute.bin_edges)
    return AgeErrors(
        attribute=attribute.name,
        rows=tuple((number, photos, int(errors)) for number, photos, errors in counts),
        bin_edges=attribute.bin_edges,
        errors=int(wrong.sum()),
        errors_near_edge=int((wrong & near).sum()),
        photos_near_edge=int(near.sum()),
    )


def _score_years(run: RunData, draws: int) -> AgeScore | None:
    if run.years is None or run.ages is None:
        return None
    return score_ages(run.ages.quantiles(), run.years, run.persons, draws)


def near_bin_edge(years: FloatArray, bin_edges: tuple[float, ...]) -> NDArray[np.bool_]:
    """Returns which ages are within `NEAR_YEARS` of a bin edge, on both sides: for an edge at 30 those from 27 to 32.

    Args:
        years: (photos,) ages in years.
        bin_edges: First year of each bin but the lowest; one or more.

    Returns:
        (photos,) mask.
    """
    return np.asarray(
        np.any([(years >= edge - NEAR_YEARS) & (years < edge + NEAR_YEARS) for edge in bin_edges], axis=0)
    )


def _slices(run: RunData, values: tuple[str, ...], draws: int) -> dict[str, SliceStatistics]:
    """Statistics of each value; photos without a value belong to no slice."""
    predictions, column = correct_predictions(run), np.array(values)
    found = {}
    for value in _sorted_values(values):
        inside = column == value
        accuracy = {
            name: fraction_interval((correct & known)[inside], known[inside], run.persons[inside], draws)
            for name, (correct, known) in predictions.items()
            if (known & inside).any()
        }
        found[value] = SliceStatistics(int(inside.sum()), len(set(run.persons[inside].tolist())), accuracy)
    return found


def _sorted_values(values: tuple[str, ...]) -> list[str]:
    """Numbers and ranges by size, names alphabetically, `others` last."""

    def sort_key(value: str) -> tuple[bool, float, str]:
        start = value.split(" to ")[0].lstrip("<>=").split("-")[0]
        number = float(start) if start.replace(".", "", 1).isdigit() else 0.0
        return value == "others", number - value.startswith("<"), value.casefold()

    return sorted({value for value in values if value}, key=sort_key)


def risk_coverage_curves(run: RunData, temperatures: Mapping[str, float]) -> dict[str, RiskCoverage]:
    """Computes risk-coverage curves after temperature scaling.

    Args:
        run: The run.
        temperatures: Temperature by attribute.

    Returns:
        The curve of each attribute that has a temperature.
    """
    scaled = apply_temperatures(run.schema, run.uncalibrated.probabilities, dict(temperatures))
    marginals = run.schema.marginals(scaled)
    found = {}
    for column, name in enumerate(run.schema.names):
        known = run.truth[:, column] != UNKNOWN
        if name in temperatures:
            rows = marginals[name][known]
            found[name] = risk_coverage(rows.max(axis=1), rows.argmax(axis=1) == run.truth[known, column])
    return found
