"""Compares several runs on the same photos, each with the first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from maskfit.calibration import MIN_PROBABILITY
from maskfit.errors import DataError
from maskfit.evaluation.bootstrap import Interval, bootstrap_counts, proportion_interval
from maskfit.evaluation.metrics import ClassCounts, count_by_class, macro_f1
from maskfit.labels.schema import JOINT_HEAD, UNKNOWN, IntArray
from maskfit.report.run_data import RunData
from maskfit.report.run_statistics import RunStatistics, correct_predictions, describe, near_bin_edge


@dataclass(frozen=True)
class AgreementCounts:
    """Photos counted by which of two runs predicts them correctly.

    Attributes:
        both: Both runs are correct.
        only_first: Only the first run is correct.
        only_other: Only the other run is correct.
        neither: Both runs are wrong.
    """

    both: int
    only_first: int
    only_other: int
    neither: int

    def to_dict(self) -> dict[str, int]:
        """Returns the values for JSON."""
        return {
            "both": self.both,
            "only_first": self.only_first,
            "only_this": self.only_other,
            "neither": self.neither,
        }


@dataclass(frozen=True, eq=False)
class RunDifference:
    """Differences of a run to the first: its value minus that of the first, with an interval over persons.

    Attributes:
        macro_f1: Difference by attribute, and under `JOINT_HEAD` of the class.
        accuracy: Difference of the accuracy, by the same names.
        log_loss: Difference of the log loss of the class; None where no class is known. Negative is better.
        per_class: Difference of each class's F1; None for a class that occurs in no label and no prediction.
        agreement: Agreement counts by the same names.
        predicted_differently: Number of photos of which the two runs' predictions differ, by the same names; of those
            whose label is known.
        age_accuracy: Difference of the binned attribute's accuracy near a bin edge ("near a border") and elsewhere
            ("elsewhere"); empty where no age is known in years.
        disagreements: Indices of photos that exactly one run predicts correctly, one per person, those with the
            highest confidence of both runs first.
    """

    macro_f1: Mapping[str, Interval]
    accuracy: Mapping[str, Interval]
    log_loss: Interval | None
    per_class: tuple[Interval | None, ...]
    agreement: Mapping[str, AgreementCounts]
    predicted_differently: Mapping[str, int]
    age_accuracy: Mapping[str, Interval]
    disagreements: tuple[int, ...]

    def to_dict(self) -> dict[str, Any]:
        """Returns the values for JSON."""
        return {
            "macro_f1": {name: item.to_dict() for name, item in self.macro_f1.items()},
            "right": {name: item.to_dict() for name, item in self.accuracy.items()},
            "log_loss": None if self.log_loss is None else self.log_loss.to_dict(),
            "per_class": [None if item is None else item.to_dict() for item in self.per_class],
            "agreement": {name: item.to_dict() for name, item in self.agreement.items()},
            "predicted_differently": dict(self.predicted_differently),
            "age_accuracy": {name: item.to_dict() for name, item in self.age_accuracy.items()},
        }


@dataclass(frozen=True, eq=False)
class Comparison:
    """Several runs on the photos that all of them evaluated.

    Attributes:
        runs: Statistics of each run, all with the same labels.
        differences: Each later run compared with the first.
        macro_f1_by_labels: Macro F1 of every run (columns) with the labels of each run (rows), where the labels
            differ; otherwise empty.
        relabeled: For each later run, the number of photos whose labels differ from those of the first.
        left_out: Number of photos that were not evaluated by all runs.
    """

    runs: tuple[RunStatistics, ...]
    differences: tuple[RunDifference, ...]
    macro_f1_by_labels: tuple[tuple[float, ...], ...]
    relabeled: tuple[int, ...]
    left_out: int

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the runs: directory names, or whole paths where two directories have the same name."""
        short = [statistics.run.name for statistics in self.runs]
        whole = [str(statistics.run.path) for statistics in self.runs]
        return tuple(short if len(set(short)) == len(short) else whole)

    def to_dict(self) -> dict[str, Any]:
        """Returns the values for JSON."""
        return {
            "runs": [statistics.to_dict() for statistics in self.runs],
            "against_first": [item.to_dict() for item in self.differences],
            "macro_f1_by_labels_of": [list(row) for row in self.macro_f1_by_labels],
            "relabelled": list(self.relabeled),
            "photos_left_out": self.left_out,
        }


