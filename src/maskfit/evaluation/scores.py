"""All scores of a set of predictions, on the scored classes and on each attribute.

The prediction of an attribute is taken from the predicted class, not from the attribute's own marginal: a submission
holds one class per photo, and the scores of classes and attributes must refer to the same predictions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maskfit.errors import DataError
from maskfit.evaluation.bootstrap import Interval, bootstrap_counts
from maskfit.evaluation.metrics import Absent, ClassCounts, confusion_matrix, count_by_class, log_loss, reliability
from maskfit.evaluation.probability_table import check_probabilities
from maskfit.labels.schema import JOINT_HEAD, IntArray, LabelSchema
from maskfit.text import format_count


@dataclass(frozen=True)
class ClassScore:
    """Scores of one class, or of one value of an attribute.

    Attributes:
        name: The class for people: "worn, female, 30-59".
        precision: Fraction correct among the photos predicted as it; 0 where there are none.
        recall: Fraction found among the photos of the class; 0 where there are none.
        f1: Their harmonic mean over the whole set.
        support: Number of photos of the class.
        predicted: Number of photos predicted as it.
        interval: Interval of F1 over persons, where persons were given.
    """

    name: str
    precision: float
    recall: float
    f1: float
    support: int
    predicted: int
    interval: Interval | None = None

    def to_dict(self) -> dict[str, Any]:
        """Returns the scores as JSON values; `predicted` is stored as `answered`."""
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
    """Scores of one attribute, over the photos whose value is known.

    Attributes:
        photos: Number of these photos.
        accuracy: Fraction predicted correctly.
        macro_f1: Mean of the values' F1.
        per_value: Scores of each value, in the order of the codes.
        interval: Interval of macro F1 over persons, where persons were given.
        accuracy_interval: The same of the accuracy.
    """

    photos: int
    accuracy: float
    macro_f1: float
    per_value: tuple[ClassScore, ...]
    interval: Interval | None = None
    accuracy_interval: Interval | None = None

    def to_dict(self) -> dict[str, Any]:
        """Returns the scores as JSON values."""
        return {
            "photos": self.photos,
            "accuracy": self.accuracy,
            "macro_f1": self.macro_f1,
            "interval": None if self.interval is None else self.interval.to_dict(),
            "accuracy_interval": None if self.accuracy_interval is None else self.accuracy_interval.to_dict(),
            "per_value": [value.to_dict() for value in self.per_value],
        }


@dataclass(frozen=True)
class Scores:
    """All scores of a set of predictions; None where the truth or the probabilities for a score are missing.

    Attributes:
        photos: Number of photos.
        known: Number of photos whose class is known, which the class scores are computed on.
        accuracy: Fraction of these predicted correctly.
        macro_f1: The competition's metric.
        per_class: Scores of each class in the order of the class index; empty where no class is known.
        per_attribute: Scores of each attribute by name; an attribute that is known of no photo is left out.
        log_loss: Mean of -ln of the probability of the true class.
        calibration_error: Expected calibration error in 15 bins of equal width.
        intervals: Intervals of `macro_f1` and `accuracy` over persons, where persons were given.
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
        """Returns the scores as JSON values."""
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
    schema: LabelSchema,
    truth: IntArray,
    *,
    predictions: IntArray | None = None,
    probabilities: NDArray[np.floating] | None = None,
    persons: ArrayLike | None = None,
    absent: Absent = "skip",
    draws: int = 1000,
    seed: int = 0,
) -> Scores:
    """Scores predictions against the truth.

    A photo of which only some attributes are known counts for those and not for the class.

    Args:
        schema: The scored label schema; probabilities over finer bands must be summed first.
        truth: Attribute codes, shape (photos, attributes), `UNKNOWN` where not labeled.
        predictions: Predicted classes, shape (photos,); the most probable classes by default.
        probabilities: Shape (photos, classes); without them log loss and calibration error are None.
        persons: Person on each photo, shape (photos,); needed for intervals.
        absent: How macro F1 treats a class that occurs nowhere; see `metrics.macro_f1`.
        draws: Number of bootstrap samples for the intervals.
        seed: Seed of the samples.

    Returns:
        All scores.

    Raises:
        DataError: Neither predictions nor probabilities are given, the probabilities are invalid, or lengths differ.
        LabelError: A prediction or a code is out of range.
    """
    truth = np.asarray(truth, dtype=np.int64).reshape(-1, len(schema.names))
    predictions, rows = _check_predictions(schema, len(truth), predictions, probabilities)
    classes, codes = schema.to_class_index(truth), schema.to_attribute_indices(predictions)
    bootstrap = _Bootstrap(persons, absent, draws, seed)
    attributes = {
        name: _score_attribute(schema, name, truth[:, column], codes[:, column], bootstrap)
        for column, name in enumerate(schema.names)
    }
    per_attribute = {name: item for name, item in attributes.items() if item is not None}
    counts = count_by_class(classes, predictions, schema.num_classes)
    known = int(counts.support.sum())
    if not known:
        return Scores(len(truth), 0, per_attribute=per_attribute)
    samples = bootstrap.draw(classes, predictions, schema.num_classes)
    names = [schema.describe(number) for number in range(schema.num_classes)]
    return Scores(
        photos=len(truth),
        known=known,
        accuracy=float(counts.accuracy()),
        macro_f1=float(counts.macro_f1(absent)),
        per_class=_score_classes(names, counts, samples),
        per_attribute=per_attribute,
        log_loss=None if rows is None else log_loss(classes, rows),
        calibration_error=None if rows is None else reliability(classes, rows).error(),
        intervals=_intervals(counts, samples, absent),
    )


