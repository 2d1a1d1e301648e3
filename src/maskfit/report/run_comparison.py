"""Figures of several runs on the same photos, each against the first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from maskfit.calibration import MIN_PROBABILITY
from maskfit.errors import DataError
from maskfit.evaluation.bootstrap import Interval, bootstrap_counts, proportion_interval
from maskfit.evaluation.metrics import ClassCounts, macro_f1
from maskfit.labels.schema import JOINT_HEAD, UNKNOWN, IntArray
from maskfit.report.run_data import RunData
from maskfit.report.run_statistics import RunStatistics, describe, right_answers


@dataclass(frozen=True)
class AgreementCounts:
    """Two runs' answers to one attribute, or the class, counted by who is right."""

    both: int
    first: int
    other: int
    neither: int

    def to_dict(self) -> dict[str, int]:
        """As JSON takes it."""
        return {"both": self.both, "only_first": self.first, "only_this": self.other, "neither": self.neither}


@dataclass(frozen=True, eq=False)
class RunDifference:
    """One run against the first; every number is this run's less the first's, with its interval over persons.

    Attributes:
        macro_f1: By attribute, and `JOINT` for the class.
        right: The share of photos answered right, by the same names.
        log_loss: Of the class; None where no photo's whole class is known. Below 0 is better.
        per_class: F1 of each class; None for a class that neither has.
        agreement: By the same names.
        disputed: Places of photos where one is right and the other wrong, those first where both are surest.
    """

    macro_f1: Mapping[str, Interval]
    right: Mapping[str, Interval]
    log_loss: Interval | None
    per_class: tuple[Interval | None, ...]
    agreement: Mapping[str, AgreementCounts]
    disputed: tuple[int, ...]

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        return {
            "macro_f1": {name: item.to_dict() for name, item in self.macro_f1.items()},
            "right": {name: item.to_dict() for name, item in self.right.items()},
            "log_loss": None if self.log_loss is None else self.log_loss.to_dict(),
            "per_class": [None if item is None else item.to_dict() for item in self.per_class],
            "agreement": {name: item.to_dict() for name, item in self.agreement.items()},
        }


@dataclass(frozen=True, eq=False)
class Comparison:
    """Several runs on the photos that all of them judged.

    Attributes:
        runs: Each run's figures, by one truth.
        against: Each later run against the first.
        truths: Macro F1 of every run (columns) by the labels of each (rows), where these differ; otherwise empty.
        relabelled: On how many photos each later run has other labels than the first.
        left_out: How many photos were not judged by all.
    """

    runs: tuple[RunStatistics, ...]
    against: tuple[RunDifference, ...]
    truths: tuple[tuple[float, ...], ...]
    relabelled: tuple[int, ...]
    left_out: int

    @property
    def names(self) -> tuple[str, ...]:
        """What the runs are called: their folders' names, or whole paths where two are alike."""
        short = [figures.material.name for figures in self.runs]
        whole = [str(figures.material.path) for figures in self.runs]
        return tuple(short if len(set(short)) == len(short) else whole)

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        return {
            "runs": [figures.to_dict() for figures in self.runs],
            "against_first": [item.to_dict() for item in self.against],
            "macro_f1_by_labels_of": [list(row) for row in self.truths],
            "relabelled": list(self.relabelled),
            "photos_left_out": self.left_out,
        }


def compare(materials: Sequence[RunData], *, draws: int = 1000) -> Comparison:
    """Compares runs on the photos that all of them judged, by the labels of the first.

    Intervals of differences draw the same persons for both runs, so that what both find hard cancels out.

    Args:
        materials: Two runs or more.
        draws: How many sets of persons are drawn for each interval.

    Raises:
        DataError: Runs are about different things, one is named twice, or they have no photo in common.
    """
    _refuse_strangers(materials)
    first = materials[0]
    places = [{name: place for place, name in enumerate(item.table.names)} for item in materials]
    shared = [name for name in first.table.names if all(name in known for known in places)]
    if not shared:
        raise DataError(
            "these runs have no photo in common", location=materials[1].path, hint="compare runs on one set"
        )
    rows = [np.array([known[name] for name in shared], dtype=np.int64) for known in places]
    own = [item.truth[taken] for item, taken in zip(materials, rows, strict=True)]
    truth = own[0]
    for other in own[1:]:
        truth = np.where(truth == UNKNOWN, other, truth)
    # Persons by the first run, so that every draw is of the same ones.
    persons = first.persons[rows[0]]
    runs = tuple(
        describe(replace(item.select(taken, truth), persons=persons), draws=draws)
        for item, taken in zip(materials, rows, strict=True)
    )
    relabelled = tuple(_relabelled(own[0], other) for other in own[1:])
    return Comparison(
        runs=runs,
        against=tuple(_against(runs[0], other, draws) for other in runs[1:]),
        truths=_by_each_truth(runs, own) if any(relabelled) else (),
        relabelled=relabelled,
        left_out=max(map(len, places)) - len(shared),
    )