def compare(runs: Sequence[RunData], *, draws: int = 1000) -> Comparison:
    """Compares runs on the photos that all of them evaluated, with the labels of the first.

    The bootstrap samples of a difference use the same persons for both runs, so that variation that both share cancels.

    Args:
        runs: Two runs or more.
        draws: Number of bootstrap samples of persons for each confidence interval.

    Returns:
        The comparison.

    Raises:
        DataError: The runs have different label schemas, one is named twice, or they have no photo in common.
    """
    _check_comparable(runs)
    first = runs[0]
    indices = [{name: index for index, name in enumerate(run.table.names)} for run in runs]
    shared = [name for name in first.table.names if all(name in known for known in indices)]
    if not shared:
        raise DataError(
            "the runs have no photo in common", location=runs[1].path, hint="compare runs of the same data set"
        )
    rows = [np.array([known[name] for name in shared], dtype=np.int64) for known in indices]
    truths = [run.truth[selected] for run, selected in zip(runs, rows, strict=True)]
    truth = truths[0]
    for other in truths[1:]:
        truth = np.where(truth == UNKNOWN, other, truth)
    # All runs get the persons of the first, so that every bootstrap sample has the same ones.
    persons = first.persons[rows[0]]
    statistics = tuple(
        describe(replace(run.select(selected, truth), persons=persons), draws=draws)
        for run, selected in zip(runs, rows, strict=True)
    )
    relabeled = tuple(_count_relabeled(truths[0], other) for other in truths[1:])
    return Comparison(
        runs=statistics,
        differences=tuple(_difference(statistics[0], other, draws) for other in statistics[1:]),
        macro_f1_by_labels=_macro_f1_by_labels(statistics, truths) if any(relabeled) else (),
        relabeled=relabeled,
        left_out=max(map(len, indices)) - len(shared),
    )


def _check_comparable(runs: Sequence[RunData]) -> None:
    first = runs[0]
    seen = set()
    for run in runs:
        if run.path.resolve() in seen:
            raise DataError("this run is named twice", location=run.path, hint="name each run once")
        seen.add(run.path.resolve())
        if [(item.name, item.values) for item in run.schema.attributes] != [
            (item.name, item.values) for item in first.schema.attributes
        ]:
            attributes = f"it predicts {' x '.join(run.schema.names)}, the first run {' x '.join(first.schema.names)}"
            raise DataError(
                f"the label schemas differ: {attributes}, or the values differ",
                location=run.path,
                hint="compare runs with the same label schema",
            )


def _count_relabeled(first: IntArray, other: IntArray) -> int:
    """Number of photos on which two sets of labels contradict each other."""
    return int(((first != other) & (first != UNKNOWN) & (other != UNKNOWN)).any(axis=1).sum())


def _macro_f1_by_labels(runs: Sequence[RunStatistics], truths: Sequence[IntArray]) -> tuple[tuple[float, ...], ...]:
    schema = runs[0].run.schema
    classes = [schema.to_class_index(codes) for codes in truths]
    return tuple(
        tuple(macro_f1(truth, statistics.run.table.predictions, schema.num_classes) for statistics in runs)
        for truth in classes
        if (truth != UNKNOWN).any()
    )


