"""Ages in years: their errors and the coverage of their interval, how they are fitted, and their file.

The one fitted number is the temperature of the narrow bands, by the likelihood of the true years. Errors and coverage
are measured with temperatures that were fitted on other persons.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maskfit.calibration import MIN_RELIABLE_PERSONS, AgeCalibration
from maskfit.errors import DataError
from maskfit.evaluation.bootstrap import Interval, fraction_interval, proportion_interval
from maskfit.evaluation.calibration import grouped_splits
from maskfit.file_io import check_unique_rows, read_csv, write_csv
from maskfit.labels.age_distribution import INTERVAL_LEVEL, QUANTILES, AgeTable, sharpen, spread_bands
from maskfit.labels.schema import Attribute, FloatArray, IntArray

TEMPERATURES = np.geomspace(0.5, 3, 25)
"""Temperatures that are tried."""

AGE_PERCENTILES = (1, 99)
"""Percentiles of the known ages that bound the open bands: single wrong ages must not stretch them."""

PARTS = 5
"""Parts of the persons, each measured with the temperature of the others."""


@dataclass(frozen=True)
class AgeScore:
    """How good ages in years are.

    Attributes:
        mean_absolute_error: Mean distance in years between the median and the true age, with its interval over persons.
        coverage: Fraction of true ages within the interval of `INTERVAL_LEVEL`.
        width: Mean width of that interval in years.
        photos: Number of photos with a known age.
        persons: Number of persons on them.
    """

    mean_absolute_error: Interval
    coverage: Interval
    width: float
    photos: int
    persons: int

    def to_dict(self) -> dict[str, Any]:
        """Returns the values for JSON; an interval without width has no bounds, as of one person."""
        error: dict[str, float | None] = dict(self.mean_absolute_error.to_dict())
        if not self.mean_absolute_error.has_width:
            error |= {"low": None, "high": None}
        return {
            "mean_absolute_error": error,
            "coverage": self.coverage.to_dict(),
            "level": round(INTERVAL_LEVEL, 3),
            "width": self.width,
            "photos": self.photos,
            "persons": self.persons,
        }


def score_ages(quantiles: NDArray[Any], years: FloatArray, persons: ArrayLike, draws: int = 1000) -> AgeScore | None:
    """Scores ages in years.

    Args:
        quantiles: Years at `QUANTILES`, (photos, quantiles).
        years: True ages, (photos,), NaN where not known.
        persons: Person on each photo, (photos,).
        draws: Number of bootstrap samples of persons for the intervals.

    Returns:
        The scores; None where no age is known.
    """
    known = ~np.isnan(years)
    if not known.any():
        return None
    low, median, high = np.asarray(quantiles, dtype=np.float64)[known].T
    true, own, ones = np.floor(years[known]), np.asarray(persons)[known], np.ones(int(known.sum()))
    inside = (low <= true) & (true <= high)
    return AgeScore(
        mean_absolute_error=proportion_interval(np.abs(median - true), ones, own, draws),
        coverage=fraction_interval(inside, ones, own, draws),
        width=float((high - low).mean()),
        photos=len(true),
        persons=len(np.unique(own)),
    )


def build_ages(
    attribute: Attribute, narrow: FloatArray, edges: Sequence[float], bands: FloatArray, fitted: AgeCalibration
) -> AgeTable:
    """Computes distributions of ages from the outputs of a network.

    Args:
        attribute: The attribute as it was trained, with narrow bands.
        narrow: Probabilities of the narrow bands, (photos, narrow bands), uncalibrated.
        edges: Borders of the scored bands.
        bands: Calibrated probabilities of the scored bands, (photos, bands).
        fitted: The calibration of ages.

    Returns:
        The distributions.
    """
    return spread_bands(attribute, sharpen(narrow, fitted.temperature), fitted.age_range).fit_bands(edges, bands)


def fit_ages(
    attribute: Attribute,
    narrow: FloatArray,
    edges: Sequence[float],
    bands: FloatArray,
    years: FloatArray,
    persons: ArrayLike,
) -> AgeCalibration | None:
    """Fits the calibration of ages on out-of-fold predictions and measures it on other persons.

    Args:
        attribute: As for `build_ages`.
        narrow: As for `build_ages`.
        edges: As for `build_ages`.
        bands: As for `build_ages`.
        years: True ages, (photos,), NaN where not known.
        persons: Person on each photo, (photos,).

    Returns:
        The calibration, with temperature 1 for fewer than `MIN_RELIABLE_PERSONS` persons; None without a known age.
    """
    known = ~np.isnan(years)
    if not known.any():
        return None
    narrow, bands, years = narrow[known], bands[known], np.floor(years[known])
    people = np.asarray(persons)[known]
    low, high = np.percentile(years, AGE_PERCENTILES)
    base = AgeCalibration(age_range=(float(np.floor(low)), float(max(np.ceil(high), np.floor(low) + 1))))
    base = base.model_copy(update={"photos": len(years), "persons": len(np.unique(people))})
    if base.persons < MIN_RELIABLE_PERSONS:
        return base
    candidates = [base.model_copy(update={"temperature": float(value)}) for value in TEMPERATURES]
    tables = [build_ages(attribute, narrow, edges, bands, item) for item in candidates]
    losses = np.stack([_losses(table, years) for table in tables])
    quantiles = np.zeros((len(years), len(QUANTILES)), dtype=np.int64)
    for train, test in grouped_splits(people, PARTS):
        best = tables[int(losses[:, train].mean(axis=1).argmin())]
        quantiles[test] = AgeTable(best.first, best.shares[test]).quantiles()
    score = score_ages(quantiles, years, people, draws=2)
    assert score is not None
    measured = {
        "mean_absolute_error": round(score.mean_absolute_error.value, 3),
        "coverage": round(score.coverage.value, 4),
        "width": round(score.width, 2),
    }
    return candidates[int(losses.mean(axis=1).argmin())].model_copy(update=measured)


def _losses(table: AgeTable, years: FloatArray) -> FloatArray:
    """(photos,), -ln of the probability of the true year, which is never 0."""
    columns = np.clip(years - table.first, 0, table.shares.shape[1] - 1).astype(np.int64)
    shares = table.shares[np.arange(len(years)), columns] / table.shares.sum(axis=1)
    return np.asarray(-np.log(np.maximum(shares, 1e-6)))


def write_age_table(path: Path, names: Sequence[str], table: AgeTable) -> Path:
    """Writes `ImageID` and a column for each year that has any probability, such as `y18`.

    Args:
        path: The CSV.
        names: Names of the photos.
        table: Their ages.

    Returns:
        The path.
    """
    shares = table.shares / table.shares.sum(axis=1, keepdims=True)
    used = np.flatnonzero((shares > 0).any(axis=0))
    columns = np.arange(used[0], used[-1] + 1) if len(used) else used
    rows = ([name, *(f"{value:.4g}" for value in row)] for name, row in zip(names, shares[:, columns], strict=True))
    return write_csv(path, ["ImageID", *(f"y{year}" for year in table.years[columns])], rows)


def read_age_table(path: Path, names: Sequence[str]) -> AgeTable:
    """Reads ages that `write_age_table` wrote.

    Args:
        path: The CSV.
        names: The photos to read, in order.

    Returns:
        Their ages.

    Raises:
        DataError: The file is no such table, lacks a photo, or has two rows of one.
    """
    rows = read_csv(path, ["ImageID"])
    columns = [name for name in rows[0] if re.fullmatch(r"y\d+", name)] if rows else []
    years: IntArray = np.array([int(name[1:]) for name in columns], dtype=np.int64)
    if not len(years) or not np.array_equal(years, np.arange(years[0], years[0] + len(years))):
        raise DataError("no table of ages: it has no columns y18, y19, ...", location=path, hint="train the run again")
    check_unique_rows((row["ImageID"] for row in rows), path, "train the run again")
    by_name = {row["ImageID"]: row for row in rows}
    missing = [name for name in names if name not in by_name]
    if missing:
        raise DataError(f"{missing[0]} has no age in this table", location=path, hint="train the run again")
    try:
        shares = np.array([[float(by_name[name][column]) for column in columns] for name in names])
    except (TypeError, ValueError):
        raise DataError(
            "a cell of this table of ages is no number", location=path, hint="train the run again"
        ) from None
    return AgeTable(int(years[0]), shares)