def confusion_matrices(schema: LabelSchema, truth: IntArray, predictions: ArrayLike) -> dict[str, IntArray]:
    """Computes the confusion matrices of the classes and of each attribute.

    Args:
        schema: The scored label schema.
        truth: Attribute codes, shape (photos, attributes); a photo counts wherever its value is known.
        predictions: Predicted classes, shape (photos,).

    Returns:
        `JOINT_HEAD` for the classes, then each attribute -> counts; rows are the truth, columns the predictions.

    Raises:
        DataError: The lengths differ.
        LabelError: A prediction or a code is out of range.
    """
    predictions = np.asarray(predictions)
    codes = schema.to_attribute_indices(predictions)
    matrices = {JOINT_HEAD: confusion_matrix(schema.to_class_index(truth), predictions, schema.num_classes)}
    for column, (name, size) in enumerate(schema.sizes.items()):
        matrices[name] = confusion_matrix(truth[:, column], codes[:, column], size)
    return matrices


class _Samples(NamedTuple):
    """Bootstrap samples of the persons of a set.

    Attributes:
        counts: Counts of shape (draws, classes).
        persons: Number of persons.
        persons_by_class: Number of persons with photos that are of each class or were predicted as it, (classes,).
    """

    counts: ClassCounts
    persons: int
    persons_by_class: IntArray


@dataclass(frozen=True)
class _Bootstrap:
    """Settings of the bootstrap; without persons there is none."""

    persons: ArrayLike | None
    absent: Absent
    draws: int
    seed: int

    def draw(self, truth: IntArray, predictions: IntArray, num_classes: int) -> _Samples | None:
        """Returns the samples, or None."""
        if self.persons is None:
            return None
        counts = bootstrap_counts(
            truth, predictions, self.persons, num_classes=num_classes, draws=self.draws, seed=self.seed
        )
        present = count_by_class(truth, predictions, num_classes, self.persons).present()
        return _Samples(counts, len(present), present.sum(axis=0))


def _check_predictions(
    schema: LabelSchema, photos: int, predictions: IntArray | None, probabilities: NDArray[np.floating] | None
) -> tuple[IntArray, NDArray[np.float64] | None]:
    """Returns the predicted class of each photo, and the validated probabilities where there are any."""
    rows = None if probabilities is None else check_probabilities(probabilities, "the probabilities")
    if predictions is None and rows is None:
        raise DataError("there is nothing to score", hint="give predictions or probabilities")
    if rows is not None and rows.shape[1] != schema.num_classes:
        raise DataError(f"the probabilities have {rows.shape[1]} classes, the label schema {schema.num_classes}")
    if predictions is None and rows is not None:
        predictions = rows.argmax(axis=1)
    classes = np.asarray(predictions)
    for name, length in (
        ("predictions", len(classes)),
        ("rows of probabilities", photos if rows is None else len(rows)),
    ):
        if length != photos:
            raise DataError(
                f"{format_count(photos, 'photo')} with truth, but {length} {name}",
                hint="match them by the photos' names first",
            )
    return classes, rows