def _refuse_strangers(materials: Sequence[RunData]) -> None:
    first = materials[0]
    seen = set()
    for item in materials:
        if item.path.resolve() in seen:
            raise DataError("this run is named twice", location=item.path, hint="name each once")
        seen.add(item.path.resolve())
        if [(own.name, own.values) for own in item.scheme.attributes] != [
            (own.name, own.values) for own in first.scheme.attributes
        ]:
            said = f"its answers are about {' x '.join(item.scheme.names)}, not {' x '.join(first.scheme.names)}"
            raise DataError(f"{said}, or other values of these", location=item.path, hint="compare runs of one scheme")


def _relabelled(first: IntArray, other: IntArray) -> int:
    """On how many photos two sets of labels contradict each other."""
    return int(((first != other) & (first != UNKNOWN) & (other != UNKNOWN)).any(axis=1).sum())


def _by_each_truth(runs: Sequence[RunStatistics], truths: Sequence[IntArray]) -> tuple[tuple[float, ...], ...]:
    scheme = runs[0].material.scheme
    classes = [scheme.to_class_index(codes) for codes in truths]
    return tuple(
        tuple(macro_f1(truth, figures.material.table.predictions, scheme.num_classes) for figures in runs)
        for truth in classes
        if (truth != UNKNOWN).any()
    )


def _against(first: RunStatistics, other: RunStatistics, draws: int) -> RunDifference:
    one, two = first.material, other.material
    scheme, persons = one.scheme, one.persons
    answers = [material.table.predictions for material in (one, two)]
    codes = [scheme.to_attribute_indices(own) for own in answers]
    asked = {JOINT_HEAD: (scheme.to_class_index(one.truth), answers[0], answers[1], scheme.num_classes)}
    for place, (name, size) in enumerate(scheme.sizes.items()):
        asked[name] = (one.truth[:, place], codes[0][:, place], codes[1][:, place], size)
    f1, right, agreement = {}, {}, {}
    per_class: tuple[Interval | None, ...] = ()
    for name, (truth, before, after, size) in asked.items():
        known = truth != UNKNOWN
        if not known.any():
            continue
        # The same seed and persons: every draw is of the same persons for both, so that differences are of pairs.
        drawn = [bootstrap_counts(truth, own, persons, classes=size, draws=draws) for own in (before, after)]
        values = [macro_f1(truth, own, size) for own in (before, after)]
        f1[name] = Interval.from_draws(values[1] - values[0], drawn[1].macro_f1() - drawn[0].macro_f1())
        hits = [(own == truth)[known] for own in (before, after)]
        right[name] = proportion_interval(
            hits[1].astype(np.float64) - hits[0], np.ones(len(hits[0])), persons[known], draws
        )
        agreement[name] = AgreementCounts(
            int((hits[0] & hits[1]).sum()),
            int((hits[0] & ~hits[1]).sum()),
            int((~hits[0] & hits[1]).sum()),
            int((~hits[0] & ~hits[1]).sum()),
        )
        if name == JOINT_HEAD:
            per_class = _per_class(first, other, drawn)
    return RunDifference(f1, right, _log_loss(one, two, draws), per_class, agreement, _disputed(one, two))


def _per_class(first: RunStatistics, other: RunStatistics, drawn: Sequence[ClassCounts]) -> tuple[Interval | None, ...]:
    found: list[Interval | None] = []
    for place, (one, two) in enumerate(zip(first.scores.per_class, other.scores.per_class, strict=True)):
        seen = drawn[0].present()[:, place] & drawn[1].present()[:, place]
        apart = np.where(seen, drawn[1].f1()[:, place] - drawn[0].f1()[:, place], np.nan)
        present = bool(one.support or one.predicted or two.predicted)
        found.append(Interval.from_draws(two.f1 - one.f1, apart) if present else None)
    return tuple(found)


def _log_loss(one: RunData, two: RunData, draws: int) -> Interval | None:
    truth = one.scheme.to_class_index(one.truth)
    known = np.flatnonzero(truth != UNKNOWN)
    if not len(known):
        return None
    losses = [
        -np.log(np.maximum(item.table.probabilities[known, truth[known]], MIN_PROBABILITY)) for item in (one, two)
    ]
    return proportion_interval(losses[1] - losses[0], np.ones(len(known)), one.persons[known], draws)


def _disputed(one: RunData, two: RunData) -> tuple[int, ...]:
    """Where one is right and the other wrong, one photo of each person, those first where both are surest."""
    hits = [right_answers(item)[JOINT_HEAD] for item in (one, two)]
    apart = np.flatnonzero((hits[0][0] != hits[1][0]) & hits[0][1])
    sure = np.minimum(one.table.confidence, two.table.confidence)[apart]
    of: dict[str, int] = {}
    for place in apart[np.argsort(-sure, kind="stable")].tolist():
        of.setdefault(str(one.persons[place]), place)
    return tuple(of.values())
