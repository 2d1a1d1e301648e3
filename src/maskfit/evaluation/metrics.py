"""Accuracy, F1, log loss, and calibration error: numbers from a whole set at once, in numpy.

Everything here is computed from counts over all photos. F1 is no mean, so the mean of the F1s of batches or folds is
another, wrong number: join the answers first, then score them once.

A class number `UNKNOWN` as truth says that nobody wrote it down; such a photo is left out. An answer is never unknown.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maskfit.errors import DataError, LabelError
from maskfit.labels.schema import UNKNOWN, FloatArray, IntArray

Absent = Literal["skip", "zero"]
"""What a class with neither truth nor answers does to macro F1: it is left out of the mean, or it counts as 0."""


class ClassCounts(NamedTuple):
    """The counts that precision, recall, F1 and accuracy follow from, each of shape (..., classes).

    Attributes:
        hits: Photos of the class that were answered as it.
        support: Photos of the class.
        answered: Photos that were answered as the class.
    """

    hits: FloatArray
    support: FloatArray
    predicted: FloatArray

    def precision(self) -> FloatArray:
        """Hits among the answers; 0 for a class that was never answered."""
        return _share(self.hits, self.predicted)

    def recall(self) -> FloatArray:
        """Hits among the photos of the class; 0 for a class without photos."""
        return _share(self.hits, self.support)

    def f1(self) -> FloatArray:
        """2 hits / (support + answered); 0 for a class with neither truth nor answers."""
        return _share(2 * self.hits, self.support + self.predicted)

    def present(self) -> NDArray[np.bool_]:
        """Which classes occur, in the truth or in the answers."""
        return (self.support + self.predicted) > 0

    def macro_f1(self, absent: Absent = "skip") -> FloatArray:
        """The mean of F1 over the classes, shape (...); see the function `macro_f1`."""
        if absent == "zero":
            return np.asarray(self.f1().mean(axis=-1))
        return _share(self.f1().sum(axis=-1), self.present().sum(axis=-1))

    def accuracy(self) -> FloatArray:
        """Hits among all photos, shape (...)."""
        return _share(self.hits.sum(axis=-1), self.support.sum(axis=-1))


Metric = Callable[[ClassCounts], FloatArray]
"""From counts (..., classes) to a number for each, shape (...)."""

METRICS: dict[str, Metric] = {"macro_f1": ClassCounts.macro_f1, "accuracy": ClassCounts.accuracy}
"""Metrics by name, for intervals."""


def confusion_matrix(truth: ArrayLike, answers: ArrayLike, classes: int) -> IntArray:
    """How often each truth was given each answer, shape (classes, classes): rows are the truth, columns the answers.

    Args:
        truth: (photos,) class numbers; photos with `UNKNOWN` are left out.
        answers: (photos,) class numbers.
        classes: How many classes there are.

    Raises:
        DataError: The two are not of one length.
        LabelError: A number is not a class.
    """
    truth, answers, _ = _known(truth, answers, classes)
    return np.bincount(truth * classes + answers, minlength=classes * classes).reshape(classes, classes)


def count_by_class(truth: ArrayLike, answers: ArrayLike, classes: int, groups: ArrayLike | None = None) -> ClassCounts:
    """The counts of a whole set, each of shape (classes,), or of each group, (groups, classes).

    Args:
        truth: (photos,) class numbers; photos with `UNKNOWN` are left out.
        answers: (photos,) class numbers.
        classes: How many classes there are.
        groups: (photos,) the person on each photo; a group without a known truth has no row.

    Raises:
        DataError: The arrays are not of one length.
        LabelError: A number is not a class.
    """
    known_truth, known_answers, known = _known(truth, answers, classes)
    names = np.zeros(len(known)) if groups is None else np.asarray(groups)
    if names.shape != known.shape:
        raise DataError(f"{len(known)} photos, but {len(names)} persons", hint="name the person of each photo")
    unique, place = np.unique(names[known], return_inverse=True)
    hit = known_truth == known_answers
    cells = (place[hit] * classes + known_truth[hit], place * classes + known_truth, place * classes + known_answers)
    size, shape = max(len(unique), 1) * classes, (-1, classes) if groups is not None else (classes,)
    return ClassCounts(*(np.bincount(cell, minlength=size).reshape(shape).astype(np.float64) for cell in cells))


def class_counts(truth: ArrayLike, answers: ArrayLike, classes: int) -> ClassCounts:
    """The counts of a whole set, of which at least one truth is known; arguments as for `confusion`.

    Raises:
        DataError: No photo has a known truth, or the lengths differ.
        LabelError: A number is not a class.
    """
    counts = count_by_class(truth, answers, classes)
    if not counts.support.sum():
        raise DataError("no photo has a known truth, so there is nothing to score", hint="give the true classes")
    return counts


def accuracy(truth: ArrayLike, answers: ArrayLike, classes: int) -> float:
    """The share of photos answered right.

    Raises:
        DataError: No photo has a known truth, or the lengths differ.
        LabelError: A number is not a class.
    """
    return float(class_counts(truth, answers, classes).accuracy())


def f1_per_class(truth: ArrayLike, answers: ArrayLike, classes: int) -> FloatArray:
    """F1 of each class over the whole set, shape (classes,); 0 for a class with neither truth nor answers.

    Raises:
        DataError: No photo has a known truth, or the lengths differ.
        LabelError: A number is not a class.
    """
    return class_counts(truth, answers, classes).f1()


def macro_f1(truth: ArrayLike, answers: ArrayLike, classes: int, *, absent: Absent = "skip") -> float:
    """The mean of the classes' F1 over the whole set: the competition's score.

    With `absent="skip"` this is scikit-learn's `f1_score(average="macro")`: the mean is over the classes that occur in
    the truth or in the answers. With `absent="zero"` it is the same with `labels=range(classes), zero_division=0`: a
    class that occurs nowhere counts as 0, as on the competition's server. On a set with all classes they are the same.

    Raises:
        DataError: No photo has a known truth, or the lengths differ.
        LabelError: A number is not a class.
    """
    return float(class_counts(truth, answers, classes).macro_f1(absent))


def log_loss(truth: ArrayLike, probabilities: NDArray[np.floating]) -> float:
    """The mean of -ln of the probability given to the true class; a probability of 0 counts as 2e-16.

    Args:
        truth: (photos,) class numbers; photos with `UNKNOWN` are left out.
        probabilities: (photos, classes).

    Raises:
        DataError: No photo has a known truth, or the lengths differ.
        LabelError: A number is not a class.
    """
    truth, known = _matched(truth, probabilities)
    given = known[np.arange(len(truth)), truth]
    return float(-np.log(np.clip(given, np.finfo(np.float64).eps, None)).mean())


class ReliabilityCurve(NamedTuple):
    """Photos sorted into bins of equal width by the probability of their answer, each of shape (bins,).

    Attributes:
        photos: How many fell into the bin.
        confidence: Their mean probability; 0 for an empty bin.
        accuracy: The share of them that was right; 0 for an empty bin.
    """

    photos: IntArray
    confidence: FloatArray
    accuracy: FloatArray

    def error(self) -> float:
        """The expected calibration error: the mean gap between confidence and accuracy, weighted by photos."""
        return float((self.photos * np.abs(self.confidence - self.accuracy)).sum() / self.photos.sum())


def reliability(truth: ArrayLike, probabilities: NDArray[np.floating], *, bins: int = 15) -> ReliabilityCurve:
    """How far the probability of the answer says how often it is right (Guo et al. 2017, arXiv:1706.04599).

    Args:
        truth: (photos,) class numbers; photos with `UNKNOWN` are left out.
        probabilities: (photos, classes).
        bins: How many bins of equal width lie between 0 and 1.

    Raises:
        DataError: No photo has a known truth, or the lengths differ.
        LabelError: A number is not a class.
    """
    truth, known = _matched(truth, probabilities)
    top = known.max(axis=1)
    # A bin holds (low, high], as in the paper, so that a certain answer falls into the last one.
    place = np.clip(np.ceil(top * bins).astype(np.int64) - 1, 0, bins - 1)
    photos = np.bincount(place, minlength=bins)
    right = np.bincount(place, weights=known.argmax(axis=1) == truth, minlength=bins)
    return ReliabilityCurve(
        photos, _share(np.bincount(place, weights=top, minlength=bins), photos), _share(right, photos)
    )


def _known(truth: ArrayLike, answers: ArrayLike, classes: int) -> tuple[IntArray, IntArray, NDArray[np.bool_]]:
    """Truth and answers of the photos with a known truth, and which photos those are."""
    truth, answers = np.asarray(truth), np.asarray(answers)
    if truth.ndim != 1 or truth.shape != answers.shape:
        raise DataError(
            f"truth of shape {truth.shape} does not fit answers of shape {answers.shape}",
            hint="give one class number for each photo, in the same order",
        )
    known = truth != UNKNOWN
    for what, numbers in (("truth", truth[known]), ("answer", answers)):
        # An empty list has the type of a float; probabilities given for answers do too, and would be cut to 0.
        if len(numbers) and not np.issubdtype(numbers.dtype, np.integer):
            raise LabelError(f"{what} {numbers[0]} is no class number")
        wrong = numbers[(numbers < 0) | (numbers >= classes)]
        if len(wrong):
            raise LabelError(f"{what} {wrong[0]} is not in 0 to {classes - 1}")
    return truth[known].astype(np.int64), answers[known].astype(np.int64), known


def _matched(truth: ArrayLike, probabilities: NDArray[np.floating]) -> tuple[IntArray, FloatArray]:
    """Truth and probabilities of the photos with a known truth, of which there is at least one."""
    rows = np.asarray(probabilities, dtype=np.float64)
    numbers, _, known = _known(truth, np.zeros(len(rows), dtype=np.int64), rows.shape[1])
    if not len(numbers):
        raise DataError("no photo has a known truth, so there is nothing to score", hint="give the true classes")
    return numbers, rows[known]


def _share(part: NDArray[Any], whole: NDArray[Any]) -> FloatArray:
    """`part / whole`, and 0 where the whole is 0."""
    part, whole = np.asarray(part, dtype=np.float64), np.asarray(whole, dtype=np.float64)
    zeros = np.zeros(np.broadcast_shapes(part.shape, whole.shape))
    return np.asarray(np.divide(part, whole, out=zeros, where=whole > 0))