def _score_attribute(
    schema: LabelSchema, name: str, truth: IntArray, predictions: IntArray, bootstrap: _Bootstrap
) -> AttributeScore | None:
    """Returns the scores of one attribute; None where its value is known of no photo."""
    attribute = schema[name]
    size = len(attribute.values)
    counts = count_by_class(truth, predictions, size)
    photos = int(counts.support.sum())
    if not photos:
        return None
    samples = bootstrap.draw(truth, predictions, size)
    intervals = _intervals(counts, samples, bootstrap.absent)
    return AttributeScore(
        photos=photos,
        accuracy=float(counts.accuracy()),
        macro_f1=float(counts.macro_f1(bootstrap.absent)),
        per_value=_score_classes([attribute.display_name(code) for code in range(size)], counts, samples),
        interval=intervals.get("macro_f1"),
        accuracy_interval=intervals.get("accuracy"),
    )


def _intervals(counts: ClassCounts, samples: _Samples | None, absent: Absent) -> dict[str, Interval]:
    if samples is None:
        return {}
    accuracy, macro_f1 = float(counts.accuracy()), float(counts.macro_f1(absent))
    return {
        # Macro F1 is no fraction of persons; where they are all alike, its interval is at least that of the accuracy.
        "macro_f1": Interval.from_draws(macro_f1, samples.counts.macro_f1(absent)).with_width(
            samples.persons, accuracy
        ),
        "accuracy": Interval.from_draws(accuracy, samples.counts.accuracy()).with_width(samples.persons),
    }


def _score_classes(names: Sequence[str], counts: ClassCounts, samples: _Samples | None) -> tuple[ClassScore, ...]:
    columns = zip(counts.precision(), counts.recall(), counts.f1(), counts.support, counts.predicted, strict=True)
    intervals: list[Interval | None] = [None] * len(names)
    if samples is not None:
        # F1 is undefined in a sample without the class; a 0 there would lower the interval.
        f1 = np.where(samples.counts.present(), samples.counts.f1(), np.nan)
        intervals = [
            Interval.from_draws(float(value), f1[:, number]).with_width(int(persons)) if persons else None
            for number, (value, persons) in enumerate(zip(counts.f1(), samples.persons_by_class, strict=True))
        ]
    return tuple(
        ClassScore(name, float(precision), float(recall), float(f1), int(support), int(predicted), interval)
        for name, (precision, recall, f1, support, predicted), interval in zip(names, columns, intervals, strict=True)
    )


def describe_answered(attribute: str, answered: float, accuracy: float | None, what: str) -> str:
    """Says how often a model is sure, and right where it is: the scores beside it are of all predictions.

    Args:
        attribute: Name of the attribute.
        answered: Fraction of predictions of which the model is sure, 0 to 1.
        accuracy: Fraction of these that are right; None for none.
        what: What is predicted, in the plural: "photos".

    Returns:
        One line.
    """
    right = "" if accuracy is None else f", and right on {accuracy:.1%} of these"
    return (
        f'{attribute}: sure of {answered:.1%} of the {what}{right}; "not sure" counts as its most probable value above'
    )


def describe_absent_classes(scores: Scores) -> str:
    """Says which classes macro F1 is not about, and what it is where they count as 0, as some competitions count them.

    Args:
        scores: The scores.

    Returns:
        One line; empty where every class is in the truth or among the predictions.
    """
    absent = [number for number, item in enumerate(scores.per_class) if not item.support and not item.predicted]
    if not absent or scores.macro_f1 is None:
        return ""
    count = len(scores.per_class)
    every = sum(item.f1 for item in scores.per_class) / count
    return (
        f"neither in the truth nor predicted, so not in macro F1: class{'es' if len(absent) > 1 else ''} "
        f"{', '.join(map(str, absent))}; scikit-learn's f1_score with all {count} labels gives {every:.4f}"
    )
