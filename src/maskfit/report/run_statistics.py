"""The figures of one run: everything that its page shows and `--json` prints, computed once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskfit.calibration import apply_temperatures
from maskfit.evaluation.bootstrap import Interval, proportion_interval
from maskfit.evaluation.calibration import AbstentionThreshold, TemperatureFit, evaluate_calibration, fit_thresholds
from maskfit.evaluation.scores import Scores, confusion_matrices, score
from maskfit.evaluation.selective_prediction import RiskCoverage, risk_coverage
from maskfit.labels.schema import JOINT_HEAD, UNKNOWN, FloatArray, IntArray
from maskfit.report.run_data import RunData

NEAR = 3
"""How many years on each side of a border count as next to it: 27 to 32 and 57 to 62."""

WANTED = 0.95
"""How many of the sure answers are to be right, where the page speaks of holding answers back."""

SAME = 0.95
"""From which share of persons on, whose photos all agree, an attribute is the person's and not the photo's."""


@dataclass(frozen=True)
class AccuracyByAttribute:
    """How often one attribute, or the class, is answered right.

    Attributes:
        photos: The share of photos, with its interval over persons.
        persons: The share of persons whose photos together are answered right; None where the attribute is the photo's.
        known: Of how many photos it is known.
    """

    photos: Interval
    persons: Interval | None
    known: int

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        persons = None if self.persons is None else self.persons.to_dict()
        return {"photos": self.photos.to_dict(), "persons": persons, "known": self.known}


@dataclass(frozen=True)
class AgeErrors:
    """Errors of the attribute that is a number.

    Attributes:
        attribute: Its name.
        rows: (years, photos, wrong answers), rising.
        edges: Where a band ends and the next begins.
        wrong: How many answers are wrong.
        near: How many of them are within `NEAR` years of a border.
        near_photos: How many photos are.
    """

    attribute: str
    rows: tuple[tuple[float, int, int], ...]
    edges: tuple[float, ...]
    wrong: int
    near: int
    near_photos: int

    @property
    def photos(self) -> int:
        """Of how many photos the number is known."""
        return sum(photos for _, photos, _ in self.rows)

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        return {
            "attribute": self.attribute,
            "edges": list(self.edges),
            "wrong": self.wrong,
            "near_border": self.near,
            "photos_near_border": self.near_photos,
            "years": [{"years": years, "photos": photos, "wrong": wrong} for years, photos, wrong in self.rows],
        }


@dataclass(frozen=True)
class SliceStatistics:
    """A part of the set.

    Attributes:
        photos: How many there are.
        persons: Of how many persons.
        right: By attribute, and `JOINT` for the class: the share answered right; what is known of no photo is missing.
    """

    photos: int
    persons: int
    right: Mapping[str, Interval]

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        right = {name: item.to_dict() for name, item in self.right.items()}
        return {"photos": self.photos, "persons": self.persons, "right": right}


@dataclass(frozen=True, eq=False)
class RunStatistics:
    """Everything that is said of one run.

    Attributes:
        material: What it is computed from.
        scores: Of all answers together.
        per_fold: Of each fold alone, where there are several.
        shares: How often each attribute and the class (`JOINT`) is right.
        confusions: See `scores.confusions`.
        calibration: See `calibration.calibrate`.
        thresholds: See `calibration.fit_thresholds`, for `WANTED` right answers.
        ages: Errors by years; None where no number is known.
        slices: Column to value to its part of the set.
    """

    material: RunData
    scores: Scores
    per_fold: Mapping[int, Scores]
    shares: Mapping[str, AccuracyByAttribute]
    confusions: Mapping[str, IntArray]
    calibration: Mapping[str, TemperatureFit]
    thresholds: Mapping[str, AbstentionThreshold]
    ages: AgeErrors | None
    slices: Mapping[str, Mapping[str, SliceStatistics]]

    @cached_property
    def doubts(self) -> dict[str, RiskCoverage]:
        """Of each attribute: how many answers are wrong among those that are at least so sure."""
        return risk_coverage_curves(
            self.material, {name: self.calibration[name].temperature for name in self.thresholds}
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        return {
            "run": str(self.material.path),
            "scores": self.scores.to_dict(),
            "per_fold": {str(number): item.to_dict() for number, item in self.per_fold.items()},
            "right": {name: item.to_dict() for name, item in self.shares.items()},
            "confusions": {name: matrix.tolist() for name, matrix in self.confusions.items()},
            "calibration": {name: item.to_dict() for name, item in self.calibration.items()},
            "thresholds": {"accuracy": WANTED, **{name: item.to_dict() for name, item in self.thresholds.items()}},
            "risk_coverage_area": {name: curve.area() for name, curve in self.doubts.items()},
            "ages": None if self.ages is None else self.ages.to_dict(),
            "slices": {
                column: {value: part.to_dict() for value, part in parts.items()}
                for column, parts in self.slices.items()
            },
            "facts": dict(self.material.facts),
            "remarks": list(self.material.remarks),
        }


def describe(material: RunData, *, draws: int = 1000) -> RunStatistics:
    """Computes the figures of a run.

    Args:
        material: The run.
        draws: How many sets of persons are drawn for each interval.
    """
    scheme, table, truth, persons = material.scheme, material.table, material.truth, material.persons
    return RunStatistics(
        material=material,
        scores=score(scheme, truth, probabilities=table.probabilities, persons=persons, draws=draws),
        per_fold=_per_fold(material),
        shares=_shares(material, draws),
        confusions=confusion_matrices(scheme, truth, table.predictions),
        calibration=evaluate_calibration(material.raw, scheme, persons, truth, draws=draws),
        thresholds=fit_thresholds(material.raw, scheme, persons, truth, accuracy=WANTED, draws=draws),
        ages=_ages(material),
        slices={column: _slices(material, values, draws) for column, values in material.columns.items()},
    )


def right_answers(material: RunData) -> dict[str, tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """(photos,) which answers are right, and of which photos that is known: of the class (`JOINT`), each attribute."""
    scheme, truth = material.scheme, material.truth
    answers = scheme.to_attribute_indices(material.table.predictions)
    whole = (truth != UNKNOWN).all(axis=1)
    found = {JOINT_HEAD: ((answers == truth).all(axis=1), whole)}
    for place, name in enumerate(scheme.names):
        found[name] = (answers[:, place] == truth[:, place], truth[:, place] != UNKNOWN)
    return found


def _per_fold(material: RunData) -> dict[int, Scores]:
    numbers = sorted(set(material.folds[material.folds != UNKNOWN].tolist()))
    if len(numbers) < 2:
        return {}
    rows = {number: material.folds == number for number in numbers}
    return {
        number: score(material.scheme, material.truth[own], probabilities=material.table.probabilities[own])
        for number, own in rows.items()
    }


def _shares(material: RunData, draws: int) -> dict[str, AccuracyByAttribute]:
    found = {}
    for name, (right, known) in right_answers(material).items():
        if known.any():
            photos = proportion_interval(right & known, known, material.persons, draws)
            persons = None if name == JOINT_HEAD else _of_persons(material, name, known, draws)
            found[name] = AccuracyByAttribute(photos, persons, int(known.sum()))
    return found


def _of_persons(material: RunData, name: str, known: NDArray[np.bool_], draws: int) -> Interval | None:
    """How many persons are right when the probabilities of all their photos are averaged."""
    column = material.scheme.names.index(name)
    rows = material.scheme.marginals(material.table.probabilities)[name][known]
    unique, first, place = np.unique(material.persons[known], return_index=True, return_inverse=True)
    codes = material.truth[known, column]
    several = np.bincount(place) > 1
    same = np.bincount(place, weights=codes != codes[first][place]) == 0
    if not several.any() or same[several].mean() < SAME:
        return None
    mean = np.stack([np.bincount(place, weights=values) for values in rows.T], axis=1)
    right = mean.argmax(axis=1)[same] == codes[first][same]
    return proportion_interval(right, np.ones(len(right)), unique[same], draws)


def _ages(material: RunData) -> AgeErrors | None:
    if material.years is None or np.isnan(material.years).all():
        return None
    attribute = next(item for item in material.scheme.attributes if item.bin_edges)
    right, _ = right_answers(material)[attribute.name]
    numbered = ~np.isnan(material.years)
    years, wrong = np.floor(material.years[numbered]), ~right[numbered]
    unique, place = np.unique(years, return_inverse=True)
    counts = zip(unique.tolist(), np.bincount(place).tolist(), np.bincount(place, weights=wrong).tolist(), strict=True)
    near = near_bin_edge(years, attribute.bin_edges)
    return AgeErrors(
        attribute=attribute.name,
        rows=tuple((number, photos, int(mistakes)) for number, photos, mistakes in counts),
        edges=attribute.bin_edges,
        wrong=int(wrong.sum()),
        near=int((wrong & near).sum()),
        near_photos=int(near.sum()),
    )


def near_bin_edge(years: FloatArray, edges: tuple[float, ...]) -> NDArray[np.bool_]:
    """Which years are within `NEAR` of a border, counted on both sides: of 30 those from 27 to 32."""
    return np.asarray(np.any([(years >= edge - NEAR) & (years < edge + NEAR) for edge in edges], axis=0))


def _slices(material: RunData, values: tuple[str, ...], draws: int) -> dict[str, SliceStatistics]:
    """Each value's part of the set; photos without a value are in none."""
    answered, own = right_answers(material), np.array(values)
    found = {}
    for value in _in_order(values):
        inside = own == value
        right = {
            name: proportion_interval((right & known)[inside], known[inside], material.persons[inside], draws)
            for name, (right, known) in answered.items()
            if (known & inside).any()
        }
        found[value] = SliceStatistics(int(inside.sum()), len(set(material.persons[inside].tolist())), right)
    return found


def _in_order(values: tuple[str, ...]) -> list[str]:
    """Numbers and ranges by their size, names by their letters, what is left over last."""

    def place(value: str) -> tuple[bool, float, str]:
        lead = value.split(" to ")[0].lstrip("<>=").split("-")[0]
        number = float(lead) if lead.replace(".", "", 1).isdigit() else 0.0
        return value == "others", number - value.startswith("<"), value.casefold()

    return sorted({value for value in values if value}, key=place)


def risk_coverage_curves(material: RunData, temperatures: Mapping[str, float]) -> dict[str, RiskCoverage]:
    """Of each attribute that has a temperature: risk and coverage of its answers, at that temperature."""
    heats = dict(temperatures)
    marginals = material.scheme.marginals(apply_temperatures(material.scheme, material.raw.probabilities, heats))
    found = {}
    for place, name in enumerate(material.scheme.names):
        known = material.truth[:, place] != UNKNOWN
        if name in heats:
            rows = marginals[name][known]
            found[name] = risk_coverage(rows.max(axis=1), rows.argmax(axis=1) == material.truth[known, place])
    return found
