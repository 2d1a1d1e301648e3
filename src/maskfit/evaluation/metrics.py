"""Accuracy, F1, log loss and calibration error over a whole set, in numpy.

Everything is computed from counts over all photos. F1 is not a mean, so the mean of the F1 scores of batches or folds
is a different, wrong number: concatenate the predictions first, then score them once.

A true class `UNKNOWN` means that the photo is not labeled; it is left out. Predictions are never unknown.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maskfit.errors import DataError, LabelError
from maskfit.labels.schema import UNKNOWN, FloatArray, IntArray
from maskfit.text import format_count

Absent = Literal["skip", "zero"]
"""How macro F1 treats a class that is neither in the truth nor in the predictions: left out of the mean, or 0."""


class ClassCounts(NamedTuple):
    """Counts from which precision, recall, F1 and accuracy follow, each of shape (..., classes).

    Attributes:
        hits: Photos of the class that were predicted as it (true positives).
        support: Photos of the class.
        predicted: Photos that were predicted as the class.
    """

    hits: FloatArray
    support: FloatArray
    predicted: FloatArray

    def precision(self) -> FloatArray:
        """Returns hits / predicted, shape (..., classes); 0 for a class that was never predicted."""
        return _divide(self.hits, self.predicted)

    def recall(self) -> FloatArray:
        """Returns hits / support, shape (..., classes); 0 for a class without photos."""
        return _divide(self.hits, self.support)

    def f1(self) -> FloatArray:
        """Returns 2 * hits / (support + predicted), shape (..., classes); 0 for a class that occurs in neither."""
        return _divide(2 * self.hits, self.support + self.predicted)

    def present(self) -> NDArray[np.bool_]:
        """Returns which classes occur in the truth or in the predictions, shape (..., classes)."""
        return (self.support + self.predicted) > 0

    def macro_f1(self, absent: Absent = "skip") -> FloatArray:
        """Computes the mean of F1 over the classes.

        Args:
            absent: As for the function `macro_f1`.

        Returns:
            Shape (...).
        """
        if absent == "zero":
            return np.asarray(self.f1().mean(axis=-1))
        return _divide(self.f1().sum(axis=-1), self.present().sum(axis=-1))

    def accuracy(self) -> FloatArray:
        """Returns the fraction of photos that were predicted correctly, shape (...)."""
        return _divide(self.hits.sum(axis=-1), self.support.sum(axis=-1))


Metric = Callable[[ClassCounts], FloatArray]
"""Maps counts of shape (..., classes) to values of shape (...)."""

METRICS: dict[str, Metric] = {"macro_f1": ClassCounts.macro_f1, "accuracy": ClassCounts.accuracy}
"""Metrics by name, for bootstrap intervals."""


def confusion_matrix(truth: ArrayLike, predictions: ArrayLike, num_classes: int) -> IntArray:
    """Computes the confusion matrix.

    Args:
        truth: True classes, shape (photos,); photos with `UNKNOWN` are left out.
        predictions: Predicted classes, shape (photos,).
        num_classes: Number of classes.

    Returns:
        Counts of shape (classes, classes): rows are the truth, columns the predictions.

    Raises:
        DataError: The lengths differ.
        LabelError: A class is out of range.
    """
    truth, predictions, _ = _select_known(truth, predictions, num_classes)
    counts = np.bincount(truth * num_classes + predictions, minlength=num_classes * num_classes)
    return counts.reshape(num_classes, num_classes)


def count_by_class(
    truth: ArrayLike, predictions: ArrayLike, num_classes: int, groups: ArrayLike | None = None
) -> ClassCounts:
    """Counts hits, support and predictions by class, over the whole set or by group.

    Args:
        truth: True classes, shape (photos,); photos with `UNKNOWN` are left out.
        predictions: Predicted classes, shape (photos,).
        num_classes: Number of classes.
        groups: Person on each photo, shape (photos,); groups without a known class have no row.

    Returns:
        Counts of shape (classes,), or (groups, classes) where groups are given.

    Raises:
        DataError: The lengths differ.
        LabelError: A class is out of range.
    """
    known_truth, known_predictions, known = _select_known(truth, predictions, num_classes)
    names = np.zeros(len(known)) if groups is None else np.asarray(groups)
    if names.shape != known.shape:
        raise DataError(
            f"{format_count(len(known), 'photo')}, but {format_count(len(names), 'person')}",
            hint="give the person on each photo",
        )
    unique, group = np.unique(names[known], return_inverse=True)
    hit = known_truth == known_predictions
    cells = (
        group[hit] * num_classes + known_truth[hit],
        group * num_classes + known_truth,
        group * num_classes + known_predictions,
    )
    size = max(len(unique), 1) * num_classes
    shape = (-1, num_classes) if groups is not None else (num_classes,)
    return ClassCounts(*(np.bincount(cell, minlength=size).reshape(shape).astype(np.float64) for cell in cells))


def class_counts(truth: ArrayLike, predictions: ArrayLike, num_classes: int) -> ClassCounts:
    """Counts by class over a whole set with at least one known class.

    Args:
        truth: True classes, shape (photos,); photos with `UNKNOWN` are left out.
        predictions: Predicted classes, shape (photos,).
        num_classes: Number of classes.

    Returns:
        Counts of shape (classes,).

    Raises:
        DataError: No photo has a known class, or the lengths differ.
        LabelError: A class is out of range.
    """
    counts = count_by_class(truth, predictions, num_classes)
    if not counts.support.sum():
        raise DataError("no photo has a known class, so there is nothing to score", hint="give the true classes")
    return counts


def accuracy(truth: ArrayLike, predictions: ArrayLike, num_classes: int) -> float:
    """Computes the fraction of photos that were predicted correctly.

    Args:
        truth: True classes, shape (photos,); photos with `UNKNOWN` are left out.
        predictions: Predicted classes, shape (photos,).
        num_classes: Number of classes.

    Returns:
        Accuracy in [0, 1].

    Raises:
        DataError: No photo has a known class, or the lengths differ.
        LabelError: A class is out of range.
    """
    return float(class_counts(truth, predictions, num_classes).accuracy())


def f1_per_class(truth: ArrayLike, predictions: ArrayLike, num_classes: int) -> FloatArray:
    """Computes the F1 score of each class over the whole set.

    Args:
        truth: True classes, shape (photos,); photos with `UNKNOWN` are left out.
        predictions: Predicted classes, shape (photos,).
        num_classes: Number of classes.

    Returns:
        Shape (classes,); 0 for a class that is neither in the truth nor in the predictions.

    Raises:
        DataError: No photo has a known class, or the lengths differ.
        LabelError: A class is out of range.
    """
    return class_counts(truth, predictions, num_classes).f1()


def macro_f1(truth: ArrayLike, predictions: ArrayLike, num_classes: int, *, absent: Absent = "skip") -> float:
    """Computes macro F1, the competition's metric: the mean of the classes' F1 over the whole set.

    Args:
        truth: True classes, shape (photos,); photos with `UNKNOWN` are left out.
        predictions: Predicted classes, shape (photos,).
        num_classes: Number of classes.
        absent: `skip` averages over the classes that occur in the truth or in the predictions, as scikit-learn's
            `f1_score(average="macro")`. `zero` counts an absent class as 0, as scikit-learn with
            `labels=range(num_classes), zero_division=0` and the competition's server. Both are equal on a set with all
            classes.

    Returns:
        Macro F1 in [0, 1].

    Raises:
        DataError: No photo has a known class, or the lengths differ.
        LabelError: A class is out of range.
    """
    return float(class_counts(truth, predictions, num_classes).macro_f1(absent))


def log_loss(truth: ArrayLike, probabilities: NDArray[np.floating]) -> float:
    """Computes the mean of -ln of the probability of the true class; probabilities are clipped to 2e-16.

    Args:
        truth: True classes, shape (photos,); photos with `UNKNOWN` are left out.
        probabilities: Shape (photos, classes).

    Returns:
        The log loss, >= 0.

    Raises:
        DataError: No photo has a known class, or the lengths differ.
        LabelError: A class is out of range.
    """
    truth, rows = _select_known_rows(truth, probabilities)
    of_truth = rows[np.arange(len(truth)), truth]
    return float(-np.log(np.clip(of_truth, np.finfo(np.float64).eps, None)).mean())


class ReliabilityCurve(NamedTuple):
    """Photos binned by the probability of their prediction, each field of shape (bins,).

    Attributes:
        photos: Number of photos in the bin.
        confidence: Their mean probability; 0 for an empty bin.
        accuracy: Fraction of them that is correct; 0 for an empty bin.
    """

    photos: IntArray
    confidence: FloatArray
    accuracy: FloatArray

    def error(self) -> float:
        """Returns the expected calibration error: the mean |confidence - accuracy|, weighted by photos."""
        return float((self.photos * np.abs(self.confidence - self.accuracy)).sum() / self.photos.sum())


def reliability(truth: ArrayLike, probabilities: NDArray[np.floating], *, bins: int = 15) -> ReliabilityCurve:
    """Computes the reliability curve in bins of equal width (Guo et al. 2017, arXiv:1706.04599).

    Args:
        truth: True classes, shape (photos,); photos with `UNKNOWN` are left out.
        probabilities: Shape (photos, classes).
        bins: Number of bins between 0 and 1.

    Returns:
        The curve, with empty bins.

    Raises:
        DataError: No photo has a known class, or the lengths differ.
        LabelError: A class is out of range.
    """
    truth, rows = _select_known_rows(truth, probabilities)
    confidence = rows.max(axis=1)
    # Bins are (low, high], as in the paper, so that a probability of 1 is in the last one.
    index = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    photos = np.bincount(index, minlength=bins)
    correct = np.bincount(index, weights=rows.argmax(axis=1) == truth, minlength=bins)
    return ReliabilityCurve(
        photos, _divide(np.bincount(index, weights=confidence, minlength=bins), photos), _divide(correct, photos)
    )


def _select_known(
    truth: ArrayLike, predictions: ArrayLike, num_classes: int
) -> tuple[IntArray, IntArray, NDArray[np.bool_]]:
    """Returns truth and predictions of the photos with a known class, and the mask of these photos."""
    truth, predictions = np.asarray(truth), np.asarray(predictions)
    if truth.ndim != 1 or truth.shape != predictions.shape:
        raise DataError(
            f"truth has shape {truth.shape}, predictions have shape {predictions.shape}",
            hint="give one class for each photo, in the same order",
        )
    known = truth != UNKNOWN
    for name, classes in (("truth", truth[known]), ("prediction", predictions)):
        # An empty list has a float dtype; so have probabilities given as predictions, which a cast would turn into 0.
        if len(classes) and not np.issubdtype(classes.dtype, np.integer):
            raise LabelError(f"{name} {classes[0]} is not a class index")
        wrong = classes[(classes < 0) | (classes >= num_classes)]
        if len(wrong):
            raise LabelError(f"{name} {wrong[0]} is not in 0 to {num_classes - 1}")
    return truth[known].astype(np.int64), predictions[known].astype(np.int64), known


def _select_known_rows(truth: ArrayLike, probabilities: NDArray[np.floating]) -> tuple[IntArray, FloatArray]:
    """Returns truth and probabilities of the photos with a known class, of which there is at least one."""
    rows = np.asarray(probabilities, dtype=np.float64)
    classes, _, known = _select_known(truth, np.zeros(len(rows), dtype=np.int64), rows.shape[1])
    if not len(classes):
        raise DataError("no photo has a known class, so there is nothing to score", hint="give the true classes")
    return classes, rows[known]


def _divide(numerator: NDArray[Any], denominator: NDArray[Any]) -> FloatArray:
    """Returns the quotient, and 0 where the denominator is 0."""
    numerator, denominator = np.asarray(numerator, dtype=np.float64), np.asarray(denominator, dtype=np.float64)
    zeros = np.zeros(np.broadcast_shapes(numerator.shape, denominator.shape))
    return np.asarray(np.divide(numerator, denominator, out=zeros, where=denominator > 0))
