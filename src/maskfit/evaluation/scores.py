"""Scores: everything that is said of a set of answers, on the official classes and on each attribute.

Answers to an attribute are read off the answered class, not off the attribute's own marginal: the submission holds one
class number for each photo, and the two must never say different things of one photo.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maskfit.errors import DataError
from maskfit.evaluation.bootstrap import Interval, bootstrap_counts
from maskfit.evaluation.metrics import Absent, ClassCounts, confusion_matrix, count_by_class, log_loss, reliability
from maskfit.evaluation.probability_table import check_probabilities
from maskfit.labels.schema import JOINT_HEAD, IntArray, LabelSchema


@dataclass(frozen=True)
class ClassScore:
    """One class, or one value of an attribute.

    Attributes:
        name: The class for people: "worn, female, 30-59".
        precision: Right among those answered so; 0 where none was.
        recall: Found among those that are so; 0 where none is.
        f1: Their harmonic mean over the whole set.
        support: How many photos are so.
        answered: How many photos were answered so.
        interval: Of F1 over persons, where persons were given.
    """

    name: str
    precision: float
    recall: float
    f1: float
    support: int
    predicted: int
    interval: Interval | None = None

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        return {
            "name": self.name,
            "precision": self.precision,
            "recall": self.recall,
            "f1": self.f1,
            "support": self.support,
            "answered": self.predicted,
            "interval": None if self.interval is None else self.interval.to_dict(),
        }


@dataclass(frozen=True)
class AttributeScore:
    """One attribute, over the photos of which it is known.

    Attributes:
        photos: How many those are.
        accuracy: The share answered right.
        macro_f1: The mean of the values' F1.
        per_value: Each value in the order of its code.
        interval: Of macro F1 over persons, where persons were given.
    """

    photos: int
    accuracy: float
    macro_f1: float
    per_value: tuple[ClassScore, ...]
    interval: Interval | None = None

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        return {
            "photos": self.photos,
            "accuracy": self.accuracy,
            "macro_f1": self.macro_f1,
            "interval": None if self.interval is None else self.interval.to_dict(),
            "per_value": [value.to_dict() for value in self.per_value],
        }


@dataclass(frozen=True)
class Scores:
    """What is said of a set of answers; None where the truth or the probabilities for it are missing.

    Attributes:
        photos: How many photos were answered.
        known: Of how many the whole class is known: those that the class scores are over.
        accuracy: The share of them answered right.
        macro_f1: The competition's score.
        per_class: Each class in the order of its number; empty where no class is known.
        per_attribute: Each attribute by name; one that is known of no photo is left out.
        log_loss: The mean of -ln of the probability of the true class.
        calibration_error: The expected calibration error in 15 bins.
        intervals: `macro_f1` and `accuracy` over persons, where persons were given.
    """

    photos: int
    known: int
    accuracy: float | None = None
    macro_f1: float | None = None
    per_class: tuple[ClassScore, ...] = ()
    per_attribute: dict[str, AttributeScore] = field(default_factory=dict)
    log_loss: float | None = None
    calibration_error: float | None = None
    intervals: dict[str, Interval] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        return {
            "photos": self.photos,
            "known": self.known,
            "accuracy": self.accuracy,
            "macro_f1": self.macro_f1,
            "log_loss": self.log_loss,
            "calibration_error": self.calibration_error,
            "intervals": {name: item.to_dict() for name, item in self.intervals.items()},
            "per_attribute": {name: item.to_dict() for name, item in self.per_attribute.items()},
            "per_class": [item.to_dict() for item in self.per_class],
        }


def score(
    scheme: LabelSchema,
    truth: IntArray,
    *,
    answers: IntArray | None = None,
    probabilities: NDArray[np.floating] | None = None,
    persons: ArrayLike | None = None,
    absent: Absent = "skip",
    draws: int = 1000,
    seed: int = 0,
) -> Scores:
    """Scores answers against the truth.

    A photo of which only some attributes are known counts for those and not for the class.

    Args:
        scheme: The official scheme; what was trained on finer bands is folded first.
        truth: (photos, attributes) codes, `UNKNOWN` where nobody wrote them down.
        answers: (photos,) class numbers; left out, they are the most probable classes.
        probabilities: (photos, classes); without them log loss and calibration are None.
        persons: (photos,) who is on each photo; with them come intervals.
        absent: What a class that occurs nowhere does to macro F1; see `metrics.macro_f1`.
        draws: How many sets are drawn for the intervals.
        seed: The same seed gives the same intervals.

    Raises:
        DataError: Neither answers nor probabilities are given, these are none, or the lengths differ.
        LabelError: An answer or a code is not in the scheme.
    """
    truth = np.asarray(truth, dtype=np.int64).reshape(-1, len(scheme.names))
    answers, rows = _answers(scheme, len(truth), answers, probabilities)
    classes, codes = scheme.to_class_index(truth), scheme.to_attribute_indices(answers)
    drawing = _Drawing(persons, absent, draws, seed)
    attributes = {
        name: _attribute(scheme, name, truth[:, column], codes[:, column], drawing)
        for column, name in enumerate(scheme.names)
    }
    per_attribute = {name: item for name, item in attributes.items() if item is not None}
    counts = count_by_class(classes, answers, scheme.num_classes)
    known = int(counts.support.sum())
    if not known:
        return Scores(len(truth), 0, per_attribute=per_attribute)
    drawn = drawing.draw(classes, answers, scheme.num_classes)
    names = [scheme.describe(number) for number in range(scheme.num_classes)]
    return Scores(
        photos=len(truth),
        known=known,
        accuracy=float(counts.accuracy()),
        macro_f1=float(counts.macro_f1(absent)),
        per_class=_per_class(names, counts, drawn),
        per_attribute=per_attribute,
        log_loss=None if rows is None else log_loss(classes, rows),
        calibration_error=None if rows is None else reliability(classes, rows).error(),
        intervals=_intervals(counts, drawn, absent),
    )


def confusion_matrices(scheme: LabelSchema, truth: IntArray, answers: ArrayLike) -> dict[str, IntArray]:
    """How often each truth was given each answer, rows the truth: `JOINT` for the classes, and each attribute.

    Args:
        scheme: The official scheme.
        truth: (photos, attributes) codes; a photo counts wherever it is known.
        answers: (photos,) class numbers.

    Raises:
        DataError: The lengths differ.
        LabelError: An answer or a code is not in the scheme.
    """
    answers = np.asarray(answers)
    codes = scheme.to_attribute_indices(answers)
    tables = {JOINT_HEAD: confusion_matrix(scheme.to_class_index(truth), answers, scheme.num_classes)}
    for column, (name, size) in enumerate(scheme.sizes.items()):
        tables[name] = confusion_matrix(truth[:, column], codes[:, column], size)
    return tables


@dataclass(frozen=True)
class _Drawing:
    """How the sets for the intervals are drawn; without persons none are."""

    persons: ArrayLike | None
    absent: Absent
    draws: int
    seed: int

    def draw(self, truth: IntArray, answers: IntArray, classes: int) -> ClassCounts | None:
        """Counts (draws, classes), or None."""
        if self.persons is None:
            return None
        return bootstrap_counts(truth, answers, self.persons, classes=classes, draws=self.draws, seed=self.seed)


def _answers(
    scheme: LabelSchema, photos: int, answers: IntArray | None, probabilities: NDArray[np.floating] | None
) -> tuple[IntArray, NDArray[np.float64] | None]:
    """The class answered for each photo, and the checked probabilities where there are any."""
    rows = None if probabilities is None else check_probabilities(probabilities, "the probabilities")
    if answers is None and rows is None:
        raise DataError("there is nothing to score", hint="give answers or probabilities")
    if rows is not None and rows.shape[1] != scheme.num_classes:
        raise DataError(f"probabilities of {rows.shape[1]} classes do not fit a scheme of {scheme.num_classes}")
    if answers is None and rows is not None:
        answers = rows.argmax(axis=1)
    given = np.asarray(answers)
    for what, length in (("answers", len(given)), ("rows of probabilities", photos if rows is None else len(rows))):
        if length != photos:
            raise DataError(f"{photos} photos with truth, but {length} {what}", hint="match them by their names first")
    return given, rows


def _attribute(
    scheme: LabelSchema, name: str, truth: IntArray, answers: IntArray, drawing: _Drawing
) -> AttributeScore | None:
    """The scores of one attribute; None where it is known of no photo."""
    attribute = scheme[name]
    size = len(attribute.values)
    counts = count_by_class(truth, answers, size)
    photos = int(counts.support.sum())
    if not photos:
        return None
    drawn = drawing.draw(truth, answers, size)
    return AttributeScore(
        photos=photos,
        accuracy=float(counts.accuracy()),
        macro_f1=float(counts.macro_f1(drawing.absent)),
        per_value=_per_class([attribute.display_name(code) for code in range(size)], counts, drawn),
        interval=_intervals(counts, drawn, drawing.absent).get("macro_f1"),
    )


def _intervals(counts: ClassCounts, drawn: ClassCounts | None, absent: Absent) -> dict[str, Interval]:
    if drawn is None:
        return {}
    return {
        "macro_f1": Interval.from_draws(float(counts.macro_f1(absent)), drawn.macro_f1(absent)),
        "accuracy": Interval.from_draws(float(counts.accuracy()), drawn.accuracy()),
    }


def _per_class(names: Sequence[str], counts: ClassCounts, drawn: ClassCounts | None) -> tuple[ClassScore, ...]:
    columns = zip(counts.precision(), counts.recall(), counts.f1(), counts.support, counts.predicted, strict=True)
    ranges: list[Interval | None] = [None] * len(names)
    if drawn is not None:
        # In a draw without a class, nothing can be said of its F1; a 0 there would pull the interval down.
        f1 = np.where(drawn.present(), drawn.f1(), np.nan)
        ranges = [
            Interval.from_draws(float(value), f1[:, number]) if present else None
            for number, (value, present) in enumerate(zip(counts.f1(), counts.present(), strict=True))
        ]
    return tuple(
        ClassScore(name, float(precision), float(recall), float(f1), int(support), int(answered), around)
        for name, (precision, recall, f1, support, answered), around in zip(names, columns, ranges, strict=True)
    )