def _difference(first: RunStatistics, other: RunStatistics, draws: int) -> RunDifference:
    one, two = first.run, other.run
    schema, persons = one.schema, one.persons
    predictions = [run.table.predictions for run in (one, two)]
    codes = [schema.to_attribute_indices(own) for own in predictions]
    targets = {JOINT_HEAD: (schema.to_class_index(one.truth), predictions[0], predictions[1], schema.num_classes)}
    for column, (name, size) in enumerate(schema.sizes.items()):
        targets[name] = (one.truth[:, column], codes[0][:, column], codes[1][:, column], size)
    f1, accuracy, agreement, differing = {}, {}, {}, {}
    per_class: tuple[Interval | None, ...] = ()
    for name, (truth, before, after, size) in targets.items():
        known = truth != UNKNOWN
        if not known.any():
            continue
        # The same seed and persons: every bootstrap sample has the same persons for both, so differences are paired.
        drawn = [bootstrap_counts(truth, own, persons, num_classes=size, draws=draws) for own in (before, after)]
        values = [macro_f1(truth, own, size) for own in (before, after)]
        num_persons = len(np.unique(persons[known]))
        change = Interval.from_draws(values[1] - values[0], drawn[1].macro_f1() - drawn[0].macro_f1())
        f1[name] = change.with_change_width(num_persons)
        correct = [(own == truth)[known] for own in (before, after)]
        accuracy[name] = proportion_interval(
            correct[1].astype(np.float64) - correct[0], np.ones(len(correct[0])), persons[known], draws
        ).with_change_width(num_persons)
        differing[name] = int((before != after)[known].sum())
        agreement[name] = AgreementCounts(
            int((correct[0] & correct[1]).sum()),
            int((correct[0] & ~correct[1]).sum()),
            int((~correct[0] & correct[1]).sum()),
            int((~correct[0] & ~correct[1]).sum()),
        )
        if name == JOINT_HEAD:
            present = [count_by_class(truth, own, size, persons).present() for own in (before, after)]
            per_class = _per_class(first, other, drawn, (present[0] | present[1]).sum(axis=0))
    return RunDifference(
        macro_f1=f1,
        accuracy=accuracy,
        log_loss=_log_loss(one, two, draws),
        per_class=per_class,
        agreement=agreement,
        predicted_differently=differing,
        age_accuracy=_age_accuracy(one, two, draws),
        disagreements=_disagreements(one, two),
    )


def _age_accuracy(one: RunData, two: RunData, draws: int) -> dict[str, Interval]:
    """Differences of the binned attribute's accuracy on photos near a bin edge and on the others."""
    if one.years is None:
        return {}
    attribute = next(item for item in one.schema.attributes if item.bin_edges)
    known = ~np.isnan(one.years)
    near = near_bin_edge(one.years, attribute.bin_edges)
    (before, _), (after, _) = (correct_predictions(run)[attribute.name] for run in (one, two))
    difference = after.astype(np.float64) - before
    groups = {"near a border": known & near, "elsewhere": known & ~near}
    return {
        name: proportion_interval(
            difference[rows], np.ones(int(rows.sum())), one.persons[rows], draws
        ).with_change_width(len(np.unique(one.persons[rows])))
        for name, rows in groups.items()
        if rows.any()
    }


def _per_class(
    first: RunStatistics, other: RunStatistics, drawn: Sequence[ClassCounts], persons: IntArray
) -> tuple[Interval | None, ...]:
    """Differences of the classes' F1; `persons` (classes,) is the number with photos of each, or predicted as it."""
    found: list[Interval | None] = []
    for index, (one, two) in enumerate(zip(first.scores.per_class, other.scores.per_class, strict=True)):
        both_present = drawn[0].present()[:, index] & drawn[1].present()[:, index]
        difference = np.where(both_present, drawn[1].f1()[:, index] - drawn[0].f1()[:, index], np.nan)
        change = Interval.from_draws(two.f1 - one.f1, difference)
        found.append(change.with_change_width(int(persons[index])) if persons[index] else None)
    return tuple(found)


def _log_loss(one: RunData, two: RunData, draws: int) -> Interval | None:
    truth = one.schema.to_class_index(one.truth)
    known = np.flatnonzero(truth != UNKNOWN)
    if not len(known):
        return None
    losses = [-np.log(np.maximum(run.table.probabilities[known, truth[known]], MIN_PROBABILITY)) for run in (one, two)]
    return proportion_interval(losses[1] - losses[0], np.ones(len(known)), one.persons[known], draws)


def _disagreements(one: RunData, two: RunData) -> tuple[int, ...]:
    """Photos that exactly one run predicts correctly, one per person, highest confidence of both runs first."""
    correct = [correct_predictions(run)[JOINT_HEAD] for run in (one, two)]
    differing = np.flatnonzero((correct[0][0] != correct[1][0]) & correct[0][1])
    confidence = np.minimum(one.table.confidence, two.table.confidence)[differing]
    first_of_person: dict[str, int] = {}
    for index in differing[np.argsort(-confidence, kind="stable")].tolist():
        first_of_person.setdefault(str(one.persons[index]), index)
    return tuple(first_of_person.values())
